"""Finding plain skin, and measuring the fine detail of what is visible of it and of what was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.blend.texture import Region
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import FIELD_SIZE
from pipeline.picture.samples import BT601

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.blend.hole import Hole, Place
    from pipeline.geometry import Affine
    from pipeline.picture.samples import Values

BLOCK = 12
"""Side of the blocks that are measured, in pixels of the crop."""

_ZONE = (56, 40, 200, 216)
"""left, top, right, bottom of the crop where skin is looked for."""


_FEWEST = 4
"""With fewer blocks nothing is said."""

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

    def visible(self) -> NDArray[np.float32]:
        """(64, 64) float32 in [0, 1]: how much the frame looks like skin, 0 under the mask."""
        return np.asarray(_likeness(self.real, self.middle) * self.trusted(), np.float32)

    def trusted(self) -> NDArray[np.float32]:
        """(64, 64) 1 where the frame shows no mask, 0 elsewhere."""
        return np.asarray(_field(self.hole.grown) == 0, np.float32)

    def painted(self) -> NDArray[np.float32]:
        """(64, 64) `drawn` where nothing but the drawn face will be seen, 0 elsewhere."""
        return np.asarray(self.drawn * (_field(self.hole.alpha) > 0.99), np.float32)


def map_skin(real: NDArray[np.float32], drawn: NDArray[np.float32], hole: Hole) -> SkinMap:
    """Compare `real` and `drawn`, both (64, 64, 3) RGB, with the median of what was drawn: most of it is skin."""
    inside = _field(hole.covered) > 250
    colours = drawn[inside] if inside.any() else drawn.reshape(-1, 3)  # (n, 3)
    middle = np.sort(colours, axis=0)[len(colours) // 2] @ _OPPONENT.T
    return SkinMap(real, middle, _likeness(drawn, middle), hole)


def visible_skin(luma: Values, luma_from_crop: Affine, skin: SkinMap) -> Region | None:
    """The plain skin that the mask leaves visible, cut out of the whole `luma`.

    Where hair, glasses or a hood leave none, the calmest of what is visible has at least the grain of the picture. None
    when nothing is visible.
    """
    for blocks in (_blocks(skin.visible()), _blocks(skin.trusted())):
        region = _region(luma, 0, 0, luma_from_crop, blocks)
        if region is not None:
            return region
    return None


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
