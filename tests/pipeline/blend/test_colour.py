from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.blend.colour import correction
from pipeline.blend.hole import Hole, find_hole
from pipeline.picture.fields import FIELD_SIZE


@pytest.fixture
def hole() -> Hole:
    mask = np.zeros((256, 256), np.float32)
    mask[110:210, 80:176] = 1
    return find_hole(mask, grow_px=4, feather_px=8)


@pytest.fixture
def face() -> np.ndarray:
    noise = np.random.default_rng(2).uniform(60, 220, (8, 8, 3)).astype(np.float32)
    return cv2.resize(noise, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_CUBIC)


def inside(hole: Hole, field: np.ndarray) -> np.ndarray:
    return field[cv2.resize(hole.covered, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_AREA) == 255]


def test_a_right_drawing_is_left_alone(face: np.ndarray, hole: Hole) -> None:
    assert np.abs(correction(face, face, hole, limit=48)).max() < 0.1


def test_a_cast_is_taken_away(face: np.ndarray, hole: Hole) -> None:
    cast = np.array([12, -8, 20], np.float32)
    assert inside(hole, correction(face, face + cast, hole, limit=200)) == pytest.approx(
        np.broadcast_to(-cast, inside(hole, face).shape), abs=1.5
    )


def test_a_wrong_contrast_is_set_right(face: np.ndarray, hole: Hole) -> None:
    drawn = 0.8 * face + 10
    mended = drawn + correction(face, drawn, hole, limit=200)
    assert np.abs(inside(hole, mended - face)).mean() < 0.35 * np.abs(inside(hole, drawn - face)).mean()


def test_light_from_one_side_is_followed(face: np.ndarray, hole: Hole) -> None:
    light = np.linspace(-20, 20, FIELD_SIZE, dtype=np.float32)[None, :, None]
    mended = face - light + correction(face, face - light, hole, limit=200)
    assert np.abs(inside(hole, mended - face)).mean() < 4
    assert np.abs(light).mean() > 9


def test_what_is_hidden_says_nothing(face: np.ndarray, hole: Hole) -> None:
    soiled = face.copy()
    soiled[cv2.resize(hole.grown, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_AREA) > 0] = (0, 0, 255)
    assert np.abs(correction(soiled, face, hole, limit=48)).max() < 0.1


def test_something_else_beside_the_mask_does_not_tint_the_face(hole: Hole) -> None:
    face = np.full((FIELD_SIZE, FIELD_SIZE, 3), 150, np.float32)
    real = face.copy()
    real[30:36] = (20, 20, 220)  # a blue strap across
    assert np.abs(inside(hole, correction(real, face, hole, limit=48))).mean() < 3


def test_no_correction_is_larger_than_the_limit(face: np.ndarray, hole: Hole) -> None:
    assert np.abs(correction(face, face + 120, hole, limit=30)).max() <= 30


def test_without_a_rim_nothing_is_said(face: np.ndarray) -> None:
    everything = find_hole(np.ones((256, 256), np.float32), grow_px=4, feather_px=8)
    assert not correction(face, face + 50, everything, limit=48).any()
