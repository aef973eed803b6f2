"""What is shown at a tick, how it is counted, and how old frames are told."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import av
import numpy as np

from pipeline.frames import Frame
from pipeline.live.pace import TOO_OLD, Outbox, ticks
from pipeline.live.report import OLDEST_MS, Ages, Percentiles
from pipeline.run.ledger import Shown

if TYPE_CHECKING:
    import pytest


def shown(index: int, arrived: float) -> Shown:
    planes = av.VideoFrame(16, 16, "yuv420p")
    return Shown(Frame(index, Fraction(index, 30), arrived, planes), planes, None)


def test_nothing_is_sent_before_the_first_frame() -> None:
    outbox = Outbox()
    assert outbox.due(1.0) is None
    assert outbox.counts.sent == outbox.counts.repeated == 0


def test_the_last_frame_is_repeated_and_counted() -> None:
    outbox = Outbox()
    outbox.put(shown(0, 1.0))
    indices = [found.frame.index for now in (1.1, 1.2, 1.3) if (found := outbox.due(now))]
    assert indices == [0, 0, 0]
    assert (outbox.counts.sent, outbox.counts.repeated, outbox.counts.ages.count) == (3, 2, 1)


def test_of_two_that_are_ready_the_newer_waits_for_the_next_tick() -> None:
    outbox = Outbox()
    outbox.put(shown(0, 1.0))
    outbox.put(shown(1, 1.03))
    indices = [found.frame.index for now in (1.1, 1.13, 1.16) if (found := outbox.due(now)) is not None]
    assert indices == [0, 1, 1]
    assert (outbox.counts.overtaken, outbox.counts.repeated) == (0, 1)


def test_of_more_than_two_that_are_ready_the_oldest_are_left_out() -> None:
    outbox = Outbox()
    for index in range(4):
        outbox.put(shown(index, 1.0 + 0.03 * index))
    indices = [found.frame.index for now in (1.2, 1.23) if (found := outbox.due(now)) is not None]
    assert indices == [2, 3]
    assert outbox.counts.overtaken == 2


def test_frames_in_the_wrong_order_are_counted() -> None:
    outbox = Outbox()
    for now, index in enumerate([0, 2, 1, 3]):
        outbox.put(shown(index, float(now)))
        outbox.due(now + 0.1)
    assert outbox.counts.out_of_order == 1


def test_memory_is_looked_at_once_in_every_minute_with_frames() -> None:
    outbox = Outbox()
    for index, now in enumerate([0.0, 30.0, 61.0, 119.0, 400.0]):
        outbox.put(shown(index, now))
        outbox.due(now)
    assert len(outbox.counts.memory_mb) == len(outbox.counts.ages.by_minute()) == 3
    assert all(memory > 1 for memory in outbox.counts.memory_mb)


def test_a_delay_holds_each_frame_for_its_time() -> None:
    outbox = Outbox(delay_seconds=0.5)
    for index in range(3):
        outbox.put(shown(index, 1.0 + index / 10))
    assert outbox.due(1.49) is None
    indices = [found.frame.index for now in (1.5, 1.6, 1.7) if (found := outbox.due(now))]
    assert indices == [0, 1, 2]
    assert outbox.counts.late == 0


def test_a_frame_that_comes_after_its_delay_is_late() -> None:
    outbox = Outbox(delay_seconds=0.5)
    outbox.put(shown(0, 1.0))
    outbox.due(1.7)
    assert outbox.counts.late == 1


def test_a_frame_that_is_too_old_is_not_shown_and_the_newest_picture_is() -> None:
    newest = [shown(0, 3.9)]
    outbox = Outbox(oldest_seconds=1.0, instead=lambda _like: replace(newest[0], failed=TOO_OLD))
    outbox.put(shown(0, 1.0))
    assert outbox.due(1.5) is outbox.last is not None
    outbox.put(shown(1, 1.1))  # finished at 4.0, when it is 2.9 s old
    outbox.put(shown(2, 1.2))
    found = outbox.due(4.0)
    assert found is not None
    assert found.frame.arrived == 3.9
    outbox.put(shown(3, 3.5))  # new enough, but of a time before the picture that is on show
    assert outbox.due(4.1) is found
    outbox.put(shown(4, 4.05))
    assert (drawn := outbox.due(4.2)) is not None
    assert drawn.frame.index == 4
    counts = outbox.counts
    assert (counts.ages.count, counts.too_old, counts.undrawn, counts.repeated, counts.out_of_order) == (2, 3, 1, 1, 0)


def test_where_even_the_first_frame_is_too_old_the_newest_picture_is_shown() -> None:
    """A machine that is always too slow would else show nothing at all."""
    newest = replace(shown(0, 3.9), failed=TOO_OLD)
    outbox = Outbox(oldest_seconds=1.0, instead=lambda like: newest if like.index == 7 else None)
    assert outbox.due(3.0) is None  # nothing is finished yet
    outbox.put(shown(7, 1.0))
    assert outbox.due(4.0) is newest
    assert (outbox.counts.too_old, outbox.counts.undrawn, outbox.counts.repeated) == (1, 1, 0)


def test_without_a_newer_picture_the_last_one_stays() -> None:
    for newest in (None, shown(0, 1.0)):
        outbox = Outbox(oldest_seconds=1.0, instead=lambda _like, newest=newest: newest)  # type: ignore[misc]
        outbox.put(shown(0, 1.0))
        first = outbox.due(1.1)
        outbox.put(shown(1, 1.2))
        assert outbox.due(9.0) is first
        assert (outbox.counts.too_old, outbox.counts.undrawn, outbox.counts.repeated) == (1, 0, 1)


def test_a_delay_is_no_age() -> None:
    outbox = Outbox(delay_seconds=2.0, oldest_seconds=0.5)
    outbox.put(shown(0, 1.0))
    assert outbox.due(2.9) is None
    assert outbox.due(3.1) is not None


def test_ticks_grow_and_missed_ones_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("pipeline.live.pace.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("pipeline.live.pace.time.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    found = []
    for now in islice(ticks(10), 6):
        found.append(round(now, 6))
        if len(found) == 3:
            clock[0] += 0.35  # a slow moment
    assert found == [0.0, 0.1, 0.2, 0.55, 0.6, 0.7]
    assert all(before < after for before, after in pairwise(found))


def test_percentiles_are_those_of_all_ages() -> None:
    ages = Ages()
    values = np.random.default_rng(1).integers(1, 400, 1000)
    for number, value in enumerate(values):
        ages.add(value / 1000, now=float(number))
    expected = [int(np.sort(values)[int(np.ceil(1000 * share / 100)) - 1]) for share in (50, 95, 99)]
    assert ages.overall() == Percentiles(*expected)
    assert ages.count == 1000


def test_each_minute_has_its_own() -> None:
    ages = Ages()
    for second in range(150):
        ages.add(0.1 * (1 + second // 60), now=float(second))
    assert [minute.p50 for minute in ages.by_minute()] == [100, 200, 300]


def test_without_frames_there_are_no_ages_and_an_endless_one_counts_as_the_most() -> None:
    ages = Ages()
    assert ages.overall() is None
    assert ages.recent() is None
    ages.add(1e6, now=0.0)
    assert ages.overall() == Percentiles(OLDEST_MS, OLDEST_MS, OLDEST_MS)
