"""Compiles engines ahead of time, for this machine or for others, and writes them to files."""

from __future__ import annotations

import importlib
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol, cast

from engine import cache
from engine.select import names
from pipeline.errors import ConfigError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from engine.cache import Label
    from engine.spec import Network, Precision

COMPILERS = ("tensorrt", "tensorrt_rtx")
"""The backends that define `build`."""


class Compiler(Protocol):
    """What a backend defines that compiles ahead of time."""

    def build(
        self, network: Network, *, precision: Precision, capabilities: tuple[str, ...], time_limit_seconds: float
    ) -> tuple[Label, bytes]:
        """Compile for compute capabilities such as "86", or without any for the GPU that is here.

        Raises `BackendMissing` where that is impossible, `EngineError` when compiling fails.
        """
        ...


@dataclass(frozen=True)
class Built:
    """What is known of an engine file that was written."""

    network: str
    capabilities: tuple[str, ...]
    """The compute capabilities that it runs on, such as `8.6`; or the one GPU's name and architecture."""
    file: str
    bytes: int

    def as_json(self) -> dict[str, object]:
        """The fields as JSON holds them."""
        return asdict(self)


def compiler(name: str) -> Compiler:
    """Import the backend called `name`. Raises `ConfigError` when it is none, or does not compile ahead of time."""
    if name not in COMPILERS:
        why = "does not compile ahead of time" if name in names() else "is unknown"
        raise ConfigError(f"backend {name!r} {why}: use one of {', '.join(COMPILERS)}")
    return cast("Compiler", importlib.import_module(f"engine.backends.{name}"))


def capabilities_of(text: str) -> tuple[str, ...]:
    """Split compute capabilities: `7.5,12.0`, which the command line has checked, to ("75", "120")."""
    return tuple(dict.fromkeys(part.replace(".", "") for part in text.split(",")))


def build_all(
    name: str,
    networks: Iterable[Network],
    folder: Path | None,
    *,
    precision: Precision,
    capabilities: tuple[str, ...],
    time_limit_seconds: float,
) -> Iterator[Built]:
    """Compile each network by the backend called `name`, and report each file when it is written.

    Files go to `folder`, or to the cache where it is None. Raises `ConfigError` for another backend, `BackendMissing`,
    `EngineError`, and `SinkError` when a file can't be written.
    """
    chosen = compiler(name)
    target = folder or cache.default_folder()
    for network in networks:
        label, compiled = chosen.build(
            network, precision=precision, capabilities=capabilities, time_limit_seconds=time_limit_seconds
        )
        path = target / label.file_name
        try:
            cache.write(path, label, compiled)
        except OSError as error:
            raise SinkError(f"{path} can't be written: {error.strerror or error}") from error
        yield Built(network.name, tuple(map(_dotted, label.devices)), str(path), path.stat().st_size)


def _dotted(device: str) -> str:
    """Turn `sm86` into `8.6`, and leave any other name as it is."""
    matched = re.fullmatch(r"sm([0-9]+)([0-9])", device)
    return f"{matched[1]}.{matched[2]}" if matched else device
