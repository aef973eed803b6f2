"""Figures drawn with matplotlib, and those that are lists of rows: bars, a waterfall, percentiles.

A part describes its figures with the dataclasses in here and in `benchmarks/curves.py`; matplotlib is imported when one
is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Protocol

from benchmarks.tables import shown

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
