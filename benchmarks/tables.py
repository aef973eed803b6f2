"""The figures of a measurement as tables: in Markdown for the documents, in HTML for the page."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmarks.record import ALL, Document, parts_of
from benchmarks.svg import shown
from pipeline.errors import SinkError


@dataclass(frozen=True)
class Table:
    """Cells as they are shown. Where a column's cells begin with digits, it stands to the right, but for the first."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """With its caption above."""
        rule = ["---:" if self._numeric(column) else "---" for column in range(len(self.headers))]
        lines = [self.headers, rule, *self.rows]
        return f"{self.caption}:\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def html(self) -> str:
        """As the page shows it."""
        numeric = [' class="number"' if self._numeric(column) else "" for column in range(len(self.headers))]
        head = "".join(f"<th{kind}>{escape(text)}</th>" for text, kind in zip(self.headers, numeric, strict=True))
        body = "".join(
            "<tr>" + "".join(_cell(cell, kind) for cell, kind in zip(row, numeric, strict=True)) + "</tr>"
            for row in self.rows
        )
        return (
            f'<div class="wide"><table><caption>{escape(self.caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def _numeric(self, column: int) -> bool:
        cells = [row[column] for row in self.rows if row[column] != NONE]
        return column > 0 and bool(cells) and all(cell.lstrip("+-")[:1].isdigit() for cell in cells)


def _cell(text: str, kind: str) -> str:
    chosen = LONG if not kind and len(text) > LONGEST else kind
    return f"<td{chosen}>{escape(text)}</td>"


LONGEST, LONG = 30, ' class="long"'
"""Longer text than so many letters is broken into lines."""
NONE = "-"
"""In a cell for which there is no figure."""
BEGIN, END = "<!-- measured figures -->", "<!-- end of measured figures -->"
"""In a document: where the tables go."""


def of(whole: Document) -> dict[str, list[Table]]:
    """The tables of each part that was measured."""
    made = {
        "pipeline": _pipeline,
        "engines": _engines,
        "live": _live,
        "quality": _quality,
        "scale": _scale,
        "peers": _peers,
    }
    return {name: made[name](part) for name, part in parts_of(whole).items()}


def machine(whole: Document) -> list[tuple[str, str]]:
    """What it was measured on, in lines."""
    told = whole["machine"]
    gpus = ", ".join(f"{gpu['name']}, driver {gpu['driver']}" for gpu in told["gpus"])
    lines = [
        ("processor", told["processor"]),
        ("cores", str(told["cores"])),
        ("memory", f"{told['memory_gib']} GiB"),
        ("GPU", gpus or "none of NVIDIA's"),
        ("system", f"{told['system']}, Python {told['python']}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in told["versions"].items())),
        ("commit", str(told["commit"])),
        ("taken", told["taken"]),
    ]
    lines += [(f"noise, {name}", noise(part)) for name, part in parts_of(whole).items()]
    if whole["bench"] == ALL:
        lines += [(f"left out, {name}", reason) for name, reason in whole["left_out"].items()]
    return lines


def noise(part: Document) -> str:
    """How disturbed the machine was, in words."""
    told = part["noise"]
    if told["steal_share"] is None:
        return "not told by this system"
    load = "" if told["load_before"] is None else f"; load before {told['load_before']:.1f}"
    return f"{told['steal_share']:.1%} stolen, {told['worst_steal_share']:.0%} in the worst second{load}"


def markdown(whole: Document) -> str:
    """Every table, below the machine."""
    facts = "\n".join(f"- {key}: {value}" for key, value in machine(whole))
    parts = [
        f"### {name}\n\n" + "\n\n".join(table.markdown() for table in tables) for name, tables in of(whole).items()
    ]
    return "\n\n".join([facts, *parts]) + "\n"


def write(whole: Document, path: str) -> None:
    """The tables into a document, between its marks where it has them, or as a document of their own.

    `-` is standard output. Raises `SinkError`.
    """
    text = markdown(whole)
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


def _pipeline(part: Document) -> list[Table]:
    rows, blending = [], []
    for size, each in part["sizes"].items():
        rows.append((
            size, shown(each["fps"]), shown(each["ceiling_fps"]), f"{each['ratio']:.2f}", shown(each["added_ms"]),
            shown(each["peak_rss_mb"]), each["profile"]["slowest_stage"], f"{each['profile']['overhead_share']:.0%}",
        ))  # fmt: skip
        told = each["blending"]
        blending.append((size, shown(told["blend_ms"]), shown(told["copy_ms"]), shown(told["copies"])))
    headers = ("size", "fps", "ceiling, fps", "of ceiling", "ms added", "peak MB", "slowest stage", "overhead")
    return [
        Table("File to file, one masked face", headers, tuple(rows)),
        Table("Painting one face", ("size", "ms", "copying the frame, ms", "times as long"), tuple(blending)),
    ]


def _engines(part: Document) -> list[Table]:
    rows = tuple(
        (
            row["network"], f"{row['engine']} {row['precision']}", str(row["batch"]), shown(row["median_ms"]),
            shown(row["p95_ms"]), shown(row["p99_ms"]), shown(row["median_ms_per_face"]),
            NONE if row["ceiling_share"] is None else f"{row['ceiling_share']:.0%}", shown(row["psnr_db"]),
        )
        for row in part["engines"]
    )  # fmt: skip
    headers = ("network", "engine", "batch", "median ms", "p95", "p99", "ms a face", "of ceiling", "dB from reference")
    return [Table("Networks", headers, rows)]


def _live(part: Document) -> list[Table]:
    spans = {"all": "age_ms", "first minute": "first_minute_age_ms", "last minute": "last_minute_age_ms"}
    ages = tuple((name, *(shown(part[key][share]) for share in ("p50", "p95", "p99"))) for name, key in spans.items())
    counts = (
        ("new pictures a second", f"{part['fps']} of {part['camera_fps']}"),
        ("shown", str(part["shown"])),
        ("dropped", str(part["dropped"])),
        ("repeated", str(part["repeated"])),
        ("out of order", str(part["out_of_order"])),
        ("memory, from first to last", f"{part['memory_growth_mb']:+.1f} MB"),
    )
    minutes = shown(part["seconds"] / 60)
    return [
        Table(f"Age of a picture in ms, {part['size']}, {minutes} minutes", ("span", "p50", "p95", "p99"), ages),
        Table("What became of the pictures", ("", "count"), counts),
    ]


def _quality(part: Document) -> list[Table]:
    rows = tuple(
        (
            row["name"], shown(row["ms_per_face"]), *(NONE if row[key] is None else f"{row[key]:.2f}" for key in
            ("hole_psnr", "hole_ssim")), "yes" if row["on_front"] else "no", row["description"],
        )
        for row in part["generators"]
    )  # fmt: skip
    caption = f"Inside the hole, {part['photos']} pictures ({part['pictures']})"
    return [
        Table(caption, ("generator", "ms a face", "PSNR, dB", "SSIM", "unsurpassed", "what it is"), rows),
        *_left_out(part),
    ]


def _scale(part: Document) -> list[Table]:
    verdicts = tuple(
        (each["curve"], each["expected"], each["figure"], shown(each["measured"]), shown(each["limit"]),
         "met" if each["met"] else "not met")
        for each in part["expectations"]
    )  # fmt: skip
    points = tuple(
        (name, str(each["at"]), shown(each["frame_ms"]), shown(each["ceiling_ms"]), shown(each["added_ms"]),
         shown(each["peak_rss_mb"]))
        for name, curve in part["curves"].items()
        if name != "batch"
        for each in curve
    )  # fmt: skip
    batch = tuple(
        (str(each["at"]), shown(each["ms_per_face"]), shown(each["p95_ms"])) for each in part["curves"]["batch"]
    )
    return [
        Table("Expected beforehand", ("curve", "shape", "figure", "measured", "at most", "verdict"), verdicts),
        Table("A frame", ("curve", "at", "ms", "ceiling, ms", "ms added", "peak MB"), points),
        Table("The generator", ("faces in a run", "ms a face", "p95 of a run, ms"), batch),
    ]


def _peers(part: Document) -> list[Table]:
    programs = [("barefaced", shown(part["fps"]), "1")]
    programs += [(name, shown(each["fps"]), shown(each["ratio"])) for name, each in part["peers"].items()]
    generators = tuple(
        (row["name"], shown(row["median_ms"]), shown(row["p95_ms"]), shown(row["gmacs"]),
         shown(row["published_gmacs"]) if "published_gmacs" in row else NONE,
         NONE if row["ceiling_share"] is None else f"{row['ceiling_share']:.0%}", row.get("note") or NONE)
        for row in part["generators"]
    )  # fmt: skip
    others = tuple(
        (each["program"], each["says"], each["hardware"] or NONE, each["source"]) for each in part["published"]
    )
    size = f"{part['size']}, {part['frames']} frames"
    return [
        Table(
            f"Programs, whole commands, {size}",
            ("program", "fps", "barefaced is so many times as fast"),
            tuple(programs),
        ),
        Table(
            "Generators at 256x256, random weights but for ours",
            ("generator", "ms a face", "p95", "GMACs", "published", "of ceiling", "note"),
            generators,
        ),
        *_left_out(part),
        Table("Published by others, not measured here", ("program", "figure", "hardware", "source"), others),
    ]


def _left_out(part: Document) -> list[Table]:
    rows = tuple(part["left_out"].items())
    return [Table("Left out", ("what", "why"), rows)] if rows else []
