"""A recogniser of the ArcFace family (Deng et al. 2019), as an ONNX file of the user's: faces of 112x112, d numbers.

Such files are not ours to ship, and most were trained on faces that may not be used commercially: see their terms.
No Embedding Unmasking Model of ours fits them: masked faces are compared as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.spec import Network
from pipeline.errors import CheckpointError, ConfigError
from pipeline.geometry import CANONICAL_LANDMARKS, LANDMARK_WEIGHTS, similarity
from pipeline.recognisers import Recogniser, Thresholds

if TYPE_CHECKING:
    from pathlib import Path

    from engine.spec import Engine

SIZE = 112
LANDMARKS = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])
"""(5, 2) pixels of the family's pictures: eyes, nose tip and mouth corners."""
UNMASKER: str | None = None
SAME_PERSON = Thresholds(bare=0.25, mixed=0.25, masked=0.35)
"""Near the FMR1000 thresholds of arXiv 2103.01716 for bare faces, 0.2451 with ResNet-100 and 0.2617 with ResNet-50;
none was measured here, and the one for masked faces is a guess."""


def missing() -> str | None:
    """Give None: nothing is missing but the file, which the user names."""
    return None


def network(path: Path | None) -> Network:
    """Read the user's file. Raises `ConfigError` without one, `CheckpointError` when it can't be read."""
    if path is None:
        raise ConfigError("recogniser arcface needs its network: give --recogniser-file FILE.onnx")
    try:
        return Network.of("arcface", path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"recogniser arcface: {path} can't be read: {error.strerror or error}") from error


def recogniser(engine: Engine) -> Recogniser:
    """Make the recogniser of the engine of `network()`. Raises `CheckpointError` for a network of other shapes."""
    shapes = [spec.shape for spec in engine.inputs]
    if len(shapes) != 1 or shapes[0][1:] != (3, SIZE, SIZE) or len(engine.outputs) != 1:
        raise CheckpointError(f"recogniser arcface takes one picture (N, 3, {SIZE}, {SIZE}), this network {shapes}")
    picture_from_crop = similarity(CANONICAL_LANDMARKS, LANDMARKS, LANDMARK_WEIGHTS)
    return Recogniser(engine, SIZE, picture_from_crop, mean=127.5, deviation=127.5)
