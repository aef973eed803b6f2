"""Our own recogniser: dlib's network, trained on until it knows people in masks, too. It ships with the program.

After MaskInv (arXiv 2112.05646) and FROM (arXiv 2108.09468); docs/identity.md says on what it was trained and how well
it does. It takes the pictures that dlib's takes, and one network serves bare and masked faces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import models
from pipeline.errors import ConfigError
from pipeline.recognisers import Recogniser, Thresholds
from pipeline.recognisers.dlib_resnet import PICTURE_FROM_CROP, SIZE

if TYPE_CHECKING:
    from pathlib import Path

    from engine.spec import Engine, Network

NETWORK = "recogniser"
UNMASKER: str | None = None
SAME_PERSON = Thresholds(bare=0.88, mixed=0.886, masked=0.955)
"""At these, 0.8 %, 3 % and 0.1 % of strangers' pairs in LFW are taken for one person (docs/identity.md)."""


def missing() -> str | None:
    """Give None: it ships."""
    return None


def network(path: Path | None) -> Network:
    """Read the shipped network. Raises `ConfigError` for any `path`, `CheckpointError` for a damaged installation."""
    if path is not None:
        raise ConfigError(f"recogniser barefaced ships with the program and takes no file: leave {path} out")
    return models.shipped(NETWORK)


def recogniser(engine: Engine) -> Recogniser:
    """Make the recogniser of the engine of `network()`."""
    return Recogniser(engine, SIZE, PICTURE_FROM_CROP)
