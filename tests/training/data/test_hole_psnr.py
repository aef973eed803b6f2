import numpy as np
import pytest

from training.data.samples import hole_psnr


def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A truth, the same 51 too bright in its left half, and a hole over the middle half."""
    truth = np.full((4, 8, 3), 100, np.uint8)
    drawn = truth.copy()
    drawn[:, :4] += 51
    hole = np.zeros((4, 8), bool)
    hole[:, 2:6] = True
    return drawn, truth, hole


def test_only_what_was_hidden_counts() -> None:
    """Half of the hole is wrong by a fifth of the span: the mean square is 0.02."""
    drawn, truth, hole = pictures()
    assert hole_psnr(drawn, truth, hole, span=255) == pytest.approx(-10 * np.log10(0.02))


def test_a_soft_rim_counts_as_much_as_it_hides() -> None:
    drawn, truth, hole = pictures()
    soft = hole.astype(np.float32)
    soft[:, 2:4] = 0.5
    assert hole_psnr(drawn, truth, soft, span=255) == pytest.approx(-10 * np.log10(0.04 / 3))


def test_the_span_of_the_values_does_not_matter() -> None:
    drawn, truth, hole = pictures()
    scaled = [picture.astype(np.float32) / 127.5 - 1 for picture in (drawn, truth)]
    assert hole_psnr(*scaled, hole, span=2) == pytest.approx(hole_psnr(drawn, truth, hole, span=255), abs=1e-4)


def test_the_same_picture_is_as_near_as_can_be_told() -> None:
    _, truth, hole = pictures()
    assert hole_psnr(truth, truth, hole, span=255) == pytest.approx(100)
