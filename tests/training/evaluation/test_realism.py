from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.geometry import CROP_SIZE, Affine
from training.evaluation.measures import jaw_edge, kernel_distance, sharpness, thin_parts

ITSELF = Affine.shift(0, 0)
"""The photo is the crop."""


def lower_half() -> np.ndarray:
    alpha = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    alpha[130:250, 40:216] = 1
    return alpha


def noisy(deviation: float, *, below: float | None = None) -> np.ndarray:
    """Grey with noise, another one below the nose if asked."""
    noise = np.random.default_rng(0).standard_normal((CROP_SIZE, CROP_SIZE, 1)) * deviation
    if below is not None:
        noise[130:] *= below / deviation
    return np.clip(128 + np.repeat(noise, 3, axis=2), 0, 255).astype(np.uint8)


def head(*, blur: float = 0.0, edge: float = 60.0) -> np.ndarray:
    """A bright head on a dark ground."""
    image = np.full((CROP_SIZE, CROP_SIZE, 3), 100 - edge / 2, np.float32)
    cv2.ellipse(image, (128, 128), (64, 82), 0, 0, 360, (100 + edge / 2,) * 3, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), blur) if blur else image, np.uint8)


def test_sharpness_is_the_ratio_of_fine_energy() -> None:
    assert sharpness(noisy(10), lower_half(), ITSELF) == pytest.approx(1, rel=0.1)
    assert sharpness(noisy(10, below=5), lower_half(), ITSELF) == pytest.approx(0.25, rel=0.15)


def test_sharpness_does_not_count_what_is_coarse() -> None:
    coarse = cv2.GaussianBlur(noisy(60), (0, 0), 4)
    image = noisy(6).astype(int)
    image[130:] += coarse[130:].astype(int) - 128
    found = sharpness(np.clip(image, 0, 255).astype(np.uint8), lower_half(), ITSELF)
    assert found == pytest.approx(1, rel=0.15)


def test_sharpness_says_nothing_of_a_face_that_is_all_hidden() -> None:
    assert sharpness(noisy(10), np.ones((CROP_SIZE, CROP_SIZE), np.float32), ITSELF) is None


def test_jaw_edge_falls_as_the_jaw_dissolves() -> None:
    truth = head()
    assert jaw_edge(truth, truth, lower_half(), ITSELF) == pytest.approx(1)
    soft, faint = (jaw_edge(image, truth, lower_half(), ITSELF) for image in (head(blur=6), head(edge=20)))
    assert soft is not None
    assert soft < 0.5
    assert faint == pytest.approx(1 / 3, rel=0.2)


def test_jaw_edge_needs_a_hidden_jaw() -> None:
    assert jaw_edge(head(), head(), np.zeros((CROP_SIZE, CROP_SIZE), np.float32), ITSELF) is None


def test_thin_parts_are_straps_and_not_the_mask() -> None:
    mask = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    cv2.rectangle(mask, (80, 130), (176, 200), 1, -1)
    cv2.line(mask, (176, 140), (230, 120), 1, 4)
    cv2.line(mask, (80, 140), (20, 120), 1, 14)
    thin = thin_parts(mask.astype(np.float32))
    assert thin[120:145, 186:228].sum() > 100
    assert not thin[:, :180].any()


def test_kernel_distance_tells_sets_apart_and_not_a_set_from_itself_in_another_order() -> None:
    rng = np.random.default_rng(1)
    one, other = (rng.standard_normal((200, 32)).astype(np.float32) for _ in range(2))
    near, low, high = kernel_distance(one, other) or (1, 1, 1)
    assert low < 0 < high
    assert abs(near) < 0.1
    far, far_low, _ = kernel_distance(one + 1, other) or (0, 0, 0)
    assert far > 10 * abs(near)
    assert far_low > 0
    assert kernel_distance(one[:10], other[:10]) is None
