from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.blend.register import register
from pipeline.geometry import Affine

SIZE = 64
EVERYWHERE = np.ones((SIZE, SIZE), np.float32)
PLACES = np.array([[20.0, 15.0], [44.0, 15.0], [20.0, 50.0], [44.0, 50.0]])


def scene() -> np.ndarray:
    noise = np.random.default_rng(5).uniform(40, 220, (16, 16)).astype(np.float32)
    return cv2.GaussianBlur(cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), (0, 0), 1.5)


def seen_through(image: np.ndarray, moved_from_fixed: Affine) -> np.ndarray:
    return cv2.warpAffine(
        image, moved_from_fixed.matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


@pytest.mark.parametrize(
    ("shift", "turn", "growth"),
    [((0.3, -0.2), 0, 0), ((-0.1, 0.15), 0.01, 0), ((0.4, 0.4), -0.008, 0.01), ((0, 0), 0, 0)],
)
def test_a_small_movement_is_found(shift: tuple[float, float], turn: float, growth: float) -> None:
    linear = np.array([[1 + growth, -turn], [turn, 1 + growth]])
    middle = np.full(2, (SIZE - 1) / 2)
    moved_from_fixed = Affine(np.column_stack([linear, middle + shift - linear @ middle]))
    found = register(seen_through(scene(), moved_from_fixed), scene(), EVERYWHERE)
    assert np.hypot(*(found.apply(PLACES) - moved_from_fixed.apply(PLACES)).T).max() < 0.08


def test_what_does_not_count_does_not_pull() -> None:
    other = scene()
    other[40:] = np.roll(other, 7, axis=1)[40:]
    where = EVERYWHERE.copy()
    where[36:] = 0
    assert np.hypot(*(register(other, scene(), where).apply(PLACES) - PLACES).T).max() < 0.05


def test_a_patch_that_moves_otherwise_hardly_pulls() -> None:
    other = scene()
    other[30:42, 20:44] = 255 - other[30:42, 20:44]
    assert np.hypot(*(register(other, scene(), EVERYWHERE).apply(PLACES) - PLACES).T).max() < 0.3


def test_a_plain_picture_stays_where_it_is() -> None:
    plain = np.full((SIZE, SIZE), 90, np.float32)
    assert register(plain + 5, plain, EVERYWHERE).matrix == pytest.approx(np.eye(2, 3))
