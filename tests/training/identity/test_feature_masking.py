from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from training.identity.feature_masking import FeatureMasking, occlusion_loss


def test_it_begins_as_the_identity() -> None:
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
