"""Figures with two axes: curves, and quality against time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks.drawing import WIDTH, short_ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from benchmarks.drawing import Theme


@dataclass(frozen=True)
class Curve:
    """A line of `Curves`."""

    label: str
    points: tuple[tuple[float, float], ...]
    colour: str = "blue"
    dashed: bool = False
    """For what is expected, not measured."""


@dataclass(frozen=True)
class Curves:
    """Lines over a common axis; measured points are dots where there are few."""

    lines: Sequence[Curve]
    across: str
    upward: str
    logarithmic: bool = False
    ticks: Mapping[float, str] | None = None
    """Names of places of the axis, instead of round numbers."""
    size: tuple[float, float] = (WIDTH, 2.7)

    def draw(self, axes: Axes, theme: Theme) -> None:
        """Draw the lines."""
        for line in self.lines:
            marker = "o" if len(line.points) <= 24 and not line.dashed else ""
            style = "--" if line.dashed else "-"
            xs, ys = zip(*line.points, strict=True)
            axes.plot(xs, ys, marker + style, ms=5, color=theme[line.colour], label=line.label)

        if self.logarithmic:
            axes.set_xscale("log")
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        short_ticks(axes, "x")
        short_ticks(axes, "y")
        if self.ticks is not None:
            axes.set_xticks(list(self.ticks), list(self.ticks.values()), minor=False)

        axes.tick_params(length=0)
        axes.tick_params(which="minor", length=0)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel(self.across)
        axes.set_ylabel(self.upward)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(self.lines))


@dataclass(frozen=True)
class Point:
    """A mark of `Against`."""

    label: str
    x: float
    y: float | None
    """None for what has no score: a line at its time."""
    on_front: bool
    colour: str = "blue"


@dataclass(frozen=True)
class Against:
    """Quality upward against time, by factors, rightward; the front that nothing surpasses as a dashed line.

    The names stand in a column at the right, in the order of their points, joined to them by thin lines.
    """

    points: Sequence[Point]
    across: str
    upward: str
    size: tuple[float, float] = (WIDTH, 3.4)

    def draw(self, axes: Axes, theme: Theme) -> None:
        """Draw the marks."""
        scored = [(point, point.y) for point in self.points if point.y is not None]
        for point, y in scored:
            axes.plot(point.x, y, "o", ms=8, color=theme[point.colour])
        for point in self.points:
            if point.y is None:
                axes.axvline(point.x, color=theme["soft"], ls=":", lw=1)

        axes.set_xscale("log")
        axes.margins(x=0.08, y=0.12)
        left, right = axes.get_xlim()
        axes.set_xlim(left, right)
        front = sorted((point.x, y) for point, y in scored if point.on_front)
        steps = [place for (_, before), (x, y) in pairwise(front) for place in ((x, before), (x, y))]
        if front:
            xs, ys = zip(*front[:1], *steps, (right, front[-1][1]), strict=True)
            axes.plot(xs, ys, "--", color=theme["teal"], lw=1.4, zorder=1)

        self._name(axes, theme)
        axes.tick_params(which="both", length=0)
        axes.set_xlabel(self.across)
        axes.set_ylabel(self.upward)
        short_ticks(axes, "x")

    def _name(self, axes: Axes, theme: Theme) -> None:
        """Put the names beside the axes, far enough apart to be read."""
        low, high = axes.get_ylim()
        apart = 0.075 * (high - low)
        rows = sorted(self.points, key=lambda point: low if point.y is None else point.y)
        height = low - apart / 2
        for index, point in enumerate(rows):
            wanted = low if point.y is None else point.y
            height = min(max(height + apart, wanted), high - apart * (len(rows) - 1 - index))
            words = f"{point.label}: no score" if point.y is None else point.label
            style = {"arrowstyle": "-", "color": theme["rule"], "lw": 0.8}
            weight = "bold" if point.colour == "orange" else "normal"
            axes.annotate(
                words, (point.x, wanted), (1.02, height), textcoords=axes.get_yaxis_transform(), va="center",
                arrowprops=style, annotation_clip=False, zorder=0, weight=weight,
            )  # fmt: skip
