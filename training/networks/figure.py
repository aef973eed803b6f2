"""MediaPipe's selfie segmentation as our network `figure`: `python -m training.networks.figure FILE FOLDER`.

The file is `mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite` of the package `mediapipe` 0.10.14
(Apache-2.0), and no other is taken. Its weights stay what they are, in float16. The last layer, which doubles the side,
becomes the mean of its four pixels: half the crop's side is what is wanted. Pictures are enlarged behind the 1x1
convolutions before which they were, which gives the same in less time.
"""

from __future__ import annotations

import argparse
import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.spec import Network
from pipeline.errors import CheckpointError, ConfigError
from training.needs import errors_in_one_line
from training.networks.checkpoints import halve
from training.networks.export import OPSET, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from numpy.typing import NDArray

    from engine.models import Manifest

    Floats = NDArray[np.float32]

SHA256 = "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c"
"""The hash of the one file whose operators are known here."""
DATA = "MediaPipe's selfie segmentation of package mediapipe 0.10.14, Google LLC; the last layer averaged"
TERMS = "Apache License 2.0"

ALIKE = {
    "RELU": "Relu",
    "HARD_SWISH": "HardSwish",
    "LOGISTIC": "Sigmoid",
    "ADD": "Add",
    "MUL": "Mul",
    "AVERAGE_POOL_2D": "GlobalAveragePool",
}
"""What ONNX calls the operators that need no more than a name. The file's means are all of a whole map."""

LAST = "Convolution2DTransposeBias"
"""MediaPipe's own operator: a transposed convolution of 2x2, two pixels apart, and a bias."""


class _Graph:
    """The file's operators, rewritten one after another; what was (N, H, W, C) is (N, C, H, W)."""

    def __init__(self, tflite: ModuleType, data: bytes) -> None:
        self.tflite, self.model = tflite, tflite.Model.GetRootAsModel(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.weights: dict[int, Floats] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def operators(self) -> Iterator[tuple[str, Any, list[int], int]]:
        """Each operator's name, its options, and the numbers of its inputs and its output."""
        names = {code: name for name, code in vars(self.tflite.BuiltinOperator).items() if isinstance(code, int)}
        for place in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(place)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            own = code.CustomCode().decode() if name == "CUSTOM" else name
            yield own, operator.BuiltinOptions(), operator.InputsAsNumpy().tolist(), int(operator.Outputs(0))

    def append(self, name: str, options: Any, inputs: list[int], output: int) -> None:  # noqa: ANN401
        """Append an operator."""
        if name == "DEQUANTIZE":
            self.weights[output] = self.stored(inputs[0])
        elif name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            self.convolve(options, inputs, output, depthwise=name != "CONV_2D")
        elif name == "RESIZE_BILINEAR":
            scales = self.constant(f"s{output}", np.array([1, 1, 2, 2], np.float32))
            corners = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
            self.add("Resize", [f"t{inputs[0]}", "", scales], output, **corners)
        elif name == LAST:
            mean = self.stored(inputs[1]).mean(axis=(1, 2))[..., None, None]  # (1, C, 1, 1)
            names = [self.constant(f"w{output}", mean), self.constant(f"b{output}", self.stored(inputs[2]))]
            self.add("Conv", [f"t{inputs[0]}", *names], output)
        else:
            self.add(ALIKE[name], [f"t{number}" for number in inputs], output)

    def stored(self, number: int) -> Floats:
        """A tensor that the file holds, in float32."""
        if number in self.weights:
            return self.weights[number]
        tensor, kinds = self.graph.Tensors(number), self.tflite.TensorType
        kind = {kinds.FLOAT16: np.float16, kinds.FLOAT32: np.float32}[tensor.Type()]
        values = self.model.Buffers(tensor.Buffer()).DataAsNumpy().view(kind)
        return np.asarray(values.reshape(tensor.ShapeAsNumpy()), np.float32)

    def add(self, kind: str, inputs: list[str], output: int, **attributes: Any) -> None:  # noqa: ANN401
        """Append a node."""
        self.nodes.append(helper.make_node(kind, inputs, [f"t{output}"], **attributes))

    def constant(self, name: str, values: Floats) -> str:
        """The name of a stored tensor."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolve(self, options: Any, inputs: list[int], output: int, *, depthwise: bool) -> None:  # noqa: ANN401
        """Append a convolution."""
        told = self.tflite.DepthwiseConv2DOptions() if depthwise else self.tflite.Conv2DOptions()
        told.Init(options.Bytes, options.Pos)
        strides = told.StrideH(), told.StrideW()
        kernel = self.stored(inputs[1]).transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        before, after = (self.graph.Tensors(number).ShapeAsNumpy()[1:3].tolist() for number in (inputs[0], output))

        names = [self.constant(f"w{output}", kernel), self.constant(f"b{output}", self.stored(inputs[2]))]
        self.add(
            "Conv",
            [f"t{inputs[0]}", *names],
            output,
            kernel_shape=kernel.shape[2:],
            strides=strides,
            pads=padding(before, after, kernel.shape[2:], strides),
            group=kernel.shape[0] if depthwise else 1,
        )


def padding(
    before: tuple[int, ...], after: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...]
) -> list[int]:
    """Rows above, columns on the left, rows below and columns on the right that a convolution adds.

    From the (height, width) of what it takes, of what it gives, of its kernel and of its steps. As TensorFlow pads
    "same", what is odd goes below and to the right.
    """
    sides = zip(before, after, kernel, strides, strict=True)
    pads = [max((given - 1) * step + size - taken, 0) for taken, given, size, step in sides]
    return [*(pad // 2 for pad in pads), *(pad - pad // 2 for pad in pads)]


def converted(data: bytes) -> onnx.ModelProto:
    """The network in the file's `data`: RGB in [0, 1] (N, 3, 256, 256) to the share of figure (N, 1, 128, 128).

    Raises `ConfigError` where the package `tflite`, which reads such files, is not installed.
    """
    try:
        import tflite
    except ModuleNotFoundError as error:
        raise ConfigError("training.networks.figure needs the package tflite: pip install tflite==2.18.0") from error

    graph = _Graph(tflite, data)
    for operator in graph.operators():
        graph.append(*operator)
    taken = f"t{graph.graph.Inputs(0)}"
    for node in graph.nodes:
        node.input[:] = ["drawn" if name == taken else name for name in node.input]
    graph.nodes[-1].output[0] = "figure"
    enlarge_last(graph.nodes)

    port = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    inputs = [port("drawn", shape=["batch", 3, 256, 256])]
    outputs = [port("figure", shape=["batch", 1, 128, 128])]
    made = helper.make_graph(graph.nodes, "figure", inputs, outputs, graph.constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def enlarge_last(nodes: list[onnx.NodeProto]) -> None:
    """Put each enlargement behind the 1x1 convolution that alone takes what it gives.

    What a pixel becomes there hangs on no other, and of the enlarged picture each is a mean of those of the small one.
    """
    for place, node in enumerate(nodes):
        takers = [other for other in nodes if node.output[0] in other.input]
        if node.op_type == "Resize" and len(takers) == 1 and _is_of_single_pixels(takers[0]):
            convolution, later = takers[0], nodes.index(takers[0])
            small, between, large = node.input[0], node.output[0], convolution.output[0]
            convolution.input[0], convolution.output[0] = small, between
            node.input[0], node.output[0] = between, large
            nodes[place], nodes[later] = convolution, node


def _is_of_single_pixels(node: onnx.NodeProto) -> bool:
    return any(value.name == "kernel_shape" and list(value.ints) == [1, 1] for value in node.attribute)


def export(file: Path, folder: Path) -> Manifest:
    """Write the network of MediaPipe's file as `figure.onnx` and `figure.json`.

    Raises `CheckpointError` when the file can't be read or is another one, and as `converted` does.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file} can't be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise CheckpointError(
            f"{file} is not selfie_segmentation.tflite of the package mediapipe 0.10.14: docs/training-log.md says how "
            "to get that"
        )
    network = Network.of("figure", halve(converted(data)).SerializeToString())
    return write(network, folder, {"step": 0, "scores": {}}, data=DATA, terms=TERMS)


def main() -> None:
    """Read the flags and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    flags = parser.parse_args()
    with errors_in_one_line(parser):
        print(export(flags.file, flags.folder).dumps())  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
