"""`barefaced bench compare`: what changed between two measurements, beyond what noise explains."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from benchmarks.record import BenchmarkError, Better, Document, series_of
from benchmarks.spread import Interval, change

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.record import Series

LEAST_CHANGE = 0.03
"""A change within this is none, however narrow its interval: machines differ by as much from one hour to the next."""


class Verdict(StrEnum):
    """What became of a figure."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "within noise"


@dataclass(frozen=True)
class Change:
    """Of one series."""

    name: str
    unit: str
    before: float
    after: float
    """Medians."""
    factor: float
    """Of the medians, turn by turn where both have as many samples."""
    interval: Interval
    verdict: Verdict

    def as_json(self) -> dict[str, object]:
        """By key."""
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
    factor, interval = change([value + lift for value in before.values], [value + lift for value in after.values])
    verdict = Verdict.SAME
    if interval.outside(1 - LEAST_CHANGE, 1 + LEAST_CHANGE):
        rose = interval.low > 1
        verdict = Verdict.BETTER if rose == (before.better is Better.MORE) else Verdict.WORSE
    return Change(before.name, before.unit, before.spread.median, after.spread.median, factor, interval, verdict)


def cautions(before: Document, after: Document) -> list[str]:
    """What to know before believing a comparison, in sentences."""
    said = []
    for key, what in (("processor", "processors"), ("versions", "versions of packages"), ("cores", "numbers of cores")):
        if before["machine"].get(key) != after["machine"].get(key):
            said.append(f"they were measured on different {what}: {_told(before, key)}, then {_told(after, key)}")
    return said


def _told(whole: Document, key: str) -> str:
    value = whole["machine"].get(key)
    return ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, dict) else str(value)


def table(changes: Iterable[Change], *, everything: bool = False) -> str:
    """What changed, for a person; with `everything` also what did not."""
    shown = [each for each in changes if everything or each.verdict is not Verdict.SAME]
    if not shown:
        return "nothing changed beyond noise"
    width = max(len(each.name) for each in shown)
    lines = [f"{'':<{width}} {'before':>10} {'after':>10} {'factor':>8}  {'interval':<16} "]
    lines += [
        f"{each.name:<{width}} {each.before:>10.3f} {each.after:>10.3f} {each.factor:>8.3f}  "
        f"{each.interval.low:.3f} to {each.interval.high:.3f}  {each.verdict}"
        for each in shown
    ]
    return "\n".join(lines)


def worse(changes: Sequence[Change]) -> list[Change]:
    """Those that got worse beyond noise."""
    return [each for each in changes if each.verdict is Verdict.WORSE]
