from __future__ import annotations

import numpy as np
import pytest

from pipeline.demo.clip import LANDMARKS
from pipeline.find.flow import FlowPicture, fit_motion, follow, patch, pick_corners, upper_face
from pipeline.geometry import Affine
from tests.pipeline.moving_faces import Pose, frame_of, placed, shot, still


def picture(pose: Pose | None) -> FlowPicture:
    return FlowPicture.of(shot(lambda _: pose, frames=1).frames[0].planes)


@pytest.mark.parametrize(
    "pose",
    [(160.0, 110.0, 0.0, 0.8), (172.3, 105.6, 0.0, 0.8), (160.0, 112.0, 6.0, 0.8), (162.0, 110.0, -2.0, 0.86)],
    ids=["still", "moved", "turned", "grown"],
)
def test_the_motion_of_a_face_is_found(pose: Pose) -> None:
    start: Pose = (160.0, 110.0, 0.0, 0.8)
    before, after = picture(start), picture(pose)
    landmarks = placed(start).apply(LANDMARKS)
    motion = follow(before, after, pick_corners(before, landmarks))
    assert motion is not None
    error = np.linalg.norm(motion.after_from_before.apply(landmarks) - placed(pose).apply(LANDMARKS), axis=1)
    assert error.max() < 0.5


def test_nothing_is_followed_into_another_picture() -> None:
    before, after = picture((160, 110, 0, 0.8)), picture(None)
    corners = pick_corners(before, placed((160, 110, 0, 0.8)).apply(LANDMARKS))
    assert len(corners) > 10
    assert follow(before, after, corners) is None


def test_a_flat_picture_has_no_corners() -> None:
    flat = FlowPicture.of(frame_of(np.full((240, 320, 3), 128, np.uint8)).planes)
    assert len(pick_corners(flat, placed((160, 110, 0, 0.8)).apply(LANDMARKS))) == 0
    assert follow(flat, flat, np.empty((0, 2))) is None


def test_a_face_outside_the_picture_has_no_corners() -> None:
    before = picture((160, 110, 0, 0.8))
    for x, y in ((-200.0, 100.0), (600.0, 100.0), (160.0, -300.0), (160.0, 700.0)):
        assert len(pick_corners(before, placed((x, y, 0, 0.8)).apply(LANDMARKS))) == 0


def test_corners_lie_on_the_upper_face() -> None:
    before = picture((160, 110, 0, 0.8))
    landmarks = placed((160, 110, 0, 0.8)).apply(LANDMARKS)
    corners, region = pick_corners(before, landmarks), upper_face(landmarks)
    assert (corners >= region.min(axis=0) - 1).all()
    assert (corners <= region.max(axis=0) + 1).all()
    assert corners[:, 1].max() < landmarks[2, 1] + 8, "the nose"


def test_a_large_frame_is_looked_at_small_and_answers_in_frame_pixels() -> None:
    small = shot(still(), frames=1).frames[0].image
    large = np.ascontiguousarray(small.repeat(4, axis=0).repeat(4, axis=1))
    looked_at = FlowPicture.of(frame_of(large).planes)
    assert looked_at.shrink == 2
    assert looked_at.luma.shape == (480, 640)
    points = np.array([[0.5, 0.5], [1279.0, 959.0]])
    np.testing.assert_allclose(looked_at.full(looked_at.small(points)), points, atol=1e-3)
    np.testing.assert_allclose(looked_at.small(np.array([[0.5, 0.5]])), 0, atol=1e-6)


def test_outliers_do_not_move_the_fit() -> None:
    draw = np.random.default_rng(4)
    before = draw.uniform(0, 60, (30, 2))
    truth = Affine(np.array([[1.02, -0.05, 4.0], [0.05, 1.02, -7.0]]))
    after = truth.apply(before) + draw.normal(0, 0.05, (30, 2))
    after[:10] += [9.0, 5.0]
    motion, agrees = fit_motion(before, after, scale_px=1.0)
    assert agrees.tolist() == [False] * 10 + [True] * 20
    np.testing.assert_allclose(motion.matrix, truth.matrix, atol=0.15)
    np.testing.assert_allclose(motion.apply([30, 30]), truth.apply([30, 30]), atol=0.05)


def test_a_patch_is_the_same_whatever_the_exposure_and_the_pose() -> None:
    start: Pose = (160.0, 110.0, 0.0, 0.8)
    moved: Pose = (150.0, 120.0, 10.0, 0.9)
    face = patch(picture(start), placed(start).apply(LANDMARKS))
    same = patch(picture(moved), placed(moved).apply(LANDMARKS))
    made = shot(still(), frames=1).frames[0]
    dark = FlowPicture.of(frame_of((made.image * 0.5).astype(np.uint8)).planes)
    elsewhere = patch(picture(start), placed((70, 60, 0, 0.8)).apply(LANDMARKS))
    assert (face * face).sum() == pytest.approx(1, abs=1e-4)
    assert (face * same).sum() > 0.9
    assert (face * patch(dark, placed(start).apply(LANDMARKS))).sum() > 0.95
    assert (face * elsewhere).sum() < 0.5
