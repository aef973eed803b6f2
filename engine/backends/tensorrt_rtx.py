"""Runs networks in TensorRT for RTX, on RTX GPUs from Turing on; its engines are compiled on any machine.

Compiling is tried and tested without a GPU. Running has never been tried, for want of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.tensorrt_family import Family
from pipeline.errors import how_to_install

if TYPE_CHECKING:
    from types import ModuleType

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
"""What this backend and its sister share; the five names below are what a backend that compiles ahead defines."""

missing, offer, fastest, load, build = FAMILY.missing, FAMILY.offer, FAMILY.fastest, FAMILY.load, FAMILY.build
