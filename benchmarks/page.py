"""A measurement as one page: figures, tables and methods, with nothing loaded from anywhere; and its figures as PNG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from benchmarks import drawing, parts, tables
from pipeline.errors import SinkError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.record import Document

LIGHT, DARK = (
    ";".join(f"--{name}:{colour}" for name, colour in theme.items()) for theme in (drawing.LIGHT, drawing.DARK)
)
"""The colours of the page and of its figures, as CSS."""
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
.figures{{display:flex;flex-wrap:wrap;gap:0 20px}}
.whole{{width:100%}} .half{{flex:1 1 330px}}
.wide{{overflow-x:auto;margin:0 0 22px}}
table{{border-collapse:collapse;min-width:60%;font-size:14px;font-variant-numeric:tabular-nums}}
caption{{text-align:left;font-weight:600;padding:0 0 6px}}
th{{font-weight:500;color:var(--soft);text-align:left}}
th,td{{padding:5px 20px 5px 0;border-bottom:1px solid var(--rule);vertical-align:top;white-space:nowrap}}
.long{{white-space:normal;min-width:170px}}
.number{{text-align:right}}
svg{{display:block;width:100%;height:auto}}
""".strip()


def page(whole: Document) -> str:
    """A document as a whole page. It asks nothing of the network, and follows the reader's choice of light or dark."""
    shown = parts.shown(whole)
    links = "".join(f'<a href="#{name}">{part.title}</a>' for name, (part, _) in shown.items())
    facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in tables.machine(whole))
    sections = "".join(_section(name, part, document) for name, (part, document) in shown.items())

    lead = "Measured by <code>barefaced bench</code> on the machine below; its JSON holds every sample."
    body = f'<h1>How fast is it?</h1><p class="soft">{lead}</p><nav>{links}</nav><dl>{facts}</dl>{sections}'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>How fast barefaced is</title>'
        f"<style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _section(name: str, part: parts.Part, document: Document) -> str:
    figures = "".join(
        f'<figure class="{"half" if figure.drawing.size[0] == drawing.HALF else "whole"}">'
        f"<figcaption>{escape(figure.caption)}</figcaption>{figure.svg()}</figure>"
        for figure in part.figures(document)
    )
    how = f"<details><summary>How this was measured</summary>{escape(document['method'])}</details>"
    rows = "".join(table.html() for table in part.tables(document))
    return f'<section id="{name}"><h2>{part.title}</h2>{how}<div class="figures">{figures}</div>{rows}</section>'


def write(whole: Document, path: Path) -> None:
    """Write the page of a document. Raises `SinkError`."""
    try:
        path.write_text(page(whole), encoding="utf-8")
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror or error}") from error


def write_pngs(whole: Document, folder: Path) -> list[Path]:
    """Write every figure as PNG: light, and dark with `-dark` in its name. Raises `SinkError`."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part, document in parts.shown(whole).values():
            for figure in part.figures(document):
                for theme, ending in ((drawing.LIGHT, ""), (drawing.DARK, "-dark")):
                    written.append(folder / f"{figure.name}{ending}.png")
                    figure.write_png(written[-1], theme)

    except OSError as error:
        raise SinkError(f"{folder} can't be written: {error.strerror or error}") from error
    return written


def markdown(whole: Document) -> str:
    """The tables of a document, below the machine that it was measured on."""
    return tables.markdown(
        whole, {name: part.tables(document) for name, (part, document) in parts.shown(whole).items()}
    )
