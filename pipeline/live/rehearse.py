"""Runs each network once before a live run needs it, since its first run is slow: it allocates memory, meets shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.draw.inpaint import Inpaint
from pipeline.draw.segment import Segment
from pipeline.frames import Cropped, Detected, Detection, FaceCrop, Track, Tracked
from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE, Box, Landmarks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.spec import Engine
    from pipeline.detectors import Detector
    from pipeline.frames import Frame


def rehearse(frame: Frame, *, detector: Detector, segmenter: Engine, generators: Sequence[Engine]) -> None:
    """Run every network on `frame` as the stages do, as if it had a masked face in its middle.

    Must not be called while a run uses them. Raises `EngineError`.
    """
    detector(frame)

    segment = Segment(segmenter)
    tracked = Tracked(Detected(frame, None, cut=False), (_in_the_middle(frame),))
    looking = next(segment.ask(iter([tracked])))
    for _ in segment.answer(iter([looking])):
        pass
    lower_half = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    lower_half[CROP_SIZE // 2 :] = 1
    crops = tuple(FaceCrop(face.track, face.image, lower_half, face.crop_from_frame) for face in looking.aligned)
    for inpaint in map(Inpaint, generators):
        for _ in inpaint.answer(inpaint.ask(iter([Cropped(tracked, crops, ())]))):
            pass


def _in_the_middle(frame: Frame) -> Track:
    """A track of an upright face that is as high as the frame and stands in its middle."""
    side = min(frame.width, frame.height)
    left, top = (frame.width - side) / 2, (frame.height - side) / 2
    points = CANONICAL_LANDMARKS * (side / CROP_SIZE) + (left, top)
    box = Box(left, top, left + side, top + side)
    return Track(0, Detection(box, Landmarks(points.astype(np.float32)), 1.0), age=0, unseen=0)
