"""A made figure before a plain ground: skin up to a jaw, and a hole over both."""

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry import CROP_SIZE

SKIN, GROUND = np.array([205.0, 150.0, 120.0], np.float32), np.array([250.0, 250.0, 250.0], np.float32)
JAW = 150
"""The first column beyond the figure."""
SMEAR_PX = 14

HOLE = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
HOLE[120:220, 60:190] = 1


def picture(width_px: float, ground: NDArray[np.float32] = GROUND) -> NDArray[np.uint8]:
    """(S, S, 3) skin to the left of the jaw, the ground to its right, over so many pixels something between."""
    columns = np.arange(CROP_SIZE, dtype=np.float32) - (JAW - 0.5)
    share = np.clip(0.5 - columns / width_px, 0, 1)[None, :, None]
    row = ground + share * (SKIN - ground)
    return np.rint(np.repeat(row, CROP_SIZE, axis=0)).astype(np.uint8)


def worn(strap_px: int) -> NDArray[np.float32]:
    """(S, S) a mask with a strap that runs up from it at column 200."""
    mask = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    mask[150:230, 60:215] = 1
    mask[90:150, 200 : 200 + strap_px] = 1
    return mask
