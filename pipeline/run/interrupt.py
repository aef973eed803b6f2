"""Ctrl-C twice: the first ends the source and the output is finalised, the second calls the run off."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import FrameType


class Stoppable(Protocol):
    """A run that can be asked to end."""

    def stop(self) -> None:
        """End the source; what is in flight drains. May be called from a signal handler."""
        ...


class Interrupts:
    """While its `with` block lasts, the first SIGINT stops the watched run and the second raises `KeyboardInterrupt`.

    With no run to stop the first one raises as well. SIGTERM ends the program as the second one does, with exit code
    143. Enter it in the main thread, as Python asks of whoever handles signals.
    """

    def __init__(self) -> None:
        self.asked = False
        """Whether an interrupt has come."""
        self._run: Stoppable | None = None

    def watch(self, run: Stoppable | None) -> None:
        """The run that the first SIGINT stops from now on; None when there is none."""
        self._run = run

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._interrupt), signal.signal(signal.SIGTERM, self._terminate)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before[0])
        signal.signal(signal.SIGTERM, self._before[1])

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if again or self._run is None:
            raise KeyboardInterrupt
        self._run.stop()

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        raise SystemExit(128 + signal.SIGTERM)
