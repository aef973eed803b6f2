"""Runs networks in PyTorch, operator by operator: the reference for the other backends, on the CPU or by CUDA.

The graph is read with the package `onnx`, and each node runs as the PyTorch function that means the same: slow and
plain, in float32 unless another precision is asked for. Both packages come with the extra `training`.
"""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine.onnx_file import Interface, read_interface
from engine.recast import recast
from engine.spec import Array, Device, Done, Network, Offer, Precision, checked_feeds
from pipeline.errors import BackendMissing, EngineError, how_to_install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch

NAME = "torch"
PRECISIONS = (Precision.F32, Precision.BF16, Precision.FP16, Precision.INT8)


def missing() -> str | None:
    """The reason why the reference can't run here, or None."""
    absent = [package for package in ("torch", "onnx") if importlib.util.find_spec(package) is None]
    return f"not installed: {' and '.join(absent)}; {how_to_install('training')}" if absent else None


def offer() -> Offer:
    """The version, the devices and the precisions."""
    import torch

    cards = tuple(f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count()))
    return Offer(str(torch.__version__), ("cpu", *cards), PRECISIONS)


def fastest() -> Precision:
    """The precision that `auto` stands for."""
    return PRECISIONS[0]


def load(network: Network, *, device: Device, precision: Precision, threads: int) -> TorchEngine:
    """Read the graph of `network`, in float32 for precision auto.

    Raises `BackendMissing` where the packages or the device are absent, and for int8 when the network was not quantised
    for it; `EngineError` when the file is broken or has an operator that is not known here.
    """
    chosen = prepare(NAME, missing(), network, device, precision)
    interface = read_interface(network)
    from engine.torch_graph import read_graph

    graph = read_graph(recast(network, chosen), interface, device)
    return TorchEngine(network, interface, device, graph, name=NAME, precision=chosen, threads=threads)


def prepare(name: str, reason: str | None, network: Network, device: Device, precision: Precision) -> Precision:
    """The precision in which the backend `name` will compute. Raises `BackendMissing`, for `reason` if there is one."""
    if reason is None:
        import torch

        if device.kind not in ("cpu", "cuda"):
            reason = f"runs on cpu and cuda, not on {device}"
        elif device.kind == "cuda" and device.index >= torch.cuda.device_count():
            cure = "install torch from https://download.pytorch.org/whl/cu130 and NVIDIA's driver"
            reason = f"torch {torch.__version__} sees no {device}: {cure}"
        elif precision is Precision.INT8:
            reason = network.lacks_int8()
    if reason is not None:
        raise BackendMissing(f"backend {name}: {reason}", reasons={name: reason})
    return Precision.F32 if precision is Precision.AUTO else precision


class TorchEngine:
    """A network in PyTorch."""

    def __init__(
        self,
        network: Network,
        interface: Interface,
        device: Device,
        function: Callable[..., tuple[torch.Tensor, ...]],
        *,
        name: str,
        precision: Precision,
        threads: int,
    ) -> None:
        self.inputs = interface.inputs
        self.outputs = interface.outputs
        self._network = network.name
        self._device = device
        self._function: Callable[..., tuple[torch.Tensor, ...]] | None = function
        self._name = name
        self._precision = precision
        self._threads = threads

    @property
    def description(self) -> str:
        """Backend, version, device and precision, such as `torch 2.13.0+cpu cpu f32`."""
        import torch

        return f"{self._name} {torch.__version__} {self._device} {self._precision}"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for `feeds`. Raises `ShapeError` and `EngineError`."""
        import torch

        if self._function is None:
            raise EngineError(f"engine {self._name} of {self._network} is closed")

        arrays = checked_feeds(self.inputs, feeds)
        place = torch.device(str(self._device))
        tensors = [torch.tensor(array, device=place) for array in arrays.values()]
        with torch.inference_mode(), _threads(self._threads):
            try:
                computed = self._function(*tensors)
            except EngineError:
                raise
            except (RuntimeError, ValueError, TypeError, IndexError) as error:  # a graph that does not add up
                raise EngineError(f"backend {self._name} can't run {self._network}: {str(error)[:300]}") from error
        return {spec.name: value.cpu().numpy() for spec, value in zip(self.outputs, computed, strict=True)}

    def submit(self, feeds: Mapping[str, Array]) -> Done:
        """Run at once. Raises `ShapeError` and `EngineError`."""
        return Done(self.run(feeds))

    def close(self) -> None:
        """Release the weights."""
        self._function = None


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set PyTorch's number of threads inside a `with` block, and set it back: there is one for all its work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
