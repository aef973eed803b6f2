"""Runs networks in TensorRT, on NVIDIA's GPUs in workstations and data centres; it compiles on the GPU that runs.

Written against the documented interface of TensorRT 10.13 to 11.4. Never run so far: its package could not be installed
where this was written. All but this file is shared with `tensorrt_rtx`, whose compiling is tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.tensorrt_family import Family

if TYPE_CHECKING:
    from types import ModuleType

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
"""What this backend and its sister share; the five names below are what a backend that compiles ahead defines."""

missing, offer, fastest, load, build = FAMILY.missing, FAMILY.offer, FAMILY.fastest, FAMILY.load, FAMILY.build
