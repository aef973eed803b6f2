from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from training.identity.ffr_net import RectificationBlock, self_similarity


@pytest.fixture
def value() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 8, 3, 3)


def test_self_similarity_is_the_cosine_of_every_two_rows() -> None:
    rows = torch.tensor([[[3.0, 0], [0, 2], [1, 1]]])
    half = 0.5**0.5
    assert self_similarity(rows)[0].flatten().tolist() == pytest.approx([1, 0, half, 0, 1, half, half, half, 1])


def test_it_begins_as_the_identity(value: torch.Tensor) -> None:
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
