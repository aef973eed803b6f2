"""The figures of a measurement as tables: in Markdown for the documents, in HTML for the page."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.record import ALL, parts_of
from pipeline.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.record import Document

NONE = "-"
"""The words of a cell for which there is no figure."""
LONGEST = 30
"""Longer words than so many letters are broken into lines on the page."""
BEGIN, END = "<!-- measured figures -->", "<!-- end of measured figures -->"
"""The marks in a document between which the tables go."""


def shown(value: float) -> str:
    """A number as short as it tells enough: three digits, or all before the point."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(digits, 6)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace(",", "\u202f")


def share(value: float | None) -> str:
    """A share in whole percent, or that there is none."""
    return NONE if value is None else f"{value:.0%}"


@dataclass(frozen=True)
class Table:
    """Cells as they are shown. Every column but the first whose cells are numbers stands to the right."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table in Markdown, its caption above."""
        rule = ["---:" if self._numeric(column) else "---" for column in range(len(self.headers))]
        lines = [self.headers, rule, *self.rows]
        return f"{self.caption}:\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def html(self) -> str:
        """The table as the page shows it."""
        numeric = [' class="number"' if self._numeric(column) else "" for column in range(len(self.headers))]
        head = "".join(f"<th{kind}>{escape(text)}</th>" for text, kind in zip(self.headers, numeric, strict=True))

        rows = ""
        for row in self.rows:
            long = [' class="long"' if len(cell) > LONGEST else "" for cell in row]
            cells = zip(row, numeric, long, strict=True)
            rows += (
                "<tr>" + "".join(f"<td{number or wide}>{escape(text)}</td>" for text, number, wide in cells) + "</tr>"
            )
        return (
            f'<div class="wide"><table><caption>{escape(self.caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )

    def _numeric(self, column: int) -> bool:
        cells = [row[column] for row in self.rows if row[column] != NONE]
        return column > 0 and bool(cells) and all(cell.lstrip("+-")[:1].isdigit() for cell in cells)


def left_out(reasons: Mapping[str, str]) -> list[Table]:
    """What could not be measured, each with the reason; no table where nothing was left out."""
    return [Table("Left out", ("what", "why"), tuple(reasons.items()))] if reasons else []


def machine(whole: Document) -> list[tuple[str, str]]:
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

    lines += [(f"noise, {name}", noise(part)) for name, part in parts_of(whole).items()]
    if whole["bench"] == ALL:
        lines += [(f"left out, {name}", reason) for name, reason in whole["left_out"].items()]
    return lines


def noise(part: Document) -> str:
    """How disturbed the machine was while a part was measured, in words."""
    seen = part["noise"]
    if seen["steal_share"] is None:
        return "not told by this system"
    load = "" if seen["load_before"] is None else f"; load before {seen['load_before']:.1f}"
    return f"{seen['steal_share']:.1%} stolen, {seen['worst_steal_share']:.0%} in the worst second{load}"


def markdown(whole: Document, tables: Mapping[str, list[Table]]) -> str:
    """The tables of each part of a document, below the machine."""
    facts = "\n".join(f"- {key}: {value}" for key, value in machine(whole))
    sections = [f"### {name}\n\n" + "\n\n".join(table.markdown() for table in found) for name, found in tables.items()]
    return "\n\n".join([facts, *sections]) + "\n"


def write(text: str, path: str) -> None:
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
