"""PyTorch, operator by operator: the reference that the other backends are compared with.

The graph is read with the package `onnx`, and each node runs as the PyTorch function that means the same: slow and
plain, in float32. Both packages come with the extra `training`.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.interface import Interface, read_interface
from engine.pending import Done
from engine.spec import Array, Device, Network, Precision, checked_feeds
from pipeline.errors import BackendMissing, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    import onnx
    import torch

NAME = "torch"


def missing() -> str | None:
    """Why the reference can't run here, or None."""
    absent = [package for package in ("torch", "onnx") if importlib.util.find_spec(package) is None]
    return f"not installed: {' and '.join(absent)}; install barefaced[training]" if absent else None


def load(network: Network, *, device: Device, precision: Precision, threads: int) -> TorchEngine:
    """Read the graph of `network`.

    Raises `BackendMissing` where the packages or the device are absent and for any precision but float32,
    `EngineError` when the file is broken or has an operator that is not known here.
    """
    reason = missing()
    if reason is None and precision not in (Precision.AUTO, Precision.F32):
        reason = f"computes in f32, not in {precision}; use precision auto or f32"
    if reason is None:
        reason = _device_missing(device)
    if reason is not None:
        raise BackendMissing(f"engine {NAME}: {reason}", reasons={NAME: reason})
    interface = read_interface(network)
    return TorchEngine(network, interface, device, read_graph(network, device), threads)


def _device_missing(device: Device) -> str | None:
    import torch

    if device.kind == "cpu" or (device.kind == "cuda" and device.index < torch.cuda.device_count()):
        return None
    return f"this build of torch {torch.__version__} sees no {device}"


@dataclass(frozen=True)
class Node:
    """One operation of the graph."""

    operator: str
    inputs: tuple[str, ...]
    """Names; an empty one is an input that is left out."""
    output: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """What is computed, in order, and from which constants."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, torch.Tensor]


def read_graph(network: Network, device: Device) -> Graph:
    """Nodes and weights. Raises `EngineError` for a broken file and for operators that are not known here."""
    import onnx
    import torch

    from engine.torch_operators import OPERATORS

    try:
        graph = onnx.load_from_string(network.onnx).graph
    except Exception as error:  # protobuf's errors are not part of what onnx promises
        raise EngineError(f"engine {NAME} can't read {network.name}: {error}") from error
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    unknown = sorted({node.op_type for node in nodes} - OPERATORS.keys())
    if unknown:
        raise EngineError(f"engine {NAME} does not know the operators {', '.join(unknown)} of {network.name}")
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    tensors |= {node.output[0]: _attributes(node)["value"] for node in graph.node if node.op_type == "Constant"}
    place = torch.device(str(device))
    constants = {
        name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()).to(place) for name, tensor in tensors.items()
    }
    return Graph(
        tuple(Node(node.op_type, tuple(node.input), node.output[0], _attributes(node)) for node in nodes), constants
    )


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    import onnx

    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


class TorchEngine:
    """A network in PyTorch."""

    def __init__(self, network: Network, interface: Interface, device: Device, graph: Graph, threads: int) -> None:
        self.inputs = interface.inputs
        self.outputs = interface.outputs
        self._name = network.name
        self._device = device
        self._graph: Graph | None = graph
        self._threads = threads

    @property
    def description(self) -> str:
        """Such as `torch 2.13.0+cpu cpu f32`."""
        import torch

        return f"{NAME} {torch.__version__} {self._device} {Precision.F32}"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs for `feeds`. Raises `ShapeError` and `EngineError`."""
        import torch

        if self._graph is None:
            raise EngineError(f"engine {NAME} of {self._name} is closed")
        arrays = checked_feeds(self.inputs, feeds)
        place = torch.device(str(self._device))
        values = {name: torch.tensor(array, device=place) for name, array in arrays.items()}
        with torch.inference_mode(), _threads(self._threads):
            try:
                computed = _compute(self._graph, values)
            except EngineError:
                raise
            except (RuntimeError, ValueError, TypeError, IndexError) as error:  # a graph that does not add up
                raise EngineError(f"engine {NAME} can't run {self._name}: {str(error)[:300]}") from error
        return {spec.name: computed[spec.name].cpu().numpy() for spec in self.outputs}

    def submit(self, feeds: Mapping[str, Array]) -> Done:
        """A run, done at once. Raises `ShapeError` and `EngineError`."""
        return Done(self.run(feeds))

    def close(self) -> None:
        """Let go of the weights."""
        self._graph = None


def _compute(graph: Graph, feeds: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Every value of the graph by name."""
    from engine.torch_operators import OPERATORS

    values = {**graph.constants, **feeds}
    for node in graph.nodes:
        inputs = [values[name] if name else None for name in node.inputs]
        values[node.output] = OPERATORS[node.operator](inputs, node.attributes)
    return values


def _threads(count: int) -> AbstractContextManager[None]:
    """PyTorch has one setting for all its work: changed for a run, and put back."""
    from contextlib import contextmanager

    import torch

    @contextmanager
    def changed() -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(count or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    return changed()
