"""Writes a network of the usual layers, with random weights, as ONNX: enough to see how fast it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import onnx

from engine.spec import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import NodeProto, TensorProto

    from engine.spec import Array

Border = Literal["constant", "reflect"]
Attribute: TypeAlias = "float | int | str | Sequence[int]"
OPSET, IR_VERSION = 18, 10
"""The versions of the ONNX files, which every engine here reads."""


@dataclass(frozen=True)
class Value:
    """An array that flows between two layers: (batch, channels, height, width)."""

    name: str
    channels: int
    height: int
    width: int


def written(
    name: str,
    nodes: Sequence[NodeProto],
    tensors: Sequence[TensorProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
) -> Network:
    """A network of operations and constants; its ports are float32, and a word in a shape is any size."""
    ports = [
        [onnx.helper.make_tensor_value_info(port, onnx.TensorProto.FLOAT, shape) for port, shape in side.items()]
        for side in (inputs, outputs)
    ]

    graph = onnx.helper.make_graph(nodes, name, ports[0], ports[1], tensors)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return Network.of(name, model.SerializeToString())


@dataclass
class NetworkWriter:
    """A network that is being written; it takes (batch, `channels`, `side`, `side`) as `crop_and_mask`."""

    name: str
    channels: int = 4
    side: int = 256
    weights: int = 0
    """Learned numbers so far."""
    _nodes: list[NodeProto] = field(default_factory=list, repr=False)
    _tensors: list[TensorProto] = field(default_factory=list, repr=False)
    _draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5), repr=False)

    @property
    def entry(self) -> Value:
        """The input of the network."""
        return Value("crop_and_mask", self.channels, self.side, self.side)

    @property
    def nodes(self) -> int:
        """How many operations were written so far."""
        return len(self._nodes)

    def network(self, leave: Value) -> Network:
        """The network that gives `leave` as `face`."""
        nodes = [*self._nodes, onnx.helper.make_node("Identity", [leave.name], ["face"])]
        inputs = {self.entry.name: ("batch", self.channels, self.side, self.side)}
        outputs = {"face": ("batch", leave.channels, leave.height, leave.width)}
        return written(self.name, nodes, self._tensors, inputs, outputs)

    def constant(self, values: Array) -> str:
        """A tensor that is not learned, by its name."""
        name = f"c{len(self._tensors)}"
        self._tensors.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def apply(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """Any operation with one output, by the name of its output."""
        name = f"v{len(self._nodes)}"
        self._nodes.append(onnx.helper.make_node(operator, inputs, [name], **attributes))  # type: ignore[arg-type]
        return name

    def like(self, value: Value, operator: str, *others: str, **attributes: Attribute) -> Value:
        """An operation whose output has the shape of `value`."""
        return Value(self.apply(operator, value.name, *others, **attributes), value.channels, value.height, value.width)

    def conv(
        self,
        x: Value,
        out: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        border: Border = "constant",
    ) -> Value:
        """A convolution that keeps the size, divided by `stride`. A normalisation after it is folded into its bias."""
        fan_in = x.channels // groups * kernel**2
        learned = [self._learned((out, x.channels // groups, kernel, kernel), math.sqrt(2 / fan_in))]
        if bias:
            learned.append(self._learned((out,), 0.01))

        reach = dilation * (kernel - 1) // 2
        pads = [reach] * 4
        name = x.name
        if border == "reflect" and reach:
            around = self.constant(np.array([0, 0, reach, reach] * 2, np.int64))
            name, pads = self.apply("Pad", name, around, mode="reflect"), [0] * 4

        done = self.apply(
            "Conv", name, *learned, strides=[stride] * 2, dilations=[dilation] * 2, group=groups, pads=pads
        )
        return Value(done, out, x.height // stride, x.width // stride)

    def fixed(self, x: Value, weights: Array, *, stride: int = 1, pad: int = 0) -> Value:
        """A convolution of each channel by itself with weights (out, 1, k, k) that are not learned."""
        size = (x.height + 2 * pad - weights.shape[-1]) // stride + 1
        done = self.apply(
            "Conv", x.name, self.constant(weights), strides=[stride] * 2, group=x.channels, pads=[pad] * 4
        )
        return Value(done, weights.shape[0], size, size)

    def spread(self, x: Value, out: int, weights: Array, *, stride: int, pad: int = 0) -> Value:
        """The transpose of `fixed`: weights (channels, 1, k, k), of which as many in a row make each of `out`."""
        size = (x.height - 1) * stride - 2 * pad + weights.shape[-1]
        done = self.apply(
            "ConvTranspose", x.name, self.constant(weights), strides=[stride] * 2, group=out, pads=[pad] * 4
        )
        return Value(done, out, size, size)

    def wider(self, x: Value, out: int) -> Value:
        """A learned transposed 3x3 convolution to twice the side."""
        learned = [
            self._learned((x.channels, out, 3, 3), math.sqrt(2 / (9 * x.channels))),
            self._learned((out,), 0.01),
        ]
        done = self.apply("ConvTranspose", x.name, *learned, strides=[2, 2], pads=[1] * 4, output_padding=[1, 1])
        return Value(done, out, 2 * x.height, 2 * x.width)

    def doubled(self, x: Value) -> Value:
        """Twice the side, each pixel four times."""
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        done = self.apply("Resize", x.name, "", scales, mode="nearest", nearest_mode="floor",
                          coordinate_transformation_mode="asymmetric")  # fmt: skip
        return Value(done, x.channels, 2 * x.height, 2 * x.width)

    def channels_of(self, x: Value, begin: int, end: int) -> Value:
        """Some of the channels."""
        edges = [self.constant(np.array([edge], np.int64)) for edge in (begin, end, 1)]
        return Value(self.apply("Slice", x.name, *edges), end - begin, x.height, x.width)

    def joined(self, *values: Value) -> Value:
        """One beside the other, as channels."""
        done = self.apply("Concat", *[value.name for value in values], axis=1)
        return Value(done, sum(value.channels for value in values), values[0].height, values[0].width)

    def reshaped(self, name: str, *sizes: int) -> str:
        """The value in other sizes; the batch stays what it is, and is not named."""
        return self.apply("Reshape", name, self.constant(np.array([0, *sizes], np.int64)))

    def scalar(self, value: float) -> str:
        """Add a constant number."""
        return self.constant(np.array(value, np.float32))

    def add(self, *values: Value) -> Value:
        """Add the sum of two values."""
        total = values[0]
        for value in values[1:]:
            total = self.like(total, "Add", value.name)
        return total

    def _learned(self, shape: Sequence[int], scale: float) -> str:
        values = scale * self._draw.standard_normal(shape, np.float32)
        self.weights += values.size
        return self.constant(values.astype(np.float32))
