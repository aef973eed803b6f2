from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import chain

import pytest

from pipeline.find.detect import Detect
from tests.pipeline.moving_faces import KnowingDetector, shot, still


@pytest.mark.parametrize("every", [1, 3, 4])
def test_looks_at_the_first_frame_and_every_kth(every: int) -> None:
    made = shot(still(), frames=10)
    detector = KnowingDetector(made)
    items = list(Detect(detector, every=every)(iter(made.frames)))
    assert detector.looks == list(range(0, 10, every))
    assert [item.frame for item in items] == made.frames
    assert [item.detections is None for item in items] == [place % every != 0 for place in range(10)]
    assert [item.cut for item in items] == [True] + [False] * 9


def test_looks_at_once_where_a_shot_begins_and_counts_from_there() -> None:
    one, other = shot(still(), frames=6), shot(still(), frames=7, first=6, scenery=1)
    both = chain(one.frames, other.frames)
    looks: list[int] = []

    def detector(frame: object) -> tuple[()]:
        looks.append(frame.index)  # type: ignore[attr-defined]
        return ()

    items = list(Detect(detector, every=4)(both))
    assert looks == [0, 4, 6, 10]
    assert [place for place, item in enumerate(items) if item.cut] == [0, 6]
    assert items[4].detections == ()


def test_no_frames_are_no_items() -> None:
    assert list(Detect(lambda _: ())(iter(()))) == []


@pytest.mark.parametrize(("step", "looks"), [(Fraction(1, 2), 8), (Fraction(1, 30), 2)])
def test_frames_that_are_far_apart_are_all_looked_at_where_time_counts(step: Fraction, looks: int) -> None:
    made = shot(still(), frames=8)
    apart = [replace(frame, time=frame.index * step) for frame in made.frames]
    detector = KnowingDetector(made)
    list(Detect(detector, every=4, longest_seconds=4 / 30)(iter(apart)))
    assert len(detector.looks) == looks
