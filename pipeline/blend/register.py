"""How one small picture lies over another: the similarity that a tracker's jitter leaves between two crops of a face.

Lucas and Kanade, An Iterative Image Registration Technique, 1981, for a similarity, with weights against what moves
otherwise.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.geometry import Affine

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS = 2
_OTHERWISE = 6.0
"""A pixel that is this many 8-bit steps off counts half: a blink or a word moves it, not the camera."""

_STEADY = 30.0
"""Added to the equations' diagonal, so that a picture without edges stays where it is."""


def register(moved: NDArray[np.float32], fixed: NDArray[np.float32], where: NDArray[np.float32]) -> Affine:
    """`moved_from_fixed` in pixels of both, (h, w) float32 luma: `moved` sampled there looks like `fixed`.

    `where` (h, w) in [0, 1] says which pixels count. Shifts of about a pixel are found, larger ones in part.
    """
    height, width = fixed.shape
    slopes, radius = _slopes(fixed)  # (4, h * w)
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    shift_x, shift_y, growth, turn = 0.0, 0.0, 0.0, 0.0
    moved_from_fixed = Affine.shift(0, 0)
    for _ in range(_ROUNDS):
        seen = cv2.warpAffine(moved, moved_from_fixed.matrix, (width, height), flags=flags, borderMode=border)
        rest = (fixed - seen).reshape(-1)
        off = rest / _OTHERWISE
        weighted = slopes * (where.reshape(-1) / (1 + off * off))

        # One step of Gauss and Newton: four equations for two shifts, growth and turn.
        step = np.linalg.solve(weighted @ slopes.T + _STEADY * np.eye(4, dtype=np.float32), weighted @ rest)
        shift_x, shift_y = shift_x + float(step[0]), shift_y + float(step[1])
        growth, turn = growth + float(step[2]) / radius, turn + float(step[3]) / radius
        moved_from_fixed = _about_middle(1 + growth, turn, shift_x, shift_y, width, height)
    return moved_from_fixed


def _slopes(fixed: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """(4, h * w) how each pixel changes with shifts across and down, growth and turn; and the unit of the last two.

    Growth and turn count at this radius in pixels, so that all four are about a pixel.
    """
    height, width = fixed.shape
    radius = np.float32(width / 4)
    x, y = _from_middle(height, width)
    across, down = (cv2.Sobel(fixed, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1)))
    slopes = np.stack([across, down, (across * x + down * y) / radius, (down * x - across * y) / radius])
    return slopes.reshape(4, -1), float(radius)


@lru_cache(maxsize=2)
def _from_middle(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(height, width) x and y of every pixel, counted from the middle."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x - np.float32((width - 1) / 2), y - np.float32((height - 1) / 2)


def _about_middle(stretch: float, turn: float, shift_x: float, shift_y: float, width: int, height: int) -> Affine:
    """The similarity that turns and stretches about the middle of a picture and shifts then."""
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    turned = Affine(np.array([[stretch, -turn, 0.0], [turn, stretch, 0.0]]))
    return Affine.shift(middle_x + shift_x, middle_y + shift_y).after(turned).after(Affine.shift(-middle_x, -middle_y))
