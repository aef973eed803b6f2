"""The reference against ONNX Runtime, operator by operator."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine import select
from pipeline.errors import EngineError
from tests.engine import networks

if TYPE_CHECKING:
    from engine.spec import Network

onnx = pytest.importorskip("onnx", reason="install barefaced[training]")
pytest.importorskip("torch", reason="install barefaced[training]")

FLOAT = np.float32
INT = np.int64
RANDOM = np.random.default_rng(2)

CASES: dict[str, tuple[list[tuple[str, list[str], dict[str, Any]]], dict[str, Any]]] = {
    "conv of groups, strides and bias": (
        [("Conv", ["x", "w", "b"], {"group": 2, "strides": [2, 1], "pads": [0, 1, 2, 3]})],
        {"w": RANDOM.normal(size=(6, 2, 3, 3)).astype(FLOAT), "b": RANDOM.normal(size=6).astype(FLOAT)},
    ),
    "conv in one and three dimensions": (
        [
            ("Reshape", ["x", "flat"], {}),
            ("Conv", ["", "w"], {"pads": [1, 1]}),
            ("Unsqueeze", ["", "axes"], {}),
            ("Unsqueeze", ["", "axes"], {}),
            ("Conv", ["", "w3"], {"pads": [0, 0, 1, 0, 0, 1]}),
        ],
        {
            "flat": np.array([0, 4, 48], INT),
            "w": RANDOM.normal(size=(4, 4, 3)).astype(FLOAT),
            "axes": np.array([2], INT),
            "w3": RANDOM.normal(size=(2, 4, 1, 1, 3)).astype(FLOAT),
        },
    ),
    "transposed conv of groups, strides and bias": (
        [("ConvTranspose", ["x", "w", "b"], {"group": 2, "strides": [2, 3], "dilations": [1, 2]})],
        {"w": RANDOM.normal(size=(4, 3, 2, 3)).astype(FLOAT), "b": RANDOM.normal(size=6).astype(FLOAT)},
    ),
    "average pool": ([("AveragePool", ["x"], {"kernel_shape": [2, 2], "strides": [2, 2]})], {}),
    "max pool": ([("MaxPool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})], {}),
    "global average pool": ([("GlobalAveragePool", ["x"], {})], {}),
    "batch normalisation": (
        [("BatchNormalization", ["x", "s", "b", "m", "v"], {"epsilon": 1e-3})],
        {name: RANDOM.uniform(0.5, 1.5, 4).astype(FLOAT) for name in "sbmv"},
    ),
    "pad with a value": (
        [("Pad", ["x", "p", "v"], {})],
        {"p": np.array([0, 1, 2, 0, 0, 0, 1, 3], INT), "v": np.array(7, FLOAT)},
    ),
    "pad by mirroring": ([("Pad", ["x", "p"], {"mode": "reflect"})], {"p": np.array([0, 0, 2, 1, 0, 0, 1, 3], INT)}),
    "pad by repeating": ([("Pad", ["x", "p"], {"mode": "edge"})], {"p": np.array([0, 0, 2, 1, 0, 0, 1, 3], INT)}),
    "resize to the nearest": (
        [
            (
                "Resize",
                ["x", "", "s"],
                {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
            )
        ],
        {"s": np.array([1, 1, 2, 2], FLOAT)},
    ),
    "resize between": (
        [("Resize", ["x", "", "", "z"], {"mode": "linear", "coordinate_transformation_mode": "half_pixel"})],
        {"z": np.array([1, 4, 9, 11], INT)},
    ),
    "depth to space, both orders": (
        [("DepthToSpace", ["x"], {"blocksize": 2, "mode": "DCR"}), ("SpaceToDepth", [""], {"blocksize": 2})],
        {},
    ),
    "depth to space in PyTorch's order": ([("DepthToSpace", ["x"], {"blocksize": 2, "mode": "CRD"})], {}),
    "slice backwards and in steps": (
        [("Slice", ["x", "s", "e", "a", "t"], {})],
        {
            "s": np.array([-1, 1], INT),
            "e": np.array([-100, 100], INT),
            "a": np.array([3, 1], INT),
            "t": np.array([-2, 2], INT),
        },
    ),
    "shape arithmetic": (
        [
            ("Shape", ["x"], {"start": 1, "end": -1}),
            ("Gather", ["", "i"], {}),
            ("Cast", [""], {"to": 1}),
            ("Div", ["", "d"], {}),
            ("Mul", ["", "d"], {}),
        ],
        {"i": np.array([-1, 1], INT), "d": np.array([2, 4], FLOAT)},
    ),
    "squeeze, transpose, softmax": (
        [("Squeeze", ["x", "a"], {}), ("Transpose", [""], {"perm": [2, 0, 1]}), ("Softmax", [""], {"axis": 1})],
        {"a": np.array([0], INT)},
    ),
    "activations": (
        [
            ("LeakyRelu", ["x"], {"alpha": 0.3}),
            ("Clip", ["", "", "h"], {}),
            ("Tanh", [""], {}),
            ("Relu", [""], {}),
            ("Sigmoid", [""], {}),
            ("Sub", ["", "h"], {}),
        ],
        {"h": np.array(0.8, FLOAT)},
    ),
    "a slope for each channel": ([("PRelu", ["x", "w"], {})], {"w": np.array([[[0.1]], [[2]], [[-1]], [[0]]], FLOAT)}),
    "sums of products, turned and weighted": (
        [
            ("ReduceMean", ["x", "a"], {"keepdims": 0}),
            ("Gemm", ["", "m", "b"], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
            ("Gemm", ["", "n"], {"transA": 1}),
        ],
        {
            "a": np.array([0, 1], INT),
            "m": RANDOM.normal(size=(5, 8)).astype(FLOAT),
            "b": RANDOM.normal(size=5).astype(FLOAT),
            "n": RANDOM.normal(size=(6, 3)).astype(FLOAT),
        },
    ),
    "mean and matrix product": (
        [("ReduceMean", ["x", "a"], {"keepdims": 0}), ("MatMul", ["", "m"], {})],
        {"a": np.array([1], INT), "m": RANDOM.normal(size=(8, 5)).astype(FLOAT)},
    ),
}


def chain(nodes: list[tuple[str, list[str], dict[str, Any]]], weights: dict[str, Any]) -> Network:
    """A network of nodes, each fed with the one before where its first input has no name."""
    made, last = [], "x"
    for place, (operator, inputs, attributes) in enumerate(nodes):
        names = [last if slot == 0 and not name else name for slot, name in enumerate(inputs)]
        last = "y" if place == len(nodes) - 1 else f"_{place}"
        made.append(onnx.helper.make_node(operator, names, [last], **attributes))
    return networks.build("chain", made, weights, inputs={"x": [1, 4, 6, 8]}, outputs={"y": None})


@pytest.mark.parametrize("case", CASES)
def test_computes_what_onnx_runtime_computes(case: str) -> None:
    network = chain(*CASES[case])
    feeds = {"x": RANDOM.normal(size=(1, 4, 6, 8)).astype(FLOAT)}
    results = []
    for name in ("torch", "onnxruntime"):
        with closing(select.load(network, backend=name)) as engine:
            results.append(engine.run(feeds)["y"])
    assert results[0].shape == results[1].shape
    np.testing.assert_allclose(*results, atol=1e-5)


def test_an_unknown_operator_is_refused_by_name() -> None:
    with pytest.raises(EngineError, match="does not know the operators Erf of chain"):
        select.load(chain([("Erf", ["x"], {})], {}), backend="torch")


def test_threads_are_as_before_after_a_run() -> None:
    import torch

    before = torch.get_num_threads()
    with closing(select.load(networks.tower(), backend="torch", threads=before + 1)) as engine:
        engine.run({"picture": np.zeros((1, 3, 32, 32), FLOAT)})
    assert torch.get_num_threads() == before
