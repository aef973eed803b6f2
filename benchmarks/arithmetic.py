"""A matrix product as a network: the ceiling for what an engine can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.onnx_file import network, node, tensor
from engine.spec import Network, Precision

if TYPE_CHECKING:
    from engine.spec import Array

SIDE = 1024
"""Of the matrices: large enough that moving them costs little beside multiplying them."""


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
