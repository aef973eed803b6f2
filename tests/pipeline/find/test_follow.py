from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipeline.demo.clip import LANDMARKS
from pipeline.find.flow import FlowPicture
from pipeline.find.follow import DETECTION_NOISE, FollowedFace, eye_distance
from pipeline.geometry import Affine
from tests.pipeline.moving_faces import detection_at, placed, shot, still


@pytest.fixture(scope="module")
def picture() -> FlowPicture:
    return FlowPicture.of(shot(still(), frames=1).frames[0].planes)


@pytest.fixture
def face(picture: FlowPicture) -> FollowedFace:
    return FollowedFace.seen(detection_at(placed((160, 110, 0, 0.8)).apply(LANDMARKS)), picture)


def test_the_first_detection_is_taken_as_it_is(face: FollowedFace) -> None:
    np.testing.assert_allclose(face.detection.landmarks.points, placed((160, 110, 0, 0.8)).apply(LANDMARKS), atol=1e-4)


def test_many_detections_of_a_still_face_are_averaged(face: FollowedFace, picture: FlowPicture) -> None:
    truth = placed((160, 110, 0, 0.8)).apply(LANDMARKS)
    draw = np.random.default_rng(8)
    noise_px = DETECTION_NOISE * face.eye_distance
    for _ in range(60):
        face.advance(picture, picture, seconds=0.04)
        face.correct(detection_at(truth + draw.normal(0, noise_px, (5, 2))), picture)
    assert np.abs(face.landmarks - truth).mean() < 0.4 * noise_px
    assert face.variance < 0.3 * DETECTION_NOISE**2


def test_a_surprise_is_followed_at_once(face: FollowedFace, picture: FlowPicture) -> None:
    truth = placed((160, 110, 0, 0.8)).apply(LANDMARKS)
    for _ in range(20):
        face.correct(detection_at(truth), picture)
    elsewhere = truth + np.array([0.5 * face.eye_distance, 0.0])
    face.correct(detection_at(elsewhere), picture)
    assert np.abs(face.landmarks - elsewhere).max() < 0.05 * face.eye_distance


def test_a_face_that_nobody_sees_goes_on_slows_down_and_grows_uncertain(face: FollowedFace) -> None:
    face.velocity = np.array([100.0, 0.0])
    begun, variance = face.landmarks.copy(), face.variance
    for _ in range(50):
        face.coast(seconds=0.04)
    shift = face.landmarks - begun
    assert np.ptp(shift[:, 0]) == pytest.approx(0, abs=1e-6)
    assert 25 < shift[0, 0] < 50, "100 px a second, half of it gone every quarter second"
    assert face.velocity[0] < 1
    assert face.variance > variance
    assert face.coasting_seconds == pytest.approx(2.0)


def test_the_box_moves_and_grows_with_the_landmarks() -> None:
    frames = shot(lambda t: (160 + 60 * t, 110, 0, 0.8 + 0.5 * t), frames=5)
    pictures = [FlowPicture.of(frame.planes) for frame in frames.frames]
    face = FollowedFace.seen(detection_at(frames.truth[0, 0]), pictures[0])
    for before, after in itertools.pairwise(pictures):
        face.advance(before, after, seconds=0.04)
    expected = detection_at(frames.truth[4, 0]).box
    assert face.detection.box.iou(expected) > 0.95
    assert face.velocity[0] > 20


def test_distance_is_counted_in_eye_distances(face: FollowedFace) -> None:
    there = detection_at(face.landmarks + np.array([2 * face.eye_distance, 0]))
    assert face.distance(there) == pytest.approx(2)


def test_the_eye_distance_of_a_profile_is_that_of_its_front() -> None:
    front = placed((160, 110, 0, 1.0)).apply(LANDMARKS)
    profile = Affine(np.array([[0.1, 0.0, 150.0], [0.0, 1.0, 0.0]])).apply(front)
    assert eye_distance(profile) > 0.8 * eye_distance(front)
    assert eye_distance(np.zeros((5, 2))) == 1
