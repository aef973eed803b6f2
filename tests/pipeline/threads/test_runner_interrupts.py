from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING

import pytest

from pipeline.threads.channel import Channel
from pipeline.threads.runner import Cancelled
from tests.pipeline.chains import (
    LONG_ENOUGH_SECONDS,
    Add,
    Delay,
    KeepMultiples,
    Traced,
    TracedSource,
    caller_waits_for,
    linked,
    once,
    press_ctrl_c,
    results,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("no_thread_left")]


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """A suite that runs in the background is started with SIGINT ignored, and Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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

    def fails_when_its_item_was_handed_on() -> Iterator[int]:
        yield 0
        wait_until(lambda: run.stats()[1].items == 1)
        raise OSError("no signal")

    def reads_on(items: Iterator[int]) -> Iterator[int]:
        for _ in range(3):
            try:
                yield from items
            except Cancelled as error:
                raised.append(error)

    run = linked(fails_when_its_item_was_handed_on(), reads_on).run()
    with pytest.raises(OSError, match="no signal"), run:
        list(run)
    assert len(raised) == 3


# Ctrl-C.


@contextmanager
def ctrl_c_calls(handler: Callable[[], object]) -> Iterator[None]:
    previous = signal.signal(signal.SIGINT, lambda *_: handler())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


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

        def sink_and_caller_wait() -> bool:
            return run.stats()[-1].starved_seconds > LONG_ENOUGH_SECONDS and caller_waits_for(run)

        with once(sink_and_caller_wait, press_ctrl_c), pytest.raises(KeyboardInterrupt):
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
