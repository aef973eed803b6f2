import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from torch import Tensor, nn
from torch.nn import functional

from training.identity.model import EmbeddingUnmaskingModel, distance, mse_triplet, self_restrained_triplet, triplet


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
