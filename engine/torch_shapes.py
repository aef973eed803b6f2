"""Computes the shape arithmetic of an ONNX graph in plain numbers.

Graphs compute sizes out of the sizes of tensors. Done in tensors, that would stop an exporter, which knows a tensor's
size but not its content, and cost a GPU a wait for each number. So whole-number values are numpy arrays here, from
`Shape` and the graph's constants on, until an operator takes them as sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[Any]
Attributes: TypeAlias = Mapping[str, Any]

DTYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}
"""The types of TensorProto.DataType."""


def _axes(inputs: list[Numbers], attributes: Attributes) -> tuple[int, ...]:
    """The axes, which are an attribute before opset 13 and an input since."""
    return tuple(attributes["axes"] if "axes" in attributes else inputs[1].tolist())


def _squeeze(inputs: list[Numbers], attributes: Attributes) -> Numbers:
    everything = len(inputs) == 1 and "axes" not in attributes
    return np.squeeze(inputs[0], None if everything else _axes(inputs, attributes))


def _slice(inputs: list[Numbers], _: Attributes) -> Numbers:
    data, starts, ends = inputs[:3]
    axes = inputs[3].tolist() if len(inputs) > 3 else range(len(starts))
    steps = inputs[4].tolist() if len(inputs) > 4 else [1] * len(starts)
    where = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        where[axis] = slice(start, end if end > -data.shape[axis] - 1 else None, step)
    return data[tuple(where)]


def _divide(inputs: list[Numbers], _: Attributes) -> Numbers:
    whole = np.issubdtype(inputs[0].dtype, np.integer)
    return np.asarray(inputs[0] // inputs[1] if whole else inputs[0] / inputs[1])


SHAPE_OPERATORS: dict[str, Callable[[list[Numbers], Attributes], Numbers]] = {
    "Add": lambda inputs, _: np.asarray(inputs[0] + inputs[1]),
    "Cast": lambda inputs, attributes: inputs[0].astype(DTYPES[attributes["to"]]),
    "Concat": lambda inputs, attributes: np.concatenate(inputs, attributes["axis"]),
    "Div": _divide,
    "Gather": lambda inputs, attributes: np.asarray(np.take(inputs[0], inputs[1], axis=attributes.get("axis", 0))),
    "Identity": lambda inputs, _: inputs[0],
    "Mul": lambda inputs, _: np.asarray(inputs[0] * inputs[1]),
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": lambda inputs, _: np.asarray(inputs[0] - inputs[1]),
    "Unsqueeze": lambda inputs, attributes: np.expand_dims(inputs[0], _axes(inputs, attributes)),
}
"""The ONNX name of an operator to the function that computes it on plain numbers."""
