"""Octaves of detail: a Laplacian pyramid, how much energy lies in each octave, and how to give an octave some.

Burt and Adelson, The Laplacian Pyramid as a Compact Image Code, 1983.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipeline.picture.samples import Values

Bands: TypeAlias = list[NDArray[np.float32]]
"""Finest first, each half the size of the one before; the coarse rest is left out."""


def split(values: Values, octaves: int) -> Bands:
    """The finest `octaves` of `values` (h, w), float32. Fewer where the picture is too small for more."""
    bands: Bands = []
    finer = values.astype(np.float32, copy=False)
    while len(bands) < octaves and min(finer.shape) >= 4:
        coarser = cv2.pyrDown(finer)
        smooth = cv2.pyrUp(coarser, dstsize=(finer.shape[1], finer.shape[0]))
        bands.append(cv2.subtract(finer, smooth).astype(np.float32, copy=False))
        finer = coarser.astype(np.float32, copy=False)
    return bands


def merge(bands: Bands, gains: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum of `bands`, each times its gain, at the size of the finest."""
    total = np.zeros_like(bands[-1])
    for band, gain in zip(reversed(bands), reversed(gains), strict=True):
        if band.shape != total.shape:
            total = cv2.pyrUp(total, dstsize=(band.shape[1], band.shape[0])).astype(np.float32, copy=False)
        if gain > 0:
            total = cv2.scaleAdd(band, float(gain), total).astype(np.float32, copy=False)
    return total


def normalised(bands: Bands) -> Bands:
    """`bands`, each with a mean square of 1."""
    return [np.asarray(band / max(float(np.sqrt(np.mean(band * band))), 1e-6), np.float32) for band in bands]


def interplay(bands: Bands) -> NDArray[np.float64]:
    """(n, n, n), symmetric in the last two: merged with gains g, octave i is found with the mean square g @ K[i] @ g.

    The octaves overlap a little, and those of one picture go together where they do.
    """
    count = len(bands)
    parts = []
    for index in range(count):
        alone = np.zeros(count, np.float32)
        alone[index] = 1
        parts.append(split(merge(bands, alone), count))
    products = [[[float(np.mean(one[i] * other[i])) for other in parts] for one in parts] for i in range(count)]
    return np.array(products)


def gains_for(wanted: NDArray[np.float64], interplay: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n,) gains with which octaves of known `interplay` are found with the mean squares `wanted`, none negative."""
    gains = np.sqrt(wanted)
    for _ in range(30):  # multiplying keeps them positive; thirty rounds bring them within a few per cent
        found = interplay @ gains @ gains
        gains = gains * (wanted / np.maximum(found, 1e-9)) ** 0.25
    return gains.astype(np.float32)


def block_energies(
    values: Values, centres: NDArray[np.float64], *, octaves: int, block_px: float
) -> NDArray[np.float64]:
    """(octaves, m): the mean square of each octave in blocks around `centres` (m, 2), x and y, inside `values` (h, w).

    Octaves for which `values` is too small count as empty.
    """
    rows = np.zeros((octaves, len(centres)))
    for index, band in enumerate(split(values, octaves)):
        side = max(1, round(block_px / (1 << index)) // 2 * 2 + 1)
        energy = cv2.blur(cv2.multiply(band, band), (side, side), borderType=cv2.BORDER_REPLICATE)
        places = np.rint(centres / (1 << index)).astype(int)
        x, y = places[:, 0].clip(0, band.shape[1] - 1), places[:, 1].clip(0, band.shape[0] - 1)
        rows[index] = energy[y, x]
    return rows
