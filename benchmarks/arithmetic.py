"""How much a network computes, and a matrix product as a network: the ceiling for what an engine can reach."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.onnx_file import network, node, tensor
from engine.spec import Network, Precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.spec import Array

SIDE = 1024
"""Of the matrices: large enough that moving them costs little beside multiplying them."""


def multiply_adds(counted: Network, shapes: Mapping[str, Sequence[int]]) -> int:
    """Multiply-adds of one run for inputs of these shapes, of convolutions and matrix products, as papers count."""
    import openvino

    model = openvino.Core().read_model(counted.onnx)
    model.reshape({name: openvino.PartialShape(list(shape)) for name, shape in shapes.items()})
    total = 0
    for operation in model.get_ordered_ops():
        kind = operation.get_type_name()
        if kind == "Convolution":  # weights (out, in, height, width)
            total += prod(operation.get_output_shape(0)) * prod(operation.get_input_shape(1)[1:])
        elif kind == "GroupConvolution":  # weights (groups, out, in, height, width)
            total += prod(operation.get_output_shape(0)) * prod(operation.get_input_shape(1)[2:])
        elif kind == "ConvolutionBackpropData":  # weights (in, out, height, width)
            total += prod(operation.get_input_shape(0)) * prod(operation.get_input_shape(1)[1:])
        elif kind == "GroupConvolutionBackpropData":  # weights (groups, in, out, height, width)
            total += prod(operation.get_input_shape(0)) * prod(operation.get_input_shape(1)[2:])
        elif kind == "MatMul":
            total += prod(operation.get_output_shape(0)) * operation.get_input_shape(0)[-1]
    return total


def matrix_product(precision: Precision) -> tuple[Network, dict[str, Array], int]:
    """A network that multiplies by a matrix of `SIDE`, what to feed it, and its multiply-adds.

    In int8 both sides are quantised, as in a network that was quantised; else the engine decides by its precision.
    """
    draw = np.random.default_rng(3)
    weights = draw.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    if precision is Precision.INT8:
        constants = [
            tensor("step", np.array(1 / 127, np.float32)),
            tensor("zero", np.array(0, np.int8)),
            tensor("w", np.round(weights * 127).astype(np.int8)),
        ]
        nodes = [
            node("QuantizeLinear", ["x", "step", "zero"], "x8"),
            node("DequantizeLinear", ["x8", "step", "zero"], "xf"),
            node("DequantizeLinear", ["w", "step", "zero"], "wf"),
            node("MatMul", ["xf", "wf"], "y"),
        ]
    else:
        constants = [tensor("w", weights)]
        nodes = [node("MatMul", ["x", "w"], "y")]
    square = (SIDE, SIDE)
    product = network(f"product-{precision}", nodes, constants, {"x": square}, {"y": square})
    feed = draw.uniform(-1, 1, square).astype(np.float32)
    return product, {"x": feed}, SIDE**3
