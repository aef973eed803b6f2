from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.demo.portrait import LANDMARKS
from pipeline.find.flow import FlowPicture
from pipeline.find.follow import FollowedFace
from pipeline.find.track import associate
from tests.pipeline.moving_faces import detection_at, placed, shot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
