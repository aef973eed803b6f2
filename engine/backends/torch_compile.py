"""Runs networks by `torch.compile`: the reference's graph, fused and compiled for the CPU or for CUDA.

The first run compiles, for every batch at once, which takes seconds to minutes and needs a C++ compiler (CPU) or
Triton (CUDA); a network whose picture size is open is compiled for each size that it meets.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from engine.backends import torch as reference
from engine.onnx_file import read_interface
from engine.recast import recast

if TYPE_CHECKING:
    from engine.spec import Device, Network, Offer, Precision
    from engine.torch_graph import Feeds, Function

NAME = "torch_compile"
COMPILER = "inductor"
"""The compiler to which `torch.compile` hands its graphs."""
CXX = ("g++", "c++", "clang++", "cl")


def missing() -> str | None:
    """The reason why `torch.compile` can't run here, or None."""
    return reference.missing()


def offer() -> Offer:
    """The version, the devices and the precisions."""
    return reference.offer()


def fastest() -> Precision:
    """The precision that `auto` stands for."""
    return reference.fastest()


def load(network: Network, *, device: Device, precision: Precision, threads: int) -> reference.TorchEngine:
    """Make `network` ready to be compiled at its first run.

    Raises `BackendMissing` as the reference does, and where the compiler for `device` is absent; `EngineError` when the
    file is broken or has an operator that is not known here.
    """
    reason = missing() or _no_compiler(device)
    chosen = reference.prepare(NAME, reason, network, device, precision)
    interface = read_interface(network)
    import torch

    from engine.torch_graph import Programs, read_graph

    def compiled(program: torch.export.ExportedProgram, _feeds: Feeds, open_batch: bool) -> Function:  # noqa: FBT001
        # Whole or not at all: a graph in pieces would run in part as the reference does, and nobody would know.
        function: Function = torch.compile(program.module(), dynamic=open_batch, fullgraph=True, backend=COMPILER)
        return function

    graph = read_graph(recast(network, chosen), interface, device)
    programs = Programs(graph, interface, compiler=compiled)
    return reference.TorchEngine(network, interface, device, programs, name=NAME, precision=chosen, threads=threads)


def _no_compiler(device: Device) -> str | None:
    if device.kind == "cpu" and not any(shutil.which(name) for name in CXX):
        cure = "install Visual Studio's build tools" if sys.platform == "win32" else "apt install g++"
        return f"needs a C++ compiler: {cure}"
    return None
