from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from training.identity.my_eyes import MARGIN, my_eyes, nearest_stranger


def at(*degrees: float) -> torch.Tensor:
    """Points of the unit circle (N, 2): the squared distance of two is 2 - 2 cos of the angle between."""
    angle = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angle.cos(), angle.sin()], 1)


def squared(degrees: float) -> float:
    return 2 - 2 * math.cos(math.radians(degrees))


def test_the_nearest_stranger_is_never_the_same_person() -> None:
    """At 0 and 5 degrees is one person; 20 is nearer to 5 than 90 is."""
    found = nearest_stranger(at(0, 5, 20, 90), torch.tensor([0, 0, 1, 2]))
    assert torch.allclose(found, at(20, 20, 5, 20), atol=1e-6)


def test_the_loss_is_the_triplet_and_the_pull_to_the_bare_photo() -> None:
    """Two people, 30 degrees apart: the first one's mask turns it by 20 degrees, the second one's by none."""
    masked, bare, positive = at(20, 30), at(3, 30), at(0, 30)
    triplets = [max(0, squared(20) - squared(10) + MARGIN), max(0, 0 - squared(30) + MARGIN)]
    expected = sum(triplets) / 2 + (squared(17) + 0) / 2
    assert my_eyes(masked, bare, positive, torch.tensor([0, 1])).item() == pytest.approx(expected, abs=1e-5)


def test_people_apart_and_masks_unnoticed_leave_nothing_to_lose() -> None:
    here = at(0, 120, 240)
    assert my_eyes(here, here, here, torch.tensor([0, 1, 2])).item() == pytest.approx(0, abs=1e-6)
