"""A measurement as one page: plots, tables and methods, with nothing loaded from anywhere; and its plots as PNG."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import figures, tables
from benchmarks.record import Document, parts_of
from pipeline.errors import ConfigError, SinkError

if TYPE_CHECKING:
    from benchmarks.figures import Figure

TITLES = {
    "pipeline": "File to file",
    "engines": "The networks alone",
    "live": "Live: the age of a picture",
    "quality": "Quality against time",
    "scale": "Scale",
    "peers": "Beside others",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
"""Any of them draws the PNG copies."""
PNG_WIDTH, PNG_MARGIN = 760, 20

LIGHT = (
    "--page:#fbfbf8;--card:#fff;--ink:#1d2125;--soft:#5c656e;--rule:#e4e5df;"
    "--blue:#3c6eb4;--orange:#d2691e;--teal:#1f8a7a;--grey:#a9b1b8"
)
DARK = (
    "--page:#14171a;--card:#1b1f23;--ink:#e9eae6;--soft:#9da7b0;--rule:#2e343a;"
    "--blue:#78a5e2;--orange:#f0994f;--teal:#56c2b0;--grey:#69737c"
)
STYLE = f"""
:root{{{LIGHT};color-scheme:light dark}}
@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{{DARK}}}}}
:root[data-theme=dark]{{{DARK}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}}
main{{max-width:820px;margin:0 auto;padding:40px 20px 80px}}
h1{{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}}
h2{{font-size:21px;margin:56px 0 6px}}
p{{margin:0 0 14px}}
a{{color:var(--blue)}}
.soft,details{{color:var(--soft)}}
details{{font-size:14px;margin:0 0 18px}}
summary{{cursor:pointer}}
nav{{display:flex;flex-wrap:wrap;gap:6px 18px;margin:14px 0 0;font-size:15px}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;font-size:14px;margin:20px 0 0}}
dt{{color:var(--soft)}} dd{{margin:0;overflow-wrap:anywhere}}
figure{{margin:0 0 20px;padding:14px 16px 8px;background:var(--card);border:1px solid var(--rule);border-radius:10px}}
figcaption{{font-size:14px;color:var(--soft);margin:0 0 8px}}
.pair{{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:0 20px}}
.wide{{overflow-x:auto;margin:0 0 22px}}
table{{border-collapse:collapse;min-width:60%;font-size:14px;font-variant-numeric:tabular-nums}}
caption{{text-align:left;font-weight:600;padding:0 0 6px}}
th{{font-weight:500;color:var(--soft);text-align:left}}
th,td{{padding:5px 20px 5px 0;border-bottom:1px solid var(--rule);vertical-align:top;white-space:nowrap}}
.long{{white-space:normal;min-width:170px}}
.number{{text-align:right}}
svg{{display:block;width:100%;height:auto;font:13px system-ui,-apple-system,"Segoe UI",sans-serif}}
svg text{{fill:var(--ink)}}
svg .soft{{fill:var(--soft);font-size:12px}}
svg .value{{font-weight:600;font-variant-numeric:tabular-nums}}
svg .strong{{font-weight:700}}
svg .rule{{stroke:var(--rule)}}
svg .step{{stroke:var(--soft);stroke-dasharray:2 3}}
svg .sample{{fill:var(--ink);opacity:.55}}
svg .curve{{fill:none;stroke-width:2.2;stroke-linejoin:round}}
svg .dashed{{stroke-dasharray:5 5;stroke-width:1.6}}
svg .thick{{stroke-width:5;stroke-linecap:round}} svg .thin{{stroke-width:1.6}}
svg .blue{{fill:var(--blue)}} svg .orange{{fill:var(--orange)}}
svg .teal{{fill:var(--teal)}} svg .grey{{fill:var(--grey)}}
svg .blue-line{{stroke:var(--blue)}} svg .orange-line{{stroke:var(--orange)}}
svg .teal-line{{stroke:var(--teal)}} svg .grey-line{{stroke:var(--grey)}}
""".strip()


def page(whole: Document) -> str:
    """The whole page. It asks nothing of the network, and follows the reader's choice of light or dark."""
    drawn, tabled = figures.of(whole), tables.of(whole)
    parts = parts_of(whole)
    links = "".join(f'<a href="#{name}">{TITLES[name]}</a>' for name in parts)
    facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in tables.machine(whole))
    sections = "".join(_section(name, part, drawn[name], tabled[name]) for name, part in parts.items())
    lead = "Measured by <code>barefaced bench</code> on the machine below; its JSON holds every sample."
    return _document(
        "How fast barefaced is",
        f'<h1>How fast is it?</h1><p class="soft">{lead}</p><nav>{links}</nav><dl>{facts}</dl>{sections}',
    )


def _section(name: str, part: Document, drawn: list[Figure], tabled: list[tables.Table]) -> str:
    plots = "".join(f"<figure><figcaption>{escape(each.caption)}</figcaption>{each.svg}</figure>" for each in drawn)
    pair = ' class="pair"' if name == "scale" else ""
    how = f"<details><summary>How this was measured</summary>{escape(part['method'])}</details>"
    rows = "".join(each.html() for each in tabled)
    return f'<section id="{name}"><h2>{TITLES[name]}</h2>{how}<div{pair}>{plots}</div>{rows}</section>'


def _document(title: str, body: str, *, theme: str = "") -> str:
    chosen = f' data-theme="{theme}"' if theme else ""
    return (
        f'<!doctype html>\n<html lang="en"{chosen}><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def write(whole: Document, path: Path) -> None:
    """The page as a file. Raises `SinkError`."""
    try:
        path.write_text(page(whole), encoding="utf-8")
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror or error}") from error


def write_pngs(whole: Document, folder: Path) -> list[Path]:
    """Every plot as PNG, for documents that can't show SVG: light, and dark with `-dark` in its name.

    Raises `ConfigError` when there is no browser that draws them, and `SinkError` when it fails.
    """
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise ConfigError(f"--png needs a browser to draw with: install chromium (one of {', '.join(BROWSERS)})")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name:
        for drawn in figures.of(whole).values():
            for figure in drawn:
                for theme in ("light", "dark"):
                    target = folder / f"{figure.name}{'' if theme == 'light' else '-dark'}.png"
                    _photograph(browser, figure, theme, Path(name), target)
                    written.append(target)
    return written


def _photograph(browser: str, figure: Figure, theme: str, folder: Path, target: Path) -> None:
    """A figure as a browser draws it, at twice the size."""
    width, height = (float(side) for side in figure.svg.split('"', 2)[1].split()[2:])
    scale = (PNG_WIDTH - 2 * PNG_MARGIN) / width
    source = folder / "figure.html"
    frame = f"<style>main{{max-width:none;margin:0;padding:{PNG_MARGIN}px;background:var(--card)}}</style>"
    source.write_text(_document(figure.caption, frame + figure.svg, theme=theme), encoding="utf-8")
    asked = [
        browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-sandbox", "--force-device-scale-factor=2",
        f"--user-data-dir={folder / 'profile'}", f"--screenshot={target.resolve()}",
        f"--window-size={PNG_WIDTH},{round(height * scale + 2 * PNG_MARGIN)}", source.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 - found on the PATH
    if done.returncode or not target.exists():
        raise SinkError(f"{Path(browser).name} drew no {target}: {done.stderr.strip()[-300:]}")
