"""Torch-TensorRT: the reference's graph through `torch.export`, compiled by the package torch-tensorrt.

What TensorRT can't run stays in PyTorch. Written against the documented interface of torch-tensorrt 2.8 and newer; its
exporting is tested, its compiling and running never was, for want of a GPU. Torch-TensorRT compiles inside this process
and keeps its engines in a directory of its own beside ours.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from engine import cuda
from engine.backends import torch as reference
from engine.cache import default_folder
from engine.interface import read_interface
from engine.recast import recast
from engine.spec import Offer, Precision
from engine.tensorrt_plan import MAX_BATCH
from pipeline.errors import EngineError

if TYPE_CHECKING:
    import torch

    from engine.interface import Interface
    from engine.spec import Device, Network
    from engine.torch_graph import Graph

NAME = "torch_tensorrt"
PRECISIONS = (Precision.FP16, Precision.BF16, Precision.F32)
MIN_BLOCK = 1
"""Operations in a row from which TensorRT gets them: all that it can run."""


def missing() -> str | None:
    """Why Torch-TensorRT can't run here, or None."""
    if importlib.util.find_spec(NAME) is None:
        return "not installed: pip install torch-tensorrt, with barefaced[training]"
    return reference.missing() or cuda.missing()


def offer() -> Offer:
    """Version, devices and precisions."""
    import torch_tensorrt

    return Offer(str(torch_tensorrt.__version__), tuple(str(card) for card in cuda.cards()), PRECISIONS)


def load(network: Network, *, device: Device, precision: Precision, threads: int) -> reference.TorchEngine:
    """Make `network` ready to be compiled at its first run, in float16 for precision auto.

    Raises `BackendMissing` where the package or the GPU are absent, for the CPU and for int8; `EngineError` when the
    file is broken or has an operator that is not known here.
    """
    reason = missing()
    if reason is None and device.kind != "cuda":
        reason = f"runs on cuda, not on {device}: use --device cuda"
    if reason is None and precision is Precision.INT8:
        reason = f"computes in {', '.join(PRECISIONS)}, not in int8; use --engine tensorrt or tensorrt_rtx"
    chosen = reference.prepare(
        NAME, reason, network, device, PRECISIONS[0] if precision is Precision.AUTO else precision
    )
    interface = read_interface(network)
    from engine.torch_graph import read_graph

    graph = read_graph(recast(network, chosen), interface, device)
    programs = Programs(network.name, graph, interface)
    return reference.TorchEngine(network, interface, device, programs, name=NAME, precision=chosen, threads=threads)


class Programs:
    """The graph, compiled for the shapes that come: one program for all batches where only the batch is open."""

    def __init__(self, name: str, graph: Graph, interface: Interface) -> None:
        self._name = name
        self._graph = graph
        self._batch_is_open = all(spec.shape[0] is None and None not in spec.shape[1:] for spec in interface.inputs)
        self._compiled: dict[tuple[tuple[int, ...], ...], torch.nn.Module] = {}

    def __call__(self, *feeds: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs; more than `MAX_BATCH` pictures in several runs. Raises `EngineError` when compiling fails."""
        import torch

        if self._batch_is_open and len(feeds[0]) > MAX_BATCH:
            parts = [self(*some) for some in zip(*(torch.split(feed, MAX_BATCH) for feed in feeds), strict=True)]
            return tuple(torch.cat(outputs) for outputs in zip(*parts, strict=True))
        key = tuple(tuple(feed.shape[1:] if self._batch_is_open else feed.shape) for feed in feeds)
        if key not in self._compiled:
            self._compiled[key] = self._compile(feeds)
        return tuple(self._compiled[key](*feeds))

    def _compile(self, feeds: tuple[torch.Tensor, ...]) -> torch.nn.Module:
        import torch_tensorrt

        program = exported(self._graph, feeds, open_batch=self._batch_is_open)
        try:
            compiled: torch.nn.Module = torch_tensorrt.dynamo.compile(
                program,
                inputs=[self._input(torch_tensorrt, feed) for feed in feeds],
                device=torch_tensorrt.Device(gpu_id=feeds[0].device.index),
                use_explicit_typing=True,
                min_block_size=MIN_BLOCK,
                cache_built_engines=True,
                reuse_cached_engines=True,
                engine_cache_dir=str(default_folder() / NAME),
            )
        except Exception as error:  # its errors share no base class of their own
            raise EngineError(f"engine {NAME} can't compile {self._name}: {str(error)[:300]}") from error
        return compiled

    def _input(self, package: object, feed: torch.Tensor) -> object:
        sizes = tuple(feed.shape[1:])
        if not self._batch_is_open:
            return package.Input(shape=tuple(feed.shape), dtype=feed.dtype)  # type: ignore[attr-defined]
        return package.Input(  # type: ignore[attr-defined]
            min_shape=(1, *sizes), opt_shape=(1, *sizes), max_shape=(MAX_BATCH, *sizes), dtype=feed.dtype
        )


def exported(graph: Graph, feeds: tuple[torch.Tensor, ...], *, open_batch: bool) -> torch.export.ExportedProgram:
    """The graph as `torch.export` sees it, for batches of 1 to `MAX_BATCH` or for the feeds' very shapes."""
    import torch

    if not open_batch:
        return torch.export.export(graph, feeds)
    # An example of one picture would fix the batch at one.
    examples = tuple(feed[:1].expand(2, *feed.shape[1:]).contiguous() for feed in feeds)
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    return torch.export.export(graph, examples, dynamic_shapes=(tuple({0: batch} for _ in feeds),))
