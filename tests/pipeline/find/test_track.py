from __future__ import annotations

from dataclasses import replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.demo.clip import LANDMARKS
from pipeline.errors import EngineError
from pipeline.find.flow import FlowPicture
from pipeline.find.follow import FollowedFace
from pipeline.find.track import TrackFaces, associate
from tests.pipeline.moving_faces import (
    RATE,
    KnowingDetector,
    Path,
    Pose,
    Shot,
    detected,
    detection_at,
    placed,
    shot,
    still,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.frames import Detected, Detection, Tracked


def follow(items: Iterator[Detected], **settings_: float) -> list[Tracked]:
    return list(TrackFaces(**settings_)(items))  # type: ignore[arg-type]


def landmarks(tracked: list[Tracked], number: int = 1) -> NDArray[np.float64]:
    """(F, 5, 2) of the track with this id, not a number where it is absent."""
    points = np.full((len(tracked), 5, 2), np.nan)
    for place, item in enumerate(tracked):
        for track in item.tracks:
            if track.id == number:
                points[place] = track.detection.landmarks.points
    return points


def ids(tracked: list[Tracked]) -> list[list[int]]:
    return [[track.id for track in item.tracks] for item in tracked]


def eye_distance(made: Shot) -> float:
    eyes = made.truth[:, 0, :2]
    return float(np.nanmean(np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=-1)))


def sway(seconds: float) -> Pose:
    return 160 + 60 * np.sin(4 * seconds), 120 + 10 * np.sin(9 * seconds), 8 * np.sin(3 * seconds), 0.8


def test_a_face_is_there_in_every_frame_between_detections() -> None:
    tracked = follow(detected(shot(still())))
    assert ids(tracked) == [[1]] * 50
    assert [item.tracks[0].unseen for item in tracked[:6]] == [0, 1, 2, 3, 0, 1]
    assert [item.tracks[0].age for item in tracked] == list(range(50))


def test_a_still_head_is_still_though_the_detector_trembles() -> None:
    made = shot(still(), frames=60)
    points = landmarks(follow(detected(made, KnowingDetector(made, noise=0.02))))[10:]
    tremble = points.std(axis=0).mean() / eye_distance(made)
    step = np.abs(np.diff(points, axis=0)).mean() / eye_distance(made)
    assert tremble < 0.008, "a detection's noise is 0.02"
    assert step < 0.002


def test_a_moving_head_is_where_it_is_not_where_it_was() -> None:
    made = shot(sway, frames=60)
    points = landmarks(follow(detected(made, KnowingDetector(made, noise=0.01))))[10:]
    truth = made.truth[10:, 0]
    velocity = np.gradient(truth, axis=0)
    error = truth - points
    behind_frames = (error * velocity).sum() / (velocity**2).sum()
    assert abs(behind_frames) < 0.05
    assert np.linalg.norm(error, axis=-1).max() < 0.15 * eye_distance(made)


def test_a_turning_and_growing_head_is_followed() -> None:
    made = shot(lambda t: (160, 120, 30 * np.sin(3 * t), 0.8 + 0.25 * np.sin(2 * t)), frames=50)
    points = landmarks(follow(detected(made)))
    assert np.linalg.norm(points - made.truth[:, 0], axis=-1).max() < 0.1 * eye_distance(made)


def jump(seconds: float) -> Pose:
    """Farther from one frame to the next than flow can follow."""
    return (110 if seconds < 10 / RATE else 160), 120, 0, 0.8


def test_a_face_that_flow_loses_is_looked_for_at_once() -> None:
    made = shot(jump, frames=16)
    detector = KnowingDetector(made)
    found = landmarks(follow(detected(made, detector, every=20, again=True)))
    assert detector.looks == [0, 10]
    off = np.linalg.norm(found - made.truth[:, 0], axis=-1).max(axis=1) / eye_distance(made)
    assert off.max() < 0.1

    alone = landmarks(follow(detected(made, every=20)))
    away = np.linalg.norm(alone - made.truth[:, 0], axis=-1).max(axis=1) / eye_distance(made)
    assert np.nanmax(away[10:]) > 0.5


def test_a_detector_that_fails_when_it_is_asked_again_leaves_the_face_where_it_should_be() -> None:
    def fails() -> tuple[Detection, ...]:
        raise EngineError("out of memory")

    made = shot(jump, frames=14)
    items = [replace(item, look=None if item.look is None else fails) for item in detected(made, every=20, again=True)]
    assert ids(follow(iter(items))) == [[1]] * 14


def test_the_id_lasts_through_a_second_of_missed_detections() -> None:
    made = shot(sway, frames=56)
    blind = [(place, 0) for place in range(20, 20 + RATE + 4)]
    tracked = follow(detected(made, KnowingDetector(made, blind=blind)))
    assert ids(tracked) == [[1]] * 56
    error = np.linalg.norm(landmarks(tracked) - made.truth[:, 0], axis=-1)
    assert error.max() < 0.3 * eye_distance(made), "flow carries it"


def test_a_face_that_comes_out_again_has_its_id_and_is_not_reported_meanwhile() -> None:
    hidden = range(20, 45)
    path: Path = lambda t: None if round(t * RATE) in hidden else (160, 120, 0, 0.8)  # noqa: E731 - short
    tracked = follow(detected(shot(path, frames=75)))
    there = ids(tracked)
    assert there[:20] == [[1]] * 20
    lost = 20 + round(TrackFaces.lost_seconds * RATE) + 1
    assert there[lost:45] == [[]] * (45 - lost)
    assert there[48:] == [[1]] * 27


def test_a_face_that_stays_away_is_forgotten() -> None:
    path: Path = lambda t: None if 0.4 < t < 1.6 else (160, 120, 0, 0.8)  # noqa: E731 - short
    tracked = follow(detected(shot(path, frames=60)), patience_seconds=1.0)
    assert {number for numbers in ids(tracked) for number in numbers} == {1, 2}


def test_two_who_pass_each_other_keep_their_ids() -> None:
    made = shot(
        lambda t: (70 + 90 * t, 118, 0, 0.75), lambda t: (250 - 90 * t, 122, 0, 0.75), frames=50
    )  # the second is in front
    covered = [
        (place, 0) for place in range(50) if np.linalg.norm(made.truth[place, 0, 2] - made.truth[place, 1, 2]) < 35
    ]
    assert len(covered) > 6
    tracked = follow(detected(made, KnowingDetector(made, blind=covered)))
    distances = {
        (person, number): np.linalg.norm(landmarks(tracked, number)[-1] - made.truth[-1, person], axis=-1).max()
        for person in (0, 1)
        for number in (1, 2)
    }
    assert {number for numbers in ids(tracked) for number in numbers} == {1, 2}
    first = landmarks(tracked, 1)[0]
    same = np.linalg.norm(first - made.truth[0, 0], axis=-1).max() < 10
    left, right = (1, 2) if same else (2, 1)
    assert distances[0, left] < 8
    assert distances[1, right] < 8


def test_a_cut_ends_every_track() -> None:
    one, other = shot(still(), frames=12), shot(still(), frames=12, first=12, scenery=1)
    tracked = follow(chain(detected(one), detected(other)))
    assert ids(tracked) == [[1]] * 12 + [[2]] * 12
    assert [item.tracks[0].age for item in tracked] == [*range(12), *range(12)]


def test_a_weak_detection_alone_is_not_believed() -> None:
    made = shot(still(), frames=24)
    detector = KnowingDetector(made, score=0.6, blind=[(place, 0) for place in range(5, 24)])
    assert not any(ids(follow(detected(made, detector))))


def test_weak_detections_in_a_row_are_believed_and_reported_from_the_first_when_frames_are_held_back() -> None:
    made = shot(still(), frames=24)
    live = follow(detected(made, KnowingDetector(made, score=0.6)))
    assert ids(live) == [[]] * 8 + [[1]] * 16
    recorded = follow(detected(made, KnowingDetector(made, score=0.6)), lookback_frames=10)
    assert ids(recorded) == [[1]] * 24
    assert [item.tracks[0].age for item in recorded] == list(range(24))


def test_a_face_that_comes_between_detections_is_followed_back_to_its_first_frame() -> None:
    path: Path = lambda t: None if t * RATE < 9.5 else (150 + 20 * t, 120, 0, 0.8)  # noqa: E731 - short
    made = shot(path, frames=30)
    live = follow(detected(made))
    assert ids(live)[8:13] == [[], [], [], [], [1]]
    recorded = follow(detected(made), lookback_frames=6)
    assert ids(recorded)[8:13] == [[], [], [1], [1], [1]]
    assert recorded[10].tracks[0].unseen == 2
    error = np.linalg.norm(landmarks(recorded)[10:] - made.truth[10:, 0], axis=-1)
    assert error.max() < 3


def test_looking_back_stops_at_a_cut() -> None:
    one, other = shot(still(), frames=6), shot(still(), frames=6, first=6)
    nobody = KnowingDetector(one, blind=[(place, 0) for place in range(6)])
    tracked = follow(chain(detected(one, nobody), detected(other)), lookback_frames=8)
    assert ids(tracked) == [[]] * 6 + [[1]] * 6


def test_a_face_that_walks_out_of_the_picture_ends() -> None:
    made = shot(lambda t: (160 + 160 * t, 120, 0, 0.8), frames=50)
    blind = [(place, 0) for place in range(20, 50)]
    tracked = follow(detected(made, KnowingDetector(made, blind=blind)))
    assert ids(tracked)[0] == [1]
    assert not any(ids(tracked)[30:])


@pytest.mark.parametrize("lookback", [0, 5, 100])
def test_every_frame_comes_out_once_and_in_order(lookback: int) -> None:
    made = shot(sway, frames=20)
    items = list(detected(made))
    assert [item.detected for item in follow(iter(items), lookback_frames=lookback)] == items


@settings(deadline=None, max_examples=8)
@given(
    missed=st.sets(st.tuples(st.integers(0, 23), st.integers(0, 1)), max_size=20),
    every=st.integers(1, 6),
    lookback=st.integers(0, 9),
)
def test_whatever_the_detector_misses_ids_are_one_a_face_and_ages_count_up(
    missed: set[tuple[int, int]], every: int, lookback: int
) -> None:
    made = two_people()
    tracked = follow(
        detected(made, KnowingDetector(made, noise=0.02, blind=sorted(missed)), every=every), lookback_frames=lookback
    )
    assert [item.frame.index for item in tracked] == list(range(24))
    for item in tracked:
        assert len({track.id for track in item.tracks}) == len(item.tracks)
    for number in {number for numbers in ids(tracked) for number in numbers}:
        ages = [track.age for item in tracked for track in item.tracks if track.id == number]
        assert ages == list(range(len(ages)))
        sides = {float(x) > 160 for x in landmarks(tracked, number)[:, 2, 0] if not np.isnan(x)}
        assert len(sides) == 1, "nobody becomes the other"


_TWO: list[Shot] = []


def two_people() -> Shot:
    """Made once: hypothesis asks for it many times."""
    if not _TWO:
        _TWO.append(shot(still(80), still(240), frames=24))
    return _TWO[0]


def test_unseen_counts_frames_since_the_last_detection() -> None:
    made = shot(still(), frames=20)
    tracked = follow(detected(made, KnowingDetector(made, blind=[(8, 0)])))
    unseen = [item.tracks[0].unseen for item in tracked]
    assert all(after == before + 1 or after == 0 for before, after in pairwise(unseen))
    assert max(unseen) == 7


@pytest.fixture(scope="module")
def picture() -> FlowPicture:
    return FlowPicture.of(shot(lambda _: None, frames=1).frames[0].planes)


def at(x: float, *, zoom: float = 0.8) -> NDArray[np.float64]:
    return placed((x, 110, 0, zoom)).apply(LANDMARKS)


def test_everybody_gets_the_nearest(picture: FlowPicture) -> None:
    faces = [FollowedFace.seen(detection_at(at(x)), picture) for x in (60, 100, 250)]
    detections = [detection_at(at(x)) for x in (252, 98, 64)]
    assert associate(faces, detections, limits=[1, 1, 1]) == {0: 2, 1: 1, 2: 0}


def test_the_nearest_pair_goes_first(picture: FlowPicture) -> None:
    faces = [FollowedFace.seen(detection_at(at(x)), picture) for x in (100, 120)]
    assert associate(faces, [detection_at(at(118))], limits=[1, 1]) == {1: 0}


def test_what_is_too_far_is_nobody(picture: FlowPicture) -> None:
    faces = [FollowedFace.seen(detection_at(at(100)), picture)]
    away = [detection_at(at(100 + 1.5 * faces[0].eye_distance))]
    assert associate(faces, away, limits=[1]) == {}
    assert associate(faces, away, limits=[2]) == {0: 0}


def test_a_face_does_not_become_one_of_another_size(picture: FlowPicture) -> None:
    faces = [FollowedFace.seen(detection_at(at(100)), picture)]
    assert associate(faces, [detection_at(at(100, zoom=1.6))], limits=[9]) == {}
    assert associate(faces, [detection_at(at(100, zoom=1.2))], limits=[9]) == {0: 0}


def test_nobody_and_nothing(picture: FlowPicture) -> None:
    assert associate([], [detection_at(at(100))], limits=[]) == {}
    assert associate([FollowedFace.seen(detection_at(at(100)), picture)], [], limits=[1]) == {}
