"""Made frames, tracks and engines for the tests of the stages between detector and encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from engine.spec import Done, TensorSpec
from pipeline.frames import Detected, Detection, Frame, Track, Tracked
from pipeline.geometry import CANONICAL_LANDMARKS, Box, Landmarks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from engine.spec import Array


def frame_of(image: NDArray[np.uint8], index: int = 0) -> Frame:
    """A frame that shows (height, width, 3) RGB."""
    planes = av.VideoFrame.from_ndarray(image, format="rgb24")
    return Frame(index=index, time=Fraction(index, 30), arrived=0.0, planes=planes)


def track_of(points: NDArray[np.floating], number: int = 1) -> Track:
    """A face whose landmarks are at `points`."""
    left, top = points.min(0) - 10
    right, bottom = points.max(0) + 10
    detection = Detection(Box(left, top, right, bottom), Landmarks(points.astype(np.float32)), 0.9)
    return Track(id=number, detection=detection, age=0, unseen=0)


def upright(*, scale: float = 1.0, x: float = 0.0, y: float = 0.0) -> NDArray[np.float32]:
    """(5, 2) landmarks of a frontal face."""
    return (CANONICAL_LANDMARKS * scale + [x, y]).astype(np.float32)


def tracked(frame: Frame, *tracks: Track) -> Tracked:
    """The frame with these faces."""
    return Tracked(detected=Detected(frame=frame, detections=None, cut=False), tracks=tracks)


CROP = TensorSpec("crop", (None, None, None, None), np.dtype(np.float32))
"""The input of made networks: as many channels and as large as it comes."""


@dataclass
class MadeEngine:
    """An engine that computes `answer` and remembers what it was fed."""

    answer: Callable[[Mapping[str, Array]], dict[str, Array]]
    inputs: tuple[TensorSpec, ...] = (CROP,)
    outputs: tuple[TensorSpec, ...] = ()
    description: str = "made for a test"
    fed: list[Mapping[str, Array]] = field(default_factory=list)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.fed.append(feeds)
        return self.answer(feeds)

    def submit(self, feeds: Mapping[str, Array]) -> Done:
        return Done(self.run(feeds))

    def close(self) -> None:
        pass
