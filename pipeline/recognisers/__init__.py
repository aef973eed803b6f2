"""Recognisers, each in a file of its own, whose name with hyphens is the recogniser's name.

A recogniser turns a face into an embedding, a few hundred numbers that are near to each other for pictures of one
person. Embeddings are biometric data: they are held in memory and written nowhere by a run. A file defines what
`RecogniserFile` lists. Adding a recogniser is adding a file.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import cv2
import numpy as np

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import Engine, Network, Pending
    from pipeline.geometry import Affine


@dataclass(frozen=True)
class Thresholds:
    """The cosines from which two faces are taken for one person.

    Raise them and two people are taken for one less often, but one person is taken for two more often.
    """

    bare: float
    """The threshold of two bare faces."""
    mixed: float
    """The threshold of a bare face and the repaired embedding of a masked one."""
    masked: float
    """The threshold of two masked faces, whose embeddings are not repaired for this."""


@dataclass(frozen=True)
class Recogniser:
    """A recogniser's network, and how a face is prepared for it."""

    engine: Engine
    """Takes one input, pictures (N, 3, size, size) float32 RGB, and gives one output, embeddings (N, d)."""
    size: int
    picture_from_crop: Affine
    """The map from the canonical crop to the network's picture."""
    mean: float = 0.0
    """What is subtracted from values of 0 to 255."""
    deviation: float = 1.0
    """What the difference is divided by."""

    def picture(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the network's picture (size, size, 3) out of a canonical crop (S, S, 3)."""
        return np.asarray(cv2.warpAffine(crop, self.picture_from_crop.matrix, (self.size, self.size)), np.uint8)

    def submit(self, crops: Sequence[NDArray[np.uint8]]) -> Pending:
        """Begin to embed canonical crops (S, S, 3) RGB; `embeddings` takes the answer. Raises `EngineError`."""
        feed = np.empty((len(crops), 3, self.size, self.size), np.float32)
        for crop, planes in zip(crops, feed, strict=True):
            planes[:] = (self.picture(crop).transpose(2, 0, 1) - np.float32(self.mean)) / np.float32(self.deviation)
        return self.engine.submit({self.engine.inputs[0].name: feed})

    def embeddings(self, answer: Pending) -> NDArray[np.float32]:
        """Wait for embeddings (N, d) of unit length, so that a product of two is their cosine. Raises `EngineError`."""
        return unit(answer.result()[self.engine.outputs[0].name].astype(np.float32))

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed canonical crops (S, S, 3) RGB at once: (N, d) of unit length. Raises `EngineError`."""
        return self.embeddings(self.submit(crops))


class RecogniserFile(Protocol):
    """What a module in `pipeline/recognisers/` defines."""

    UNMASKER: str | None
    """The name of our network that repairs its embeddings of masked faces; None where none was trained."""
    SAME_PERSON: Thresholds

    def missing(self) -> str | None:
        """Why the recogniser can't run here and how to get it, or None. Imports nothing heavy."""
        ...

    def network(self, path: Path | None) -> Network:
        """Read its network; `path` is where the user keeps one that does not come in a package.

        Raises `CheckpointError` when it can't be read or is another one than the known, `ConfigError` for a path that
        is missing or of no use.
        """
        ...

    def recogniser(self, engine: Engine) -> Recogniser:
        """Make the recogniser of the engine of its `network`. Raises `CheckpointError` for a network of no use."""
        ...


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring rows (N, d) to length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), np.float32)


def names() -> tuple[str, ...]:
    """The names of all recognisers, in alphabetical order, whether they can run here or not."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))


def recogniser_file(name: str) -> RecogniserFile:
    """Import the recogniser called `name`. Raises `ConfigError` when there is no such file."""
    if name not in names():
        raise ConfigError(f"recogniser {name!r} is unknown: use one of {', '.join(names())}")
    return cast("RecogniserFile", importlib.import_module(f"pipeline.recognisers.{name.replace('-', '_')}"))
