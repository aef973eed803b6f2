"""Which backend compiles and runs a network: the one place that chooses.

A file in `engine/backends/` is a backend and its name is the file's name. An explicit choice is that backend or an
error. `auto` tries those of `PREFERRED` for the device in order, says which it took, and keeps why it passed over the
ones before.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import engine.backends
from engine import cuda
from engine.spec import Backend, Device, Engine, Network, Precision
from pipeline.errors import BackendMissing, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO = "auto"
PREFERRED: Mapping[str, tuple[str, ...]] = {
    "cpu": ("openvino", "onnxruntime"),
    "cuda": ("tensorrt", "tensorrt_rtx", "onnxruntime"),
    "rocm": ("onnxruntime",),
    "directml": ("onnxruntime",),
    "coreml": ("onnxruntime",),
    "intel": ("openvino",),
    "npu": ("openvino",),
}
"""What `auto` tries on each kind of device, first the one that is taken to be the fastest: measured on the CPU
(docs/benchmarks.md), not on GPUs. Other backends run when asked for by name."""

GPU = "gpu"
"""The device that stands for the first kind of GPU that works here; never the CPU."""
GPUS = ("cuda", "rocm", "coreml", "intel", "directml")
"""The kinds of GPU in the order in which `gpu` tries them."""

logger = logging.getLogger("barefaced")


@dataclass(frozen=True)
class Selection:
    """An engine, the backend that compiled it, and why it is this backend."""

    engine: Engine
    backend: str
    passed_over: Mapping[str, str]
    """The backends that `auto` would rather have taken, each with the reason why not; empty for an explicit choice."""


def names() -> tuple[str, ...]:
    """The names of all backends, in alphabetical order, whether they can run here or not."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(engine.backends.__path__)))


def find_backend(name: str) -> Backend:
    """Import the backend called `name`. Raises `ConfigError` when there is no such file."""
    if name not in names():
        raise ConfigError(f"backend {name!r} is unknown: use {AUTO} or one of {', '.join(names())}")
    return cast("Backend", importlib.import_module(f"engine.backends.{name}"))


def find_device(name: str, backend: str = AUTO) -> Device:
    """The device called `name`, with `backend`; of `auto` and `gpu` say which it is.

    `auto` is the first CUDA GPU that works here, else the CPU; `gpu` is the first GPU of any kind. Raises
    `BackendMissing` with all reasons when `gpu` finds none.
    """
    if name == AUTO:
        reason = _without("cuda", backend)
        logger.warning("device auto takes %s", f"cpu: {reason}" if reason else cuda.cards()[0])
        return Device() if reason else Device("cuda")
    if name != GPU:
        return Device.named(name)

    reasons = {}
    for kind in GPUS:
        reason = _without(kind, backend)
        if reason is None:
            logger.warning("device gpu takes %s", cuda.cards()[0] if kind == "cuda" else kind)
            return Device(kind)
        reasons[kind] = reason
    told = "; ".join(f"{kind}: {reason}" for kind, reason in reasons.items())
    raise BackendMissing(f"no GPU can be used here ({told}); --device cpu always works", reasons=reasons)


def _without(kind: str, backend: str) -> str | None:
    """The reason why `backend`, or for `auto` none that is preferred, can use a device of this kind, or None."""
    reason = cuda.missing() if kind == "cuda" else None
    if reason is not None:
        return reason
    reasons = []
    for name in PREFERRED[kind] if backend == AUTO else (backend,):
        found = find_backend(name)
        reason = found.missing()
        if reason is None and any(device.startswith(kind) for device in found.offer().devices):
            return None
        reasons.append(reason or f"{name} has no support for {kind} here")
    return "; ".join(reasons)


def missing() -> dict[str, str | None]:
    """The reason why each backend can't run here, None where it can. Imports nothing heavy."""
    return {name: find_backend(name).missing() for name in names()}


def load(
    network: Network,
    *,
    backend: str = AUTO,
    device: Device | None = None,
    precision: Precision = Precision.AUTO,
    threads: int = 0,
) -> Engine:
    """Compile `network` as `select` does, and give the engine alone."""
    return select(network, backend=backend, device=device, precision=precision, threads=threads).engine


def select(
    network: Network,
    *,
    backend: str = AUTO,
    device: Device | None = None,
    precision: Precision = Precision.AUTO,
    threads: int = 0,
) -> Selection:
    """Compile `network` by the backend called `backend`, for the CPU unless `device` says otherwise.

    `threads` is how many CPU threads the engine may use, 0 for the backend's own choice. Raises `ConfigError` for an
    unknown name, `BackendMissing` when what was asked for can't run here, `EngineError` when compiling fails.
    """
    place = device or Device()
    passed_over: dict[str, str] = {}

    for name in PREFERRED.get(place.kind, ()) if backend == AUTO else (backend,):
        try:
            loaded = find_backend(name).load(network, device=place, precision=precision, threads=threads)
        except BackendMissing as error:
            if backend != AUTO:
                raise
            passed_over[name] = error.reasons.get(name, str(error))
            continue
        logger.info("%s runs on %s%s", network.name, loaded.description, _explained(passed_over))
        return Selection(loaded, name, passed_over)

    raise BackendMissing(
        f"no backend can run {network.name} on {place} in precision {precision}{_explained(passed_over)}",
        reasons=passed_over,
    )


def _explained(passed_over: Mapping[str, str]) -> str:
    """The backends that were passed over, as the end of a sentence."""
    return "".join(f"; not {name}: {reason}" for name, reason in passed_over.items())
