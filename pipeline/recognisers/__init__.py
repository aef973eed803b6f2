"""Whose face it is: a recogniser is one file, and its name is the file's name with hyphens.

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

DEFAULT = "dlib-resnet"


@dataclass(frozen=True)
class Thresholds:
    """Cosines from which two faces are taken for one person. Raise them and people are taken for others less often, and
    not known again more often."""

    bare: float
    """Of two bare faces."""
    mixed: float
    """Of a bare face and the repaired embedding of a masked one."""
    masked: float
    """Of two masked faces, whose embeddings are not repaired for this."""


@dataclass(frozen=True)
class Recogniser:
    """A recogniser's network, and how it wants a face."""

    engine: Engine
    """Takes one input, pictures (N, 3, size, size) float32 RGB, and gives one output, embeddings (N, d)."""
    size: int
    picture_from_crop: Affine
    """Where in the canonical crop its picture lies."""
    mean: float = 0.0
    """Taken from values of 0 to 255."""
    deviation: float = 1.0
    """What they are divided by then."""

    def submit(self, crops: Sequence[NDArray[np.uint8]]) -> Pending:
        """Begin to embed canonical crops (S, S, 3) RGB; `embeddings` takes the answer. Raises `EngineError`."""
        feed = np.empty((len(crops), 3, self.size, self.size), np.float32)
        for crop, planes in zip(crops, feed, strict=True):
            picture = cv2.warpAffine(crop, self.picture_from_crop.matrix, (self.size, self.size))
            planes[:] = (picture.transpose(2, 0, 1) - np.float32(self.mean)) / np.float32(self.deviation)
        return self.engine.submit({self.engine.inputs[0].name: feed})

    def embeddings(self, answer: Pending) -> NDArray[np.float32]:
        """(N, d) of unit length, so that a product of two is their cosine. Raises `EngineError`."""
        return unit(answer.result()[self.engine.outputs[0].name].astype(np.float32))

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """`submit` and `embeddings`, one after the other."""
        return self.embeddings(self.submit(crops))


class RecogniserFile(Protocol):
    """What a module in `pipeline/recognisers/` defines."""

    UNMASKER: str | None
    """The network of ours that repairs its embeddings of masked faces; None where none was trained."""
    SAME_PERSON: Thresholds

    def missing(self) -> str | None:
        """Why the recogniser can't run here and how to get it, or None. Imports nothing heavy."""
        ...

    def network(self, path: Path | None) -> Network:
        """Its network, for an engine to load; `path` is where the user keeps it, for those that don't come by package.

        Raises `CheckpointError` when it can't be had or isn't the one known, `ConfigError` for a path that is missing
        or of no use.
        """
        ...

    def recogniser(self, engine: Engine) -> Recogniser:
        """The recogniser on an engine that loaded `network()`. Raises `CheckpointError` for a network of no use."""
        ...


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (N, d) brought to length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), np.float32)


def names() -> tuple[str, ...]:
    """Every recogniser there is a file for, in alphabetical order, whether it can run here or not."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))


def recogniser_file(name: str) -> RecogniserFile:
    """The recogniser called `name`. Raises `ConfigError` when there is no such file."""
    if name not in names():
        raise ConfigError(f"recogniser {name!r} is unknown: use one of {', '.join(names())}")
    return cast("RecogniserFile", importlib.import_module(f"pipeline.recognisers.{name.replace('-', '_')}"))
