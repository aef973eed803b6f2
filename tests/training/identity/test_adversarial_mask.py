from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from torch.nn import functional

from engine.spec import TensorSpec
from pipeline.geometry import CROP_SIZE, Affine
from tests.pipeline.faces import MadeEngine
from training.identity.adversarial_mask import (
    PATTERN,
    SMOOTHNESS,
    Wearer,
    adversarial_loss,
    likeness,
    optimise,
    overlap,
    total_variation,
    worn,
)


def made(size: int = 40, level: int = 90) -> Wearer:
    """An even face whose lower half is masked; across and down the pattern lies on that half once."""
    cover = np.zeros((size, size), np.float32)
    cover[size // 2 :] = 1
    places = np.zeros((size, size, 2), np.float32)
    places[..., 0] = np.linspace(-1, 1, size)
    places[size // 2 :, :, 1] = np.linspace(-1, 1, size // 2)[:, None]
    return Wearer(np.full((size, size, 3), level, np.uint8), cover, places)


def test_the_pattern_is_printed_where_the_mask_lies_and_nowhere_else() -> None:
    pattern = torch.zeros(3, PATTERN, PATTERN)
    pattern[0, :, PATTERN // 2 :] = 1
    (picture,) = worn(pattern, [made()])
    assert picture[:, :20].unique().tolist() == [90]
    assert picture[0, 25, 35].item() == pytest.approx(255)
    assert picture[0, 25, 5].item() == pytest.approx(0)
    assert picture[1, 25, 35].item() == pytest.approx(0)


def test_total_variation_is_the_mean_step_between_neighbours() -> None:
    pattern = torch.zeros(3, 4, 5)
    pattern[:, :, 2:] = 0.5
    assert total_variation(pattern).item() == pytest.approx(0.5 / 4)
    assert total_variation(torch.full((3, 4, 4), 0.3)).item() == 0


def test_the_loss_is_the_mean_cosine_and_a_tenth_of_the_variation() -> None:
    masked, bare = torch.tensor([[2.0, 0], [1, 1]]), torch.tensor([[1.0, 0], [0, 3]])
    pattern = torch.zeros(3, 4, 5)
    pattern[:, :, 2:] = 0.5
    expected = (1 + 0.5**0.5) / 2 + SMOOTHNESS * 0.125
    assert adversarial_loss(masked, bare, pattern).item() == pytest.approx(expected)


class Colour(torch.nn.Module):
    """A recogniser that looks at the mean colour beside a constant."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return functional.pad(pictures.mean((2, 3)) - 40, (0, 1), value=60.0)


def test_the_pattern_makes_the_wearer_unlike_their_bare_photo() -> None:
    wearers = [made(level=90), made(level=95)]
    found = optimise(Colour(), wearers, steps=60, batch=2, seed=0)
    assert found.shape == (3, PATTERN, PATTERN)
    assert found.min() >= 0
    assert found.max() <= 1
    grey = torch.full_like(found, 0.5)
    assert likeness(Colour(), found, wearers) < likeness(Colour(), grey, wearers) - 0.03


def test_a_face_moves_with_its_mask_and_places() -> None:
    half = made().moved(Affine(np.array([[0.5, 0, 0], [0, 0.5, 0]])), 20)
    assert half.picture.shape == (20, 20, 3)
    assert half.cover[4, 10] == 0
    assert half.cover[15, 10] == 1
    assert half.places[15, 10] == pytest.approx(made().places[30, 20], abs=0.06)


def test_overlap_is_the_mean_iou_of_found_and_true_masks() -> None:
    """The segmenter takes the lower quarter for mask, the mask covers the lower half: half of their union."""
    found = np.zeros((1, 1, 64, 64), np.float32)
    found[..., 48:, :] = 0.9
    spec = TensorSpec("crop", (None, 3, 64, 64), np.dtype(np.float32))
    segmenter = MadeEngine(lambda feeds: {"mask": np.repeat(found, len(feeds["crop"]), 0)}, inputs=(spec,))
    crops = [made(CROP_SIZE), made(CROP_SIZE, level=200)]
    assert overlap(segmenter, torch.full((3, PATTERN, PATTERN), 0.5), crops) == pytest.approx(0.5, abs=0.01)
    (fed,) = segmenter.fed
    assert fed["crop"].shape == (2, 3, 64, 64)
    assert fed["crop"][1, 0, 0, 0] == pytest.approx(200 / 127.5 - 1)
