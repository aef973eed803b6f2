"""How the portrait moves through the clip: where each of its pixels lies at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.demo.portrait import FACE_CENTRE
from pipeline.geometry import Affine

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

CYCLE_SECONDS = 6
"""The length of the motion, which ends where it began, so that the clip can be looped without a jump."""

_VISIBLE_ROWS = 235.0
"""How many rows of the portrait fill the frame's height on average."""


def frame_from_portrait(time: Fraction, *, width: int, height: int) -> Affine:
    """Map the portrait into the frame at `time` seconds: moved, turned by up to 9 degrees and zoomed."""
    phase = 2 * math.pi * float(time) / CYCLE_SECONDS
    zoom = height / _VISIBLE_ROWS * (1 + 0.13 * math.sin(phase))
    turn = math.radians(9.0) * math.sin(2 * phase)
    linear = zoom * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    swing = height * np.array([0.10 * math.sin(phase + 0.6), 0.035 * math.cos(3 * phase)])
    return Affine(np.column_stack([linear, middle + swing - linear @ np.array(FACE_CENTRE)]))


def warped(picture: NDArray[np.uint8], frame_from_picture: Affine, *, width: int, height: int) -> NDArray[np.uint8]:
    """Warp a picture into the frame, (height, width[, channels]) uint8, mirrored beyond its edges."""
    import cv2

    moved = cv2.warpAffine(
        picture,
        frame_from_picture.matrix,
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return moved.astype(np.uint8, copy=False)
