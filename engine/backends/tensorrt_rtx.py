"""Runs networks in TensorRT for RTX, on RTX GPUs from Turing on; its engines are compiled on any machine.

Compiling is tried and tested without a GPU. Running has never been tried, for want of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.tensorrt_family import Family
from pipeline.errors import how_to_install

if TYPE_CHECKING:
    from types import ModuleType

    from engine.cache import Label
    from engine.spec import Device, Network, Offer, Precision
    from engine.tensorrt_engine import TensorRtEngine

NAME = "tensorrt_rtx"


def context_with_graphs(trt: ModuleType, engine: Any) -> Any:  # noqa: ANN401 - TensorRT's objects, untyped
    """Make an execution context whose runs the runtime itself records as CUDA graphs."""
    config = engine.create_runtime_config()
    config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    return engine.create_execution_context(config)


FAMILY = Family(
    name=NAME,
    cure=how_to_install("rtx"),
    portable=True,
    context_of=context_with_graphs,
    captured=False,
)


def missing() -> str | None:
    """The reason why it can't run networks here, or None; `build` needs no GPU."""
    return FAMILY.missing()


def offer() -> Offer:
    """The version, the devices and the precisions."""
    return FAMILY.offer()


def load(network: Network, *, device: Device, precision: Precision, threads: int) -> TensorRtEngine:
    """`network` from the cache, or compiled; `threads` means nothing here.

    Raises `BackendMissing` where there is no such GPU, and for a precision that it lacks; `EngineError` when compiling
    or loading fails.
    """
    del threads
    return FAMILY.load(network, device=device, precision=precision)


def build(
    network: Network, *, precision: Precision, capabilities: tuple[str, ...], time_limit_seconds: float
) -> tuple[Label, bytes]:
    """Compile ahead of time for compute capabilities such as "86", without a GPU, or without any for the GPU here.

    Raises `BackendMissing` for one that is not known or lacks the precision, `EngineError` when compiling fails.
    """
    return FAMILY.build(network, precision=precision, capabilities=capabilities, time_limit_seconds=time_limit_seconds)
