"""Fine detail by octaves: a Laplacian pyramid, the energy in each octave, and textures to fill octaves in with.

The pyramid is that of Burt and Adelson, The Laplacian Pyramid as a Compact Image Code, 1983. The textures are skin
quilted from blocks of visible skin, and noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipeline.picture.samples import Values

_POOL_SIZE = 512
_OUTLIER = 3.5
"""Detail beyond this many standard deviations is a hair or a glint, not skin; it is cut."""

CALM = 8.0
"""Percentile of the blocks' energies that stands for plain skin: whatever else shows, from wrinkles to glasses and
stray hair, adds to it."""

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
    parts = [split(merge(bands, alone), count) for alone in np.eye(count, dtype=np.float32)]
    products = [
        [[float(np.mean(one[octave] * other[octave])) for other in parts] for one in parts] for octave in range(count)
    ]
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
    energies = np.zeros((octaves, len(centres)))
    for octave, band in enumerate(split(values, octaves)):
        side = max(1, round(block_px / (1 << octave)) // 2 * 2 + 1)
        means = cv2.blur(cv2.multiply(band, band), (side, side), borderType=cv2.BORDER_REPLICATE)  # (h, w)

        # A blurred square at a block's centre is the block's mean square.
        places = np.rint(centres / (1 << octave)).astype(int)
        x, y = places[:, 0].clip(0, band.shape[1] - 1), places[:, 1].clip(0, band.shape[0] - 1)
        energies[octave] = means[y, x]
    return energies


@lru_cache(maxsize=8)
def noise(octaves: int) -> Bands:
    """White noise, each octave normalised; the same in every run."""
    white = np.random.default_rng(1).standard_normal((_POOL_SIZE, _POOL_SIZE), np.float32)
    return normalised(split(white, octaves))


def noise_piece(octaves: int, gains: NDArray[np.float32], *, width: int, height: int, seed: int) -> NDArray[np.float32]:
    """(height, width) of noise with the given gains; another seed gives another piece."""
    # The piece is cut at a multiple of the coarsest band's pixels, so that all bands can be cut alike.
    pool, random = noise(octaves), np.random.default_rng(seed)
    unit = 1 << octaves
    wide, high = (min(_POOL_SIZE, -(-side // unit) * unit) for side in (width, height))
    x, y = (int(random.integers(0, (_POOL_SIZE - side) // unit + 1)) * unit for side in (wide, high))
    bands = [
        band[y >> octave : (y + high) >> octave, x >> octave : (x + wide) >> octave] for octave, band in enumerate(pool)
    ]
    piece: Values = merge(bands, gains)

    # Turned over at random, four times as many pieces look different.
    if random.integers(2):
        piece = piece[::-1]
    if random.integers(2):
        piece = piece[:, ::-1]
    if high < height or wide < width:
        piece = cv2.copyMakeBorder(piece, 0, max(height - high, 0), 0, max(width - wide, 0), cv2.BORDER_WRAP)
    return np.ascontiguousarray(piece[:height, :width], np.float32)


@dataclass(frozen=True)
class Region:
    """A part of the frame's luma and the blocks in it that count."""

    values: Values
    """(h, w) float32 sample values."""
    left: int
    top: int
    """Where `values` lies in the luma."""
    centres: NDArray[np.float64]
    """(m, 2) x and y of the blocks' centres in `values`."""
    block_px: float
    """Side of a block in samples."""

    def energies(self, octaves: int) -> NDArray[np.float64]:
        """(octaves, m) mean squares of the blocks."""
        return block_energies(self.values, self.centres, octaves=octaves, block_px=self.block_px)

    def calm(self, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """(octaves,) what stands for plain skin among the mean squares of the blocks (octaves, m)."""
        return np.asarray(np.percentile(energies, CALM, axis=1), np.float64)


def quilt(
    region: Region, energies: NDArray[np.float64], *, width: int, height: int, random: np.random.Generator
) -> Bands:
    """A texture of `width` and `height` samples, each octave normalised, from the calm blocks of `region`.

    `energies` (octaves, m) are those of its blocks. Blocks are taken at random, turned over at random, and laid half
    over each other under windows whose squares add up to 1, so that the energy is the same everywhere.
    """
    total = energies.sum(axis=0)  # (m,)
    order = np.argsort(total)
    chosen = region.centres[order[: max(len(order) // 4, 1)]]
    bands = split(region.values, len(energies))
    limit = _OUTLIER * float(np.sqrt(np.percentile(total, 12)))
    detail = np.clip(merge(bands, np.ones(len(bands), np.float32)), -limit, limit)

    # The squares of two sine waves half a period apart add up to one.
    side = min(max(8, round(region.block_px) // 2 * 2), min(detail.shape) // 2 * 2)
    wave = np.sin(np.pi * (np.arange(side) + 0.5) / side).astype(np.float32)
    window = np.outer(wave, wave)
    canvas = np.zeros((height + side, width + side), np.float32)

    # Blocks are drawn all at once and laid one by one: the order of the draws decides the texture.
    places = [(x, y) for y in range(0, height + 1, side // 2) for x in range(0, width + 1, side // 2)]
    sources = chosen[random.integers(len(chosen), size=len(places))] - side / 2
    sources += random.uniform(-side / 8, side / 8, sources.shape)
    corners = np.clip(np.rint(sources), 0, (detail.shape[1] - side, detail.shape[0] - side)).astype(int).tolist()
    turns = random.choice((-1, 1), size=(len(places), 2)).tolist()
    for (x, y), (left, top), (down, across) in zip(places, corners, turns, strict=True):
        block = detail[top : top + side, left : left + side]
        canvas[y : y + side, x : x + side] += window * block[::down, ::across]

    half = side // 2
    return normalised(split(canvas[half : half + height, half : half + width], len(energies)))
