"""What Torch-TensorRT is handed: our graphs as `torch.export` sees them. The rest of that backend needs a GPU."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from engine import select
from engine.onnx_file import read_interface
from engine.recast import recast
from engine.spec import Device, Network, Precision
from tests.engine import networks

torch = pytest.importorskip("torch", reason="install barefaced[training]")

from engine.torch_graph import exported, read_graph


def graph_of(network: Network) -> torch.nn.Module:
    return read_graph(network, read_interface(network), Device())


def test_one_program_for_every_batch() -> None:
    network = networks.tower()
    program = exported(graph_of(network), (torch.zeros(1, 3, 32, 32),), open_batch=True).module()
    with closing(select.load(network, backend="torch")) as reference:
        for count in (1, 2, 8):
            picture = np.random.default_rng(count).uniform(-1, 1, (count, 3, 32, 32)).astype(np.float32)
            (seen,) = program(torch.from_numpy(picture))
            np.testing.assert_allclose(seen.numpy(), reference.run({"picture": picture})["mask"], atol=1e-6)


def test_a_graph_that_computes_sizes_is_exported_for_one_shape() -> None:
    blob = np.random.default_rng(0).uniform(-100, 100, (1, 3, 64, 96)).astype(np.float32)
    program = exported(graph_of(networks.detector()), (torch.from_numpy(blob),), open_batch=False).module()
    with closing(select.load(networks.detector(), backend="torch")) as reference:
        expected = reference.run({"input": blob})
    for spec, seen in zip(reference.outputs, program(torch.from_numpy(blob)), strict=True):
        np.testing.assert_allclose(seen.numpy(), expected[spec.name], atol=1e-5)


def test_a_recast_graph_takes_and_gives_float32() -> None:
    network = recast(networks.tower(), Precision.BF16)
    program = exported(graph_of(network), (torch.zeros(1, 3, 32, 32),), open_batch=True).module()
    (seen,) = program(torch.ones(3, 3, 32, 32))
    assert (seen.dtype, tuple(seen.shape)) == (torch.float32, (3, 2, 32, 32))
