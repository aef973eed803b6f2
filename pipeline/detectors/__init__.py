"""Where the faces are: a detector is one file, and its name is the file's name with hyphens.

A file defines what `DetectorFile` lists. Adding a detector is adding a file.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Protocol, cast

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from engine.spec import Engine, Network
    from pipeline.frames import Detection, Frame

DEFAULT = "retinaface"


class Detector(Protocol):
    """Finds the faces in one frame. Used by one thread at a time."""

    def __call__(self, frame: Frame) -> tuple[Detection, ...]:
        """The faces, best first, boxes and landmarks in frame pixels. Raises `EngineError`."""
        ...


class DetectorFile(Protocol):
    """What a module in `pipeline/detectors/` defines."""

    def missing(self) -> str | None:
        """Why the detector can't run here and how to get it, or None. Imports nothing heavy."""
        ...

    def network(self) -> Network:
        """Its network, for an engine to load. Raises `CheckpointError` when it can't be had or isn't the one known."""
        ...

    def detector(self, engine: Engine, *, size: int, threshold: float) -> Detector:
        """The detector on an engine that loaded `network()`.

        `size` is the longer side, in pixels, of the picture that the network looks at: raise it and smaller faces are
        found, at a cost that grows with its square. Faces below `threshold` in [0, 1] are not reported: lower it and
        more faces are found, and more things that are none.
        """
        ...


def names() -> tuple[str, ...]:
    """Every detector there is a file for, in alphabetical order, whether it can run here or not."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))


def detector_file(name: str) -> DetectorFile:
    """The detector called `name`. Raises `ConfigError` when there is no such file."""
    if name not in names():
        raise ConfigError(f"detector {name!r} is unknown: use one of {', '.join(names())}")
    return cast("DetectorFile", importlib.import_module(f"pipeline.detectors.{name.replace('-', '_')}"))
