"""The weights inside an ONNX file: where they lie, and the same network with other numbers in their place.

No runtime and no ONNX library is needed. Only numbers change: the graph, and with it all that the network can do, stays
as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.interface import DTYPES, GRAPH_INITIALIZER, INITIALIZER_NAME, MODEL_GRAPH, placed_fields
from engine.spec import Network
from pipeline.errors import CheckpointError, EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.spec import Array

# Field numbers of TensorProto in onnx.proto.
TENSOR_DIMS, TENSOR_DATA_TYPE, TENSOR_RAW_DATA = 1, 2, 9


@dataclass(frozen=True)
class StoredWeight:
    """Where a weight lies in a network's file, and what it is."""

    begin: int
    """In bytes from the start of the file."""
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def end(self) -> int:
        """The place behind its last byte."""
        return self.begin + self.count * self.dtype.itemsize


def stored_weights(network: Network) -> dict[str, StoredWeight]:
    """The weights of `network` by name, those that are stored as raw bytes with their shape.

    Raises `EngineError` when its bytes are not a whole ONNX file.
    """
    found: dict[str, StoredWeight] = {}
    try:
        graphs = [(value, begin) for number, value, begin in placed_fields(network.onnx) if number == MODEL_GRAPH]
        for graph, graph_begin in graphs:
            for number, tensor, begin in placed_fields(graph):
                if number == GRAPH_INITIALIZER and isinstance(tensor, bytes):
                    found |= _stored(tensor, graph_begin + begin)
    except (ValueError, TypeError) as error:
        raise EngineError(f"network {network.name} is not a whole ONNX file ({error}): export it anew") from error
    return found


def _stored(tensor: bytes, tensor_begin: int) -> dict[str, StoredWeight]:
    """The weight of a TensorProto by its name; nothing for one that holds its values in another way."""
    name, dtype, begin, length = "", 0, 0, -1
    shape: list[int] = []
    for number, value, place in placed_fields(tensor):
        if number == TENSOR_DIMS:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == TENSOR_DATA_TYPE and isinstance(value, int):
            dtype = value
        elif number == INITIALIZER_NAME and isinstance(value, bytes):
            name = value.decode()
        elif number == TENSOR_RAW_DATA and isinstance(value, bytes):
            begin, length = tensor_begin + place, len(value)
    if length < 0 or dtype not in DTYPES:
        return {}

    weight = StoredWeight(begin, tuple(shape), np.dtype(DTYPES[dtype]))
    return {name: weight} if weight.end - weight.begin == length else {}


def _packed(values: bytes) -> list[int]:
    """Numbers that a protocol buffer holds packed, as one value behind the other."""
    numbers, number, shift = [], 0, 0
    for byte in values:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    return numbers


def with_weights(network: Network, weights: Mapping[str, Array], *, name: str) -> Network:
    """`network` with other numbers for these weights, called `name`.

    Raises `CheckpointError` for a weight that is not finite or that `network` does not have in this shape and type, and
    `EngineError` when its bytes are not a whole ONNX file.
    """
    stored, onnx = stored_weights(network), bytearray(network.onnx)
    for key, values in weights.items():
        place = stored.get(key)
        if place is None or place.shape != values.shape or place.dtype != values.dtype:
            raise CheckpointError(f"{network.name} has no weight {key} of shape {values.shape} in {values.dtype}")
        if not np.isfinite(values.astype(np.float64)).all():
            raise CheckpointError(f"weight {key} is not finite")
        onnx[place.begin : place.end] = np.ascontiguousarray(values, place.dtype.newbyteorder("<")).tobytes()
    return Network.of(name, bytes(onnx))


def read_weight(network: Network, weight: StoredWeight) -> Array:
    """The numbers of a weight that `stored_weights` found in `network`."""
    values = np.frombuffer(network.onnx, weight.dtype.newbyteorder("<"), offset=weight.begin, count=weight.count)
    return values.reshape(weight.shape).astype(weight.dtype)
