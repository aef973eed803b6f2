"""What a live run did: its counts, how old its frames were when they were shown, and the report as JSON.

The schema of the report is in docs/live.md.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import psutil

from pipeline.run.report import INVENTED, stages_as_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.run.report import Tally
    from pipeline.threads.worker import StageStats

OLDEST_MS = 20_000
"""An older frame counts as this old, so that the counters do not grow."""

RECENT = 150
"""How many frames the figures of the moment are taken from."""

PERCENTILES = (50, 95, 99)
"""The percentiles that are reported."""


@dataclass(frozen=True)
class Percentiles:
    """The median, the 95th and the 99th percentile of some ages, in milliseconds."""

    p50: int
    p95: int
    p99: int

    def as_json(self) -> dict[str, int]:
        """The percentiles as the report holds them."""
        return {"p50": self.p50, "p95": self.p95, "p99": self.p99}

    def __str__(self) -> str:
        return f"{self.p50} / {self.p95} / {self.p99} ms"


class Ages:
    """Counts how old frames are when they are shown, to the millisecond, in memory that does not grow.

    It counts over the whole run, over each minute, and over the last `RECENT` frames.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(OLDEST_MS + 1, np.int64)
        self._minute = np.zeros(OLDEST_MS + 1, np.int64)
        self._minutes: list[Percentiles] = []
        self._minute_ends: float | None = None
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT)

    def add(self, age_seconds: float, *, now: float) -> None:
        """Count a frame of that age, shown at `now` in seconds."""
        age_ms = min(round(1000 * age_seconds), OLDEST_MS)
        if self._minute_ends is None or now >= self._minute_ends:
            self._minutes += _percentiles(self._minute)
            self._minute[:] = 0
            self._minute_ends = now + 60

        self._counts[age_ms] += 1
        self._minute[age_ms] += 1
        self._recent.append((now, age_ms))

    @property
    def count(self) -> int:
        """The number of frames so far."""
        return int(self._counts.sum())

    @property
    def minutes(self) -> int:
        """How many minutes have begun in which a frame was shown."""
        return len(self._minutes) + bool(self._recent)

    def overall(self) -> Percentiles | None:
        """The percentiles over all frames so far; None without any frame."""
        return next(iter(_percentiles(self._counts)), None)

    def by_minute(self) -> list[Percentiles]:
        """The percentiles of each minute in which there were frames, the present minute last."""
        return self._minutes + _percentiles(self._minute)

    def recent(self) -> Percentiles | None:
        """The percentiles over the last `RECENT` frames; None without any frame."""
        if not self._recent:
            return None
        ages = sorted(age for _, age in self._recent)
        return Percentiles(*(ages[-(-len(ages) * share // 100) - 1] for share in PERCENTILES))

    def recent_fps(self, *, now: float) -> float:
        """New frames a second over the last `RECENT` frames, at `now` in seconds."""
        if len(self._recent) < 2:
            return 0.0
        began = self._recent[0][0]
        return (len(self._recent) - 1) / (now - began) if now > began else 0.0


def _percentiles(counts: NDArray[np.int64]) -> list[Percentiles]:
    """The percentiles of ages that are counted by the millisecond, in a list that is empty without any age."""
    total = counts.cumsum()
    if not total[-1]:
        return []
    return [Percentiles(*(int(np.searchsorted(total, np.ceil(total[-1] * share / 100))) for share in PERCENTILES))]


@dataclass
class Counts:
    """What was shown so far."""

    sent: int = 0
    """Ticks at which something was shown."""
    repeated: int = 0
    """Ticks at which the frame of the tick before was shown again."""
    overtaken: int = 0
    """Frames that were ready and never shown, since newer ones were ready at the same tick."""
    too_old: int = 0
    """Frames that were ready and never shown, since they were older than is allowed."""
    undrawn: int = 0
    """Ticks at which the newest picture was shown undrawn, or black, since no drawn one was new enough."""
    late: int = 0
    """Frames that were ready only after their delay."""
    out_of_order: int = 0
    """Frames that came after one that follows them. There should be none: it is counted so that it can be seen."""
    memory_mb: list[float] = field(default_factory=list)
    """Memory in use when each minute began, in MiB; empty on Windows, whose memory we can't read."""
    ages: Ages = field(default_factory=Ages)


@dataclass(frozen=True)
class LiveReport:
    """What a live run did, from its beginning to its end."""

    input: str
    error: str | None
    """Why the run failed; None when the user or the source ended it."""
    interrupted: bool
    """Whether Ctrl-C ended it."""
    wall_seconds: float
    pictures: int
    """Pictures that the camera gave."""
    dropped: int
    """Pictures that were never processed, since a newer one was there."""
    reopened: int
    """Times that the camera was lost and came back."""
    counts: Counts
    failures: int
    """Frames in which a network failed."""
    last_failure: str | None
    delay_ms: int
    engine: str
    networks: Mapping[str, str]
    tally: Tally
    stages: Sequence[StageStats]
    said: Sequence[str]
    """What happened during the run, in sentences."""

    @property
    def fps(self) -> float:
        """New frames shown in a second of wall time, opening included."""
        return self.counts.ages.count / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def summary(self) -> str:
        """The counts in a sentence, for a person."""
        return (
            f"{self.counts.ages.count} frames at {self.fps:.1f} fps, age {self.counts.ages.overall()} "
            f"(p50 / p95 / p99), {self.dropped} dropped, {self.counts.repeated} repeated, {self.failures} failed."
        )

    def as_json(self) -> dict[str, object]:
        """The report as JSON holds it."""
        counts, ages = self.counts, self.counts.ages.overall()
        return {
            "input": self.input,
            "error": self.error,
            "interrupted": self.interrupted,
            "wall_seconds": round(self.wall_seconds, 3),
            "pictures": self.pictures,
            "dropped": self.dropped,
            "shown": counts.ages.count,
            "sent": counts.sent,
            "repeated": counts.repeated,
            "overtaken": counts.overtaken,
            "too_old": counts.too_old,
            "undrawn": counts.undrawn,
            "late": counts.late,
            "out_of_order": counts.out_of_order,
            "fps": round(self.fps, 2),
            "age_ms": ages.as_json() if ages else None,
            "age_ms_by_minute": [minute.as_json() for minute in counts.ages.by_minute()],
            "memory_mb_by_minute": counts.memory_mb,
            "delay_ms": self.delay_ms,
            "reopened": self.reopened,
            "failed": self.failures,
            "last_failure": self.last_failure,
            **self.tally.faces_as_json(),
            "stages": stages_as_json(self.stages),
            "engine": self.engine,
            "networks": dict(self.networks),
            "events": list(self.said),
            "note": INVENTED,
        }


def resident_mb() -> float:
    """The memory that this process uses, in MiB."""
    return float(psutil.Process().memory_info().rss) / 2**20
