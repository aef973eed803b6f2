import math

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage", reason="the measures are those of scikit-image")

from training.evaluation.measures import nearness, squared


def picture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (256, 256, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)


def hole() -> np.ndarray:
    hidden = np.zeros((256, 256), bool)
    hidden[64:128, 64:192] = True
    return hidden


def test_figures_by_hand() -> None:
    """Eight steps too bright in one eighth of the picture, in all channels."""
    truth = (picture() // 2).astype(np.uint8)
    result = truth.copy()
    result[hole()] += 8
    found = nearness(result, truth, hole())
    assert found.hole_psnr == pytest.approx(20 * math.log10(255 / 8), abs=1e-6)
    assert found.psnr - found.hole_psnr == pytest.approx(10 * math.log10(8), abs=1e-6)
    assert found.l1 == pytest.approx(8 / 8 / 255, abs=1e-9)


def test_grey_l1_does_not_see_a_change_of_hue_alone() -> None:
    truth = np.full((256, 256, 3), 100, np.uint8)
    result = truth.copy()
    result[hole()] += np.array([9, 0, 247], np.uint8)  # red up by 9, blue down by 9
    found = nearness(result, truth, hole())
    assert found.l1 == pytest.approx(0, abs=1e-9)
    assert found.hole_psnr == pytest.approx(10 * math.log10(255**2 / 54), abs=1e-6)


def test_ssim_is_the_mean_over_windows_of_eleven() -> None:
    """From its definition (Wang et al. 2004), with a plain window and unbiased variances as scikit-image takes them."""
    truth, result = picture(1), picture(2)
    found = nearness(result, truth, np.ones((256, 256), bool))
    channels = []
    for a, b in zip(np.float64(truth).transpose(2, 0, 1), np.float64(result).transpose(2, 0, 1), strict=True):
        mean_a, mean_b, aa, bb, ab = (cv2.blur(x, (11, 11))[5:-5, 5:-5] for x in (a, b, a * a, b * b, a * b))
        whole = 121 / 120
        spread_a, spread_b = whole * (aa - mean_a**2), whole * (bb - mean_b**2)
        shared = whole * (ab - mean_a * mean_b)
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        above, below = (2 * mean_a * mean_b + c1) * (2 * shared + c2), mean_a**2 + mean_b**2 + c1
        channels.append((above / (below * (spread_a + spread_b + c2))).mean())
    assert found.ssim == pytest.approx(np.mean(channels), abs=1e-6)


def test_hole_ssim_sees_the_hole_only() -> None:
    truth = picture()
    inside, outside = truth.copy(), truth.copy()
    inside[80:112, 80:176] = 0
    outside[200:240, 80:176] = 0
    assert nearness(inside, truth, hole()).hole_ssim < 0.8
    assert nearness(outside, truth, hole()).hole_ssim == pytest.approx(1)


def test_nothing_to_measure_is_refused() -> None:
    truth = picture()
    with pytest.raises(ValueError, match="truth itself"):
        nearness(truth.copy(), truth, hole())
    with pytest.raises(ValueError, match="no pixel is hidden"):
        nearness(picture(1), truth, np.zeros((256, 256), bool))


def test_pictures_are_brought_to_size_without_mixing_pixels() -> None:
    narrow = picture()[:218, :178]
    square = squared(narrow)
    assert square.shape == (256, 256, 3)
    assert set(map(tuple, square.reshape(-1, 3))) <= set(map(tuple, narrow.reshape(-1, 3)))
    assert np.array_equal(square[0, 0], narrow[0, 0])
    assert np.array_equal(square[-1, -1], narrow[-1, -1])
