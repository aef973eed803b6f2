"""Computes ONNX operators in PyTorch, those that our networks use, and the arithmetic of shapes in plain numbers.

A function takes the node's inputs (None for one that is left out) and its attributes, and gives its one output.
https://onnx.ai/onnx/operators is the source.

Graphs compute sizes out of the sizes of tensors. Done in tensors, that would stop an exporter, which knows a tensor's
size but not its content, and cost a GPU a wait for each number. So whole-number values are numpy arrays here, from
`Shape` and the graph's constants on, until an operator takes them as sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import EngineError

Numbers: TypeAlias = NDArray[Any]
Attributes: TypeAlias = Mapping[str, Any]

SHAPE_DTYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}
"""The types of TensorProto.DataType."""


def _shape_axes(inputs: list[Numbers], attributes: Attributes) -> tuple[int, ...]:
    """The axes, which are an attribute before opset 13 and an input since."""
    return tuple(attributes["axes"] if "axes" in attributes else inputs[1].tolist())


def _shape_squeeze(inputs: list[Numbers], attributes: Attributes) -> Numbers:
    everything = len(inputs) == 1 and "axes" not in attributes
    return np.squeeze(inputs[0], None if everything else _shape_axes(inputs, attributes))


def _shape_slice(inputs: list[Numbers], _: Attributes) -> Numbers:
    data, starts, ends = inputs[:3]
    axes = inputs[3].tolist() if len(inputs) > 3 else range(len(starts))
    steps = inputs[4].tolist() if len(inputs) > 4 else [1] * len(starts)
    where = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        where[axis] = slice(start, end if end > -data.shape[axis] - 1 else None, step)
    return data[tuple(where)]


def _shape_divide(inputs: list[Numbers], _: Attributes) -> Numbers:
    whole = np.issubdtype(inputs[0].dtype, np.integer)
    return np.asarray(inputs[0] // inputs[1] if whole else inputs[0] / inputs[1])


SHAPE_OPERATORS: dict[str, Callable[[list[Numbers], Attributes], Numbers]] = {
    "Add": lambda inputs, _: np.asarray(inputs[0] + inputs[1]),
    "Cast": lambda inputs, attributes: inputs[0].astype(SHAPE_DTYPES[attributes["to"]]),
    "Concat": lambda inputs, attributes: np.concatenate(inputs, attributes["axis"]),
    "Div": _shape_divide,
    "Gather": lambda inputs, attributes: np.asarray(np.take(inputs[0], inputs[1], axis=attributes.get("axis", 0))),
    "Identity": lambda inputs, _: inputs[0],
    "Mul": lambda inputs, _: np.asarray(inputs[0] * inputs[1]),
    "Slice": _shape_slice,
    "Squeeze": _shape_squeeze,
    "Sub": lambda inputs, _: np.asarray(inputs[0] - inputs[1]),
    "Unsqueeze": lambda inputs, attributes: np.expand_dims(inputs[0], _shape_axes(inputs, attributes)),
}
"""The ONNX name of an operator to the function that computes it on plain numbers."""


Operator: TypeAlias = Callable[[list[Any], Attributes], Tensor | NDArray[Any]]

TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}
"""The types of TensorProto.DataType."""


def _conv(inputs: list[Any], attributes: Attributes) -> Tensor:
    data, weight, bias = (*inputs, None)[:3]
    axes = data.ndim - 2
    convolve = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}.get(axes)
    if convolve is None or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise EngineError("backend torch: Conv is known for up to three dimensions, with pads that are written out")

    return convolve(
        _padded(data, attributes.get("pads", [0] * 2 * axes)),
        weight,
        bias,
        stride=attributes.get("strides", [1] * axes),
        dilation=attributes.get("dilations", [1] * axes),
        groups=attributes.get("group", 1),
    )


def _conv_transpose(inputs: list[Any], attributes: Attributes) -> Tensor:
    plain = attributes.get("auto_pad", b"NOTSET") == b"NOTSET" and not any(attributes.get("output_padding", []))
    if inputs[0].dim() != 4 or not plain or any(attributes.get("pads", [])) or "output_shape" in attributes:
        raise EngineError("backend torch: ConvTranspose is known in two dimensions, without pads and output shapes")
    return functional.conv_transpose2d(
        inputs[0],
        inputs[1],
        inputs[2] if len(inputs) > 2 else None,
        stride=attributes.get("strides", [1, 1]),
        groups=attributes.get("group", 1),
        dilation=attributes.get("dilations", [1, 1]),
    )


def _max_pool(inputs: list[Any], attributes: Attributes) -> Tensor:
    if attributes.get("ceil_mode", 0) or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise EngineError("backend torch: MaxPool is known with pads that are written out and sizes rounded down")
    picture = _padded(inputs[0], attributes.get("pads", [0, 0, 0, 0]), value=-torch.inf)
    return functional.max_pool2d(picture, attributes["kernel_shape"], attributes.get("strides", 1))


def _average_pool(inputs: list[Any], attributes: Attributes) -> Tensor:
    whole = attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID") and not attributes.get("ceil_mode", 0)
    if not whole or any(attributes.get("pads", [])):
        raise EngineError("backend torch: AveragePool is known without pads and with sizes rounded down")
    return functional.avg_pool2d(inputs[0], attributes["kernel_shape"], attributes.get("strides", 1))


def _padded(data: Tensor, pads: list[int], *, value: float = 0.0, mode: str = "constant") -> Tensor:
    """Pad `data`. ONNX lists the begins of all axes, then all ends; PyTorch goes axis by axis, the last one first."""
    half = len(pads) // 2
    sides = [size for axis in reversed(range(half)) for size in (pads[axis], pads[axis + half])]
    if mode == "constant":
        return functional.pad(data, sides, value=value) if any(sides) else data
    if any(sides[4:]):
        raise EngineError("backend torch: Pad mirrors or repeats the last two axes only")
    return functional.pad(data, sides[:4], mode=mode)


def _pad(inputs: list[Any], attributes: Attributes) -> Tensor:
    data, pads, value = (*inputs, None)[:3]
    mode = {b"constant": "constant", b"reflect": "reflect", b"edge": "replicate"}[attributes.get("mode", b"constant")]
    return _padded(data, pads.tolist(), value=0.0 if value is None else float(value), mode=mode)


def _resize(inputs: list[Any], attributes: Attributes) -> Tensor:
    picture, _, scales, sizes = (*inputs, None, None, None)[:4]
    if sizes is None or not len(sizes):
        sizes = [math.floor(size * scale) for size, scale in zip(picture.shape, scales.tolist(), strict=True)]
    how = attributes.get("mode", b"nearest"), attributes.get("coordinate_transformation_mode", b"half_pixel")
    height, width = (int(size) for size in sizes[2:])
    if how == (b"nearest", b"asymmetric") and attributes.get("nearest_mode") == b"floor":
        return functional.interpolate(picture, (height, width), mode="nearest")
    if how in ((b"linear", b"half_pixel"), (b"linear", b"pytorch_half_pixel")):
        return functional.interpolate(picture, (height, width), mode="bilinear")
    if how == (b"linear", b"align_corners"):
        return functional.interpolate(picture, (height, width), mode="bilinear", align_corners=True)
    raise EngineError(f"backend torch: Resize is not known as {how}")


def _shape(inputs: list[Any], attributes: Attributes) -> NDArray[np.int64]:
    return np.array(inputs[0].shape[attributes.get("start", 0) : attributes.get("end")], np.int64)


def _slice(inputs: list[Any], _: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    starts, ends, axes, steps = (*inputs[1:], None, None)[:4]
    for place, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        axis = place if axes is None else int(axes[place])
        step = 1 if steps is None else int(steps[place])
        if step > 0:
            data = data[(*[slice(None)] * (axis % data.ndim), slice(start, end, step))]
        else:  # PyTorch has no slices that go backwards
            where = torch.tensor(list(range(data.shape[axis])[start:end:step]), dtype=torch.int64)
            data = data.index_select(axis, where.to(data.device))
    return data


def _reshape(inputs: list[Any], attributes: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    sizes = inputs[1].tolist()
    if not attributes.get("allowzero", 0):
        # 0 stands for the size as it was, unless the node says that it means nothing at all.
        sizes = [data.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return data.reshape(sizes)


def _depth_to_space(inputs: list[Any], attributes: Attributes) -> Tensor:
    size = attributes["blocksize"]
    if attributes.get("mode", b"DCR") == b"CRD":
        return functional.pixel_shuffle(inputs[0], size)
    data: Tensor = inputs[0]
    count, channels, height, width = data.shape
    blocks = data.reshape(count, size, size, channels // size**2, height, width)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(count, channels // size**2, height * size, width * size)


def _space_to_depth(inputs: list[Any], attributes: Attributes) -> Tensor:
    size = attributes["blocksize"]
    data: Tensor = inputs[0]
    count, channels, height, width = data.shape
    blocks = data.reshape(count, channels, height // size, size, width // size, size)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(count, channels * size**2, height // size, width // size)


def _gather(inputs: list[Any], attributes: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    indices = torch.as_tensor(inputs[1]).to(data.device)
    axis = attributes.get("axis", 0) % data.ndim
    # ONNX counts negative indices from the end, PyTorch refuses them.
    chosen = data.index_select(axis, indices.reshape(-1) % data.shape[axis])
    return chosen.reshape(data.shape[:axis] + indices.shape + data.shape[axis + 1 :])


def _axes(inputs: list[Any], attributes: Attributes) -> list[int]:
    """The axes, which are an attribute before opset 13 and an input since."""
    return list(attributes["axes"]) if "axes" in attributes else inputs[1].tolist()


def _unsqueeze(inputs: list[Any], attributes: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    axes = _axes(inputs, attributes)
    for axis in sorted(axis % (data.ndim + len(axes)) for axis in axes):
        data = data.unsqueeze(axis)
    return data


def _squeeze(inputs: list[Any], attributes: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    if len(inputs) == 1 and "axes" not in attributes:
        return data.squeeze()
    return data.squeeze(tuple(_axes(inputs, attributes)))


def _clip(inputs: list[Any], attributes: Attributes) -> Tensor:
    low, high = (*inputs[1:], None, None)[:2]
    low = attributes.get("min") if low is None else low  # an attribute before opset 11
    high = attributes.get("max") if high is None else high
    clamped: Tensor = inputs[0].clamp(low, high)
    return clamped


def _batch_normalization(inputs: list[Any], attributes: Attributes) -> Tensor:
    data, scale, bias, mean, variance = inputs
    return functional.batch_norm(data, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _reduce_mean(inputs: list[Any], attributes: Attributes) -> Tensor:
    data: Tensor = inputs[0]
    return data.mean(_axes(inputs, attributes), keepdim=bool(attributes.get("keepdims", 1)))


def _gemm(inputs: list[Any], attributes: Attributes) -> Tensor:
    one, other = (
        value.T if attributes.get(flag) else value for value, flag in zip(inputs[:2], ("transA", "transB"), strict=True)
    )
    product: Tensor = attributes.get("alpha", 1.0) * (one @ other)
    return product + attributes.get("beta", 1.0) * inputs[2] if len(inputs) > 2 else product


def _along(values: Tensor, data: Tensor, axis: int) -> Tensor:
    """Shape `values` to be broadcast with `data`: one number for all, or one for each place along `axis`."""
    return values if values.ndim == 0 else values.reshape([-1 if place == axis else 1 for place in range(data.ndim)])


def _quantize(inputs: list[Any], attributes: Attributes) -> Tensor:
    data, scale, zero = (*inputs, None)[:3]
    axis = attributes.get("axis", 1) % max(data.ndim, 1)
    kind = torch.uint8 if zero is None else zero.dtype
    moved: Tensor = torch.round(data / _along(scale, data, axis))
    moved = moved if zero is None else moved + _along(zero, data, axis)
    limits = torch.iinfo(kind)
    return moved.clamp(limits.min, limits.max).to(kind)


def _dequantize(inputs: list[Any], attributes: Attributes) -> Tensor:
    values, scale, zero = (*inputs, None)[:3]
    data = torch.as_tensor(values).to(scale.device)  # a bias in whole numbers looks like one that describes sizes
    axis = attributes.get("axis", 1) % max(data.ndim, 1)
    moved: Tensor = data.to(scale.dtype)
    moved = moved if zero is None else moved - _along(torch.as_tensor(zero).to(scale), data, axis)
    return moved * _along(scale, data, axis)


def compute(operator: str, inputs: list[Any], attributes: Attributes) -> Any:  # noqa: ANN401 - a tensor or numbers
    """Compute one node. Inputs are tensors, numpy arrays for numbers of shapes, and None for inputs left out."""
    numbers = [isinstance(value, np.ndarray) for value in inputs]
    if operator in SHAPE_OPERATORS and any(numbers):
        if all(numbers):
            return SHAPE_OPERATORS[operator](inputs, attributes)
        if operator in ARITHMETIC:
            place = next(value.device for value in inputs if isinstance(value, Tensor))
            inputs = [torch.as_tensor(value).to(place) for value in inputs]
    return OPERATORS[operator](inputs, attributes)


ARITHMETIC = ("Add", "Concat", "Div", "Mul", "Sub")
"""Operators whose inputs must be of one kind: numbers beside a tensor become a tensor."""

OPERATORS: dict[str, Operator] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Cast": lambda inputs, attributes: inputs[0].to(TYPES[attributes["to"]]),
    "Clip": _clip,
    "Concat": lambda inputs, attributes: torch.cat(inputs, attributes["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "DequantizeLinear": _dequantize,
    "Div": lambda inputs, _: inputs[0] / inputs[1] if inputs[0].is_floating_point() else inputs[0] // inputs[1],
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean((2, 3), keepdim=True),
    "Identity": lambda inputs, _: inputs[0],
    "LeakyRelu": lambda inputs, attributes: functional.leaky_relu(inputs[0], attributes.get("alpha", 0.01)),
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "MaxPool": _max_pool,
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "PRelu": lambda inputs, _: torch.where(inputs[0] < 0, inputs[0] * inputs[1], inputs[0]),
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "ReduceMean": _reduce_mean,
    "Relu": lambda inputs, _: inputs[0].relu(),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": lambda inputs, _: inputs[0].sigmoid(),
    "Slice": _slice,
    "Softmax": lambda inputs, attributes: inputs[0].softmax(attributes.get("axis", -1)),
    "SpaceToDepth": _space_to_depth,
    "Squeeze": _squeeze,
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Tanh": lambda inputs, _: inputs[0].tanh(),
    "Transpose": lambda inputs, attributes: inputs[0].permute(attributes["perm"]),
    "Unsqueeze": _unsqueeze,
}
"""The ONNX name of an operator to the function that computes it."""
