from __future__ import annotations

import random
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.channel import Channel
from pipeline.runner import Cancelled, Pipeline, Run, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("no_thread_left")]

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


def caller_waits_for(run: Run[int]) -> bool:
    """Whether the caller is inside `next(run)` and has waited for long enough."""
    return run._results.starved_seconds > LONG_ENOUGH_SECONDS


def press_ctrl_c() -> None:
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGINT)


@contextmanager
def ctrl_c_calls(handler: Callable[[], object]) -> Iterator[None]:
    previous = signal.signal(signal.SIGINT, lambda *_: handler())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


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


# Threads give what composition gives.

stages = st.one_of(
    st.just(identity),
    st.builds(Add, st.integers(-5, 5)),
    st.builds(KeepMultiples, st.integers(1, 4)),
    st.builds(Repeat, st.integers(0, 3)),
    st.builds(Delay, st.integers(0, 5)),
    st.builds(SumOf, st.integers(1, 4)),
    st.builds(Take, st.integers(0, 12)),
    st.just(append_length),
)


@settings(deadline=None)
@given(items=st.lists(st.integers(), max_size=30), chain=st.lists(stages, max_size=6), capacity=st.integers(1, 4))
def test_threads_give_the_same_list_as_composition(
    items: list[int], chain: list[Stage[int, int]], capacity: int
) -> None:
    pipeline = linked(items, *chain)
    assert results(pipeline, capacity=capacity) == list(pipeline.compose())


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Add(10), [10, 11, 12, 13, 14]),
        (Repeat(2), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (Repeat(0), []),
        (SumOf(2), [1, 5, 4]),
        (Delay(2), [0, 1, 2, 3, 4]),
        (append_length, [0, 1, 2, 3, 4, 5]),
        (Take(2), [0, 1]),
    ],
)
def test_stage_may_give_one_many_or_fewer_items_and_flush(stage: Stage[int, int], expected: list[int]) -> None:
    assert results(linked(range(5), stage)) == expected


def test_source_alone_is_a_pipeline() -> None:
    assert results(linked(range(3))) == [0, 1, 2]


def test_pipeline_runs_again_when_its_source_can_be_read_again() -> None:
    pipeline = linked(range(3), Add(1))
    assert results(pipeline) == results(pipeline) == [1, 2, 3]


def test_name_may_not_be_used_twice() -> None:
    with pytest.raises(ValueError, match="there is a stage 'blend' already: decode, blend"):
        Pipeline.from_source("decode", [1]).then("blend", Add(1)).then("blend", Add(2))


def test_capacity_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 item"):
        linked(range(3)).run(capacity=0)


def test_each_stage_runs_in_its_own_thread_of_its_name_and_no_daemon() -> None:
    seen: dict[str, tuple[str, bool]] = {}

    def note(name: str) -> Stage[int, int]:
        def stage(items: Iterator[int]) -> Iterator[int]:
            seen[name] = (threading.current_thread().name, threading.current_thread().daemon)
            yield from items

        return stage

    results(Pipeline.from_source("decode", range(3)).then("detect", note("detect")).then("blend", note("blend")))
    assert seen == {"detect": ("detect", False), "blend": ("blend", False)}


def test_slow_caller_holds_the_source_back() -> None:
    given_items = 0

    def source() -> Iterator[int]:
        nonlocal given_items
        for item in range(100):
            given_items = item + 1
            yield item

    with linked(source(), Add(0), Add(0)).run(capacity=2) as run:
        for item in run:
            # Three channels of two, and one item in the hands of the source, of both stages and of the caller.
            assert given_items <= item + 1 + 3 * 2 + 3


# Ending early.


def test_stage_that_ends_early_ends_its_endless_upstream() -> None:
    source, first = TracedSource(), Traced()
    assert results(linked(source, first, Take(3))) == [0, 1, 2]
    assert source.events == ["opened in source", "closed in source"]
    assert first.events == ["released in first"]


def test_stage_that_ends_early_ends_an_upstream_that_gives_nothing_any_more() -> None:
    only_first = KeepMultiples(sys.maxsize)
    assert results(linked(count(), only_first, Take(1))) == [0]


@pytest.mark.parametrize("source", [TracedSource(), TracedSource(length=5)], ids=["endless", "short"])
def test_stage_that_ends_early_calls_off_its_upstream_while_downstream_still_drains(source: TracedSource) -> None:
    def waits_for_the_source(items: Iterator[int]) -> Iterator[int]:
        yield from items
        wait_until(lambda: source.events[-1] == "closed in source")

    only_first = KeepMultiples(sys.maxsize)
    assert results(linked(source, only_first, Take(1), waits_for_the_source)) == [0]


def test_stage_that_never_reads_ends_its_upstream() -> None:
    assert results(linked(count(), lambda _: iter([7]))) == [7]


def test_leaving_the_block_early_calls_everything_off() -> None:
    source, sink = TracedSource(), Traced()
    with linked(source, sink).run() as run:
        for item in run:
            if item == 5:
                break
    assert source.events == ["opened in source", "closed in source"]
    assert sink.events == ["released in first"]


def test_source_iterator_with_close_is_closed_in_its_thread() -> None:
    closed_in: list[str] = []

    class Camera:
        def __iter__(self) -> Camera:
            return self

        def __next__(self) -> int:
            return 1

        def close(self) -> None:
            closed_in.append(threading.current_thread().name)

    assert results(linked(Camera(), Take(2))) == [1, 1]
    assert closed_in == ["source"]


def test_upstream_is_closed_before_downstream_gets_the_end() -> None:
    events: list[str] = []

    def opens(items: Iterator[int]) -> Iterator[int]:
        try:
            yield from items
        finally:
            events.append("upstream released")

    def finalises(items: Iterator[int]) -> Iterator[int]:
        yield from items
        events.append("finalised")

    results(linked(range(3), opens, finalises))
    assert events == ["upstream released", "finalised"]


# Errors.


@pytest.mark.parametrize("capacity", [1, 2, 20])
@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_error_of_a_stage_reaches_the_caller_with_its_type_the_stage_and_the_item(name: str, capacity: int) -> None:
    chain = {"first": Traced(), "second": Traced(), "third": Traced()} | {name: Traced(fail_at=7)}
    source = TracedSource()
    with pytest.raises(OSError, match="disk full at 7") as caught:
        results(linked(source, *chain.values()), capacity=capacity)
    assert caught.value.__notes__ == [f"in stage {name!r}, the last item it took: 7"]
    assert source.events == ["opened in source", "closed in source"]
    assert [stage.events for stage in chain.values()] == [[f"released in {name}"] for name in chain]


def test_error_of_the_source_names_it_and_nothing_is_finalised() -> None:
    source, sink = TracedSource(fail_at=4), Traced()
    with pytest.raises(OSError, match="no signal") as caught:
        results(linked(source, Add(0), sink))
    assert caught.value.__notes__ == ["in stage 'source', the last item it took: 3"]
    assert sink.events == ["released in second"]


def test_error_before_the_first_item_says_so() -> None:
    def broken(_items: Iterator[int]) -> Iterator[int]:
        raise FileNotFoundError("no model")

    with pytest.raises(FileNotFoundError) as caught:
        results(linked(count(), broken))
    assert caught.value.__notes__ == ["in stage 'first', before it took an item"]


def test_error_while_flushing_names_the_last_item() -> None:
    def fails_to_flush(items: Iterator[int]) -> Iterator[int]:
        yield from items
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full") as caught:
        results(linked(range(3), fails_to_flush))
    assert caught.value.__notes__ == ["in stage 'first', the last item it took: 2"]


def test_error_while_closing_the_source_prevents_finalising() -> None:
    sink = Traced()

    class Camera:
        def __init__(self) -> None:
            self.items = iter(range(3))

        def __iter__(self) -> Camera:
            return self

        def __next__(self) -> int:
            return next(self.items)

        def close(self) -> None:
            raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged") as caught:
        results(linked(Camera(), sink))
    assert caught.value.__notes__ == ["in stage 'source', the last item it took: 2"]
    assert sink.events == ["released in first"]


def test_errors_that_follow_are_noted_on_the_first() -> None:
    with pytest.raises(OSError, match="disk full at 3") as caught:
        results(linked(count(), Traced(fail_in_finally=True), Traced(fail_at=3)))
    assert caught.value.__notes__ == [
        "in stage 'second', the last item it took: 3",
        "while the run ended, stage 'first' raised ValueError(\"can't close\")",
    ]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, Cancelled, MemoryError])
def test_exceptions_of_every_kind_reach_the_caller(kind: type[BaseException]) -> None:
    def fails(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            if item == 3:
                raise kind("as raised")
            yield item

    sink = Traced()
    with pytest.raises(kind, match="as raised") as caught:
        results(linked(count(), fails, sink))
    assert caught.value.__notes__ == ["in stage 'first', the last item it took: 3"]
    assert sink.events == ["released in second"]


def test_stop_iteration_outside_a_generator_is_an_error_not_an_end() -> None:
    def takes_first(items: Iterator[int]) -> Iterator[int]:
        return iter([next(items)])

    with pytest.raises(RuntimeError, match="a stage raised StopIteration") as caught:
        results(linked([], takes_first))
    assert caught.value.__notes__ == ["in stage 'first', before it took an item"]
    assert isinstance(caught.value.__cause__, StopIteration)


def test_stage_that_is_no_generator_by_mistake_is_an_error_that_names_it() -> None:
    def forgot_to_yield(_items: Iterator[int]) -> Iterator[int]:
        return None  # type: ignore[return-value]

    with pytest.raises(TypeError, match="not iterable") as caught:
        results(linked(count(), forgot_to_yield))
    assert caught.value.__notes__ == ["in stage 'first', before it took an item"]


def test_item_with_a_long_or_broken_repr_does_not_hide_the_error() -> None:
    class Mute:
        def __repr__(self) -> NoReturn:
            raise ZeroDivisionError("no words")

    def fails(items: Iterator[object]) -> Iterator[object]:
        for item in items:
            raise OSError(f"bad {type(item).__name__}")
            yield item

    for item, words in ((Mute(), "a Mute whose repr raises ZeroDivisionError('no words')"), ("x" * 999, "xxx...")):
        with (
            pytest.raises(OSError, match="bad") as caught,
            Pipeline.from_source("source", [item]).then("first", fails).run() as run,
        ):
            list(run)
        (note,) = caught.value.__notes__
        assert note.endswith(words)
        assert len(note) < 300


def test_error_ends_stages_that_wait_at_both_ends() -> None:
    def fails_when_all_others_wait(items: Iterator[int]) -> Iterator[int]:
        next(items)
        wait_until(lambda: others_wait_for("second", run))
        raise OSError("in the middle")
        yield

    run = linked(count(), Add(0), fails_when_all_others_wait, Add(0)).run(capacity=1)
    with pytest.raises(OSError, match="in the middle"), run:
        list(run)


def others_wait_for(name: str, run: Run[int]) -> bool:
    """Whether the stages before stage `name` are blocked, and those behind it starved, for long enough."""
    stats = run.stats()
    position = [stage.name for stage in stats].index(name)
    waits = [stage.blocked_seconds for stage in stats[:position]]
    waits += [stage.starved_seconds for stage in stats[position + 1 :]]
    return min(waits) > LONG_ENOUGH_SECONDS


def test_error_that_the_loop_did_not_raise_is_raised_by_leaving_the_block() -> None:
    run = linked(count(), Traced(fail_in_finally=True)).run(capacity=2)
    with pytest.raises(ValueError, match="can't close") as caught, run:
        wait_until(lambda: run.stats()[1].blocked_seconds > LONG_ENOUGH_SECONDS)
    assert caught.value.__notes__ == ["in stage 'first', the last item it took: 2"]


def test_error_that_the_loop_did_not_raise_is_noted_on_the_exception_that_passes() -> None:
    with (
        pytest.raises(KeyError, match="caller") as caught,
        linked(count(), Traced(fail_in_finally=True)).run() as run,
    ):
        next(run)
        raise KeyError("caller")
    besides, where = caught.value.__notes__
    assert besides == 'besides, a stage raised ValueError("can\'t close")'
    assert where.startswith("in stage 'first'")


def test_error_that_the_loop_did_not_raise_is_raised_by_closing_a_generator_around_the_run() -> None:
    def items() -> Generator[int]:
        with linked(count(), Traced(fail_in_finally=True)).run() as run:
            yield from run

    stream = items()
    next(stream)
    with pytest.raises(ValueError, match="can't close"):
        stream.close()


def test_run_ends_for_good_after_an_error() -> None:
    with linked(range(3), Traced(fail_at=1)).run() as run:
        with pytest.raises(OSError, match="disk full"):
            list(run)
        assert list(run) == []


# Stop and cancel.


def test_stop_ends_the_source_drains_and_finalises() -> None:
    source, sink = TracedSource(), Traced()
    with linked(source, Delay(3), sink).run() as run:
        given_items = []
        for item in run:
            given_items.append(item)
            if item == 5:
                run.stop()
                run.stop()
    assert run.stopped
    assert given_items == list(range(len(given_items)))
    assert len(given_items) == run.stats()[0].items == run.stats()[-1].items
    assert run.stats()[0].dropped == 0
    assert source.events == ["opened in source", "closed in source"]
    assert sink.events == ["finalised", "released in second"]


def test_stop_reaches_a_source_that_is_blocked() -> None:
    sink = Traced()
    with linked(count(), sink).run(capacity=1) as run:
        wait_until(lambda: run.stats()[0].blocked_seconds > LONG_ENOUGH_SECONDS)
        run.stop()
        given_items = list(run)
    assert given_items == list(range(run.stats()[0].items))
    assert sink.events == ["finalised", "released in first"]


def test_stop_before_the_first_item_gives_an_empty_whole_stream() -> None:
    sink = Traced()
    run = linked(count(), sink).run()
    run.stop()
    with run:
        assert list(run) == []
    assert run.stopped
    assert sink.events == ["finalised", "released in first"]


def test_stop_after_the_end_changes_nothing() -> None:
    with linked(range(3)).run() as run:
        assert list(run) == [0, 1, 2]
        run.stop()
    assert not run.stopped


def test_error_while_draining_is_raised() -> None:
    with pytest.raises(OSError, match="disk full at 4"), linked(count(), Traced(fail_at=4)).run() as run:
        for item in run:
            if item == 1:
                wait_until(lambda: run.stats()[0].items >= 5)
                run.stop()


def test_cancel_makes_the_loop_raise_and_finalises_nothing() -> None:
    source, sink = TracedSource(), Traced()
    with linked(source, Add(0), sink).run() as run, pytest.raises(Cancelled):
        for item in run:
            if item == 5:
                run.cancel()
    assert source.events == ["opened in source", "closed in source"]
    assert sink.events == ["released in second"]


def test_cancel_from_another_thread_wakes_the_caller() -> None:
    def waits(items: Iterator[int]) -> Iterator[int]:
        return (item for item in items if item < 0)

    run = linked(count(), waits).run()
    with run, once(lambda: caller_waits_for(run), run.cancel), pytest.raises(Cancelled):
        list(run)


def test_cancel_while_every_thread_is_blocked() -> None:
    stages = [Traced(), Traced(), Traced()]
    with linked(count(), *stages).run(capacity=1) as run:
        wait_until(lambda: all(stage.blocked_seconds > LONG_ENOUGH_SECONDS for stage in run.stats()))
        run.cancel()
        with pytest.raises(Cancelled):
            list(run)
    assert [stage.events for stage in stages] == [[f"released in {name}"] for name in ("first", "second", "third")]


def test_stage_may_cancel_the_run() -> None:
    def gives_up(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            if item == 3:
                run.cancel()
            yield item

    run = linked(count(), gives_up).run()
    with run, pytest.raises(Cancelled):
        list(run)


def test_stage_that_swallows_a_cancel_cannot_make_the_sink_finalise(monkeypatch: pytest.MonkeyPatch) -> None:
    def swallows(items: Iterator[int]) -> Iterator[int]:
        with suppress(Cancelled):
            yield from items

    def cancel_and_give_way(channel: Channel[int]) -> None:
        cancel(channel)
        if threading.current_thread().name == "source":
            time.sleep(LONG_ENOUGH_SECONDS)  # the stages run on while the run is half cancelled

    cancel = Channel.cancel
    monkeypatch.setattr(Channel, "cancel", cancel_and_give_way)
    sink = Traced()
    with pytest.raises(OSError, match="no signal"):
        results(linked(TracedSource(fail_at=20), swallows, swallows, sink))
    assert sink.events == ["released in third"]


def test_reading_on_after_a_cancel_raises_again() -> None:
    raised = []

    def fails_when_its_reader_waits() -> Iterator[int]:
        yield 0
        wait_until(lambda: run.stats()[1].starved_seconds > LONG_ENOUGH_SECONDS)
        raise OSError("no signal")

    def reads_on(items: Iterator[int]) -> Iterator[int]:
        for _ in range(3):
            try:
                yield from items
            except Cancelled as error:
                raised.append(error)

    run = linked(fails_when_its_reader_waits(), reads_on).run()
    with pytest.raises(OSError, match="no signal"), run:
        list(run)
    assert len(raised) == 3


# Ctrl-C.


def test_first_ctrl_c_stops_and_the_second_raises() -> None:
    sink = Traced()
    given_items: list[int] = []
    with linked(count(), sink).run() as run:
        presses = 0

        def handler() -> None:
            nonlocal presses
            presses += 1
            if presses == 2:
                raise KeyboardInterrupt
            run.stop()

        with ctrl_c_calls(handler), once(lambda: len(given_items) > 10, press_ctrl_c):
            for item in run:
                given_items.append(item)  # noqa: PERF402 - the watcher sees it grow
        assert presses == 1
        assert given_items == list(range(run.stats()[0].items))
        with ctrl_c_calls(handler), pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
            wait_until(lambda: False)
    assert run.stopped
    assert sink.events == ["finalised", "released in first"]


def test_ctrl_c_while_the_caller_waits_for_an_item_cancels() -> None:
    sink = Traced()
    silent = KeepMultiples(sys.maxsize)
    with linked(count(1), silent, sink).run() as run:
        with once(lambda: caller_waits_for(run), press_ctrl_c), pytest.raises(KeyboardInterrupt):
            next(run)
        with pytest.raises(Cancelled):
            next(run)
    assert sink.events == ["released in second"]


def test_ctrl_c_in_the_callers_own_code_cancels() -> None:
    sink = Traced()
    with pytest.raises(KeyboardInterrupt), linked(count(), sink).run() as run:
        for item in run:
            if item == 3:
                signal.raise_signal(signal.SIGINT)
    assert sink.events == ["released in first"]


def test_handler_may_cancel_while_the_caller_waits() -> None:
    with linked(count(1), KeepMultiples(sys.maxsize)).run() as run:
        pressed_in_time = once(lambda: caller_waits_for(run), press_ctrl_c)
        with ctrl_c_calls(run.cancel), pressed_in_time, pytest.raises(Cancelled):
            next(run)


def test_ctrl_c_while_the_run_ends_interrupts_the_wait_and_a_second_try_waits_again() -> None:
    releasing, may_release = threading.Event(), threading.Event()

    def slow_to_release(items: Iterator[int]) -> Iterator[int]:
        try:
            yield from items
        finally:
            releasing.set()
            may_release.wait()

    run = linked(count(), slow_to_release).run()
    run.__enter__()
    next(run)
    try:
        with once(releasing.is_set, press_ctrl_c), pytest.raises(KeyboardInterrupt):
            run.__exit__(None, None, None)
        (stage_thread,) = [thread for thread in threading.enumerate() if thread.name == "first"]
        assert stage_thread.is_alive()
    finally:
        may_release.set()
        run.__exit__(None, None, None)
    assert not stage_thread.is_alive()


# Misuse.


def test_run_that_was_never_entered_has_no_threads_and_opens_nothing() -> None:
    source = TracedSource()
    before = threading.active_count()
    run = linked(source, Traced()).run()
    assert threading.active_count() == before
    assert source.events == []
    with pytest.raises(RuntimeError, match="inside its with block"):
        next(run)


def test_run_that_was_entered_and_not_iterated_ends() -> None:
    sink = Traced()
    with linked(count(), sink).run():
        pass
    assert sink.events in ([], ["released in first"])  # none when it was called off before it began


def test_run_runs_once() -> None:
    with linked(range(3)).run() as run:
        list(run)
    with pytest.raises(RuntimeError, match="a run runs once"):
        run.__enter__()


def test_run_that_was_left_gives_no_more() -> None:
    with linked(count()).run() as run:
        next(run)
    assert list(run) == []


def test_run_that_cannot_start_all_threads_ends_those_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def start_all_but_third(thread: threading.Thread) -> None:
        if thread.name == "second":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_all_but_third)
    with pytest.raises(RuntimeError, match="can't start new thread"), linked(count(), Add(0), Add(0)).run():
        pytest.fail("the block must not be entered")


# Stats.


def test_stats_name_the_stage_that_the_others_wait_for() -> None:
    def slow(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            if item == 3:
                wait_until(lambda: others_wait_for("second", run) and run.stats()[2].busy_seconds > LONG_ENOUGH_SECONDS)
            yield item

    run = linked(range(30), Add(0), slow, Add(0)).run()
    with run:
        assert list(run) == list(range(30))
    source, first, second, third = run.stats()
    assert [stage.name for stage in run.stats()] == ["source", "first", "second", "third"]
    assert [(stage.items, stage.dropped) for stage in run.stats()] == [(30, 0)] * 4
    assert source.starved_seconds == 0.0
    assert min(source.blocked_seconds, first.blocked_seconds, third.starved_seconds) > LONG_ENOUGH_SECONDS
    assert second.busy_seconds > LONG_ENOUGH_SECONDS
    assert second.cpu_seconds > 0.0


def test_stats_stand_still_once_the_run_has_ended() -> None:
    with linked(range(3), Add(0)).run() as run:
        list(run)
    assert run.stats() == run.stats()


def test_stats_before_the_run_are_zero() -> None:
    source, first = linked(range(3), Add(0)).run().stats()
    assert (source.items, source.busy_seconds, first.starved_seconds, first.cpu_seconds) == (0, 0.0, 0.0, 0.0)


def test_stats_count_every_item_and_what_was_refused() -> None:
    with linked(count(), Repeat(2), Take(5)).run(capacity=1) as run:
        list(run)
    _, repeat, take = run.stats()
    assert take.items == 5
    assert repeat.items >= 5
    assert repeat.dropped == 1
    assert take.dropped == 0


def test_stats_during_a_run_have_cpu_time_and_nothing_negative() -> None:
    with linked(range(300), Add(0), Delay(3)).run(capacity=1) as run:
        for item in run:
            for stage in run.stats():
                assert min(stage.busy_seconds, stage.starved_seconds, stage.blocked_seconds) >= 0
                assert stage.cpu_seconds > 0 or item < 10


# Races.


@contextmanager
def restless_threads() -> Iterator[None]:
    """The interpreter changes from thread to thread as often as it can."""
    previous = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(previous)


@dataclass(frozen=True)
class Dawdle:
    """Passes items on, giving way to other threads at random moments."""

    seed: int

    def __call__(self, items: Iterator[int]) -> Iterator[int]:
        chance = random.Random(self.seed)  # noqa: S311 - nothing here is secret
        for item in items:
            if chance.random() < 0.3:
                time.sleep(0)
            yield item


@pytest.mark.stress
@pytest.mark.parametrize("ending", ["whole", "error", "two errors", "stop", "cancel", "break", "early"])
def test_runs_that_end_in_the_same_way_many_times(ending: str) -> None:
    with restless_threads():
        for seed in range(150):
            run_to_an_end(ending, chance=random.Random(seed))  # noqa: S311 - as above


def run_to_an_end(ending: str, *, chance: random.Random) -> None:
    moment = chance.randrange(40)
    chain: list[Stage[int, int]] = [Dawdle(chance.randrange(1000)) for _ in range(chance.randint(1, 4))]
    if ending in ("error", "two errors"):
        chain.insert(chance.randint(0, len(chain)), Traced(fail_at=moment))
    if ending == "two errors":
        chain.insert(chance.randint(0, len(chain)), Traced(fail_at=moment))
    if ending == "early":
        chain.insert(chance.randint(0, len(chain)), Take(moment))
    source, sink = TracedSource(length=40 if ending in ("whole", "error") else None), Traced()
    given_items: list[int] = []
    outcome: BaseException | None = None
    with linked(source, *chain, sink).run(capacity=chance.randint(1, 3)) as run:
        try:
            for item in run:
                given_items.append(item)
                if item == moment:
                    if ending == "break":
                        break
                    {"stop": run.stop, "cancel": run.cancel}.get(ending, lambda: None)()
        except (OSError, Cancelled) as error:
            outcome = error
    expected = {"error": OSError, "two errors": OSError, "cancel": Cancelled}.get(ending, type(None))
    assert type(outcome) is expected
    assert given_items == list(range(len(given_items)))
    whole = ending in ("whole", "stop", "early")
    name = run.stats()[-1].name
    if source.events:
        assert source.events == ["opened in source", "closed in source"]
    if whole or sink.events:
        assert sink.events == ["finalised"] * whole + [f"released in {name}"]
    assert len(given_items) >= {"whole": 40, "stop": moment + 1, "early": moment}.get(ending, 0)
