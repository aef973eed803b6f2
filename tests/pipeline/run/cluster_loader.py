"""Networks for the workers of a cluster in tests: stand-ins, as they are everywhere else, and some that end workers."""

from __future__ import annotations

import os
import time
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
    """A detector that is another file on every node, and so slow that no chunk is finished before all were asked."""

    def detect(frame: Frame) -> tuple[Detection, ...]:
        time.sleep(60)
        return found_in_clip(frame)

    networks = stand_in_networks(detect)
    yield replace(networks, files={**networks.files, "detector": Network("detector", node_id(), bytes)})


@contextmanager
def deadly(_config: Config) -> Iterator[Networks]:
    """A detector that ends its process at every frame from 1.9 seconds on."""

    def detect(frame: Frame) -> tuple[Detection, ...]:
        if frame.time >= 1.9:
            os._exit(1)
        return found_in_clip(frame)

    yield stand_in_networks(detect)
