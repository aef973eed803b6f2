from __future__ import annotations

import numpy as np
import pytest

from engine.select import load
from engine.spec import Precision
from pipeline.errors import CheckpointError
from pipeline.recognisers import dlib_resnet

torch = pytest.importorskip("torch", reason="training needs torch")

from torch import Tensor, nn
from torch.nn import functional

from training.identity import networks
from training.identity.networks import (
    Block,
    DlibNetwork,
    EmbeddingUnmaskingModel,
    distance,
    mse_triplet,
    pretrained,
    self_restrained_triplet,
    triplet,
)


@pytest.mark.parametrize(("width", "weights"), [(128, 0.067e6), (512, 1.055e6)])
def test_it_is_as_large_as_the_papers(width: int, weights: float) -> None:
    network = EmbeddingUnmaskingModel(width)
    assert sum(value.numel() for value in network.parameters()) == pytest.approx(weights, rel=0.01)


def test_layers_are_the_papers() -> None:
    kinds = [type(layer) for layer in EmbeddingUnmaskingModel(8).layers]
    assert kinds == 3 * [nn.Linear, nn.BatchNorm1d, nn.LeakyReLU] + [nn.Linear, nn.BatchNorm1d]


def test_what_comes_out_is_of_unit_length() -> None:
    out = EmbeddingUnmaskingModel(128)(functional.normalize(torch.randn(5, 128, generator=torch.Generator())))
    assert out.shape == (5, 128)
    assert torch.allclose(out.norm(dim=1), torch.ones(5))


def test_it_begins_at_the_identity_but_for_mean_and_spread() -> None:
    draw = torch.Generator().manual_seed(0)
    bare = functional.normalize(torch.randn(4000, 16, generator=draw) * 0.3 + 1)
    masked = bare - 0.1  # the same spread about another mean
    network = EmbeddingUnmaskingModel(16)
    network.begin_as_they_are(bare)
    assert (network(masked) * bare).sum(1).mean() > 0.999


def at(*degrees: float) -> Tensor:
    """Points of the unit circle, (N, 2): the squared distance of two is 2 - 2 cos of the angle between."""
    angle = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angle.cos(), angle.sin()], 1)


POSITIVE, NEGATIVE = at(0, 0), at(90, 90)
"""d3 = 2 for both."""


def test_distance_is_squared_and_euclidean() -> None:
    assert distance(at(0, 0, 0), at(0, 90, 180)).tolist() == pytest.approx([0, 2, 4], abs=1e-6)


def test_triplet_by_hand() -> None:
    """d1 = 1, d2 = 2 - sqrt(3) at 60 degrees; d1 = 0, d2 = 2 at 0: the second has nothing to lose."""
    loss = triplet(at(60, 0), POSITIVE, NEGATIVE)
    assert loss.item() == pytest.approx((1 - (2 - 3**0.5) + 1 + 0) / 2, abs=1e-6)


def test_self_restrained_triplet_pushes_while_the_negative_is_too_near() -> None:
    """mu(d2) = (0.2679 + 2) / 2 is below mu(d3) = 2: the plain triplet loss with margin 2."""
    loss = self_restrained_triplet(at(60, 0), POSITIVE, NEGATIVE)
    assert loss.item() == pytest.approx(((1 - (2 - 3**0.5) + 2) + (0 - 2 + 2)) / 2, abs=1e-6)


def test_self_restrained_triplet_only_pulls_once_the_negative_is_far_enough() -> None:
    """At -60 and -30 degrees d2 = 2 + sqrt(3) and 3: beyond mu(d3) = 2, which stands in for both."""
    loss = self_restrained_triplet(at(-60, -30), POSITIVE, NEGATIVE)
    assert loss.item() == pytest.approx(((1 - 2 + 2) + (2 - 3**0.5 - 2 + 2)) / 2, abs=1e-6)


def test_the_switch_is_the_batchs_and_not_the_samples() -> None:
    """d2 = 0.2679 and 3.7321: their mean is mu(d3), so both only pull, though the first is too near."""
    loss = self_restrained_triplet(at(60, -60), POSITIVE, NEGATIVE)
    assert loss.item() == pytest.approx(1 - 2 + 2, abs=1e-6)


def test_the_restrained_loss_has_no_gradient_from_the_negative() -> None:
    negative = NEGATIVE.clone().requires_grad_()
    anchor = at(-60, -30).requires_grad_()
    self_restrained_triplet(anchor, POSITIVE, negative).backward()
    assert negative.grad is None
    pull = at(-60, -30).requires_grad_()
    distance(pull, POSITIVE).mean().backward()
    assert anchor.grad is not None
    assert pull.grad is not None
    assert torch.allclose(anchor.grad, pull.grad)


def test_mse_triplet_is_the_triplet_and_the_squared_difference() -> None:
    anchor = at(60, 0)
    assert mse_triplet(anchor, POSITIVE, NEGATIVE).item() == pytest.approx(
        triplet(anchor, POSITIVE, NEGATIVE).item() + 0.5, abs=1e-6
    )


def test_losses_agree_with_the_papers_formula_on_random_batches() -> None:
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        a, p, n = (functional.normalize(torch.randn(16, 8, generator=draw)) for _ in range(3))
        d1, d2, d3 = (((x - y) ** 2).sum(1) for x, y in ((a, p), (a, n), (p, n)))
        if d2.mean() >= d3.mean():
            wanted = torch.clamp(d1 + 2.0 - d3.mean(), min=0).mean()
        else:
            wanted = torch.clamp(d1 + 2.0 - d2, min=0).mean()
        assert self_restrained_triplet(a, p, n).item() == pytest.approx(wanted.item(), abs=1e-6)
        assert triplet(a, p, n).item() == pytest.approx(torch.clamp(d1 - d2 + 1, min=0).mean().item(), abs=1e-6)


needs_weights = pytest.mark.skipif(
    dlib_resnet.missing() is not None, reason="the recogniser's weights are in the extra `identity`"
)


@needs_weights
def test_the_trainable_network_gives_what_the_onnx_network_gives() -> None:
    """The largest difference of one of the 128 numbers stays under 1e-5, for noise, an even picture and a gradient."""
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 3, 150, 150)).astype(np.float32)
    pictures[1], pictures[2] = 90, np.linspace(0, 255, 150)
    engine = load(dlib_resnet.network(None), backend="onnxruntime", precision=Precision.F32, threads=1)
    expected = engine.run({"chip": pictures})["embedding"]
    engine.close()
    with torch.no_grad():
        found = pretrained()(torch.from_numpy(pictures)).numpy()
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(expected).max() > 0.1


@needs_weights
def test_weights_that_are_left_over_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = dlib_resnet.stored_weights()

    def one_more(_: bytes) -> object:
        yield from dlib_resnet.read_tensors(stored)
        yield np.zeros(1, np.float32)

    monkeypatch.setattr(networks, "read_tensors", one_more)
    with pytest.raises(CheckpointError, match="more layers"):
        pretrained()


def test_a_halving_block_adds_zeros_where_its_branches_differ() -> None:
    """From 5x5 the average gives 2x2 and so do the convolutions; from 8x8 they give 3x3 and the average 4x4."""
    block = Block(2, 3, halves=True)
    for weight in block.parameters():
        torch.nn.init.zeros_(weight)
    torch.nn.init.ones_(block.second.bias)
    assert block(torch.zeros(1, 2, 5, 5)).shape == (1, 3, 2, 2)
    found = block(torch.full((1, 2, 8, 8), 4.0))
    assert found.shape == (1, 3, 4, 4)
    assert found[0, 0, 0].tolist() == [5, 5, 5, 4], "the convolutions' 1 ends a place before the average's 4"
    assert found[0, 2, 3].tolist() == [0, 0, 0, 0], "the average has no third channel"


def test_every_weight_of_the_network_learns() -> None:
    network = DlibNetwork()
    torch.autograd.backward(network(torch.rand(2, 3, 150, 150) * 255).square().sum())
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())
