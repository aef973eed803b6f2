from __future__ import annotations

import sys
import threading
import time
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.threads.runner import Pipeline, Stage
from tests.pipeline.chains import (
    LONG_ENOUGH_SECONDS,
    Add,
    Delay,
    KeepMultiples,
    Repeat,
    SumOf,
    Take,
    Traced,
    TracedSource,
    append_length,
    identity,
    linked,
    others_wait_for,
    results,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.threads.runner import Stage

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("no_thread_left")]


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


@pytest.mark.parametrize("length", [None, 5], ids=["endless", "short"])
def test_stage_that_ends_early_calls_off_its_upstream_while_downstream_still_drains(length: int | None) -> None:
    source = TracedSource(length)

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
    # One number lasts: a stage that reads on when `Take` ends is called off there, and has nothing to be refused.
    with linked([7], Repeat(100), Take(5)).run(capacity=1) as run:
        list(run)
    source, repeat, take = run.stats()
    assert (source.items, source.dropped) == (1, 0)
    assert take.items == 5
    assert repeat.items in (5, 6)  # the sixth may lie in the channel when `Take` ends
    assert repeat.dropped == 1
    assert take.dropped == 0


def test_stats_during_a_run_have_cpu_time_and_nothing_negative() -> None:
    with linked(range(300), Add(0), Delay(3)).run(capacity=1) as run:
        for item in run:
            for stage in run.stats():
                assert min(stage.busy_seconds, stage.starved_seconds, stage.blocked_seconds) >= 0
                assert stage.cpu_seconds > 0 or item < 10


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_more_items_are_on_their_way_than_allowed(in_flight: int) -> None:
    given_items = 0

    def source() -> Iterator[int]:
        nonlocal given_items
        for item in range(40):
            given_items = item + 1
            yield item

    with linked(source(), Add(0), Add(0), Add(0)).run(capacity=4, in_flight=in_flight) as run:
        for item in run:
            time.sleep(0.002)
            # The caller still has this one.
            assert given_items <= item + in_flight
    assert given_items == 40


def test_a_source_that_waits_for_leave_sees_the_end() -> None:
    with linked(count(), Add(0)).run(in_flight=1) as run:
        assert next(run) == 0
        run.stop()
        assert list(run) == []
    assert run.stopped


def test_whoever_ends_the_run_wakes_the_source() -> None:
    bell: SimpleQueue[None] = SimpleQueue()

    def waits_for_a_device() -> Iterator[int]:
        yield 0
        bell.get()

    def fails(items: Iterator[int]) -> Iterator[int]:
        for _ in items:
            raise OSError("broken")
        yield 0

    pipeline = linked(waits_for_a_device(), fails)
    with pytest.raises(OSError, match="broken"), pipeline.run(on_end=lambda: bell.put(None)) as run:
        list(run)


def test_the_wait_for_leave_counts_as_blocked() -> None:
    with linked(count(), Add(0)).run(in_flight=1) as run:
        next(run)
        wait_until(lambda: run.stats()[0].blocked_seconds > LONG_ENOUGH_SECONDS)
        run.stop()
        list(run)
