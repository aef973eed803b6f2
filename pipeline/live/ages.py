"""How old frames are when they are shown: percentiles over a whole run in memory that does not grow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_MS = 20_000
"""Ages beyond count as this."""

RECENT = 150
"""How many frames the figures of the moment are taken from."""

SHARES = (50, 95, 99)
"""The percentiles that are told."""


@dataclass(frozen=True)
class Percentiles:
    """Ages in milliseconds."""

    p50: int
    p95: int
    p99: int

    def as_json(self) -> dict[str, int]:
        """By name."""
        return {"p50": self.p50, "p95": self.p95, "p99": self.p99}

    def __str__(self) -> str:
        return f"{self.p50} / {self.p95} / {self.p99} ms"


class Ages:
    """The ages of frames, to the millisecond: over all, over each minute, and over the last `RECENT`."""

    def __init__(self) -> None:
        self._counts = np.zeros(MOST_MS + 1, np.int64)
        self._minute = np.zeros(MOST_MS + 1, np.int64)
        self._minutes: list[Percentiles] = []
        self._minute_ends: float | None = None
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT)

    def add(self, age_seconds: float, *, now: float) -> None:
        """Note a frame of that age, shown at `now` in seconds."""
        age_ms = min(round(1000 * age_seconds), MOST_MS)
        if self._minute_ends is None or now >= self._minute_ends:
            self._minutes += _percentiles(self._minute)
            self._minute[:] = 0
            self._minute_ends = now + 60
        self._counts[age_ms] += 1
        self._minute[age_ms] += 1
        self._recent.append((now, age_ms))

    @property
    def count(self) -> int:
        """How many there were."""
        return int(self._counts.sum())

    @property
    def minutes(self) -> int:
        """Minutes that have begun, those without frames left out."""
        return len(self._minutes) + bool(self._recent)

    def overall(self) -> Percentiles | None:
        """Over all frames so far; None without any."""
        return next(iter(_percentiles(self._counts)), None)

    def by_minute(self) -> list[Percentiles]:
        """Over each minute in which there were frames, the present one last."""
        return self._minutes + _percentiles(self._minute)

    def recent(self) -> Percentiles | None:
        """Over the last frames; None without any."""
        if not self._recent:
            return None
        ages = sorted(age for _, age in self._recent)
        return Percentiles(*(ages[-(-len(ages) * share // 100) - 1] for share in SHARES))

    def recent_fps(self, *, now: float) -> float:
        """New frames a second over the last ones, at `now` in seconds."""
        if len(self._recent) < 2:
            return 0.0
        began = self._recent[0][0]
        return (len(self._recent) - 1) / (now - began) if now > began else 0.0


def _percentiles(counts: NDArray[np.int64]) -> list[Percentiles]:
    """Of ages counted by the millisecond; empty without any."""
    total = counts.cumsum()
    if not total[-1]:
        return []
    return [Percentiles(*(int(np.searchsorted(total, np.ceil(total[-1] * share / 100))) for share in SHARES))]
