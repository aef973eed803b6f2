"""A measurement for readers: a page with figures, Markdown for documents, and what changed between two measurements.

The page loads nothing from anywhere; its figures can be written as PNG, too. Of a change only what noise can't explain
is told.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import drawing, parts
from benchmarks.record import ALL, BenchmarkError, Better, Document, Interval, factor_between, parts_of, series_of
from pipeline.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.record import Series


BEGIN, END = "<!-- measured figures -->", "<!-- end of measured figures -->"
"""The marks in a document between which the tables go."""


def machine_facts(whole: Document) -> list[tuple[str, str]]:
    """What a document was measured on, as keys and words."""
    described = whole["machine"]
    gpus = ", ".join(f"{gpu['name']}, driver {gpu['driver']}" for gpu in described["gpus"])
    lines = [
        ("processor", described["processor"]),
        ("cores", str(described["cores"])),
        ("memory", f"{described['memory_gib']} GiB"),
        ("GPU", gpus or "none of NVIDIA's"),
        ("system", f"{described['system']}, Python {described['python']}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in described["versions"].items())),
        ("commit", str(described["commit"])),
        ("taken", described["taken"]),
    ]

    lines += [(f"noise, {name}", noise_words(part)) for name, part in parts_of(whole).items()]
    if whole["bench"] == ALL:
        lines += [(f"left out, {name}", reason) for name, reason in whole["left_out"].items()]
    return lines


def noise_words(part: Document) -> str:
    """How disturbed the machine was while a part was measured, in words."""
    seen = part["noise"]
    if seen["steal_share"] is None:
        return "not told by this system"
    load = "" if seen["load_before"] is None else f"; load before {seen['load_before']:.1f}"
    return f"{seen['steal_share']:.1%} stolen, {seen['worst_steal_share']:.0%} in the worst second{load}"


def write_markdown(text: str, path: str) -> None:
    """Write tables into a document, between its marks, or as a document of their own where there is none yet.

    `-` is standard output. Raises `SinkError`.
    """
    if path == "-":
        sys.stdout.write(text)
        return

    target = Path(path)
    try:
        if target.exists():
            text = between_marks(target.read_text(encoding="utf-8"), text)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror or error}") from error
    except ValueError as error:
        raise SinkError(f"{path}: {error}") from error


def between_marks(page: str, text: str) -> str:
    """`page` with `text` in the place of what lies between its marks. Raises `ValueError` where it has none."""
    begin, end = (f"\n{mark}\n" for mark in (BEGIN, END))  # a page may speak of them in a sentence, too
    before, begun, rest = f"\n{page}\n".partition(begin)
    _, ended, after = f"\n{rest}".partition(end)
    if not begun or not ended:
        raise ValueError(f"it is there and has no place for tables: put {BEGIN} and {END} into it, each in a line")
    return f"{before}{begin}\n{text}{end}{after}"[1:-1]


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


def html_page(whole: Document) -> str:
    """A document as a whole page. It asks nothing of the network, and follows the reader's choice of light or dark."""
    shown = parts.shown(whole)
    links = "".join(f'<a href="#{name}">{part.title}</a>' for name, (part, _) in shown.items())
    facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in machine_facts(whole))
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


def write_html(whole: Document, path: Path) -> None:
    """Write the page of a document. Raises `SinkError`."""
    try:
        path.write_text(html_page(whole), encoding="utf-8")
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
    """The tables of a document, part by part, below the machine that it was measured on."""
    facts = "\n".join(f"- {key}: {value}" for key, value in machine_facts(whole))
    tables = {name: part.tables(document) for name, (part, document) in parts.shown(whole).items()}
    sections = [f"### {name}\n\n" + "\n\n".join(table.markdown() for table in found) for name, found in tables.items()]
    return "\n\n".join([facts, *sections]) + "\n"


LEAST_CHANGE = 0.03
"""A change within this is none, however narrow its interval: machines differ by as much from one hour to the next."""


class Verdict(StrEnum):
    """Whether a figure got better, got worse, or did neither beyond noise."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "within noise"


@dataclass(frozen=True)
class Change:
    """How one series changed from one measurement to another."""

    name: str
    unit: str
    before: float
    after: float
    """The median before and the median after."""
    factor: float
    """The median after over that before, turn by turn where both have as many samples."""
    interval: Interval
    verdict: Verdict

    def as_json(self) -> dict[str, object]:
        """The change as JSON holds it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "before": round(self.before, 4),
            "after": round(self.after, 4),
            "factor": round(self.factor, 4),
            "interval": [round(self.interval.low, 4), round(self.interval.high, 4)],
            "verdict": str(self.verdict),
        }


def compared(before: Document, after: Document) -> list[Change]:
    """Every series that both have. Raises `BenchmarkError` when they share none."""
    first, second = series_of(before), series_of(after)
    changes = [_change(first[name], second[name]) for name in first if name in second]
    if not changes:
        raise BenchmarkError("the two measurements have no figure in common: measure the same parts")
    return changes


def _change(before: Series, after: Series) -> Change:
    # A figure may be 0, such as the pictures shown in a second that a machine stood still: all are moved off it alike.
    lift = 1e-9 + max(0.0, -min(*before.values, *after.values, 0.0))
    factor, interval = factor_between(
        [value + lift for value in before.values], [value + lift for value in after.values]
    )
    verdict = Verdict.SAME
    if interval.outside(1 - LEAST_CHANGE, 1 + LEAST_CHANGE):
        rose = interval.low > 1
        verdict = Verdict.BETTER if rose == (before.better is Better.MORE) else Verdict.WORSE
    return Change(before.name, before.unit, before.spread.median, after.spread.median, factor, interval, verdict)


def cautions(before: Document, after: Document) -> list[str]:
    """Sentences about what to know before believing a comparison."""
    said = []
    for key, what in (("processor", "processors"), ("versions", "versions of packages"), ("cores", "numbers of cores")):
        if before["machine"].get(key) != after["machine"].get(key):
            said.append(f"they were measured on different {what}: {_told(before, key)}, then {_told(after, key)}")
    return said


def _told(whole: Document, key: str) -> str:
    value = whole["machine"].get(key)
    return ", ".join(f"{name} {version}" for name, version in value.items()) if isinstance(value, dict) else str(value)


def table(changes: Iterable[Change], *, everything: bool = False) -> str:
    """What changed as lines for a person to read; with `everything` also what did not."""
    shown = [change for change in changes if everything or change.verdict is not Verdict.SAME]
    if not shown:
        return "nothing changed beyond noise"

    width = max(len(change.name) for change in shown)
    lines = [f"{'':<{width}} {'before':>10} {'after':>10} {'factor':>8}  {'interval':<16} "]
    lines += [
        f"{change.name:<{width}} {change.before:>10.3f} {change.after:>10.3f} {change.factor:>8.3f}  "
        f"{change.interval.low:.3f} to {change.interval.high:.3f}  {change.verdict}"
        for change in shown
    ]
    return "\n".join(lines)


def worse(changes: Sequence[Change]) -> list[Change]:
    """The changes that are for the worse, beyond noise."""
    return [change for change in changes if change.verdict is Verdict.WORSE]
