"""Textures to fill in detail with: skin quilted from blocks of visible skin, and noise."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.blend.bands import Bands, merge, normalised, split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.blend.skin import Region
    from pipeline.picture.samples import Values

_POOL_SIZE = 512
_OUTLIER = 3.5
"""Detail beyond this many standard deviations is a hair or a glint, not skin; it is cut."""


@lru_cache(maxsize=8)
def noise(octaves: int) -> Bands:
    """White noise, each octave normalised; the same in every run."""
    white = np.random.default_rng(1).standard_normal((_POOL_SIZE, _POOL_SIZE), np.float32)
    return normalised(split(white, octaves))


def noise_piece(octaves: int, gains: NDArray[np.float32], *, width: int, height: int, seed: int) -> NDArray[np.float32]:
    """(height, width) of noise with the given gains; another seed gives another piece."""
    pool = noise(octaves)
    random = np.random.default_rng(seed)
    unit = 1 << octaves
    wide, high = (min(_POOL_SIZE, -(-side // unit) * unit) for side in (width, height))
    x, y = (int(random.integers(0, (_POOL_SIZE - side) // unit + 1)) * unit for side in (wide, high))
    piece: Values = merge(
        [band[y >> j : (y + high) >> j, x >> j : (x + wide) >> j] for j, band in enumerate(pool)], gains
    )
    if random.integers(2):
        piece = piece[::-1]
    if random.integers(2):
        piece = piece[:, ::-1]
    if high < height or wide < width:
        piece = cv2.copyMakeBorder(piece, 0, max(height - high, 0), 0, max(width - wide, 0), cv2.BORDER_WRAP)
    return np.ascontiguousarray(piece[:height, :width], np.float32)


def quilt(
    region: Region, energies: NDArray[np.float64], *, width: int, height: int, random: np.random.Generator
) -> Bands:
    """A texture of `width` and `height` samples, each octave normalised, from the calm blocks of `region`.

    `energies` (octaves, m) are those of its blocks. Blocks are taken at random, turned over at random, and laid half
    over each other under windows whose squares add up to 1, so that the energy is the same everywhere.
    """
    bands = split(region.values, len(energies))
    detail = merge(bands, np.ones(len(bands), np.float32))
    total = energies.sum(axis=0)
    order = np.argsort(total)
    chosen = region.centres[order[: max(len(order) // 4, 1)]]
    limit = _OUTLIER * float(np.sqrt(np.percentile(total, 12)))
    detail = np.clip(detail, -limit, limit)
    side = max(8, round(region.block_px) // 2 * 2)
    side = min(side, min(detail.shape) // 2 * 2)
    wave = np.sin(np.pi * (np.arange(side) + 0.5) / side).astype(np.float32)
    window = np.outer(wave, wave)
    canvas = np.zeros((height + side, width + side), np.float32)
    places = [(x, y) for y in range(0, height + 1, side // 2) for x in range(0, width + 1, side // 2)]
    sources = chosen[random.integers(len(chosen), size=len(places))] - side / 2
    sources += random.uniform(-side / 8, side / 8, sources.shape)
    corners = np.clip(np.rint(sources), 0, (detail.shape[1] - side, detail.shape[0] - side)).astype(int).tolist()
    turns = random.choice((-1, 1), size=(len(places), 2)).tolist()
    for (x, y), (left, top), (down, across) in zip(places, corners, turns, strict=True):
        block = detail[top : top + side, left : left + side]
        canvas[y : y + side, x : x + side] += window * block[::down, ::across]
    return normalised(split(canvas[side // 2 : side // 2 + height, side // 2 : side // 2 + width], len(energies)))
