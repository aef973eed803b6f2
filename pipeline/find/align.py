"""Cutting a tracked face out of its frame, upright and square, in canonical coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.geometry import CROP_SIZE, face_crop
from pipeline.picture.pixels import read_crop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.frames import Frame, Track
    from pipeline.geometry import Affine


def align(frame: Frame, track: Track) -> tuple[NDArray[np.uint8], Affine]:
    """The face's canonical crop (S, S, 3) uint8 RGB, S = `CROP_SIZE`, and its `crop_from_frame`.

    Raises `ValueError` when the track's landmarks fall together.
    """
    crop_from_frame = face_crop(track.detection.landmarks, pixel_aspect=frame.pixel_aspect)
    return read_crop(frame.planes, crop_from_frame, size=CROP_SIZE), crop_from_frame


def write_colours(image: NDArray[np.uint8], planes: NDArray[np.float32]) -> None:
    """Write a crop (S, S, 3) uint8 as our networks take pictures: `planes` (3, S, S) float32 in [-1, 1]."""
    for channel, plane in zip(cv2.split(image), planes, strict=True):  # a transposed copy takes ten times as long
        np.multiply(channel, np.float32(1 / 127.5), out=plane)
        plane -= 1.0


def turned_away(track: Track) -> float:
    """How far the head is turned, from 0 (towards the camera) to 1 (one eye hides the other).

    Turning brings the eyes together and leaves the height from eyes to mouth.
    """
    eyes, mouth = track.detection.landmarks.eyes, track.detection.landmarks.mouth
    down = mouth.mean(axis=0) - eyes.mean(axis=0)
    height = float(np.hypot(*down))
    if height < 1e-3:
        return 1.0
    across = (eyes[1] - eyes[0]) @ np.array([down[1], -down[0]]) / height
    return float(np.clip(1.0 - abs(across) / height, 0.0, 1.0))
