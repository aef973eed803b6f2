"""Networks whose answers are known, in the place of the real ones: for tests of all that stands around them.

The detector knows where the demonstration's clip has its face, the segmenter takes blue for a mask, and the generator
draws a flat colour that occurs nowhere else.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from engine.spec import Done, Network
from pipeline.demo.clip import LANDMARKS, frame_from_portrait
from pipeline.frames import Detection
from pipeline.geometry import Box, Landmarks
from pipeline.run.load import Networks
from tests.pipeline.faces import CROP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from engine.spec import Array, TensorSpec
    from pipeline.frames import Frame
    from pipeline.settings.config import Config

DRAWN = np.array([0.6, -0.8, -0.6], np.float32)
"""What the generator paints, RGB in [-1, 1]: a red that is nowhere in the portrait's face."""


def found_in_clip(frame: Frame) -> tuple[Detection, ...]:
    """The face of the demonstration's clip, as its motion says."""
    place = frame_from_portrait(frame.time, width=frame.width, height=frame.height)
    points = place.apply(LANDMARKS).astype(np.float32)
    left, top = points.min(axis=0) - 0.8 * np.ptp(points, axis=0)
    right, bottom = points.max(axis=0) + 0.8 * np.ptp(points, axis=0)
    return (Detection(Box(float(left), float(top), float(right), float(bottom)), Landmarks(points), 0.99),)


FILES = {"detector": "0", "segmenter": "1", "generator": "2"}
"""Each network's name to what stands for its file's SHA-256."""


@dataclass
class StandInEngine:
    """An engine that computes its one output with a function."""

    name: str
    outputs_of: Callable[[Array], Array]
    description: str = "stand-in"
    inputs: tuple[TensorSpec, ...] = (CROP,)
    outputs: tuple[TensorSpec, ...] = ()
    closed: bool = field(default=False, init=False)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        (feed,) = feeds.values()
        return {self.name: self.outputs_of(feed)}

    def submit(self, feeds: Mapping[str, Array]) -> Done:
        return Done(self.run(feeds))

    def close(self) -> None:
        self.closed = True


def blue_is_mask(crops: Array) -> Array:
    """(N, 1, S, S) from (N, 3, S, S): 1 where blue exceeds red."""
    images = np.asarray(crops, np.float32)
    return (images[:, 2:3] - images[:, :1] > 0.15).astype(np.float32)


def flat_colour(crops: Array) -> Array:
    """(N, 3, 256, 256) of `DRAWN`."""
    return np.broadcast_to(DRAWN[None, :, None, None], (len(crops), 3, 256, 256)).astype(np.float32)


def all_is_figure(drawn: Array) -> Array:
    """(N, 1, 128, 128) of ones: nothing of the ground shows, and drawings stay as they are."""
    return np.ones((len(drawn), 1, 128, 128), np.float32)


def stand_in_networks(detector: Callable[[Frame], tuple[Detection, ...]] = found_in_clip) -> Networks:
    """Networks for `assemble`, none of them real."""
    return Networks(
        detector=detector,
        segmenter=StandInEngine("mask", blue_is_mask),
        generator=StandInEngine("face", flat_colour),
        figure=StandInEngine("figure", all_is_figure),
        files={name: Network(name, sha256, bytes) for name, sha256 in FILES.items()},
        description="stand-in",
    )


@contextmanager
def as_if_loaded(_config: Config) -> Iterator[Networks]:
    """What `load.networks` does, without networks."""
    yield stand_in_networks()
