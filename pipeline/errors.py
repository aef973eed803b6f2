"""Every exception we raise.

BarefacedError
├─ ConfigError (ValueError)       names the key, the value and what is allowed
├─ SourceError (OSError)          the input can't be opened or read
│  └─ DecodeError                 the stream is broken; carries time and frame index
├─ SinkError (OSError)            the output can't be written; the camera is gone
├─ EngineError (RuntimeError)     the network can't be compiled, loaded or run
│  ├─ BackendMissing              not installed or no device; carries every backend's reason
│  └─ ShapeError (ValueError)     expected and actual
├─ CheckpointError (RuntimeError) the file is not what this code wrote
└─ Refused                        the page of `barefaced serve` does not do what it was asked for
   ├─ Busy                        something else is being processed
   ├─ TooLarge                    a file has more bytes than are taken
   └─ TooSlow                     a file took longer than is waited for

A message names the cause and the cure. Foreign errors are translated at the boundary that knows what they mean.
"""

from __future__ import annotations

from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction


def how_to_install(extra: str, *, root: Path = Path(__file__).parents[1]) -> str:
    """Tell how to get what an extra brings: by make in a clone at `root`, elsewhere into the program's environment."""
    if (root / "Makefile").exists():
        return f"make setup EXTRAS={extra}"
    wanted = [line.split(";")[0].strip() for line in requires("barefaced") or () if f'extra == "{extra}"' in line]
    packages = " ".join(f"'{package}'" if set(package) & set("<>=") else package for package in wanted)
    return f"pipx inject barefaced {packages} (or pip install them where barefaced is)"


class BarefacedError(Exception):
    """The root: `except BarefacedError` catches all that we raise and nothing else."""


class ConfigError(BarefacedError, ValueError):
    """A setting is unknown or out of range."""


class SourceError(BarefacedError, OSError):
    """The input can't be opened or read."""


class DecodeError(SourceError):
    """The stream is broken.

    `time` is in seconds and `frame_index` counts decoded frames, both of the last frame that could be read;
    None before the first.
    """

    def __init__(self, message: str, *, time: Fraction | None = None, frame_index: int | None = None) -> None:
        super().__init__(message)
        self.time = time
        self.frame_index = frame_index


class SinkError(BarefacedError, OSError):
    """The output can't be written, or the virtual camera is gone."""


class EngineError(BarefacedError, RuntimeError):
    """A network can't be compiled, loaded or run."""


class BackendMissing(EngineError):
    """No backend that was asked for can run here. `reasons` maps each one's name to why."""

    def __init__(self, message: str, *, reasons: Mapping[str, str]) -> None:
        super().__init__(message)
        self.reasons = dict(reasons)


class ShapeError(EngineError, ValueError):
    """An array has not the shape that the network takes."""

    def __init__(self, name: str, *, expected: tuple[int | None, ...], actual: tuple[int, ...]) -> None:
        super().__init__(f"{name} has shape {actual}, expected {expected} (None is any)")
        self.expected = expected
        self.actual = actual


class CheckpointError(BarefacedError, RuntimeError):
    """A checkpoint or a network file is not what this code wrote."""


class Refused(BarefacedError):
    """The page of `barefaced serve` does not do what it was asked for."""


class Busy(Refused):
    """Something else is being processed."""


class TooLarge(Refused):
    """A file has more bytes than are taken."""


class TooSlow(Refused):
    """A file took longer than is waited for."""
