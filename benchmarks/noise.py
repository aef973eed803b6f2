"""How much the machine was disturbed while something was measured."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

STAT = Path("/proc/stat")
EVERY_SECONDS = 1.0
"""Between two looks."""
COUNTED = 8
"""Columns of the first line of /proc/stat that add up to all time: from user to steal (proc_stat(5))."""
IDLE, STEAL = 3, 7


@dataclass(frozen=True)
class Ticks:
    """Time of all processors since the machine was started, in ticks of its own."""

    total: int
    idle: int
    stolen: int
    """By other guests of the same host."""

    @classmethod
    def now(cls) -> Ticks | None:
        """None where the system does not tell."""
        return cls.read(STAT.read_text(encoding="ascii")) if STAT.exists() else None

    @classmethod
    def read(cls, text: str) -> Ticks:
        """From what /proc/stat holds."""
        columns = [int(value) for value in text.split("\n", 1)[0].split()[1 : COUNTED + 1]]
        return cls(sum(columns), columns[IDLE], columns[STEAL])

    def stolen_since(self, before: Ticks) -> float:
        """The part of the time since `before` that was stolen, in [0, 1]."""
        return (self.stolen - before.stolen) / max(1, self.total - before.total)


@dataclass
class Noise:
    """Watches from the beginning of its `with` block to the end."""

    looks: list[Ticks] = field(default_factory=list)
    load_before: float | None = None
    """Programs that wanted a processor in the minute before."""
    _over: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        self.load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        if Ticks.now() is not None:
            self._thread = threading.Thread(target=self._watch, name="noise", daemon=False)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        over = False
        while not over:
            self._look()
            over = self._over.wait(EVERY_SECONDS)
        self._look()

    def _look(self) -> None:
        ticks = Ticks.now()
        if ticks is not None:
            self.looks.append(ticks)

    def as_json(self) -> Mapping[str, float | None]:
        """The stolen part of the time, over all and in the worst second; None where the system does not tell."""
        if len(self.looks) < 2:
            return {"steal_share": None, "worst_steal_share": None, "load_before": self.load_before}
        apart = list(zip(self.looks, self.looks[1:], strict=False))
        longest = max(after.total - before.total for before, after in apart)
        # The last look comes at any moment: a part of a second in which one tick is all.
        whole = [(before, after) for before, after in apart if 2 * (after.total - before.total) >= longest]
        return {
            "steal_share": round(self.looks[-1].stolen_since(self.looks[0]), 4),
            "worst_steal_share": round(max(after.stolen_since(before) for before, after in whole), 4),
            "load_before": self.load_before,
        }
