"""How near a drawn picture is to the truth where the mask was, in one way for training, quantising and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_ERROR = 1e-10
"""Mean squared difference, of a range of 1, below which pictures count as the same: 100 dB."""


def hole_psnr(
    drawn: NDArray[np.generic], truth: NDArray[np.generic], hole: NDArray[np.generic], *, span: float
) -> float:
    """PSNR in decibels of two pictures (height, width, channels) whose values span `span`, inside a hole.

    A pixel counts as much as it is hidden: `hole` (height, width) is in [0, 1], or true where the mask was.
    """
    hidden = hole.astype(np.float64)
    inside = hidden > 0
    wrong = (drawn[inside].astype(np.float64) - truth[inside].astype(np.float64)) / span  # (pixels, channels)
    error = float(hidden[inside] @ (wrong**2).mean(axis=1)) / float(hidden.sum())
    return float(-10 * np.log10(max(error, LEAST_ERROR)))
