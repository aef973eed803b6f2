from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from torch import nn
from torch.nn import functional

from training.identity.model import EmbeddingUnmaskingModel


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
