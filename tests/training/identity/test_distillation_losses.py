from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from training.identity.distillation_losses import SCALE, elastic_arc, template_distillation

CENTRES = torch.eye(3)


def test_distillation_compares_directions_and_averages_over_numbers() -> None:
    """At right angles the squared difference of two unit rows is 2, over 3 numbers; lengths do not matter."""
    student, teacher = torch.tensor([[5.0, 0, 0], [0, 0, 2.0]]), torch.tensor([[0, 0.1, 0], [0, 0, 1.0]])
    assert template_distillation(student, teacher).item() == pytest.approx((2 / 3 + 0) / 2)


def test_without_a_margin_it_is_the_softmax_of_scaled_cosines() -> None:
    student, person = torch.tensor([[3.0, 0.3, 0.0]]), torch.tensor([0])
    length = math.hypot(3, 0.3)
    logits = [SCALE * 3 / length, SCALE * 0.3 / length, 0.0]
    expected = math.log(sum(math.exp(logit - logits[0]) for logit in logits))
    found = elastic_arc(student, CENTRES * 7, person, margin=0.0, deviation=0.0)
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_the_margin_widens_the_angle_to_the_right_centre_alone() -> None:
    """Between two centres, at 45 degrees to both: the right one counts as 45 degrees and the margin away."""
    student, person, margin = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([1]), 0.1
    right, wrong = (SCALE * math.cos(angle) for angle in (math.pi / 4 + margin, math.pi / 4))
    expected = math.log(math.exp(right) + math.exp(wrong) + 1) - right
    found = elastic_arc(student, CENTRES, person, margin=margin, deviation=0.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_each_row_draws_its_own_margin() -> None:
    student, person = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([1])

    def losses(seed: int) -> list[float]:
        draw = torch.Generator().manual_seed(seed)
        return [
            elastic_arc(student, CENTRES, person, margin=0.1, deviation=0.05, generator=draw).item() for _ in range(200)
        ]

    found = losses(0)
    assert found == losses(0)
    fixed = elastic_arc(student, CENTRES, person, margin=0.1, deviation=0.0).item()
    assert min(found) < fixed < max(found)
    assert sum(found) / len(found) == pytest.approx(fixed, abs=0.5)


def test_a_gradient_is_finite_even_on_the_right_centre() -> None:
    student = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    torch.autograd.backward(elastic_arc(student, CENTRES, torch.tensor([0]), margin=0.1))
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
