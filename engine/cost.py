"""Counts what a network costs, from its file."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from engine.interface import read_interface

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.spec import Network


def multiply_adds(network: Network, shapes: Mapping[str, Sequence[int]] | None = None) -> int:
    """Count the multiply-adds of one run, in convolutions and matrix products, as papers count.

    `shapes` are the shapes of the inputs; without them one picture is counted, and no other size may be open.
    Raises `EngineError` for a file that is not whole, `ValueError` for an open size.
    """
    import openvino

    if shapes is None:
        shapes = {spec.name: (1, *_known(spec.shape[1:])) for spec in read_interface(network).inputs}
    model = openvino.Core().read_model(network.onnx)
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
