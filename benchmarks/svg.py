"""Drawing with SVG: scales with round ticks, and the few marks that the plots are made of. Colours are the page's."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

Anchor = Literal["start", "middle", "end"]

GLYPH = 7.6
"""At most about how wide a letter of the plots is, in their units; readers have different fonts."""


class Scale(Protocol):
    """From a value to a place."""

    def __call__(self, value: float) -> float:
        """The place of a value."""
        ...

    @property
    def ticks(self) -> Sequence[float]:
        """Round values that lie on it."""
        ...


@dataclass(frozen=True)
class Linear:
    """Equal steps."""

    low: float
    high: float
    begin: float
    """Where `low` lies."""
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    @property
    def ticks(self) -> list[float]:
        """About five round values."""
        step = rounded_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        return [round(index * step, 10) for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Log:
    """Equal factors. `low` is above 0."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + share * (self.end - self.begin)

    @property
    def ticks(self) -> list[float]:
        """1, 2 and 5 of each power of ten, or the powers alone where that is too much."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for parts in ((1, 2, 5), (1,)):
            found = [part * 10.0**power for power in powers for part in parts]
            inside = [value for value in found if self.low <= value * (1 + 1e-9) and value <= self.high * (1 + 1e-9)]
            if len(inside) <= 7:
                break
        return inside


def rounded_step(least: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(part * power for part in (1.0, 2.0, 5.0, 10.0) if part * power >= least * (1 - 1e-9))


def shown(value: float) -> str:
    """A number as short as it tells enough: three digits, or all before the point."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(digits, 6)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace(",", "\u202f")


@dataclass
class Canvas:
    """A picture that is being drawn, (0, 0) its top left corner."""

    width: float
    height: float
    label: str
    """What it shows, for those who can't see it."""
    _marks: list[str] = field(default_factory=list, repr=False)

    def text(self, x: float, y: float, words: str, *, kind: str = "", anchor: Anchor = "start") -> None:
        """Words whose base line is at y."""
        self._marks.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def box(self, x: float, y: float, width: float, height: float, *, kind: str, tip: str = "") -> None:
        """A filled rectangle; `tip` is told where a pointer rests on it."""
        self._marks.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" rx="2" '
            f'class="{kind}">{_title(tip)}</rect>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, *, kind: str = "rule") -> None:
        """A straight line."""
        self._marks.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def path(self, points: Sequence[tuple[float, float]], *, kind: str) -> None:
        """A line through points."""
        if points:
            steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            self._marks.append(f'<polyline points="{steps}" class="{kind}"/>')

    def dot(self, x: float, y: float, *, kind: str, radius: float = 4, tip: str = "") -> None:
        """A filled circle."""
        self._marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{kind}">{_title(tip)}</circle>')

    def axis_below(self, scale: Scale, top: float, bottom: float, unit: str) -> None:
        """Rules across the drawing at the ticks, their values below, and what they count."""
        for tick in scale.ticks:
            self.line(scale(tick), top, scale(tick), bottom)
            self.text(scale(tick), bottom + 16, shown(tick), kind="soft", anchor="middle")
        self.text(self.width - 4, bottom + 34, unit, kind="soft", anchor="end")

    def axis_left(self, scale: Scale, left: float, right: float, unit: str) -> None:
        """The same for a scale that goes up."""
        for tick in scale.ticks:
            self.line(left, scale(tick), right, scale(tick))
            self.text(left - 8, scale(tick) + 4, shown(tick), kind="soft", anchor="end")
        self.text(4, 14, unit, kind="soft")

    def legend(self, x: float, y: float, entries: Sequence[tuple[str, str]]) -> None:
        """Colours and what they stand for, in a row."""
        for kind, words in entries:
            self.box(x, y - 9, 11, 11, kind=kind)
            self.text(x + 17, y, words, kind="soft")
            x += 17 + 0.85 * GLYPH * len(words) + 20

    def svg(self) -> str:
        """The picture."""
        return (
            f'<svg viewBox="0 0 {self.width:.0f} {self.height:.0f}" role="img" aria-label="{escape(self.label)}" '
            f'xmlns="http://www.w3.org/2000/svg">{"".join(self._marks)}</svg>'
        )


def _title(tip: str) -> str:
    return f"<title>{escape(tip)}</title>" if tip else ""
