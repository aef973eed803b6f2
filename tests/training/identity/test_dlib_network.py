from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from engine.select import load
from engine.spec import Precision
from pipeline.errors import CheckpointError
from pipeline.recognisers import dlib_resnet
from training.identity import dlib_network
from training.identity.dlib_network import Block, DlibNetwork, pretrained

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

    monkeypatch.setattr(dlib_network, "read_tensors", one_more)
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
