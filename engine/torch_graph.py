"""Runs a network's graph in PyTorch, node by node, or exports it by `torch.export` for a compiler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from engine.tensorrt_plan import MAX_BATCH
from engine.torch_operators import OPERATORS, compute
from pipeline.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from engine.onnx_file import Interface
    from engine.spec import Device, Network


SHAPE_DTYPES = ("int32", "int64")


@dataclass(frozen=True)
class Node:
    """One operation of the graph."""

    operator: str
    inputs: tuple[str, ...]
    """The names of its inputs; an empty name stands for an input that is left out."""
    output: str
    attributes: Mapping[str, Any]


class TorchGraph(nn.Module):
    """A network as a PyTorch module: its weights are buffers, and `forward` computes its nodes in order."""

    def __init__(
        self, nodes: tuple[Node, ...], constants: Mapping[str, Tensor | NDArray[Any]], interface: Interface
    ) -> None:
        super().__init__()
        self._inputs = tuple(spec.name for spec in interface.inputs)
        self._outputs = tuple(spec.name for spec in interface.outputs)
        self._numbers = {name: value for name, value in constants.items() if isinstance(value, np.ndarray)}
        self._buffer_of: dict[str, str] = {}
        for place, (name, value) in enumerate(constants.items()):
            if isinstance(value, Tensor):
                self._buffer_of[name] = f"constant_{place}"  # a buffer's name may hold no dot
                self.register_buffer(f"constant_{place}", value)
        self._nodes = nodes

    def forward(self, *feeds: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs for the inputs, both in the graph's order."""
        values: dict[str, Any] = dict(zip(self._inputs, feeds, strict=True))
        values |= self._numbers | {name: getattr(self, buffer) for name, buffer in self._buffer_of.items()}
        for node in self._nodes:
            inputs = [values[name] if name else None for name in node.inputs]
            values[node.output] = compute(node.operator, inputs, node.attributes)
        return tuple(torch.as_tensor(values[name]) for name in self._outputs)


def read_graph(network: Network, interface: Interface, device: Device) -> TorchGraph:
    """Read a graph, and compute what depends on no input. Raises `EngineError` for what is broken or unknown."""
    try:
        graph = onnx.load_from_string(network.onnx).graph
    except Exception as error:  # protobuf's errors are not part of what onnx promises
        raise EngineError(f"backend torch can't read {network.name}: {error}") from error
    unknown = sorted({node.op_type for node in graph.node} - OPERATORS.keys() - {"Constant"})
    if unknown:
        raise EngineError(f"backend torch does not know the operators {', '.join(unknown)} of {network.name}")

    place = torch.device(str(device))
    constants = {tensor.name: _value(onnx.numpy_helper.to_array(tensor), place) for tensor in graph.initializer}
    nodes = []
    for stored in graph.node:
        node = Node(stored.op_type, tuple(stored.input), stored.output[0], _attributes(stored))
        if node.operator == "Constant":
            constants[node.output] = _value(node.attributes["value"], place)
        elif all(name in constants or not name for name in node.inputs):
            inputs = [constants[name] if name else None for name in node.inputs]
            constants[node.output] = compute(node.operator, inputs, node.attributes)
        else:
            nodes.append(node)

    used = {name for node in nodes for name in node.inputs} | {spec.name for spec in interface.outputs}
    return TorchGraph(tuple(nodes), {name: value for name, value in constants.items() if name in used}, interface)


def _value(array: NDArray[Any], place: torch.device) -> Tensor | NDArray[Any]:
    """Make a tensor of a weight, on its device; whole numbers, which describe sizes, stay numpy arrays."""
    if array.dtype.name in SHAPE_DTYPES:
        return array.copy()
    if array.dtype.name == "bfloat16":  # numpy's own types lack it, and PyTorch reads only those
        return torch.from_numpy(array.astype(np.float32)).to(place, torch.bfloat16)
    return torch.from_numpy(array.copy()).to(place)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node, tensors as numpy arrays."""
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {
        name: onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
        for name, value in values.items()
    }


Feeds: TypeAlias = tuple[torch.Tensor, ...]
Function: TypeAlias = Callable[..., tuple[torch.Tensor, ...]]


class Programs:
    """A graph that is compiled when shapes are first met, once for all batches where only the batch is open."""

    def __init__(
        self,
        graph: TorchGraph,
        interface: Interface,
        *,
        compiler: Callable[[torch.export.ExportedProgram, Feeds, bool], Function],
    ) -> None:
        """`compiler` takes a program, an example of its feeds, and whether batches of 1 to `MAX_BATCH` will come."""
        self._graph = graph
        self._compiler = compiler
        self._open_batch = all(spec.shape[0] is None and None not in spec.shape[1:] for spec in interface.inputs)
        self._compiled: dict[tuple[tuple[int, ...], ...], Function] = {}

    def __call__(self, *feeds: torch.Tensor) -> Feeds:
        """Compute the outputs; more than `MAX_BATCH` pictures take several runs. Raises what the compiler raises."""
        if self._open_batch and len(feeds[0]) > MAX_BATCH:
            parts = [self(*some) for some in zip(*(torch.split(feed, MAX_BATCH) for feed in feeds), strict=True)]
            return tuple(torch.cat(outputs) for outputs in zip(*parts, strict=True))

        key = tuple(tuple(feed.shape[1:] if self._open_batch else feed.shape) for feed in feeds)
        if key not in self._compiled:
            with torch.inference_mode(mode=False):  # tensors of inference mode can't be exported
                plain = tuple(feed.clone() for feed in feeds)
                program = exported(self._graph, plain, open_batch=self._open_batch)
                self._compiled[key] = self._compiler(program, plain, self._open_batch)
        return tuple(self._compiled[key](*feeds))


def exported(graph: TorchGraph, feeds: Feeds, *, open_batch: bool) -> torch.export.ExportedProgram:
    """Export the graph for batches of 1 to `MAX_BATCH`, or for exactly the shapes of the feeds."""
    if not open_batch:
        return torch.export.export(graph, feeds)
    # An example of one picture would fix the batch at one.
    examples = tuple(feed[:1].expand(2, *feed.shape[1:]).contiguous() for feed in feeds)
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    return torch.export.export(graph, examples, dynamic_shapes=(tuple({0: batch} for _ in feeds),))
