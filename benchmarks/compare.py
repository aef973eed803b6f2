"""`barefaced bench compare`: what changed between two measurements, beyond what noise explains."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from benchmarks.record import BenchmarkError, Better, Document, Interval, factor_between, series_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.record import Series

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
