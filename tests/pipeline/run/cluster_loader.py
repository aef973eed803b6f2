"""Networks for the workers of a cluster in tests: stand-ins, as they are everywhere else, and some that end workers."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.spec import Network
from pipeline.run.nodes import node_id
from tests.stand_ins import as_if_loaded, found_in_clip, stand_in_networks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.frames import Detection, Frame
    from pipeline.run.load import Networks
    from pipeline.settings.config import Config

__all__ = ["as_if_loaded", "deadly", "differing"]


@contextmanager
def differing(_config: Config) -> Iterator[Networks]:
    """A detector that is another file on every node."""
    networks = stand_in_networks()
    yield replace(networks, files={**networks.files, "detector": Network("detector", node_id(), bytes)})


@contextmanager
def deadly(_config: Config) -> Iterator[Networks]:
    """A detector that ends its process at every frame from 1.9 seconds on."""

    def detect(frame: Frame) -> tuple[Detection, ...]:
        if frame.time >= 1.9:
            os._exit(1)
        return found_in_clip(frame)

    yield stand_in_networks(detect)
