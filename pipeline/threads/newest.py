"""Where a camera leaves its pictures and a slow reader finds only the newest."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _Signal(Enum):
    END = "end"


class Newest(Generic[Item]):
    """A place for one item, with one writer and one reader: what is put takes the place of what nobody took.

    `close` may be called from any thread and from a signal handler.
    """

    def __init__(self) -> None:
        self._place: SimpleQueue[Item | _Signal] = SimpleQueue()
        self._closed = False
        self.dropped = 0
        """Items that nobody took in time."""

    def put(self, item: Item) -> None:
        """Leave `item`; never waits."""
        with suppress(Empty):
            while self._place.get_nowait() is not _Signal.END:
                self.dropped += 1
        self._place.put(item)
        if self._closed:  # the end may just have been taken out
            self._place.put(_Signal.END)

    def take(self) -> Item | None:
        """The newest item, waiting for one; None once it was closed."""
        item = self._place.get()
        if item is _Signal.END or self._closed:
            self._place.put(_Signal.END)
            return None
        return item

    def close(self) -> None:
        """End it: what lies there is lost. Closing again is fine."""
        self._closed = True
        self._place.put(_Signal.END)
