"""Writing an ONNX file by its bytes (field numbers: onnx.proto), so that a bench needs no package for it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from engine.spec import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.spec import Array

OPSET, IR_VERSION = 18, 10
KINDS = {np.dtype(np.float32): 1, np.dtype(np.int8): 3, np.dtype(np.int64): 7}
"""TensorProto.DataType."""
FLOAT, INT, STRING, INTS = 1, 2, 3, 7
"""AttributeProto.AttributeType."""

Attribute: TypeAlias = "float | int | str | Sequence[int]"
Shape: TypeAlias = "Sequence[int | None]"


def network(
    name: str,
    nodes: Sequence[bytes],
    tensors: Sequence[bytes],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
) -> Network:
    """A network of parts that `node` and `tensor` made; None in a shape is any size."""
    parts = [_field(1, node) for node in nodes] + [_field(2, name.encode())] + [_field(5, each) for each in tensors]
    parts += [_field(11, _port(*port)) for port in inputs.items()]
    parts += [_field(12, _port(*port)) for port in outputs.items()]
    opset = _field(1, b"") + _field(2, OPSET)
    return Network.of(name, _field(1, IR_VERSION) + _field(7, b"".join(parts)) + _field(8, opset))


def node(operator: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Attribute] | None = None) -> bytes:
    """An operation with one output."""
    names = b"".join(_field(1, name.encode()) for name in inputs)
    told = b"".join(_field(5, _attribute(*each)) for each in (attributes or {}).items())
    return names + _field(2, output.encode()) + _field(4, operator.encode()) + told


def tensor(name: str, values: Array) -> bytes:
    """A constant of float32, int8 or int64."""
    sizes = b"".join(_field(1, size) for size in values.shape)
    return sizes + _field(2, KINDS[values.dtype]) + _field(8, name.encode()) + _field(9, values.tobytes())


def _port(name: str, shape: Shape) -> bytes:
    sizes = b"".join(_field(1, _field(2, b"n") if size is None else _field(1, size)) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, KINDS[np.dtype(np.float32)]) + _field(2, sizes)))


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, float):
        return _field(1, name.encode()) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _field(20, FLOAT)
    if isinstance(value, int):
        return _field(1, name.encode()) + _field(3, value) + _field(20, INT)
    if isinstance(value, str):
        return _field(1, name.encode()) + _field(4, value.encode()) + _field(20, STRING)
    return _field(1, name.encode()) + b"".join(_field(8, each) for each in value) + _field(20, INTS)


def _field(number: int, value: int | bytes) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
