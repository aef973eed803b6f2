"""The plots of the page: bars, a waterfall, percentiles, curves, and quality against time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks.svg import GLYPH, Anchor, Canvas, Linear, Log, Scale, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH = 720.0
ROW = 30.0
"""From one bar to the next."""
ANCHORS: tuple[Anchor, Anchor] = ("start", "end")
RIGHT = 70.0
"""Room for a value behind the longest bar."""


@dataclass(frozen=True)
class Bar:
    """A row of `bars`."""

    label: str
    value: float
    kind: str = "blue"
    samples: tuple[float, ...] = ()
    """Shown as small dots over the bar."""


def bars(rows: Sequence[Bar], unit: str, label: str, *, logarithmic: bool = False) -> str:
    """A bar for each row, its value behind it."""
    left = 16 + GLYPH * max(len(row.label) for row in rows)
    most = max(max(row.value, *row.samples, 0) for row in rows)
    least = min(row.value for row in rows)
    bottom = 10 + ROW * len(rows)
    canvas = Canvas(WIDTH, bottom + 40, label)
    scale: Scale = Linear(0, most * 1.02, left, WIDTH - RIGHT)
    if logarithmic:
        scale = Log(10 ** math.floor(math.log10(least) - 0.01), most * 1.1, left, WIDTH - RIGHT)
    canvas.axis_below(scale, 6, bottom, unit)
    for index, row in enumerate(rows):
        y = 10 + ROW * index
        canvas.text(left - 10, y + 17, row.label, anchor="end")
        canvas.box(
            left, y + 4, scale(row.value) - left, ROW - 10, kind=row.kind, tip=f"{row.label}: {shown(row.value)}"
        )
        for sample in row.samples:
            canvas.dot(scale(sample), y + 4 + (ROW - 10) / 2, kind="sample", radius=2.2, tip=shown(sample))
        furthest = max(row.value, *row.samples, 0)
        canvas.text(scale(furthest) + 8, y + 17.5, shown(row.value), kind="value")
    return canvas.svg()


STAGE_KINDS = {"codec": "grey", "network": "orange", "own": "blue"}
"""Parts of a stage's time and their colours."""


def waterfall(stages: Mapping[str, Mapping[str, float]], slowest: str, label: str) -> str:
    """The stages of a frame one below the other, each beginning where the one above ended."""
    total = sum(sum(parts.values()) for parts in stages.values())
    left, bottom = 80.0, 34 + ROW * len(stages)
    canvas = Canvas(WIDTH, bottom + 40, label)
    scale = Linear(0, total * 1.02, left, WIDTH - RIGHT)
    canvas.legend(left, 14, [("grey", "codec"), ("orange", "networks"), ("blue", "all else")])
    canvas.axis_below(scale, 26, bottom, "busy milliseconds a frame, summed over stages that run side by side")
    begin = 0.0
    for index, (name, parts) in enumerate(stages.items()):
        y = 34 + ROW * index
        canvas.text(left - 10, y + 14, name, kind="strong" if name == slowest else "", anchor="end")
        if index:
            canvas.line(scale(begin), y - 10, scale(begin), y, kind="step")
        busy = sum(parts.values())
        for part, taken in parts.items():
            if taken > 0:
                tip = f"{name}, {part}: {shown(taken)} ms"
                canvas.box(
                    scale(begin), y, scale(begin + taken) - scale(begin), ROW - 10, kind=STAGE_KINDS[part], tip=tip
                )
                begin += taken
        words = shown(busy) + (", the slowest" if name == slowest else "")
        room = scale(begin) + 8 + GLYPH * len(words) < WIDTH
        at = scale(begin) + 8 if room else scale(begin - busy) - 8
        canvas.text(at, y + 14, words, kind="value", anchor="start" if room else "end")
    return canvas.svg()


@dataclass(frozen=True)
class Percentile:
    """A row of `percentiles`."""

    label: str
    p50: float
    p95: float
    p99: float
    kind: str = "blue"


def percentiles(rows: Sequence[Percentile], unit: str, label: str, *, logarithmic: bool = False) -> str:
    """A dot at the median of each row, a thick line to the 95th percentile, a thin one to the 99th."""
    left, bottom = 16 + GLYPH * max(len(row.label) for row in rows), 34 + ROW * len(rows)
    most = max(row.p99 for row in rows) * 1.05
    canvas = Canvas(WIDTH, bottom + 40, label)
    scale: Scale = Linear(0, most, left, WIDTH - RIGHT)
    if logarithmic:
        scale = Log(10 ** math.floor(math.log10(min(row.p50 for row in rows))), most, left, WIDTH - RIGHT)
    canvas.text(left, 14, "dot: median · thick: to the 95th percentile · thin: to the 99th", kind="soft")
    canvas.axis_below(scale, 26, bottom, unit)
    for index, row in enumerate(rows):
        y = 34 + ROW * index + (ROW - 10) / 2
        canvas.text(left - 10, y + 4, row.label, anchor="end")
        canvas.line(scale(row.p50), y, scale(row.p99), y, kind=f"thin {row.kind}-line")
        canvas.line(scale(row.p50), y, scale(row.p95), y, kind=f"thick {row.kind}-line")
        canvas.dot(
            scale(row.p50), y, kind=row.kind, radius=5, tip=f"{shown(row.p50)} / {shown(row.p95)} / {shown(row.p99)}"
        )
        canvas.text(scale(row.p99) + 8, y + 4, shown(row.p50), kind="value")
    return canvas.svg()


@dataclass(frozen=True)
class Curve:
    """A line of `curves`."""

    label: str
    points: tuple[tuple[float, float], ...]
    kind: str = "blue"
    dashed: bool = False
    """What is expected, not measured."""


def curves(
    lines: Sequence[Curve],
    across: str,
    upward: str,
    label: str,
    *,
    logarithmic: bool = False,
    ticks: Mapping[float, str] | None = None,
    width: float = WIDTH,
    height: float = 260.0,
) -> str:
    """Lines over a common axis; measured points are dots. `ticks` names places of the axis instead of round numbers."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    left, right, top, bottom = 56.0, width - 20, 44.0, height - 46
    canvas = Canvas(width, height, label)
    low, high = (min(xs), max(xs)) if max(xs) > min(xs) else (min(xs) - 1, max(xs) + 1)
    if not logarithmic and low < high / 5:
        low = 0.0
    x_scale: Scale = Linear(low, high, left + 10, right - 10)
    y_scale: Scale = Linear(0, max(ys) * 1.08 or 1, bottom, top)
    if logarithmic:
        x_scale = Log(low, high, left + 10, right - 10)
        y_scale = Log(min(ys) / 1.2, max(ys) * 1.2, bottom, top)
    canvas.axis_left(y_scale, left, right, upward)
    for x, words in (ticks or {tick: shown(tick) for tick in x_scale.ticks}).items():
        canvas.text(x_scale(x), bottom + 18, words, kind="soft", anchor="middle")
    canvas.text(right, bottom + 38, across, kind="soft", anchor="end")
    canvas.legend(left + 4, 32, [(line.kind, line.label) for line in lines])
    for line in lines:
        places = [(x_scale(x), y_scale(y)) for x, y in line.points]
        canvas.path(places, kind=f"curve {line.kind}-line" + (" dashed" if line.dashed else ""))
        if not line.dashed and len(places) <= 24:
            for (x, y), (_, value) in zip(places, line.points, strict=True):
                canvas.dot(x, y, kind=line.kind, radius=3.5, tip=f"{line.label}: {shown(value)}")
    return canvas.svg()


@dataclass(frozen=True)
class Point:
    """A mark of `against`."""

    label: str
    x: float
    y: float | None
    """None for what has no score: a line at its time."""
    on_front: bool
    kind: str = "blue"


def against(points: Sequence[Point], across: str, upward: str, label: str) -> str:
    """Quality upward against time, on a scale of factors, rightward; the front that nothing surpasses as a line."""
    scored = [(point, point.y) for point in points if point.y is not None]
    left, right, top, bottom, height = 56.0, WIDTH - 24, 34.0, 290.0, 340.0
    canvas = Canvas(WIDTH, height, label)
    values = [y for _, y in scored]
    spare = max(0.5, 0.12 * (max(values) - min(values)))
    x_scale = Log(min(point.x for point in points) / 1.8, max(point.x for point in points) * 2.4, left, right)
    y_scale = Linear(min(values) - spare, max(values) + spare, bottom, top)
    canvas.axis_left(y_scale, left, right, upward)
    canvas.axis_below(x_scale, bottom, bottom, across)
    front = sorted((x_scale(point.x), y_scale(y)) for point, y in scored if point.on_front)
    if front:
        begin, end = (front[0][0], bottom), (right, front[-1][1])
        steps = [begin, front[0]]
        for (_, before), (x, y) in pairwise(front):
            steps += [(x, before), (x, y)]
        canvas.path([*steps, end], kind="curve teal-line dashed")
    labels = _Labels([(x_scale(point.x), y_scale(y)) for point, y in scored], bottom=bottom)
    for point in points:
        x = x_scale(point.x)
        kind = "strong" if point.kind == "orange" else ""
        if point.y is None:
            canvas.line(x, top, x, bottom, kind="step")
            words, kind, y = f"{point.label}: {shown(point.x)} ms, no score", "soft", bottom - 4
        else:
            words, y = point.label, y_scale(point.y)
            canvas.dot(x, y, kind=point.kind, radius=6, tip=f"{words}: {shown(point.x)} ms, {shown(point.y)}")
        at, anchor = labels.placed(words, x, y, above=point.on_front or point.y is None)
        canvas.text(*at, words, kind=kind, anchor=anchor)
    return canvas.svg()


class _Labels:
    """Finds places for words beside their points where they hide neither each other nor a point."""

    def __init__(self, points: Sequence[tuple[float, float]], *, bottom: float) -> None:
        """`bottom` is where the axis lies: no words go below it."""
        self.taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in points]
        self.bottom = bottom

    def placed(self, words: str, x: float, y: float, *, above: bool) -> tuple[tuple[float, float], Anchor]:
        """Where the base line goes, and which end of it: the nearest place that is free, or else one that is inside."""
        rows = [row for step in range(12) for row in (-9 - 15 * step, 17 + 15 * step)]
        if not above:
            rows = [row for pair in zip(rows[1::2], rows[::2], strict=True) for row in pair]
        tries = [(x + side * 9, y + row, side) for row in rows for side in (1, -1)]
        inside = [each for each in tries if self._inside(self._box(words, *each))]
        free = [each for each in inside if self._free(self._box(words, *each))]
        at_x, at_y, side = next(iter([*free, *inside, *tries]))
        self.taken.append(self._box(words, at_x, at_y, side))
        return (at_x, at_y), ANCHORS[0] if side > 0 else ANCHORS[1]

    def _box(self, words: str, x: float, y: float, side: int) -> tuple[float, float, float, float]:
        far = x + side * GLYPH * len(words)
        return min(x, far), y - 11, max(x, far), y + 3

    def _inside(self, box: tuple[float, float, float, float]) -> bool:
        return box[0] >= 0 and box[1] >= 0 and box[2] <= WIDTH and box[3] <= self.bottom

    def _free(self, box: tuple[float, float, float, float]) -> bool:
        left, top, right, bottom = box
        return all(right < a or left > c or bottom < b or top > d for a, b, c, d in self.taken)
