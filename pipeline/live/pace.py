"""Steady showing: at every tick a frame goes out, the next that is due, or the last one again.

Behind a frame that took longer the next ones come in pairs. One of them may wait for a tick, so that none is lost; of
more than that the oldest are left out, so that ages stay bounded.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.live.ages import Ages
from pipeline.live.memory import resident_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.run.ledger import Shown


@dataclass
class Counts:
    """What was shown so far."""

    sent: int = 0
    """Ticks at which something was shown."""
    repeated: int = 0
    """Of these, those at which it was the frame of the tick before."""
    overtaken: int = 0
    """Frames that were ready and never shown, since newer ones were ready at the same tick."""
    late: int = 0
    """Frames that were ready only after their delay."""
    out_of_order: int = 0
    """Frames that came after one that follows them. There should be none: it is counted so that it can be seen."""
    memory_mb: list[float] = field(default_factory=list)
    """Memory in use when each minute began, in MiB; empty on Windows, which does not tell without a further package."""
    ages: Ages = field(default_factory=Ages)


@dataclass
class Outbox:
    """Finished frames until they are due: put by one thread, shown by another.

    A frame is due `delay_seconds` after it arrived. With 0 it is due at once.
    """

    delay_seconds: float = 0.0
    counts: Counts = field(default_factory=Counts)
    ended: bool = False
    """Whether no more frames will be put."""
    last: Shown | None = None
    """What was shown last."""
    renewed: float = 0.0
    """When that was shown first, in `time.perf_counter` seconds."""
    _ready: deque[Shown] = field(default_factory=deque, repr=False)

    def put(self, shown: Shown) -> None:
        """A frame is finished."""
        self._ready.append(shown)

    @property
    def empty(self) -> bool:
        """Whether all that was put was shown."""
        return not self._ready

    def due(self, now: float) -> Shown | None:
        """What to show at `now`, in `time.perf_counter` seconds; None before the first frame. Counts."""
        found: Shown | None = None
        waiting = list(self._ready)  # at once, since another thread puts
        due = sum(now >= shown.frame.arrived + self.delay_seconds for shown in waiting)
        for _ in range(max(due - WAITING, min(due, 1))):
            self.counts.overtaken += found is not None
            found = self._ready.popleft()
        if found is None:
            self.counts.repeated += self.last is not None
        else:
            self._note(found, now)
            self.last, self.renewed = found, now
        self.counts.sent += self.last is not None
        return self.last

    def _note(self, shown: Shown, now: float) -> None:
        age_seconds = now - shown.frame.arrived
        self.counts.ages.add(age_seconds, now=now)
        self.counts.out_of_order += self.last is not None and shown.frame.index < self.last.frame.index
        if self.counts.ages.minutes > len(self.counts.memory_mb) and sys.platform != "win32":
            self.counts.memory_mb.append(round(resident_mb(), 1))
        self.counts.late += bool(self.delay_seconds) and age_seconds > self.delay_seconds + LATE_SECONDS


WAITING = 1
"""Frames that are due and may wait for the next tick."""

LATE_SECONDS = 0.1
"""Beyond its delay and this a frame counts as late: sound that is delayed alike is then visibly ahead."""


def ticks(fps: float) -> Iterator[float]:
    """The time, in `time.perf_counter` seconds, at every tick, for ever. Ticks that were missed are left out: a slow
    moment is not made up for by a burst."""
    step, due = 1 / fps, time.perf_counter()
    while True:
        now = time.perf_counter()
        if now < due:
            time.sleep(due - now)
            now = time.perf_counter()
        yield now
        due += step
        behind = time.perf_counter() - due
        if behind > 0:
            due += step * (behind // step)
