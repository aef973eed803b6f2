"""Painting one face into a frame, beside copying the frame: memory bandwidth is the ceiling of blending."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.clips import parsed
from benchmarks.record import Better, Series
from pipeline.blend.blend import Blend
from pipeline.demo.clip import draw_frames, encodable
from pipeline.demo.portrait import LANDMARKS, frame_from_portrait, mask_alpha, portrait, warped
from pipeline.find.align import align
from pipeline.frames import Cropped, Detected, Detection, FaceCrop, Frame, Inpainted, Patch, Track, Tracked
from pipeline.geometry import CROP_SIZE, Box, Landmarks

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS, WARM_UP_ROUNDS = 40, 5


@dataclass(frozen=True)
class Blended:
    """Milliseconds of painting a face and of copying the frame, which take turns."""

    blend_ms: tuple[float, ...]
    copy_ms: tuple[float, ...]

    @property
    def copies(self) -> tuple[float, ...]:
        """How many times as long as copying the frame painting takes, turn by turn."""
        return tuple(blend / copy for blend, copy in zip(self.blend_ms, self.copy_ms, strict=True))

    def series(self, size: str) -> list[Series]:
        """The samples as a document holds them."""
        return [
            Series(f"pipeline/{size}/blend", "ms a face", Better.LESS, self.blend_ms),
            Series(f"pipeline/{size}/blend over copy", "ratio", Better.LESS, self.copies),
        ]

    def as_json(self) -> dict[str, float]:
        """The medians as JSON holds them."""
        return {
            "blend_ms": round(median(self.blend_ms), 3),
            "copy_ms": round(median(self.copy_ms), 4),
            "copies": round(median(self.copies), 2),
        }


def measure(size: str) -> Blended:
    """Blend the demo's first moment again and again, a copy of its frame before each time.

    The face that is pasted is the portrait's own, which costs what any other does.
    """
    item = _drawn(*parsed(size))
    planes = [np.frombuffer(memoryview(plane), np.uint8) for plane in item.frame.planes.planes]
    targets = [np.empty_like(plane) for plane in planes]
    blends, copies = [], []

    blending: Iterator[Frame] = Blend()(iter(lambda: item, None))
    for _ in range(WARM_UP_ROUNDS + ROUNDS):
        began = perf_counter()
        for plane, target in zip(planes, targets, strict=True):
            np.copyto(target, plane)
        copied = perf_counter()
        next(blending)
        copies.append(1000 * (copied - began))
        blends.append(1000 * (perf_counter() - copied))

    return Blended(tuple(blends[WARM_UP_ROUNDS:]), tuple(copies[WARM_UP_ROUNDS:]))


def _drawn(width: int, height: int) -> Inpainted:
    """The demo's first frame with its mask as the segmenter would see it, and the portrait's own face drawn for it."""
    (image,) = draw_frames(width=width, height=height, frames=1)
    place = frame_from_portrait(Fraction(0), width=width, height=height)
    frame = Frame(0, Fraction(0), 0.0, encodable(image))
    points = place.apply(LANDMARKS).astype(np.float32)
    box = Box(*(float(edge) for edge in (*points.min(axis=0), *points.max(axis=0))))
    track = Track(1, Detection(box, Landmarks(points), 1.0), age=0, unseen=0)
    picture, crop_from_frame = align(frame, track)
    square = {"width": CROP_SIZE, "height": CROP_SIZE}
    crop_from_portrait = crop_from_frame.after(place)
    alpha = warped((mask_alpha() * 255).astype(np.uint8), crop_from_portrait, **square)
    crop = FaceCrop(track, picture, alpha.astype(np.float32) / np.float32(255), crop_from_frame)
    patch = Patch(crop, warped(portrait(), crop_from_portrait, **square))
    tracked = Tracked(Detected(frame, None, cut=False), (track,))
    cv2.setNumThreads(1)  # as in a run
    return Inpainted(Cropped(tracked, (crop,), skipped=()), (patch,))
