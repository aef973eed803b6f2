from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from training.identity.methods import (
    SOFTMAX_SCALE,
    TRIPLET_MARGIN,
    FeatureMasking,
    RectificationBlock,
    elastic_arc,
    my_eyes,
    nearest_stranger,
    occlusion_loss,
    self_similarity,
    template_distillation,
)

CENTRES = torch.eye(3)


def test_distillation_compares_directions_and_averages_over_numbers() -> None:
    """At right angles the squared difference of two unit rows is 2, over 3 numbers; lengths do not matter."""
    student, teacher = torch.tensor([[5.0, 0, 0], [0, 0, 2.0]]), torch.tensor([[0, 0.1, 0], [0, 0, 1.0]])
    assert template_distillation(student, teacher).item() == pytest.approx((2 / 3 + 0) / 2)


def test_without_a_margin_it_is_the_softmax_of_scaled_cosines() -> None:
    student, person = torch.tensor([[3.0, 0.3, 0.0]]), torch.tensor([0])
    length = math.hypot(3, 0.3)
    logits = [SOFTMAX_SCALE * 3 / length, SOFTMAX_SCALE * 0.3 / length, 0.0]
    expected = math.log(sum(math.exp(logit - logits[0]) for logit in logits))
    found = elastic_arc(student, CENTRES * 7, person, margin=0.0, deviation=0.0)
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_the_margin_widens_the_angle_to_the_right_centre_alone() -> None:
    """Between two centres, at 45 degrees to both: the right one counts as 45 degrees and the margin away."""
    student, person, margin = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([1]), 0.1
    right, wrong = (SOFTMAX_SCALE * math.cos(angle) for angle in (math.pi / 4 + margin, math.pi / 4))
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


def test_feature_masking_begins_as_the_identity() -> None:
    value = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    masking = FeatureMasking(8)
    assert masking.trust(value).unique().tolist() == [0.5]
    assert torch.equal(masking(value), value)


def test_what_is_not_trusted_is_turned_down() -> None:
    masking = FeatureMasking(8)
    torch.nn.init.constant_(masking.decoder[-1].bias, -math.log(9))
    assert masking(torch.ones(1, 8, 4, 4)).flatten().tolist() == pytest.approx([2 * 0.1] * 128)


def test_the_predictor_sees_the_trust_alone() -> None:
    masking = FeatureMasking(8)
    torch.nn.init.constant_(masking.predictor.weight, 0.25)
    torch.nn.init.zeros_(masking.predictor.bias)
    trust = torch.zeros(1, 8, 4, 4)
    trust[0, :, 1, 2] = 1
    logits = masking.occlusion(trust)
    assert logits.shape == (1, 4, 4)
    assert logits[0, 1, 2].item() == pytest.approx(2)
    assert logits.abs().sum().item() == pytest.approx(2)


def test_occlusion_loss_is_the_cross_entropy_of_shares() -> None:
    logits, cover = torch.tensor([[[math.log(3)]]]), torch.tensor([[[0.25]]])
    expected = -(0.25 * math.log(0.75) + 0.75 * math.log(0.25))
    assert occlusion_loss(logits, cover).item() == pytest.approx(expected)


def test_the_decoder_learns_from_where_the_mask_is() -> None:
    """The gradient of the predictor's loss reaches the decoder, so that it must look at the occlusion."""
    torch.manual_seed(0)
    masking = FeatureMasking(8)
    logits = masking.occlusion(masking.trust(torch.randn(2, 8, 4, 4)))
    torch.autograd.backward(occlusion_loss(logits, torch.rand(2, 4, 4)))
    last = masking.decoder[-1]
    assert last.weight.grad is not None
    assert last.weight.grad.abs().sum() > 0


@pytest.fixture
def value() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 8, 3, 3)


def test_self_similarity_is_the_cosine_of_every_two_rows() -> None:
    rows = torch.tensor([[[3.0, 0], [0, 2], [1, 1]]])
    half = 0.5**0.5
    assert self_similarity(rows)[0].flatten().tolist() == pytest.approx([1, 0, half, 0, 1, half, half, half, 1])


def test_rectification_begins_as_the_identity(value: torch.Tensor) -> None:
    assert torch.allclose(RectificationBlock(8, 3)(value), value, atol=1e-6)


def test_both_matrices_are_shares(value: torch.Tensor) -> None:
    block = RectificationBlock(8, 3)
    for matrix, size in ((block.space_matrix(value), 9), (block.channel_matrix(value), 8)):
        assert matrix.shape == (2, size, size)
        assert matrix.min() > 0
        assert matrix.max() < 1


def test_the_merged_map_is_made_of_mixed_places_and_mixed_channels(value: torch.Tensor) -> None:
    """X M / places for the places, and M (X + X mirrored) / 2 / channels for the channels, written out as sums."""
    block = RectificationBlock(8, 3)
    space, channel = block.space_matrix(value), block.channel_matrix(value)
    rows, mirrored = value.reshape(2, 8, 9), value.flip(3).reshape(2, 8, 9)
    by_space = torch.einsum("ncp,npq->ncq", rows, space) / 9
    by_channel = torch.einsum("ncd,ndp->ncp", channel, (rows + mirrored) / 2) / 8
    for branch, expected in ((1, by_space), (2, by_channel)):
        torch.nn.init.zeros_(block.merge.weight)
        torch.nn.init.dirac_(block.merge.weight[:, 8 * branch : 8 * (branch + 1)])
        assert torch.allclose(block(value).reshape(2, 8, 9), expected, atol=1e-6)


def test_a_constant_space_matrix_gives_every_place_the_same(value: torch.Tensor) -> None:
    block = RectificationBlock(8, 3)
    torch.nn.init.zeros_(block.space[-1].weight)
    torch.nn.init.zeros_(block.space[-1].bias)
    assert block.space_matrix(value).unique().tolist() == [0.5]


def test_every_weight_learns_once_the_merge_looks_at_the_branches(value: torch.Tensor) -> None:
    block = RectificationBlock(8, 3)
    torch.nn.init.normal_(block.merge.weight)
    torch.autograd.backward(block(value).square().sum())
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in block.parameters())


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
    triplets = [max(0, squared(20) - squared(10) + TRIPLET_MARGIN), max(0, 0 - squared(30) + TRIPLET_MARGIN)]
    expected = sum(triplets) / 2 + (squared(17) + 0) / 2
    assert my_eyes(masked, bare, positive, torch.tensor([0, 1])).item() == pytest.approx(expected, abs=1e-5)


def test_people_apart_and_masks_unnoticed_leave_nothing_to_lose() -> None:
    here = at(0, 120, 240)
    assert my_eyes(here, here, here, torch.tensor([0, 1, 2])).item() == pytest.approx(0, abs=1e-6)
