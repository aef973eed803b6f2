"""Converts a network to float16 or bfloat16 where it has float32. Needs the package `onnx`.

Compilers whose networks are strongly typed (TensorRT from version 11, TensorRT for RTX, PyTorch's exporter) compute in
the types of the file, so the file has to have them. Inputs and outputs stay float32; so do numbers that describe sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.spec import Network, Precision
from pipeline.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

SIZES = {
    "Expand": 1,
    "Gather": 1,
    "Pad": 1,
    "ReduceMean": 1,
    "Reshape": 1,
    "Resize": 1,
    "Slice": 1,
    "Squeeze": 1,
    "Tile": 1,
    "Unsqueeze": 1,
}
"""Operator to the first of its inputs that describe sizes and places, as all inputs behind it do."""
PAD_VALUE = 2
"""The input of `Pad` that is a value of the picture, though it stands behind a size."""


def recast(network: Network, precision: Precision) -> Network:
    """Convert `network` to float16 or bfloat16. For float32, and for int8, whose file has all its types, it stays.

    Raises `EngineError` for a broken file.
    """
    if precision in (Precision.F32, Precision.INT8):
        return network
    import onnx

    element = {Precision.FP16: onnx.TensorProto.FLOAT16, Precision.BF16: onnx.TensorProto.BFLOAT16}[precision]
    try:
        model = onnx.load_from_string(network.onnx)
    except Exception as error:  # protobuf's errors are not part of what onnx promises
        raise EngineError(f"network {network.name} is not a whole ONNX file ({error}): export it anew") from error

    graph = model.graph
    # Sizes must stay exact: from 257 on bfloat16 has no longer every whole number, from 2049 on float16.
    kept = frozenset(_sizes(graph))
    _recast_constants(graph, element, kept)
    ins, outs = _recast_inputs(graph, element), _recast_outputs(graph)
    nodes = [*ins, *graph.node, *outs]
    if precision is Precision.BF16:
        nodes = [part for node in nodes for part in _widened(node, element)]

    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # they name the types of before
    return Network.of(network.name, model.SerializeToString())


def _sizes(graph: onnx.GraphProto) -> Iterator[str]:
    """Name all values from which sizes are computed, without the tensors whose `Shape` is asked."""
    makers = {output: node for node in graph.node for output in node.output}
    waiting = [
        name
        for node in graph.node
        for place, name in enumerate(node.input)
        if place >= SIZES.get(node.op_type, 99) and not (node.op_type == "Pad" and place == PAD_VALUE)
    ]

    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        if name in makers and makers[name].op_type != "Shape":
            waiting += makers[name].input


def _recast_constants(graph: onnx.GraphProto, element: int, kept: frozenset[str]) -> None:
    """Convert weights, constants and the targets of casts."""
    import onnx

    for tensor in graph.initializer:
        if tensor.name not in kept:
            _recast_tensor(tensor, element)
    for node in graph.node:
        if kept.intersection(node.output):
            continue
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                _recast_tensor(attribute.t, element)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
                attribute.i = element


def _recast_tensor(tensor: onnx.TensorProto, element: int) -> None:
    """Convert one tensor, if it holds floating-point numbers."""
    import onnx

    if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
        values = onnx.numpy_helper.to_array(tensor)
        changed = values.astype(onnx.helper.tensor_dtype_to_np_dtype(element))
        tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))


def _recast_inputs(graph: onnx.GraphProto, element: int) -> list[onnx.NodeProto]:
    """Make every use of an input a use of its cast, and give the casts."""
    import onnx

    weights = {tensor.name for tensor in graph.initializer}
    floats = [
        value.name
        for value in graph.input
        if value.name not in weights and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    ]
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in floats:
                node.input[place] = f"{name}_recast"
    return [onnx.helper.make_node("Cast", [name], [f"{name}_recast"], to=element) for name in floats]


def _widened(node: onnx.NodeProto, element: int) -> list[onnx.NodeProto]:
    """Put a transposed convolution among casts, so that it computes in float32; leave any other node as it is.

    TensorRT for RTX 1.7 has none in bfloat16: it can't infer the output's type.
    """
    import onnx

    if node.op_type != "ConvTranspose":
        return [node]
    wide = [f"{name}_wide_{node.output[0]}" for name in node.input]
    widened = [
        onnx.helper.make_node("Cast", [name], [to], to=onnx.TensorProto.FLOAT)
        for name, to in zip(node.input, wide, strict=True)
    ]
    output = node.output[0]
    node.input[:] = wide
    node.output[0] = f"{output}_wide"
    return [*widened, node, onnx.helper.make_node("Cast", [f"{output}_wide"], [output], to=element)]


def _recast_outputs(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Rename what makes an output, and give the casts back to float32, under the output's name."""
    import onnx

    floats = [value.name for value in graph.output if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name in floats:
                    names[place] = f"{name}_recast"
    cast = onnx.TensorProto.FLOAT
    return [onnx.helper.make_node("Cast", [f"{name}_recast"], [name], to=cast) for name in floats]
