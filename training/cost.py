"""What a network costs, counted in the file that is shipped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx
from onnx import shape_inference

if TYPE_CHECKING:
    from engine.spec import Network


def multiply_adds(network: Network) -> int:
    """How many multiply-adds one run on one picture costs: convolutions and matrix products, as the literature counts.

    Raises `ValueError` for an operation whose shapes the file does not tell.
    """
    model = onnx.load_from_string(network.onnx)
    for port in (*model.graph.input, *model.graph.output):
        port.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
            total += _of(node, shapes)
    return total


def _of(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    first, second, out = shapes.get(node.input[0], ()), shapes.get(node.input[1], ()), shapes.get(node.output[0], ())
    if not all(first) or not all(second) or not all(out) or not (first and second and out):
        raise ValueError(f"the shapes of {node.op_type} {node.name!r} are not known: its cost can't be counted")
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    return math.prod(out) * first[-1]
