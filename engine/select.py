"""Which backend runs a network: the one place that chooses.

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
from engine.spec import Backend, Device, Engine, Network, Precision
from pipeline.errors import BackendMissing, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO = "auto"
PREFERRED: Mapping[str, tuple[str, ...]] = {
    "cpu": ("openvino", "onnxruntime"),
    "cuda": ("tensorrt", "tensorrt_rtx", "onnxruntime"),
}
"""What `auto` tries on each kind of device, first the one that is taken to be the fastest: measured on the CPU
(docs/benchmarks.md), not on GPUs. Other backends run when asked for by name."""

logger = logging.getLogger("barefaced")


@dataclass(frozen=True)
class Selection:
    """An engine, and why it is this one."""

    engine: Engine
    backend: str
    passed_over: Mapping[str, str]
    """Why not the backends that `auto` would rather have taken, by name; empty for an explicit choice."""


def names() -> tuple[str, ...]:
    """Every backend there is a file for, in alphabetical order, whether it can run here or not."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(engine.backends.__path__)))


def backend(name: str) -> Backend:
    """The backend called `name`. Raises `ConfigError` when there is no such file."""
    if name not in names():
        raise ConfigError(f"engine {name!r} is unknown: use {AUTO} or one of {', '.join(names())}")
    return cast("Backend", importlib.import_module(f"engine.backends.{name}"))


def missing() -> dict[str, str | None]:
    """Why each backend can't run here, None where it can. Imports nothing heavy."""
    return {name: backend(name).missing() for name in names()}


def load(
    network: Network,
    *,
    engine: str = AUTO,
    device: Device | None = None,
    precision: Precision = Precision.AUTO,
    threads: int = 0,
) -> Engine:
    """`select(...)`, the engine alone."""
    return select(network, engine=engine, device=device, precision=precision, threads=threads).engine


def select(
    network: Network,
    *,
    engine: str = AUTO,
    device: Device | None = None,
    precision: Precision = Precision.AUTO,
    threads: int = 0,
) -> Selection:
    """Compile `network` on the backend called `engine`, on the CPU unless told.

    `threads` is how many CPU threads it may use, 0 for the runtime's own choice. Raises `ConfigError` for an unknown
    name, `BackendMissing` when what was asked for can't run here, `EngineError` when the network can't be compiled.
    """
    place = device or Device()
    passed_over: dict[str, str] = {}
    for name in PREFERRED.get(place.kind, ()) if engine == AUTO else (engine,):
        try:
            loaded = backend(name).load(network, device=place, precision=precision, threads=threads)
        except BackendMissing as error:
            if engine != AUTO:
                raise
            passed_over[name] = error.reasons.get(name, str(error))
            continue
        logger.info("%s runs on %s%s", network.name, loaded.description, _explained(passed_over))
        return Selection(loaded, name, passed_over)
    raise BackendMissing(
        f"no engine can run {network.name} on {place} in precision {precision}{_explained(passed_over)}",
        reasons=passed_over,
    )


def _explained(passed_over: Mapping[str, str]) -> str:
    return "".join(f"; not {name}: {reason}" for name, reason in passed_over.items())
