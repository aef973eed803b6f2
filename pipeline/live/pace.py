"""Steady showing: at every tick a frame goes out, the next that is due, or the last one again.

Behind a frame that took longer, the next ones come in pairs. One of them may wait for a tick, so that none is lost; of
more than one the oldest are left out, and a frame beyond the age limit is never shown, so that ages stay bounded.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.live.report import Counts, resident_mb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.frames import Frame
    from pipeline.run.ledger import Shown

WAITING = 1
"""How many frames that are due may wait for the next tick."""

LATE_SECONDS = 0.1
"""A frame that is shown so much after its delay counts as late: delayed sound is then visibly ahead of it."""


TOO_OLD = "no drawn frame was new enough"
"""Why a picture was shown that nobody drew on."""


def nothing(_like: Frame) -> None:
    """Give nothing in the place of frames that are too old."""


@dataclass
class Outbox:
    """Keeps finished frames until they are due: one thread puts them in, another shows them.

    A frame is due `delay_seconds` after it arrived, and at once where that is 0.
    """

    delay_seconds: float = 0.0
    oldest_seconds: float = math.inf
    """How old a frame may be when it is shown for the first time, beyond its delay."""
    instead: Callable[[Frame], Shown | None] = nothing
    """Gives what is shown where no frame is new enough: the newest picture, not drawn on, of the size of a frame; None
    shows the last again."""
    counts: Counts = field(default_factory=Counts)
    ended: bool = False
    """Whether no more frames will be put."""
    last: Shown | None = None
    """The frame that was shown last."""
    renewed: float = 0.0
    """When the last frame was shown for the first time, in `time.perf_counter` seconds."""
    _ready: deque[Shown] = field(default_factory=deque, repr=False)

    def put(self, shown: Shown) -> None:
        """Add a finished frame."""
        self._ready.append(shown)

    @property
    def empty(self) -> bool:
        """Whether every frame that was put has been shown."""
        return not self._ready

    def due(self, now: float) -> Shown | None:
        """Choose what to show at `now`, in `time.perf_counter` seconds, and count it; None before the first frame."""
        found: Shown | None = None
        behind = self.last
        limit = self.delay_seconds + self.oldest_seconds
        while self._ready and (now - self._ready[0].frame.arrived > limit or self._precedes(self._ready[0])):
            dropped = self._ready.popleft()
            behind = behind or dropped
            self.counts.too_old += 1
        waiting = list(self._ready)  # a copy, since another thread puts
        due = sum(now >= shown.frame.arrived + self.delay_seconds for shown in waiting)
        for _ in range(max(due - WAITING, min(due, 1))):
            self.counts.overtaken += found is not None
            found = self._ready.popleft()

        if found is None and behind is not None and now - behind.frame.arrived > limit:
            newest = self.instead(behind.frame)
            if newest is not None and newest.frame.arrived > behind.frame.arrived:
                self.counts.undrawn += 1
                self.last, self.renewed = newest, now
            else:
                self.counts.repeated += self.last is not None
        elif found is None:
            self.counts.repeated += self.last is not None
        else:
            self._count(found, now)
            self.last, self.renewed = found, now
        self.counts.sent += self.last is not None
        return self.last

    def _precedes(self, shown: Shown) -> bool:
        """Whether a finished frame is of a time before the picture that was shown in its stead."""
        return self.last is not None and self.last.failed == TOO_OLD and shown.frame.arrived < self.last.frame.arrived

    def _count(self, shown: Shown, now: float) -> None:
        """Count a frame that is shown for the first time."""
        age_seconds = now - shown.frame.arrived
        self.counts.ages.add(age_seconds, now=now)
        self.counts.out_of_order += self.last is not None and shown.frame.index < self.last.frame.index
        if self.counts.ages.minutes > len(self.counts.memory_mb):
            self.counts.memory_mb.append(round(resident_mb(), 1))
        self.counts.late += bool(self.delay_seconds) and age_seconds > self.delay_seconds + LATE_SECONDS


def ticks(fps: float) -> Iterator[float]:
    """Wait for every tick, for ever, and give the time at it, in `time.perf_counter` seconds.

    Ticks that were missed are left out, so that no burst follows a slow moment.
    """
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
