"""Runs stages in threads, in order, and ends them well.

A stage is a function from a stream to a stream, usually a frozen dataclass whose `__call__` is a generator: settings
are fields, what it remembers is a local variable, what it flushes follows the loop, what it releases is in `finally`.
Without threads a pipeline is composition (`Pipeline.compose`); with one thread for each stage (`Pipeline.run`) it
gives the same items in the same order.

    pipeline = Pipeline.from_source("decode", frames).then("detect", detect).then("encode", encode)
    with pipeline.run() as run:
        for frame in run:
            ...
    for stage in run.stats():
        ...

How it can end, and what the stages see of it:

- The source ends, or `Run.stop` ends it: each stage's input ends in turn, so each flushes and finalises.
- A stage ends early, as `islice` does: what is upstream of it is called off, what is downstream drains.
- A stage raises, or `Run.cancel` is called: all is called off. The loop over the run raises the stage's exception.

A stage that is called off gets `GeneratorExit` where it yields, or `Cancelled` where it takes its next item: its
`finally` blocks run, in its own thread, and what follows its loop does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from pipeline.threads.channel import Cancelled, Channel, Credits
from pipeline.threads.worker import ChannelIntake, Intake, SourceIntake, Stage, StageStats, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

__all__ = ["Cancelled", "Pipeline", "Run", "Stage", "StageStats"]

Out = TypeVar("Out")
Next = TypeVar("Next")


@dataclass(frozen=True)
class Pipeline(Generic[Out]):
    """A named source and named stages, joined but not running. Begin with `from_source`, go on with `then`."""

    source_name: str
    source: Iterable[Any]
    stages: tuple[tuple[str, Stage[Any, Any]], ...] = ()

    @classmethod
    def from_source(cls, name: str, source: Iterable[Out]) -> Pipeline[Out]:
        """Begin a pipeline that gives what `source` gives.

        Running it opens `source` (by `iter`), reads it and, where the iterator has a `close`, closes it, all in the
        source's own thread. Between two items a source blocks for half a second at most, or `Run.stop` comes late.
        """
        return Pipeline(name, source)

    def then(self, name: str, stage: Stage[Out, Next]) -> Pipeline[Next]:
        """Add `stage` at the end, in a new pipeline. Raises `ValueError` when the name is taken."""
        if name in self.names:
            raise ValueError(f"there is a stage {name!r} already: {', '.join(self.names)}")
        return Pipeline(self.source_name, self.source, (*self.stages, (name, stage)))

    @property
    def names(self) -> tuple[str, ...]:
        """The source's name and the stages' names, in order."""
        return (self.source_name, *(name for name, _ in self.stages))

    def compose(self) -> Iterator[Out]:
        """Apply each stage to the stage before it, without threads, and give the stream of the last one."""
        stream: Iterator[Any] = iter(self.source)
        for _, stage in self.stages:
            stream = stage(stream)
        return stream

    def run(
        self,
        *,
        capacity: int = 2,
        in_flight: int | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> Run[Out]:
        """Make a run with one thread for each stage; they start when the run is entered by `with`.

        At most `capacity` items lie between two stages. Raise it and stages of uneven speed wait less for each other;
        memory and latency grow with it. At most `in_flight` items are between the source and the loop over the run,
        which gives an item back by asking for the next; this suits live sources, where every stage gives one item for
        each that it takes. `on_end` wakes a source that waits for a device: it is called when the source shall end,
        from any thread or a signal handler, maybe more than once. Raises `ValueError` when a number is less than 1.
        """
        return Run(self, capacity=capacity, in_flight=in_flight, on_end=on_end)


class _Phase(Enum):
    """Where a run is in its life."""

    READY = "ready"
    RUNNING = "running"
    FINISHED = "finished"


class Run(Generic[Out]):
    """A running pipeline: iterate it, in one thread, inside its `with` block.

    The loop ends when the last stage has ended and every thread is gone. It raises what a stage raised, its type kept,
    with a note that names the stage and the item; what other stages raised while the run ended is noted too. After
    `cancel` it raises `Cancelled`, so that no broken run looks whole. Leaving the block early cancels. However the
    block is left no thread outlives it, and an error that the loop has not raised is raised there, or noted on the
    exception that is passing.

    The threads are no daemons: a program does not exit while a block is open, so a generator that holds one and may be
    dropped half way is closed, as by `contextlib.closing`.

    `KeyboardInterrupt` in the loop cancels as well. To finalise what is in flight instead, call `stop` from a handler
    of SIGINT, and let the second SIGINT raise.
    """

    def __init__(
        self, pipeline: Pipeline[Out], *, capacity: int, in_flight: int | None, on_end: Callable[[], None] | None
    ) -> None:
        self._credits = None if in_flight is None else Credits(count=in_flight)
        # True while the caller works on an item, for which it has yet to give a credit back.
        self._owes = False
        self._on_end = on_end
        self._source = SourceIntake(pipeline.source, allowance=self._credits)

        # The worker of each stage takes from the channel before it and puts into the one behind it.
        channels: list[Channel[Any]] = [Channel(capacity=capacity) for _ in pipeline.names]
        intakes: list[Intake[Any]] = [
            self._source,
            *(ChannelIntake(channel, upstream=channels[:count]) for count, channel in enumerate(channels[:-1])),
        ]
        stages: list[Stage[Any, Any]] = [iter, *(stage for _, stage in pipeline.stages)]
        self._workers = [
            Worker(name, stage, intake, gives, on_error=self._fail)
            for name, stage, intake, gives in zip(pipeline.names, stages, intakes, channels, strict=True)
        ]

        self._channels = channels
        self._results: Channel[Out] = channels[-1]
        self._errors: list[tuple[str, BaseException]] = []
        self._phase = _Phase.READY

    def __enter__(self) -> Self:
        if self._phase is not _Phase.READY:
            raise RuntimeError("a run runs once: call Pipeline.run for another")
        self._phase = _Phase.RUNNING
        try:
            for worker in self._workers:
                worker.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, passing: BaseException | None, traceback: TracebackType | None
    ) -> None:
        error = self._end()
        if error is None:
            return
        if passing is None or isinstance(passing, GeneratorExit):
            raise error
        for note in (f"besides, a stage raised {error!r}", *getattr(error, "__notes__", ())):
            passing.add_note(note)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Out:
        if self._phase is _Phase.READY:
            raise RuntimeError("a run is iterated inside its with block: `with pipeline.run() as run`")
        if self._phase is _Phase.FINISHED:
            raise StopIteration

        # Asking for the next item says that the caller is done with the one before.
        if self._owes and self._credits is not None:
            self._owes = False
            self._credits.give()

        try:
            item = next(self._results)
        except (StopIteration, Cancelled) as end:
            outcome = end.with_traceback(None)
        except BaseException:
            self.cancel()
            raise
        else:
            self._owes = True
            return item

        error = self._end()
        raise outcome if error is None else error

    def stop(self) -> None:
        """End the source after the item that it is reading; what is in flight drains, so the output is finalised.

        Go on iterating. Returns at once; may be called from any thread, from a signal handler, and again.
        """
        self._source.stop()
        if self._on_end is not None:
            self._on_end()

    @property
    def stopped(self) -> bool:
        """Whether `stop` ended the source before the source said that it had no more: there may be more to read."""
        return self._source.cut_short

    def cancel(self) -> None:
        """Call everything off: no stage goes on, nothing is finalised, and the loop raises `Cancelled`.

        Returns at once; may be called from any thread, from a signal handler, and again. The threads are gone when
        the loop or the `with` block is left.
        """
        # From the last to the first: a stage that learns of it must find its output called off already. Else it could
        # end in order, and the sink behind it would take the broken stream for a whole one and finalise the file.
        for channel in reversed(self._channels):
            channel.cancel()
        self._source.wake()
        if self._on_end is not None:
            self._on_end()

    def stats(self) -> tuple[StageStats, ...]:
        """What each stage has done so far, the source first; any thread may ask at any time."""
        return tuple(worker.stats() for worker in self._workers)

    def _fail(self, name: str, error: BaseException) -> None:
        """Keep what a stage raised, and call the run off. Called in the stage's thread."""
        self._errors.append((name, error))
        self.cancel()

    def _end(self) -> BaseException | None:
        """Wait until every thread is gone. Gives the error to raise, once: the first, which is the others' cause."""
        self.cancel()
        for worker in self._workers:
            worker.join()
        self._phase = _Phase.FINISHED
        if not self._errors:
            return None
        (_, cause), *others = self._errors
        self._errors = []
        for name, error in others:
            if error is not cause:
                cause.add_note(f"while the run ended, stage {name!r} raised {error!r}")
        return cause
