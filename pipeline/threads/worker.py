"""Runs one stage in its thread: what it takes, what it gives, and how it ends.

A worker lets its stage pull items from an intake and puts what the stage gives into a channel. However the stage ends,
the worker closes the stage's stream in this same thread, calls off what is upstream, and only then lets downstream
know: that was the end, if all went well, or else that the stream is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from time import perf_counter, thread_time
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

from pipeline.threads.channel import Cancelled, Channel, Credits

In = TypeVar("In")
In_co = TypeVar("In_co", covariant=True)
Out = TypeVar("Out")

Stage: TypeAlias = Callable[[Iterator[In]], Iterator[Out]]


@dataclass(frozen=True)
class StageStats:
    """What a stage has done so far. Busy, starved and blocked seconds add up to the life of its thread."""

    name: str
    items: int
    """How many items it gave to the next stage."""
    dropped: int
    """How many of its items were refused, because the stages downstream had ended."""
    busy_seconds: float
    """Seconds in which it was neither starved nor blocked; waiting for a disk or a device counts as busy."""
    starved_seconds: float
    """Seconds of waiting for input: the bottleneck is upstream."""
    blocked_seconds: float
    """Seconds of waiting to hand on an item: the bottleneck is downstream."""
    cpu_seconds: float
    """CPU seconds of its thread, measured at each item, without the work of threads that a library keeps."""

    def plus(self, other: StageStats) -> StageStats:
        """What this stage and another one of its name have done together."""
        return StageStats(
            name=self.name,
            items=self.items + other.items,
            dropped=self.dropped + other.dropped,
            busy_seconds=self.busy_seconds + other.busy_seconds,
            starved_seconds=self.starved_seconds + other.starved_seconds,
            blocked_seconds=self.blocked_seconds + other.blocked_seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
        )


_NOTHING = object()


class Intake(Protocol[In_co]):
    """Where a stage's items come from: an iterator that remembers what was taken and can be closed."""

    taken: object
    """The last item that was taken."""

    @property
    def called_off(self) -> bool:
        """Whether taking raises `Cancelled` by the runner's doing."""
        ...

    @property
    def starved_seconds(self) -> float:
        """How long the stage has waited for items."""
        ...

    @property
    def blocked_seconds(self) -> float:
        """How long the stage had to wait before it might take an item, because there were enough downstream."""
        ...

    def __iter__(self) -> Iterator[In_co]: ...

    def __next__(self) -> In_co: ...

    def close(self) -> None:
        """Say that nobody takes from here any more, and forget the last item. Closing again is fine."""
        ...


class SourceIntake(Generic[Out]):
    """The source as the first stage takes from it: opened, read and closed in that stage's thread.

    With an `allowance` an item is taken only when there is a credit for it.
    """

    called_off = False
    starved_seconds = 0.0

    def __init__(self, source: Iterable[Out], *, allowance: Credits | None = None) -> None:
        self._source = source
        self._credits = allowance
        self._iterator: Iterator[Out] = iter(())
        self._stopping = False
        self.cut_short = False
        """Whether `stop` came before the source said that it had no more."""
        self.taken: object = _NOTHING

    def stop(self) -> None:
        """End the stream after the item that is being read."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Wake it, should it wait for a credit, so that it sees the end."""
        if self._credits is not None:
            self._credits.give()

    @property
    def blocked_seconds(self) -> float:
        """How long it has waited for credits."""
        return 0.0 if self._credits is None else self._credits.waited_seconds

    def __iter__(self) -> Self:
        self._iterator = iter(self._source)
        return self

    def __next__(self) -> Out:
        if self._credits is not None:
            self._credits.take()
        if self._stopping:
            self.cut_short = True
            raise StopIteration
        item = next(self._iterator)
        self.taken = item
        return item

    def close(self) -> None:
        """Close the source's iterator."""
        iterator, self._iterator = self._iterator, iter(())
        close(iterator)
        self.taken = _NOTHING


class ChannelIntake(Generic[In]):
    """A channel as a stage takes from it. `upstream` are the channels that lead to it, in order."""

    blocked_seconds = 0.0

    def __init__(self, channel: Channel[In], *, upstream: Sequence[Channel[Any]]) -> None:
        self._channel = channel
        self._upstream = upstream
        self.taken: object = _NOTHING

    @property
    def called_off(self) -> bool:
        """Whether the channel was cancelled."""
        return self._channel.cancelled

    @property
    def starved_seconds(self) -> float:
        """How long the stage has waited for items."""
        return self._channel.starved_seconds

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> In:
        item = next(self._channel)
        self.taken = item
        return item

    def close(self) -> None:
        """Call off all that is upstream."""
        self._channel.cancel()
        # Those upstream as well: a filter there may read on and on and never give an item that could be refused. From
        # the last to the first, for the reason that Run.cancel gives.
        for channel in reversed(self._upstream):
            channel.cancel()
        self.taken = _NOTHING


class Worker:
    """A stage and the thread it runs in.

    What the stage raises goes to `on_error` with the stage's name, `SystemExit` and its like included; the note that
    says where it was raised is added by the time `join` returns.
    """

    def __init__(
        self,
        name: str,
        stage: Stage[Any, Any],
        intake: Intake[Any],
        gives: Channel[Any],
        *,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._name = name
        self._stage = stage
        self._intake = intake
        self._gives = gives
        self._on_error = on_error
        self._stream: object = None
        self._failed = False
        self._items = self._dropped = 0
        self._began: float | None = None
        self._ended: float | None = None
        self._cpu_began = self._cpu_seconds = 0.0
        self._last_words: SimpleQueue[None] = SimpleQueue()
        # Never a daemon: at exit the interpreter would stop it in the middle of a write.
        self._thread = Thread(target=self._work, name=name, daemon=False)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the thread is gone; at once when it was never started."""
        if self._thread.ident is None:
            return
        # Not by Thread.join alone: interrupted by KeyboardInterrupt, that of Python 3.11 takes the running thread for
        # a dead one, and who then joins again does not wait.
        while self._ended is None:
            self._last_words.get()
        self._thread.join()

    def stats(self) -> StageStats:
        """What the stage has done so far; any thread may ask."""
        # The waits before the clock: a wait that goes on must not come out longer than the life that it is part of.
        starved = self._intake.starved_seconds
        blocked = self._intake.blocked_seconds + self._gives.blocked_seconds
        ended = self._ended or perf_counter()
        return StageStats(
            name=self._name,
            items=self._items,
            dropped=self._dropped,
            busy_seconds=0.0 if self._began is None else ended - self._began - starved - blocked,
            starved_seconds=starved,
            blocked_seconds=blocked,
            cpu_seconds=self._cpu_seconds,
        )

    def _work(self) -> None:
        """Run the stage to its end. The thread runs this."""
        self._began, self._cpu_began = perf_counter(), thread_time()

        try:
            for step in (self._give_all, self._close_stream, self._intake.close):
                self._guard(step)
        finally:
            # Not before: whoever gets the end of the stream may rely on it that all went well upstream.
            if self._failed:
                self._gives.cancel()
            else:
                self._gives.close()
            self._cpu_seconds = thread_time() - self._cpu_began
            self._ended = perf_counter()
            self._last_words.put(None)

    def _give_all(self) -> None:
        """Put all that the stage gives into the channel, until the channel refuses it."""
        stream = self._stream = self._stage(self._intake)
        for item in stream:
            if not self._gives.put(item):
                self._dropped += 1
                return
            self._items += 1
            self._cpu_seconds = thread_time() - self._cpu_began

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        close(stream)

    def _guard(self, step: Callable[[], None]) -> None:
        """Do one step of ending, and hand on what it raises."""
        try:
            step()
        except BaseException as error:
            self._failed = True
            if isinstance(error, Cancelled) and self._intake.called_off:
                return
            if isinstance(error, StopIteration):  # it would end the caller's loop as if all were well; see PEP 479
                stop, error = error, RuntimeError("a stage raised StopIteration")
                error.__cause__ = stop
            self._on_error(self._name, error)
            error.add_note(f"in stage {self._name!r}, {_describe(self._intake.taken)}")


def close(stream: object) -> None:
    """Close `stream` where it can be closed, as `yield from` does with generators and with whatever has a `close`."""
    closing = getattr(stream, "close", None)
    if closing is not None:
        closing()


def _describe(taken: object) -> str:
    """Say where a stage was when it raised, by the item that it took last."""
    if taken is _NOTHING:
        return "before it took an item"
    try:
        text = repr(taken)
    except Exception as error:  # a broken repr must not hide the error that is being reported
        text = f"a {type(taken).__name__} whose repr raises {error!r}"
    return f"the last item it took: {text if len(text) <= 200 else text[:197] + '...'}"
