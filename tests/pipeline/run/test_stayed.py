"""Where masks stayed on is found frame by frame, and a face that was lost in view is not passed over."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.frames import Cropped, FaceCrop, Inpainted, Patch, Skipped
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.run.report import Report, Tally
from pipeline.run.stayed import LONGEST_DOUBT_SECONDS, StayedOn, clock
from tests.pipeline.faces import frame_of, track_of, tracked, upright

if TYPE_CHECKING:
    from pipeline.frames import Track

FPS = 10
IMAGE = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
MASK = np.ones((CROP_SIZE, CROP_SIZE), np.float32)
FACE = track_of(upright(x=200, y=120, scale=0.3), 1)
"""In the middle of the picture."""


def item(index: int, drawn: tuple[Track, ...] = (), *left: tuple[Track, Skipped], cut: bool = False) -> Inpainted:
    frame = replace(frame_of(np.zeros((360, 480, 3), np.uint8)), index=index, time=Fraction(index, FPS))
    seen = tracked(frame, *drawn, *(track for track, _ in left))
    seen = replace(seen, detected=replace(seen.detected, frame=frame, cut=cut))
    crops = tuple(FaceCrop(track, IMAGE, MASK, Affine(np.eye(2, 3))) for track in drawn)
    return Inpainted(Cropped(seen, crops, left), tuple(Patch(crop, IMAGE) for crop in crops))


def seen(*items: Inpainted) -> StayedOn:
    stayed = StayedOn()
    for one in items:
        stayed.see(one)
    return stayed


def spans(stayed: StayedOn) -> list[tuple[str, float, float]]:
    return [(one.reason, float(one.start), float(one.end)) for one in stayed.stretches]


def test_frames_of_one_reason_are_a_stretch_and_a_long_gap_begins_another() -> None:
    left = [item(index, (), (FACE, Skipped.TURNED_AWAY)) for index in (0, 1, 2, 5, 20, 21)]
    assert spans(seen(*left)) == [("turned away", 0.0, 0.5), ("turned away", 2.0, 2.1)]


def test_a_bare_face_is_no_mask_that_stayed_on() -> None:
    assert seen(item(0, (), (FACE, Skipped.BARE))).stretches == []


def test_what_somebody_chose_is_kept_and_not_complained_of() -> None:
    stayed = seen(item(0, (), (FACE, Skipped.NOT_CHOSEN)))
    assert spans(stayed) == [("not chosen", 0.0, 0.0)]
    assert stayed.unasked == []


def test_a_drawn_face_that_is_not_found_any_more_is_lost_until_it_is_found_again() -> None:
    again = track_of(upright(x=205, y=122, scale=0.3), 2)
    stayed = seen(item(0, (FACE,)), item(1, (FACE,)), item(2), item(3), item(4, (again,)), item(5, (again,)))
    assert spans(stayed) == [("lost", 0.2, 0.3)]


def test_a_lost_face_is_not_said_to_be_there_for_ever() -> None:
    stayed = seen(item(0, (FACE,)), *(item(index) for index in range(1, 100)))
    ((_, start, end),) = spans(stayed)
    assert end - start == pytest.approx(LONGEST_DOUBT_SECONDS)


def test_a_face_that_left_the_picture_was_not_lost() -> None:
    leaving = track_of(upright(x=-60, y=120, scale=0.3), 1)
    assert spans(seen(item(0, (leaving,)), item(1))) == []


def test_a_face_whose_mouth_is_still_in_the_picture_has_not_left_it() -> None:
    leaving = track_of(upright(x=200, y=-30, scale=0.3), 1)
    assert leaving.detection.landmarks.points[:2, 1].max() < 10 < leaving.detection.landmarks.points[3:, 1].min()
    assert spans(seen(item(0, (leaving,)), item(1))) == [("lost", 0.1, 0.1)]


def test_a_drawn_face_that_is_taken_for_bare_soon_after_may_still_wear_its_mask() -> None:
    bare = [item(index, (), (FACE, Skipped.BARE)) for index in range(1, 100)]
    ((reason, start, end),) = spans(seen(item(0, (FACE,)), *bare))
    assert (reason, start, end) == ("taken for bare", 0.1, pytest.approx(LONGEST_DOUBT_SECONDS))


@pytest.mark.parametrize("number", [1, 2])
def test_a_lost_face_that_is_found_again_and_taken_for_bare_may_still_wear_its_mask(number: int) -> None:
    again = track_of(upright(x=205, y=122, scale=0.3), number), Skipped.BARE
    stayed = seen(item(0, (FACE,)), item(1), item(2, (), again), item(3, (), again))
    assert spans(stayed) == [("lost", 0.1, 0.1), ("taken for bare", 0.2, 0.3)]


def test_a_face_of_another_shot_was_not_lost() -> None:
    assert spans(seen(item(0, (FACE,)), item(1, cut=True), item(2))) == []


def test_a_face_that_was_never_drawn_was_not_lost() -> None:
    assert spans(seen(item(0, (), (FACE, Skipped.BARE)), item(1), item(2))) == []


def test_the_report_has_every_stretch_and_the_summary_the_longest() -> None:
    others = [track_of(upright(x=20.0 + 90 * number, y=20, scale=0.1), 2 + number) for number in range(4)]
    tally = Tally()
    frames = [item(index, (), (FACE, Skipped.TURNED_AWAY)) for index in range(3)]
    frames += [item(30, (), *((track, Skipped.TOO_SMALL) for track in others))]
    list(tally(iter(frames)))
    report = Report("in.mp4", "out.mp4", complete=True, tally=tally)
    assert report.as_json()["masks_left"][0] == {  # type: ignore[index]
        "track": 1, "reason": "turned away", "start": 0.0, "end": 0.2, "frames": 3
    }  # fmt: skip
    assert report.masks_left is not None
    assert report.masks_left.startswith("masks may be left on at 0:00.0 to 0:00.2 (turned away), 0:03.0 (too small)")
    assert report.masks_left.endswith(", and 2 more stretches")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(Fraction(0), "0:00.0"), (Fraction(623, 10), "1:02.3"), (Fraction(3723), "1:02:03.0")]
)
def test_times_are_read_as_on_a_player(seconds: Fraction, shown: str) -> None:
    assert clock(seconds) == shown
