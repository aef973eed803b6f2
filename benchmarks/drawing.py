"""Figures drawn with matplotlib: bars, a waterfall, percentiles, curves, and quality against time.

A part describes its figures with the dataclasses in here; matplotlib is imported when one is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from benchmarks.record import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas


PACKAGES = ("matplotlib",)
"""Modules that drawing needs."""

Theme = Mapping[str, str]
"""Colours by name, in hexadecimal."""

LIGHT: Theme = {
    "page": "#fbfbf8", "card": "#ffffff", "ink": "#1d2125", "soft": "#5c656e", "rule": "#e4e5df",
    "blue": "#3c6eb4", "orange": "#d2691e", "teal": "#1f8a7a", "grey": "#a9b1b8",
}  # fmt: skip
DARK: Theme = {
    "page": "#14171a", "card": "#1b1f23", "ink": "#e9eae6", "soft": "#9da7b0", "rule": "#2e343a",
    "blue": "#78a5e2", "orange": "#f0994f", "teal": "#56c2b0", "grey": "#69737c",
}  # fmt: skip

WIDTH = 7.2
"""The width of a figure in inches."""
HALF = 3.6
"""The width of a figure that stands beside another."""
ROW, AROUND = 0.3, 0.75
"""Inches of a row of bars, and of all that stands above and below them."""
DOTS_PER_INCH = 200
"""The resolution of a PNG."""


class Drawing(Protocol):
    """What a figure shows."""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        ...

    def draw(self, axes: Axes, theme: Theme) -> None:
        """Draw it onto empty axes."""
        ...


@dataclass(frozen=True)
class Figure:
    """A drawing and what it says."""

    name: str
    """The name of its PNG, without the ending."""
    caption: str
    label: str
    """What it shows, for those who can't see it."""
    drawing: Drawing

    def svg(self) -> str:
        """An SVG element for a page that defines the theme's colours as CSS variables, such as `--ink`."""
        text = io.StringIO()
        with _style(LIGHT):
            without_date = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            self._canvas(LIGHT).savefig(text, format="svg", transparent=True, metadata=without_date)

        svg = text.getvalue()
        svg = svg[svg.index("<svg ") :].replace("<svg ", f'<svg role="img" aria-label="{escape(self.label)}" ', 1)
        for name, colour in LIGHT.items():
            svg = svg.replace(colour, f"var(--{name})")
        return svg

    def write_png(self, path: Path, theme: Theme) -> None:
        """Write it as a picture. Raises `OSError`."""
        with _style(theme):
            self._canvas(theme).savefig(path, format="png", dpi=DOTS_PER_INCH, facecolor=theme["card"])

    def _canvas(self, theme: Theme) -> Canvas:
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=self.drawing.size, layout="constrained")
        self.drawing.draw(canvas.subplots(), theme)
        return canvas


def _style(theme: Theme):  # type: ignore[no-untyped-def]  # noqa: ANN202 - matplotlib gives its type no name
    """A context in which matplotlib draws as the page looks, and the same figure always gives the same SVG."""
    import matplotlib as mpl

    return mpl.rc_context({
        "svg.fonttype": "none", "svg.hashsalt": "barefaced", "font.size": 9.0, "axes.labelsize": 8.5,
        "text.color": theme["ink"], "axes.labelcolor": theme["soft"], "axes.facecolor": theme["card"],
        "axes.grid": True, "axes.axisbelow": True, "grid.color": theme["rule"], "xaxis.labellocation": "right",
        "xtick.color": theme["rule"], "xtick.labelcolor": theme["soft"], "ytick.color": theme["rule"],
        "ytick.labelcolor": theme["ink"], "legend.frameon": False, "legend.fontsize": 8.5,
        "axes.spines.top": False, "axes.spines.right": False, "axes.spines.bottom": False, "axes.spines.left": False,
    })  # fmt: skip


def _rows(axes: Axes, labels: Sequence[str], unit: str, *, logarithmic: bool = False) -> None:
    """Make the axes a list of rows, the first on top, with a common scale below."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(unit)

    if logarithmic:
        axes.set_xscale("log")
    short_ticks(axes, "x")


def short_ticks(axes: Axes, which: str) -> None:
    """Write the values of an axis as short as elsewhere."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(lambda value, _place: shown(value))
    axis.set_minor_formatter(lambda _value, _place: "")


def _say(axes: Axes, words: str, place: tuple[float, float], **style: object) -> None:
    """Words just to the right of a place."""
    axes.annotate(words, place, (6, 0), textcoords="offset points", va="center", **style)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Bar:
    """A row of `Bars`."""

    label: str
    value: float
    colour: str = "blue"
    samples: tuple[float, ...] = ()
    """Shown as small dots over the bar."""


@dataclass(frozen=True)
class Bars:
    """A bar for each row, its value behind it."""

    rows: Sequence[Bar]
    unit: str

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return WIDTH, AROUND + ROW * len(self.rows)

    def draw(self, axes: Axes, theme: Theme) -> None:
        """Draw the bars."""
        colours = [theme[row.colour] for row in self.rows]
        axes.barh(range(len(self.rows)), [row.value for row in self.rows], 0.66, color=colours)
        for place, row in enumerate(self.rows):
            axes.plot(row.samples, [place] * len(row.samples), "o", ms=2.5, color=theme["ink"], alpha=0.55)
            _say(axes, shown(row.value), (max(row.value, *row.samples, 0), place), weight="bold")

        _rows(axes, [row.label for row in self.rows], self.unit)
        axes.set_xlim(0, 1.12 * max(max(row.value, *row.samples, 0) for row in self.rows))


STAGE_COLOURS = {"codec": "grey", "network": "orange", "own": "blue"}
STAGE_WORDS = {"codec": "codec", "network": "networks", "own": "all else"}
"""The kinds of a stage's time."""


@dataclass(frozen=True)
class Waterfall:
    """The stages of a frame one below the other, each beginning where the one above ended."""

    stages: Mapping[str, Mapping[str, float]]
    """The milliseconds of each stage with the codec, with networks, and of its own."""
    slowest: str

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return WIDTH, AROUND + 0.2 + ROW * len(self.stages)

    def draw(self, axes: Axes, theme: Theme) -> None:
        """Draw the stages."""
        begin = 0.0
        for place, (name, kinds) in enumerate(self.stages.items()):
            for kind, taken in kinds.items():
                axes.barh(place, taken, 0.66, begin, color=theme[STAGE_COLOURS[kind]])
                begin += taken
            busy = shown(sum(kinds.values()))
            _say(axes, f"{busy}, the slowest" if name == self.slowest else busy, (begin, place), weight="bold")

        _rows(axes, list(self.stages), "busy milliseconds a frame, summed over stages that run side by side")
        axes.set_xlim(0, 1.25 * begin)
        handles = [axes.barh(0, 0, color=theme[colour]) for colour in STAGE_COLOURS.values()]
        axes.legend(handles, list(STAGE_WORDS.values()), loc="lower left", bbox_to_anchor=(0, 1), ncols=3)


@dataclass(frozen=True)
class Percentile:
    """A row of `Percentiles`."""

    label: str
    p50: float
    p95: float
    p99: float
    colour: str = "blue"


@dataclass(frozen=True)
class Percentiles:
    """A dot at the median of each row, a thick line to the 95th percentile, a thin one to the 99th; by factors."""

    rows: Sequence[Percentile]
    unit: str

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return WIDTH, AROUND + 0.2 + ROW * len(self.rows)

    def draw(self, axes: Axes, theme: Theme) -> None:
        """Draw the rows."""
        for place, row in enumerate(self.rows):
            colour = theme[row.colour]
            axes.hlines(place, row.p50, row.p99, colour, lw=1.4)
            axes.hlines(place, row.p50, row.p95, colour, lw=4)
            axes.plot(row.p50, place, "o", ms=7, color=colour)
            _say(axes, shown(row.p50), (row.p99, place), weight="bold")

        _rows(axes, [row.label for row in self.rows], self.unit, logarithmic=True)
        axes.set_xlim(0.7 * min(row.p50 for row in self.rows), 1.6 * max(row.p99 for row in self.rows))
        words = "dot: median · thick: to the 95th percentile · thin: to the 99th"
        axes.set_title(words, loc="left", fontsize=8.5, color=theme["soft"])


@dataclass(frozen=True)
class Curve:
    """A line of `Curves`."""

    label: str
    points: tuple[tuple[float, float], ...]
    colour: str = "blue"
    dashed: bool = False
    """Whether it is expected and not measured, and so dashed."""


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
class PlotPoint:
    """A mark of `Against`."""

    label: str
    x: float
    y: float | None
    """Its score; None for what has none, which is a line at its time."""
    on_front: bool
    colour: str = "blue"


@dataclass(frozen=True)
class Against:
    """Quality upward against time, by factors, rightward; the front that nothing surpasses as a dashed line.

    The names stand in a column at the right, in the order of their points, joined to them by thin lines.
    """

    points: Sequence[PlotPoint]
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
