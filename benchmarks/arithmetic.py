"""How much a network computes, and a matrix product as a network: the ceiling for what an engine can reach."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from engine.spec import Network, Precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.spec import Array

SIDE = 1024
"""Of the matrices: large enough that moving them costs little beside multiplying them."""
FLOAT, INT8 = 1, 3
"""TensorProto.DataType."""
OPSET, IR_VERSION = 18, 10


def multiply_adds(network: Network, shapes: Mapping[str, Sequence[int]]) -> int:
    """Multiply-adds of one run for inputs of these shapes, of convolutions and matrix products, as papers count."""
    import openvino

    model = openvino.Core().read_model(network.onnx)
    model.reshape({name: openvino.PartialShape(list(shape)) for name, shape in shapes.items()})
    total = 0
    for operation in model.get_ordered_ops():
        kind = operation.get_type_name()
        if kind == "Convolution":  # weights (out, in, height, width)
            total += prod(operation.get_output_shape(0)) * prod(operation.get_input_shape(1)[1:])
        elif kind == "GroupConvolution":  # weights (groups, out, in, height, width)
            total += prod(operation.get_output_shape(0)) * prod(operation.get_input_shape(1)[2:])
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
            _tensor("step", FLOAT, np.array(1 / 127, np.float32)),
            _tensor("zero", INT8, np.array(0, np.int8)),
            _tensor("w", INT8, np.round(weights * 127).astype(np.int8)),
        ]
        nodes = [
            _node("QuantizeLinear", ["x", "step", "zero"], "x8"),
            _node("DequantizeLinear", ["x8", "step", "zero"], "xf"),
            _node("DequantizeLinear", ["w", "step", "zero"], "wf"),
            _node("MatMul", ["xf", "wf"], "y"),
        ]
    else:
        constants = [_tensor("w", FLOAT, weights)]
        nodes = [_node("MatMul", ["x", "w"], "y")]
    parts = [_field(1, node) for node in nodes] + [_field(2, b"product")]
    parts += [_field(5, tensor) for tensor in constants] + [_field(11, _matrix("x")), _field(12, _matrix("y"))]
    opset = _field(1, b"") + _field(2, OPSET)
    onnx = _field(1, IR_VERSION) + _field(7, b"".join(parts)) + _field(8, opset)
    feed = draw.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    return Network.of(f"product-{precision}", onnx), {"x": feed}, SIDE**3


def _field(number: int, value: int | bytes) -> bytes:
    """One field of a protocol buffer (numbers: onnx.proto)."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _node(operator: str, inputs: Sequence[str], output: str) -> bytes:
    names = b"".join(_field(1, name.encode()) for name in inputs)
    return names + _field(2, output.encode()) + _field(4, operator.encode())


def _tensor(name: str, kind: int, values: Array) -> bytes:
    sizes = b"".join(_field(1, size) for size in values.shape)
    return sizes + _field(2, kind) + _field(8, name.encode()) + _field(9, values.tobytes())


def _matrix(name: str) -> bytes:
    side = _field(1, _field(1, SIDE))
    tensor = _field(1, FLOAT) + _field(2, side + side)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))
