from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.threads.channel import Cancelled, Channel, Newest, WaitClock
from tests.pipeline.chains import LONG_ENOUGH_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.timeout(30), pytest.mark.usefixtures("no_thread_left")]


@contextmanager
def thread(work: Callable[[], object]) -> Iterator[None]:
    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        worker.join()


@settings(deadline=None)
@given(items=st.lists(st.one_of(st.none(), st.integers(), st.text())), capacity=st.integers(1, 4))
def test_gives_what_was_put_in_order(items: list[object], capacity: int) -> None:
    channel: Channel[object] = Channel(capacity=capacity)

    def write() -> None:
        for item in items:
            assert channel.put(item)
        channel.close()

    with thread(write):
        assert list(channel) == items


@pytest.mark.parametrize("capacity", [1, 2, 5])
def test_holds_no_more_than_its_capacity(capacity: int) -> None:
    channel: Channel[int] = Channel(capacity=capacity)
    written = 0

    def write() -> None:
        nonlocal written
        for item in range(200):
            channel.put(item)
            written = item + 1
        channel.close()

    with thread(write):
        wait_until(lambda: written >= capacity)
        # A writer that a busy machine holds up inside `put` counts as blocked as well.
        before = channel.blocked_seconds
        wait_until(lambda: channel.blocked_seconds > before + LONG_ENOUGH_SECONDS)
        assert written == capacity
        # One more than its capacity: the reader has taken `item`, which made room for another.
        assert all(written <= item + 1 + capacity for item in channel)


def test_capacity_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 item, not 0"):
        Channel(capacity=0)


def test_closed_channel_drains_and_then_ends_each_time() -> None:
    channel: Channel[int] = Channel(capacity=2)
    channel.put(1)
    channel.put(2)
    channel.close()
    assert list(channel) == [1, 2]
    assert list(channel) == []


def test_cancelled_channel_gives_nothing_more_and_takes_nothing_more() -> None:
    channel: Channel[int] = Channel(capacity=1)
    channel.put(1)
    channel.cancel()
    channel.cancel()
    assert channel.cancelled
    for _ in range(5):
        with pytest.raises(Cancelled):
            next(channel)
        assert not channel.put(2)


def test_cancel_outdoes_close() -> None:
    channel: Channel[int] = Channel(capacity=1)
    channel.close()
    channel.cancel()
    with pytest.raises(Cancelled):
        next(channel)


def test_an_exception_handler_for_bad_items_does_not_catch_a_cancel() -> None:
    assert not issubclass(Cancelled, Exception)


def test_cancel_wakes_a_waiting_reader() -> None:
    channel: Channel[int] = Channel(capacity=1)

    def cancel() -> None:
        wait_until(lambda: channel.starved_seconds > LONG_ENOUGH_SECONDS)
        channel.cancel()

    with thread(cancel), pytest.raises(Cancelled):
        next(channel)


def test_cancel_wakes_a_waiting_writer() -> None:
    channel: Channel[int] = Channel(capacity=1)
    channel.put(1)

    def cancel() -> None:
        wait_until(lambda: channel.blocked_seconds > LONG_ENOUGH_SECONDS)
        channel.cancel()

    with thread(cancel):
        assert not channel.put(2)


def test_signal_handler_may_cancel_the_channel_that_its_thread_waits_for() -> None:
    channel: Channel[int] = Channel(capacity=1)
    caller = threading.get_ident()

    def interrupt() -> None:
        wait_until(lambda: channel.starved_seconds > LONG_ENOUGH_SECONDS)
        signal.pthread_kill(caller, signal.SIGUSR1)

    previous = signal.signal(signal.SIGUSR1, lambda *_: channel.cancel())
    try:
        with thread(interrupt), pytest.raises(Cancelled):
            next(channel)
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_counts_how_long_the_reader_starves() -> None:
    channel: Channel[int] = Channel(capacity=1)

    def write() -> None:
        wait_until(lambda: channel.starved_seconds > LONG_ENOUGH_SECONDS)
        channel.put(1)

    with thread(write):
        next(channel)
    assert channel.starved_seconds > LONG_ENOUGH_SECONDS
    assert channel.blocked_seconds < channel.starved_seconds


def test_counts_how_long_the_writer_is_blocked() -> None:
    channel: Channel[int] = Channel(capacity=1)
    channel.put(1)

    def read() -> None:
        wait_until(lambda: channel.blocked_seconds > LONG_ENOUGH_SECONDS)
        next(channel)

    with thread(read):
        channel.put(2)
    assert channel.blocked_seconds > LONG_ENOUGH_SECONDS
    assert channel.starved_seconds < channel.blocked_seconds


def test_wait_clock_adds_up_waits_and_stands_still_between_them() -> None:
    clock = WaitClock()
    assert clock.seconds == 0.0
    with clock:
        wait_until(lambda: clock.seconds > LONG_ENOUGH_SECONDS)
    first = clock.seconds
    assert clock.seconds == first
    with clock:
        wait_until(lambda: clock.seconds > first + LONG_ENOUGH_SECONDS)
    assert clock.seconds > first + LONG_ENOUGH_SECONDS


@pytest.mark.stress
def test_cancel_at_any_moment_leaves_nobody_waiting() -> None:
    for round_number in range(200):
        channel: Channel[int] = Channel(capacity=1 + round_number % 3)
        taken: list[int] = []
        with thread(partial(write_until_refused, channel)), thread(partial(read_until_cancelled, channel, taken)):
            wait_until(lambda: len(taken) >= round_number % 7)  # noqa: B023 - called in this round only
            channel.cancel()
        assert taken == list(range(len(taken)))


def write_until_refused(channel: Channel[int]) -> None:
    for item in count():
        if not channel.put(item):
            return


def read_until_cancelled(channel: Channel[int], taken: list[int]) -> None:
    with pytest.raises(Cancelled):
        for item in channel:
            taken.append(item)  # noqa: PERF402 - one by one: the test watches it grow


def test_only_the_newest_is_found_and_the_others_are_counted() -> None:
    newest: Newest[int] = Newest()
    for item in range(5):
        newest.put(item)
    assert newest.take() == 4
    assert newest.dropped == 4


def test_a_closed_place_gives_nothing_each_time_whatever_is_put() -> None:
    newest: Newest[int] = Newest()
    newest.put(1)
    newest.close()
    newest.put(2)
    assert newest.take() is None
    assert newest.take() is None


def test_closing_a_place_wakes_who_waits() -> None:
    newest: Newest[int] = Newest()
    found: list[int | None] = []
    reader = threading.Thread(target=lambda: found.append(newest.take()))
    reader.start()
    newest.close()
    reader.join()
    assert found == [None]


@pytest.mark.stress
def test_two_threads_see_growing_numbers_and_lose_none_uncounted() -> None:
    newest: Newest[int] = Newest()
    taken: list[int] = []

    def read() -> None:
        while (item := newest.take()) is not None:
            taken.append(item)
            if item == 20_000:
                return

    reader = threading.Thread(target=read)
    reader.start()
    for item in range(1, 20_001):
        newest.put(item)
    reader.join()
    assert taken == sorted(set(taken))
    assert len(taken) + newest.dropped == 20_000
