"""Runs networks in Torch-TensorRT: the reference's graph, exported and compiled by the package torch-tensorrt.

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
from engine.onnx_file import read_interface
from engine.recast import recast
from engine.spec import Offer, Precision
from engine.tensorrt_plan import MAX_BATCH
from pipeline.errors import EngineError, how_to_install

if TYPE_CHECKING:
    import torch

    from engine.spec import Device, Network
    from engine.torch_graph import Feeds, Function

NAME = "torch_tensorrt"
PRECISIONS = (Precision.FP16, Precision.BF16, Precision.F32)
MIN_BLOCK = 1
"""The least number of operations in a row that TensorRT gets: it gets all that it can run."""


def missing() -> str | None:
    """The reason why Torch-TensorRT can't run here, or None."""
    if importlib.util.find_spec(NAME) is None:
        return f"not installed: {how_to_install('training')}, then pip install torch-tensorrt"
    return reference.missing() or cuda.missing()


def offer() -> Offer:
    """The version, the devices and the precisions."""
    import torch_tensorrt

    return Offer(str(torch_tensorrt.__version__), tuple(str(card) for card in cuda.cards()), PRECISIONS)


def fastest() -> Precision:
    """The precision that `auto` stands for."""
    return PRECISIONS[0]


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
    from engine.torch_graph import Programs, read_graph

    graph = read_graph(recast(network, chosen), interface, device)
    programs = Programs(graph, interface, compiler=compiled)
    return reference.TorchEngine(network, interface, device, programs, name=NAME, precision=chosen, threads=threads)


def compiled(program: torch.export.ExportedProgram, feeds: Feeds, open_batch: bool) -> Function:  # noqa: FBT001
    """Compile a program, of which TensorRT gets all that it can run. Raises `EngineError` when that fails."""
    import torch_tensorrt

    inputs = [
        torch_tensorrt.Input(min_shape=least, opt_shape=least, max_shape=(MAX_BATCH, *least[1:]), dtype=feed.dtype)
        if open_batch
        else torch_tensorrt.Input(shape=tuple(feed.shape), dtype=feed.dtype)
        for feed, least in ((feed, (1, *feed.shape[1:])) for feed in feeds)
    ]
    try:
        function: Function = torch_tensorrt.dynamo.compile(
            program,
            inputs=inputs,
            device=torch_tensorrt.Device(gpu_id=feeds[0].device.index),
            use_explicit_typing=True,
            min_block_size=MIN_BLOCK,
            cache_built_engines=True,
            reuse_cached_engines=True,
            engine_cache_dir=str(default_folder() / NAME),
        )
    except Exception as error:  # its errors share no base class of their own
        raise EngineError(f"backend {NAME} can't compile the network: {str(error)[:300]}") from error
    return function
