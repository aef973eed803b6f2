"""Fine detail by octaves: a pyramid, the energy in each octave, textures to fill octaves in with; and plain skin.

The Laplacian pyramid is that of Burt and Adelson, The Laplacian Pyramid as a Compact Image Code, 1983. The textures are
skin quilted from blocks of visible skin, and noise. The fine detail of plain skin is measured in what is visible and in
what was drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import FIELD_SIZE
from pipeline.picture.samples import BT601

if TYPE_CHECKING:
    from pipeline.blend.hole import Hole, Place
    from pipeline.geometry import Affine
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
    *finer, coarsest = bands
    total = np.asarray(coarsest * np.float32(max(gains[-1], 0)), np.float32)
    for band, gain in zip(reversed(finer), reversed(gains[:-1]), strict=True):
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


def percentile(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """(...) the percentile of `values` (..., m): as NumPy's own, which loads its masked arrays for it, 20 ms long."""
    ordered, place = np.sort(values, axis=-1), share / 100 * (values.shape[-1] - 1)
    low = ordered[..., int(place)]
    return np.asarray(low + (place - int(place)) * (ordered[..., math.ceil(place)] - low), np.float64)


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
    trust: float = 1.0
    """In [0, 1]: how much the blocks may be taken for plain skin. A few that look so among many others are chance."""

    def energies(self, octaves: int) -> NDArray[np.float64]:
        """(octaves, m) mean squares of the blocks."""
        return block_energies(self.values, self.centres, octaves=octaves, block_px=self.block_px)

    def calm(self, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """(octaves,) what stands for plain skin among the mean squares of the blocks (octaves, m)."""
        return percentile(energies, CALM)


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
    limit = _OUTLIER * float(np.sqrt(percentile(total, 12)))
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


BLOCK = 12
"""Side of the blocks that are measured, in pixels of the crop."""

_ZONE = (56, 40, 200, 216)
"""left, top, right, bottom of the crop where skin is looked for."""


_EYES = (64, 60, 192, 104)
"""left, top, right, bottom of the crop where the eyes are, and no mask."""

_LEAST_EYES = 32
"""Samples below which so little of the eyes is in the picture that nothing is said of them."""

_FEWEST = 4
"""The fewest blocks from which anything is said of the skin."""

_LEADING = 0.35
"""How much the detail of a block may lead one way for it to be plain skin."""

_PLAIN_SHARE, _PLAIN_BLOCKS = 0.4, 24
"""The share of the blocks, and their number, from which those that are plain skin are wholly trusted."""

_REACH_PX = 160
"""How far from a place a large face is measured."""

_LUMA_REACH, _CHROMA_REACH = 40.0, 10.0
"""How far from the face's median a colour is still skin, in 8-bit steps."""

_OPPONENT = np.array([BT601, [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32)
"""Luma and two colour differences from RGB."""


@dataclass(frozen=True)
class SkinMap:
    """How much each part of a crop looks like the skin of the drawn face."""

    real: NDArray[np.float32]
    """(64, 64, 3) float32 RGB: the crop."""
    middle: NDArray[np.float32]
    """(3,) the skin's median, as luma and two colour differences."""
    drawn: NDArray[np.float32]
    """(64, 64) float32 in [0, 1]: how much what was drawn looks like skin."""
    hole: Hole
    figure: NDArray[np.float32]
    """(64, 64) float32 in [0, 1]: how much of each part is the person, and not the ground behind."""

    def visible(self) -> NDArray[np.float32]:
        """(64, 64) float32 in [0, 1]: how much the frame looks like skin, 0 under the mask."""
        return np.asarray(_likeness(self.real, self.middle) * self.trusted() * self.figure, np.float32)

    def trusted(self) -> NDArray[np.float32]:
        """(64, 64) 1 where the frame shows no mask, 0 elsewhere."""
        return np.asarray(_field(self.hole.grown) == 0, np.float32)

    def painted(self) -> NDArray[np.float32]:
        """(64, 64) `drawn` where nothing but the drawn face will be seen, 0 elsewhere."""
        return np.asarray(self.drawn * (_field(self.hole.alpha) > 0.99), np.float32)


def map_skin(
    real: NDArray[np.float32], drawn: NDArray[np.float32], hole: Hole, ground: NDArray[np.uint8] | None = None
) -> SkinMap:
    """Compare `real` and `drawn`, both (64, 64, 3) RGB, with the median of what was drawn: most of it is skin.

    The ground behind the person is no skin, whatever its colour: `ground` (S, S) is 1 there; None: nobody knows.
    """
    figure = np.ones(drawn.shape[:2], np.float32)
    if ground is not None:
        figure -= _field(ground.astype(np.float32))
    inside = (_field(hole.covered) > 250) & (figure > 0.5)
    colours = drawn[inside] if inside.any() else drawn.reshape(-1, 3)  # (n, 3)
    middle = np.sort(colours, axis=0)[len(colours) // 2] @ _OPPONENT.T
    return SkinMap(real, middle, _likeness(drawn, middle) * figure, hole, figure)


def visible_skin(luma: Values, luma_from_crop: Affine, skin: SkinMap) -> Region | None:
    """The plain skin that the mask leaves visible, cut out of the whole `luma`.

    Where hair, glasses or a hood leave none, the calmest of what is visible has at least the grain of the picture. None
    when nothing is visible.
    """
    for blocks in (_blocks(skin.visible()), _blocks(skin.trusted())):
        region = _region(luma, 0, 0, luma_from_crop, blocks)
        if region is not None:
            return _plain(region)
    return None


def _plain(region: Region) -> Region:
    """`region` with those of its blocks alone that go one way no more than another: hair and edges lead one way.

    Where such blocks are few they are trusted less; where there are next to none all stay, and none is trusted.
    """
    plain = _lead(region.values, region.centres, region.block_px) < _LEADING
    count = int(plain.sum())
    if count < _FEWEST:
        return replace(region, trust=0.0)
    trust = min(count / (_PLAIN_SHARE * len(plain)), count / _PLAIN_BLOCKS, 1.0)
    return replace(region, centres=region.centres[plain], trust=trust)


def _lead(values: Values, centres: NDArray[np.float64], block_px: float) -> NDArray[np.float32]:
    """(m,) in [0, 1] how much the detail of each block leads one way: the coherence of its structure tensor.

    Bigün and Granlund, Optimal orientation detection of linear symmetry, 1987.
    """
    fine = cv2.subtract(values, cv2.GaussianBlur(values, (0, 0), 4.0))
    across, down = (cv2.Scharr(fine, cv2.CV_32F, x, 1 - x) for x in (1, 0))
    size = (max(1, round(block_px) // 2 * 2 + 1),) * 2
    products = (across * across, down * down, across * down)
    xx, yy, xy = (cv2.blur(one, size, borderType=cv2.BORDER_REPLICATE) for one in products)
    x, y = np.rint(centres).astype(int).T
    rows, columns = y.clip(0, values.shape[0] - 1), x.clip(0, values.shape[1] - 1)
    xx, yy, xy = (one[rows, columns] for one in (xx, yy, xy))
    return np.asarray(np.hypot(xx - yy, 2 * xy) / np.maximum(xx + yy, 1e-6), np.float32)


def crispness(luma: Values, luma_from_crop: Affine) -> float | None:
    """How sharp the eyes of a face are, which no mask hides, in the whole `luma`; None where too little of them is in.

    The energy of the octave that is just too fine for a crop over that of the next coarser one: 0.5 and more in a sharp
    picture, less than 0.2 in one that was enlarged or is out of focus.
    """
    left, top, right, bottom = _EYES
    corners = luma_from_crop.apply([[left, top], [right, top], [left, bottom], [right, bottom]])  # (4, 2)
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)), luma.shape[::-1]).astype(int)
    if (high - low).min() < _LEAST_EYES:
        return None
    finest = max(round(np.log2(luma_from_crop.scale)) - 1, 0)
    *_, fine, coarse = split(luma[low[1] : high[1], low[0] : high[0]], finest + 2)
    return float(np.mean(fine * fine) / max(float(np.mean(coarse * coarse)), 1e-3))


def drawn_skin(drawn: NDArray[np.float32], place: Place, skin: SkinMap) -> Region | None:
    """The plain skin of what was drawn, which lies at `place` of the luma; None when that is too little."""
    return _region(drawn, place.left, place.top, place.here_from_crop, _blocks(skin.painted()))


def _likeness(image: NDArray[np.float32], middle: NDArray[np.float32]) -> NDArray[np.float32]:
    """(64, 64) in [0, 1] how near each colour of `image` (64, 64, 3) is to the median `middle` (3,), as a Gaussian."""
    reaches = np.array([_LUMA_REACH, _CHROMA_REACH, _CHROMA_REACH], np.float32)
    away = cv2.transform(image, np.column_stack([_OPPONENT / reaches[:, None], -middle / reaches]))
    luma, blue, red = cv2.split(away)
    return np.asarray(np.exp(-0.5 * (luma * luma + blue * blue + red * red)), np.float32)


def _field(values: Values) -> Values:
    return cv2.resize(values, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_AREA)


def _blocks(likeness: NDArray[np.float32]) -> NDArray[np.float64]:
    """(m, 2) crop positions, a third of a block apart, around which a whole block looks like skin."""
    ratio = CROP_SIZE // FIELD_SIZE
    reach = BLOCK // ratio
    whole = cv2.erode(likeness, np.ones((reach, reach), np.uint8)) > 0.4  # (64, 64)
    left, top, right, bottom = _ZONE
    places = np.mgrid[top:bottom:ratio, left:right:ratio].reshape(2, -1)[::-1].T  # (n, 2) x and y
    columns, rows = (places // ratio).T
    return np.asarray(places[whole[rows, columns]], np.float64)


def _region(
    values: Values, left: int, top: int, values_from_crop: Affine, places: NDArray[np.float64]
) -> Region | None:
    """`values`, which lies at (left, top), with the blocks around `places` of the crop that are wholly inside it."""
    if len(places) < _FEWEST:
        return None
    block_px = BLOCK * values_from_crop.scale
    centres = values_from_crop.apply(places)  # (m, 2)
    rows, columns = values.shape
    last = np.array([columns - 1, rows - 1]) - block_px / 2
    centres = _together(centres[np.all((centres >= block_px / 2) & (centres <= last), axis=1)])
    if len(centres) < _FEWEST:
        return None

    # Only what the blocks need is cut out, a block's side around them for the pyramid's borders.
    low = np.maximum(np.floor(centres.min(axis=0) - block_px), 0).astype(int)
    high = np.minimum(np.ceil(centres.max(axis=0) + block_px) + 1, (columns, rows)).astype(int)
    cut_out = values[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    return Region(cut_out, left + int(low[0]), top + int(low[1]), centres - low, block_px)


def _together(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Those of `centres` (m, 2) that lie around the one with the most others near it: enough of a large face."""
    if len(centres) == 0 or np.ptp(centres, axis=0).max() <= 2 * _REACH_PX:
        return centres
    some = centres[:: max(len(centres) // 40, 1)]
    near = np.all(np.abs(some[:, None] - centres) <= _REACH_PX, axis=2)  # (about 40, m)
    chosen: NDArray[np.float64] = centres[near[near.sum(axis=1).argmax()]]
    return chosen
