"""Reads an ONNX file without any runtime or library: inputs and outputs, what it costs, and where its weights lie.

A network can be given other weights: only numbers change then, and the graph, and with it all that the network can do,
stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from engine.spec import Network, TensorSpec
from pipeline.errors import CheckpointError, EngineError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from engine.spec import Array


Value: TypeAlias = int | bytes

# Field numbers of onnx.proto.
MODEL_GRAPH = 7
GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 5, 11, 12
INITIALIZER_NAME = 8
VALUE_NAME, VALUE_TYPE, VALUE_DOC_STRING = 1, 2, 3
OPTIONAL = "optional"
"""The description of an input that may be left out, and is zeros then."""
TYPE_TENSOR = 1
TENSOR_ELEMENT, TENSOR_SHAPE = 1, 2
SHAPE_DIMENSION = 1
DIMENSION_VALUE = 1

DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
"""The element types of TensorProto.DataType that numpy has."""


@dataclass(frozen=True)
class Interface:
    """A network's inputs and outputs, in the graph's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


_interfaces: dict[str, Interface] = {}
"""What was read in this process, by the SHA-256 of the network: its manifest's check and its backend both ask."""


def read_interface(network: Network) -> Interface:
    """Read the inputs and outputs of `network`. Raises `EngineError` when its bytes are not a whole ONNX file."""
    if network.sha256 not in _interfaces:
        _interfaces[network.sha256] = _walk(network)
    return _interfaces[network.sha256]


def _walk(network: Network) -> Interface:
    try:
        fields = list(_fields(_merged(network.onnx, MODEL_GRAPH)))
        constants = {_only(value, INITIALIZER_NAME) for number, value in fields if number == GRAPH_INITIALIZER}
        inputs = [value for number, value in fields if number == GRAPH_INPUT]
        outputs = [value for number, value in fields if number == GRAPH_OUTPUT]
        interface = Interface(
            # Files of the first ONNX versions list their weights among the inputs.
            inputs=tuple(_tensor(value) for value in inputs if _only(value, VALUE_NAME) not in constants),
            outputs=tuple(_tensor(value) for value in outputs),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"network {network.name} is not a whole ONNX file ({error}): fetch or export it anew"
        ) from error

    if not interface.inputs or not interface.outputs:
        raise EngineError(f"network {network.name} has no inputs or no outputs: fetch or export it anew")
    return interface


def _tensor(value_info: Value) -> TensorSpec:
    """Read one input or output."""
    tensor = _only(_only(value_info, VALUE_TYPE), TYPE_TENSOR)
    fields = dict(_fields(tensor))
    if TENSOR_SHAPE not in fields:
        raise ValueError("an input or output has no shape")
    shape = tuple(
        _dimension(dimension) for number, dimension in _fields(fields[TENSOR_SHAPE]) if number == SHAPE_DIMENSION
    )

    name = _only(value_info, VALUE_NAME).decode()
    element = fields[TENSOR_ELEMENT]
    if element not in DTYPES:
        raise ValueError(f"{name} has element type {element!r}")
    told = dict(_fields(value_info)).get(VALUE_DOC_STRING)
    return TensorSpec(name, shape, np.dtype(DTYPES[int(element)]), optional=told == OPTIONAL.encode())


def _dimension(dimension: Value) -> int | None:
    """Read a size, which is None when it has a name or nothing instead of a number."""
    size = dict(_fields(dimension)).get(DIMENSION_VALUE)
    return size if isinstance(size, int) else None


def _only(message: Value, number: int) -> bytes:
    """Find the one sub-message or string with this field number. Raises `ValueError`."""
    found = [value for field, value in _fields(message) if field == number]
    if len(found) != 1 or not isinstance(found[0], bytes):
        raise ValueError(f"field {number} occurs {len(found)} times")
    return found[0]


def _merged(message: bytes, number: int) -> bytes:
    """All sub-messages with this field number as the one that they are parts of. Raises `ValueError` for none."""
    parts = [value for field, value in _fields(message) if field == number and isinstance(value, bytes)]
    if not parts:
        raise ValueError(f"field {number} is missing")
    return b"".join(parts)


def _fields(message: Value) -> Iterator[tuple[int, Value]]:
    """Walk through the fields of a message: their numbers and values.

    A value is an int, or bytes for strings, sub-messages and fixed-size numbers.
    """
    for number, value, _ in placed_fields(message):
        yield number, value


def placed_fields(message: Value) -> Iterator[tuple[int, Value, int]]:
    """Walk through the fields as `_fields` does, and say where in the message each value begins, in bytes.

    Raises `ValueError` for bytes that are no whole message, and `TypeError` for a number.
    """
    if not isinstance(message, bytes):
        raise TypeError("a number where a message was expected")
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        # A key tells which field comes, and in its last three bits how its value is stored.
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            begin = position
            value, position = _varint(message, position)
            yield number, value, begin
            continue

        # All other kinds are so many bytes.
        if wire_type == 2:
            length, position = _varint(message, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type} at byte {position}")
        if position + length > len(message):
            raise ValueError(f"it ends at byte {len(message)}, inside a field")
        yield number, message[position : position + length], position
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, whose highest bit says that more follow; gives the position behind it too."""
    number = shift = 0
    while position < len(message) and shift < 64:
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, position
    raise ValueError(f"it breaks off at byte {position}")


def multiply_adds(network: Network, shapes: Mapping[str, Sequence[int]] | None = None) -> int:
    """Count the multiply-adds of one run, in convolutions and matrix products, as papers count.

    `shapes` are the shapes of the inputs; of one that is not named a picture is counted, and no other size may be open.
    Raises `EngineError` for a file that is not whole, `ValueError` for an open size.
    """
    import openvino

    shapes = dict(shapes or {})
    batch = next(iter(shapes.values()))[0] if shapes else 1
    for spec in read_interface(network).inputs:
        shapes[spec.name] = shapes.get(spec.name) or (batch, *_known(spec.shape[1:]))
    model = openvino.Core().read_model(network.onnx)
    # OpenVINO works out all other shapes from these, and counts nothing by itself.
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


def _known(shape: Sequence[int | None]) -> list[int]:
    """The sizes, none of which may be open. Raises `ValueError`."""
    sizes = [size for size in shape if size is not None]
    if len(sizes) < len(shape):
        raise ValueError(f"a size is open in {shape}: say which it is to be counted for")
    return sizes


# Field numbers of TensorProto in onnx.proto.
TENSOR_DIMS, TENSOR_DATA_TYPE, TENSOR_RAW_DATA = 1, 2, 9


@dataclass(frozen=True)
class StoredWeight:
    """Where a weight lies in a network's file, and what it is."""

    begin: int
    """Its first byte, counted from the start of the file."""
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


def lending(base: Network, names: Collection[str]) -> bytes:
    """What completes an ONNX file that leaves out weights which `base` has under the same names: bytes to append.

    Protocol buffers merge: a second graph behind the first adds to it. Raises `CheckpointError` where one is missing.
    """
    tensors = {}
    for number, tensor in _fields(_merged(base.onnx, MODEL_GRAPH)):
        if number == GRAPH_INITIALIZER:
            tensors[_only(tensor, INITIALIZER_NAME).decode()] = tensor
    missing = set(names) - set(tensors)
    if missing:
        raise CheckpointError(f"{base.name} has no weight {min(missing)} to lend")
    graph = b"".join(_field(GRAPH_INITIALIZER, tensors[name]) for name in names)
    return _field(MODEL_GRAPH, graph)


def _field(number: int, message: Value) -> bytes:
    """A sub-message as a field of another: its key, its length, its bytes."""
    if not isinstance(message, bytes):
        raise TypeError("a number where a message was expected")
    length, sizes = len(message), bytearray()
    while length > 0x7F:
        sizes.append(length & 0x7F | 0x80)
        length >>= 7
    sizes.append(length)
    return bytes([number << 3 | 2, *sizes]) + message


def read_weight(network: Network, weight: StoredWeight) -> Array:
    """The numbers of a weight that `stored_weights` found in `network`."""
    values = np.frombuffer(network.onnx, weight.dtype.newbyteorder("<"), offset=weight.begin, count=weight.count)
    return values.reshape(weight.shape).astype(weight.dtype)
