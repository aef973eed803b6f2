"""How near a result is to the truth, as "Face Mask Removal with Region-attentive Face Inpainting" measures it.

arXiv 2409.06845; its script compares uint8 pictures of 256x256, whole. The measures inside the hole are ours: where
nothing was hidden the pictures are the same, and that flatters the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 256
"""Side of the pictures that are compared."""

WINDOW = 11
"""Side of the window of SSIM."""


@dataclass(frozen=True)
class Nearness:
    """Of one result to its truth."""

    ssim: float
    """Of the whole picture, in [-1, 1]."""
    psnr: float
    """Of the whole picture, in decibels."""
    l1: float
    """Mean difference of the grey pictures, grey being the mean of the channels, in [0, 1]."""
    hole_psnr: float
    """Of the pixels that the mask hid, in decibels."""
    hole_ssim: float
    """Mean of the SSIM map over the pixels that the mask hid."""


def squared(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (height, width, 3), or a mask without the last axis, at 256x256: nearest pixel, aspect not kept.

    So the paper brings its pictures of 178x218 to size.
    """
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def nearness(result: NDArray[np.uint8], truth: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> Nearness:
    """Compare (256, 256, 3) pictures; `hidden` (256, 256) is what the mask hid.

    Raises `ValueError` when nothing was hidden or nothing differs: then there is nothing to measure.
    """
    if not hidden.any():
        raise ValueError("no pixel is hidden")
    if np.array_equal(result, truth):
        raise ValueError("the result is the truth itself")
    ssim, ssim_map = structural_similarity(truth, result, win_size=WINDOW, channel_axis=2, data_range=255, full=True)
    wrong = (result[hidden].astype(np.float64) - truth[hidden]) ** 2
    grey = result.mean(axis=2) - truth.mean(axis=2)
    return Nearness(
        ssim=float(ssim),
        psnr=float(peak_signal_noise_ratio(truth, result, data_range=255)),
        l1=float(np.abs(grey).mean() / 255),
        hole_psnr=float(10 * np.log10(255**2 / max(wrong.mean(), 1e-9))),
        hole_ssim=float(ssim_map[hidden].mean()),
    )
