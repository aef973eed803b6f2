"""The queues between two threads: a bounded channel, and a place where only the newest item is found.

A channel is two queues that run in opposite directions: items go down to the reader, and each item that is taken sends
a free slot back up to the writer. Both are `queue.SimpleQueue`, whose `put` never waits and may interrupt itself. So
`close` and `cancel` may be called from any thread and from a signal handler, and what wakes a waiting thread lies in
the queue until that thread sees it: no wake-up is lost. The channel has no lock of its own, and no code of ours runs
while a lock inside these queues is held.
"""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

Item = TypeVar("Item")


class Cancelled(BaseException):
    """Raised where a stream was called off: its end must not be finalised, and is no fault of whoever sees it.

    A `BaseException`, as `GeneratorExit` is, so that a stage's `except Exception` does not take it for a bad item.
    Let it pass: release what you hold in `finally`, and finalise nothing.
    """


class WaitClock:
    """Measures the seconds that one thread waits, in `with` blocks. Any thread may read it, also during a wait."""

    def __init__(self) -> None:
        # Total, and when the present wait began: one tuple, so that a reader never sees half of a change.
        self._state: tuple[float, float | None] = (0.0, None)

    def __enter__(self) -> None:
        self._state = (self._state[0], perf_counter())

    def __exit__(self, *_: object) -> None:
        self._state = (self.seconds, None)

    @property
    def seconds(self) -> float:
        """The sum of all waits so far, with the present one."""
        total, since = self._state
        return total if since is None else total + perf_counter() - since


class Credits:
    """Bounds how many items are on their way: one credit is taken before an item and given back behind it.

    Channels alone bound memory, not latency: in front of a slow stage they all fill up, and an item waits in each.
    """

    def __init__(self, *, count: int) -> None:
        """Raises `ValueError` when `count` is less than 1."""
        if count < 1:
            raise ValueError(f"at least 1 item must be on its way, not {count}")
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)
        self._waiting = WaitClock()

    def take(self) -> None:
        """Take a credit, waiting for one."""
        with self._waiting:
            self._free.get()

    def give(self) -> None:
        """Give a credit back; never waits, and may be called from a signal handler."""
        self._free.put(None)

    @property
    def waited_seconds(self) -> float:
        """How long takers have waited: downstream is slow."""
        return self._waiting.seconds


class _Signal(Enum):
    """What a queue holds beside items."""

    END = "end"


class Channel(Generic[Item]):
    """A bounded queue with one writer and one reader: `put` at one end, iterate at the other.

    At most `capacity` items lie in it. It ends in one of two ways. `close`, by the writer: the reader gets what is left
    and then the end. `cancel`, by anyone: what is left is lost, the reader gets `Cancelled` and the writer is refused.
    """

    def __init__(self, *, capacity: int) -> None:
        """Raises `ValueError` when `capacity` is less than 1."""
        if capacity < 1:
            raise ValueError(f"a channel holds at least 1 item, not {capacity}")
        self._items: SimpleQueue[Item | _Signal] = SimpleQueue()
        self._slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(capacity):
            self._slots.put(None)
        self._cancelled = False
        self._blocked = WaitClock()
        self._starved = WaitClock()

    def put(self, item: Item) -> bool:
        """Hand `item` to the reader, waiting for a free slot. False when it was refused: nobody will read on."""
        with self._blocked:
            self._slots.get()
        if self._cancelled:
            self._slots.put(None)  # the next put must not wait either
            return False
        self._items.put(item)
        return True

    def close(self) -> None:
        """Say, as the writer, that no more items come."""
        self._items.put(_Signal.END)

    def cancel(self) -> None:
        """Call the stream off and wake both ends, now and in every later call. Cancelling again is fine."""
        self._cancelled = True
        # No early return for the second call: the first may have been interrupted right here.
        self._items.put(_Signal.END)
        self._slots.put(None)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        """The next item, waiting for it. Raises `StopIteration` at the end, `Cancelled` after `cancel`; then always."""
        with self._starved:
            item = self._items.get()
        if self._cancelled:
            self._items.put(_Signal.END)
            raise Cancelled("the stream was cancelled")
        if item is _Signal.END:
            self._items.put(_Signal.END)
            raise StopIteration
        self._slots.put(None)
        return item

    @property
    def cancelled(self) -> bool:
        """Whether the stream was called off."""
        return self._cancelled

    @property
    def starved_seconds(self) -> float:
        """How long the reader has waited for items: upstream is slow."""
        return self._starved.seconds

    @property
    def blocked_seconds(self) -> float:
        """How long the writer has waited for a free slot: downstream is slow."""
        return self._blocked.seconds


class Newest(Generic[Item]):
    """A place for one item, with one writer and one reader: a new item replaces one that nobody took.

    A camera leaves its pictures here. `close` may be called from any thread and from a signal handler.
    """

    def __init__(self) -> None:
        self._place: SimpleQueue[Item | _Signal] = SimpleQueue()
        self._closed = False
        self.dropped = 0
        """How many items were replaced before anybody took them."""

    def put(self, item: Item) -> None:
        """Leave `item` in the place, without waiting."""
        with suppress(Empty):
            while self._place.get_nowait() is not _Signal.END:
                self.dropped += 1
        self._place.put(item)
        if self._closed:  # the end may just have been taken out
            self._place.put(_Signal.END)

    def take(self) -> Item | None:
        """Wait for an item and take it; None once the place is closed."""
        item = self._place.get()
        if item is _Signal.END or self._closed:
            self._place.put(_Signal.END)
            return None
        return item

    def close(self) -> None:
        """Close the place; an item that lies there is lost. Closing again is fine."""
        self._closed = True
        self._place.put(_Signal.END)
