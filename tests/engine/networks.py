"""Small networks for the tests of engines, and the detector's, which is there without the package `onnx`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from engine.spec import Network
from pipeline.detectors import retinaface


@lru_cache(maxsize=1)
def detector() -> Network:
    """RetinaFace: sizes and batch open, three outputs, dozens of operators."""
    if retinaface.missing() is not None:
        pytest.skip(str(retinaface.missing()))
    return retinaface.network()


def tower(*, half: bool = False) -> Network:
    """Pictures (N, 3, 32, 32) to masks (N, 2, 32, 32) in [0, 1]; `half` keeps its weights in float16 behind Casts."""
    onnx = pytest.importorskip("onnx", reason="the package onnx builds this network: install barefaced[training]")
    draw = np.random.default_rng(5)
    shapes = {"a": (8, 3, 3, 3), "a_bias": (8,), "b": (8, 8, 3, 3), "b_bias": (8,)}
    weights = {name: draw.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["picture", "a", "a_bias"], ["1"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("LeakyRelu", ["1"], ["2"], alpha=0.1),
        node("Conv", ["2", "b", "b_bias"], ["3"], pads=[2, 2, 2, 2], dilations=[2, 2]),
        node("Add", ["2", "3"], ["4"]),
        node("DepthToSpace", ["4"], ["5"], blocksize=2, mode="CRD"),
        node("Sigmoid", ["5"], ["mask"]),
    ]
    if half:
        casts = [node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT) for name in weights]
        nodes = casts + nodes
        weights = {f"{name}_half": array.astype(np.float16) for name, array in weights.items()}
    return build("tower", nodes, weights, inputs={"picture": ["N", 3, 32, 32]}, outputs={"mask": ["N", 2, 32, 32]})


def build(
    name: str,
    nodes: list[Any],
    weights: dict[str, Any],
    *,
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any] | None],
) -> Network:
    """A network of these nodes; inputs and outputs are float32, and an output's shape of None is worked out."""
    onnx = pytest.importorskip("onnx", reason="the package onnx builds this network: install barefaced[training]")
    sides = [
        [onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, shape) for tensor, shape in side.items()]
        for side in (inputs, outputs)
    ]
    constants = [onnx.numpy_helper.from_array(array, tensor) for tensor, array in weights.items()]
    graph = onnx.helper.make_graph(nodes, name, *sides, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    return Network.of(name, onnx.shape_inference.infer_shapes(model).SerializeToString())
