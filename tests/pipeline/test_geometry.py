from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.geometry import (
    CANONICAL_LANDMARKS,
    CROP_SIZE,
    LANDMARK_WEIGHTS,
    Affine,
    Box,
    Landmarks,
    face_crop,
    similarity,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

numbers = st.floats(-500, 500)
angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.05, 20)


def turned(angle: float, scale: float, x: float, y: float) -> Affine:
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return Affine(np.array([[cosine, -sine, x], [sine, cosine, y]]))


@given(angles, scales, numbers, numbers)
def test_similarity_finds_the_transform_that_moved_the_points(angle: float, scale: float, x: float, y: float) -> None:
    moved = turned(angle, scale, x, y)
    found = similarity(CANONICAL_LANDMARKS, moved.apply(CANONICAL_LANDMARKS), LANDMARK_WEIGHTS)
    assert np.allclose(found.matrix, moved.matrix, atol=1e-6 * max(1, scale))


@given(angles, scales, numbers, numbers)
def test_inverse_brings_points_back(angle: float, scale: float, x: float, y: float) -> None:
    moved = turned(angle, scale, x, y)
    assert np.allclose(moved.inverse().apply(moved.apply(CANONICAL_LANDMARKS)), CANONICAL_LANDMARKS, atol=1e-5)
    assert np.allclose(moved.inverse().after(moved).matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-5)


@given(numbers, numbers)
def test_a_shift_moves_every_point_alike(x: float, y: float) -> None:
    assert np.allclose(Affine.shift(x, y).apply(CANONICAL_LANDMARKS), CANONICAL_LANDMARKS + np.array([x, y]))


@given(scales, scales)
def test_resizing_brings_the_corners_of_a_picture_to_its_corners(across: float, down: float) -> None:
    corners = np.array([[-0.5, -0.5], [7.5, 4.5]])  # of a picture of 8 by 5 pixels
    assert np.allclose(Affine.resize(across, down).apply(corners), (corners + 0.5) * (across, down) - 0.5)


@given(angles, scales, numbers, numbers)
def test_face_crop_puts_the_face_upright_wherever_it_was(angle: float, scale: float, x: float, y: float) -> None:
    points = turned(angle, scale, x, y).apply(CANONICAL_LANDMARKS).astype(np.float32)
    crop_from_frame = face_crop(Landmarks(points))
    assert np.allclose(crop_from_frame.apply(points), CANONICAL_LANDMARKS, atol=0.5)
    assert crop_from_frame.scale == pytest.approx(1 / scale, rel=1e-2)


def test_eyes_decide_the_crop_when_the_mouth_is_guessed_wrong() -> None:
    wrong = CANONICAL_LANDMARKS.astype(np.float32).copy()
    wrong[3:] += 30
    eyes = face_crop(Landmarks(wrong)).apply(wrong[:2])
    assert np.abs(eyes - CANONICAL_LANDMARKS[:2]).max() < 8


def test_crop_of_a_frame_with_wide_pixels_is_square() -> None:
    upright = Affine(np.array([[0.5, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    squeezed = upright.apply(CANONICAL_LANDMARKS).astype(np.float32)
    crop_from_frame = face_crop(Landmarks(squeezed), pixel_aspect=Fraction(2))
    assert np.allclose(crop_from_frame.apply(squeezed), CANONICAL_LANDMARKS, atol=0.01)


def test_points_that_fall_together_are_refused() -> None:
    with pytest.raises(ValueError, match="fall together"):
        face_crop(Landmarks(np.zeros((5, 2), np.float32)))


def test_wrong_shapes_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"\(4, 2\)"):
        Landmarks(np.zeros((4, 2), np.float32))
    with pytest.raises(ValueError, match="affine"):
        Affine(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="no inverse"):
        Affine(np.zeros((2, 3))).inverse()


@pytest.mark.parametrize(
    ("other", "share"),
    [
        (Box(0, 0, 10, 10), 1.0),
        (Box(5, 0, 15, 10), 1 / 3),
        (Box(10, 0, 20, 10), 0.0),
        (Box(30, 30, 40, 40), 0.0),
    ],
)
def test_iou(other: Box, share: float) -> None:
    box = Box(0, 0, 10, 10)
    assert box.iou(other) == pytest.approx(share)
    assert other.iou(box) == pytest.approx(share)


def test_canonical_face_is_symmetric_and_inside() -> None:
    mirrored: NDArray[np.float64] = CANONICAL_LANDMARKS[[1, 0, 2, 4, 3]] * [-1, 1] + [CROP_SIZE - 1, 0]
    assert np.allclose(mirrored, CANONICAL_LANDMARKS)
    assert (CANONICAL_LANDMARKS > 0).all()
    assert (CANONICAL_LANDMARKS < CROP_SIZE).all()
