"""Runs networks in TensorRT, on NVIDIA's GPUs in workstations and data centres; it compiles on the GPU that runs.

Written against the documented interface of TensorRT 10.13 to 11.4. Never run so far: its package could not be installed
where this was written. All but this file is shared with `tensorrt_rtx`, whose compiling is tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.tensorrt_family import Family

if TYPE_CHECKING:
    from types import ModuleType

    from engine.cache import Label
    from engine.spec import Device, Network, Offer, Precision
    from engine.tensorrt_engine import TensorRtEngine

NAME = "tensorrt"


def plain_context(_trt: ModuleType, engine: Any) -> Any:  # noqa: ANN401 - TensorRT's objects, untyped
    """Make an execution context."""
    return engine.create_execution_context()


FAMILY = Family(
    name=NAME,
    cure="pip install 'tensorrt>=10.13' onnx",
    portable=False,
    context_of=plain_context,
    captured=True,
)


def missing() -> str | None:
    """Why it can't run networks here, or None."""
    return FAMILY.missing()


def offer() -> Offer:
    """The version, the devices and the precisions."""
    return FAMILY.offer()


def load(network: Network, *, device: Device, precision: Precision, threads: int) -> TensorRtEngine:
    """`network` from the cache, or built on the GPU; `threads` means nothing here.

    Raises `BackendMissing` where there is no such GPU, and for a precision that it lacks; `EngineError` when building
    or loading fails.
    """
    del threads
    return FAMILY.load(network, device=device, precision=precision)


def build(
    network: Network, *, precision: Precision, capabilities: tuple[str, ...], time_limit_seconds: float
) -> tuple[Label, bytes]:
    """Compile ahead of time for the first GPU of this machine; `capabilities` must be empty.

    Raises `BackendMissing` where that can't be done, `EngineError` when building fails.
    """
    return FAMILY.build(network, precision=precision, capabilities=capabilities, time_limit_seconds=time_limit_seconds)
