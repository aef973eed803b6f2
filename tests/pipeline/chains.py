"""Stages of whole numbers, and what joins and watches them: for the tests of the runner."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from queue import SimpleQueue
from typing import TYPE_CHECKING

from pipeline.threads.runner import Pipeline, Run, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pipeline.threads.runner import Run, Stage

LONG_ENOUGH_SECONDS = 0.01


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.001)


@contextmanager
def once(condition: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    """Calls `act` in another thread as soon as `condition` holds, not before the block is entered."""
    entered: SimpleQueue[None] = SimpleQueue()

    def watch() -> None:
        entered.get()
        wait_until(condition)
        act()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        entered.put(None)
        yield
    finally:
        watcher.join()


def press_ctrl_c() -> None:
    """Sends SIGINT to the main thread, and wakes it where it waits."""
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGINT)


def caller_waits_for(run: Run[int]) -> bool:
    """Whether the caller is inside `next(run)` and has waited for long enough."""
    return run._results.starved_seconds > LONG_ENOUGH_SECONDS


# Stages that tests join at will. Each is a function from a stream to a stream; settings are fields.


def identity(items: Iterator[int]) -> Iterator[int]:
    return items


@dataclass(frozen=True)
class Add:
    addend: int

    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        for item in items:
            yield item + self.addend


@dataclass(frozen=True)
class KeepMultiples:
    of: int

    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        return (item for item in items if item % self.of == 0)


@dataclass(frozen=True)
class Repeat:
    times: int

    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        for item in items:
            for _ in range(self.times):
                yield item


@dataclass(frozen=True)
class Delay:
    """Holds `size` items back and flushes them after the loop."""

    size: int

    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        held: list[int] = []
        for item in items:
            held.append(item)
            if len(held) > self.size:
                yield held.pop(0)
        yield from held


@dataclass(frozen=True)
class SumOf:
    """One item for `size`; the last one for what is left."""

    size: int

    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        while batch := list(islice(items, self.size)):
            yield sum(batch)


@dataclass(frozen=True)
class Take:
    """Ends early, after `number` items."""

    number: int

    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        return islice(items, self.number)


def append_length(items: Iterator[int]) -> Iterator[int]:
    length = 0
    for item in items:
        length += 1
        yield item
    yield length


@dataclass(frozen=True)
class Traced:
    """Passes items on and writes down how it ended and in which thread. `finalised` only after a whole stream."""

    fail_at: int | None = None
    fail_in_finally: bool = False
    events: list[str] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)

    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        try:
            for item in items:
                self.taken.append(item)
                if item == self.fail_at:
                    raise OSError(f"disk full at {item}")
                yield item
            self.events.append("finalised")
        finally:
            self.events.append(f"released in {threading.current_thread().name}")
            if self.fail_in_finally:
                raise ValueError("can't close")


@dataclass(frozen=True)
class TracedSource:
    """Counts up, and writes down in which thread it was opened and closed."""

    length: int | None = None
    fail_at: int | None = None
    events: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[int]:
        self.events.append(f"opened in {threading.current_thread().name}")
        try:
            for item in count() if self.length is None else range(self.length):
                if item == self.fail_at:
                    raise OSError(f"no signal at {item}")
                yield item
        finally:
            self.events.append(f"closed in {threading.current_thread().name}")


def linked(source: Iterable[int], *stages: Stage[int, int]) -> Pipeline[int]:
    """A pipeline of stages named `source`, `first`, `second` and so on."""
    pipeline = Pipeline.from_source("source", source)
    for name, stage in zip(("first", "second", "third", "fourth", "fifth", "sixth"), stages, strict=False):
        pipeline = pipeline.then(name, stage)
    return pipeline


def results(pipeline: Pipeline[int], *, capacity: int = 2) -> list[int]:
    with pipeline.run(capacity=capacity) as run:
        return list(run)


def others_wait_for(name: str, run: Run[int]) -> bool:
    """Whether the stages before stage `name` are blocked, and those behind it starved, for long enough."""
    stats = run.stats()
    position = [stage.name for stage in stats].index(name)
    waits = [stage.blocked_seconds for stage in stats[:position]]
    waits += [stage.starved_seconds for stage in stats[position + 1 :]]
    return min(waits) > LONG_ENOUGH_SECONDS
