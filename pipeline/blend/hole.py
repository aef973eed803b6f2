"""Where a drawn face replaces the frame: the mask grown past its soiled edge and feathered, in crop coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.geometry import CROP_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.geometry import Affine

HOLE_SIZE = 128
"""Side of the arrays here; the mask is no finer, since the segmenter looks at that many pixels."""

_SURE, _NOISE = 0.5, 0.15
"""From `_SURE` on a pixel is mask, below `_NOISE` it is not: what a network says of bare skin is seldom exactly 0."""


_FADE = 12
_RAMP = np.linspace(0, 255, _FADE).astype(np.uint8)[:, None]
"""Over so many pixels the paint fades where a mask goes on beyond the crop, so that it does not begin with a line."""


@dataclass(frozen=True)
class Hole:
    """What to paint of one crop."""

    alpha: NDArray[np.float32]
    """(128, 128) float32 in [0, 1]: 1 over the mask and its edge, falling to 0 over the feather, exactly 0 beyond."""
    covered: NDArray[np.uint8]
    """(128, 128) uint8: how much of each pixel is mask, 255 all of it; not grown."""
    grown: NDArray[np.uint8]
    """(128, 128) uint8: the same with its soiled edge; where it is 0 the frame's own pixels can be trusted."""

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """left, top, right, bottom of what `alpha` covers in the crop, half-open, multiples of 4; None for nothing."""
        columns, rows = np.flatnonzero(self.alpha.max(axis=0)), np.flatnonzero(self.alpha.max(axis=1))
        if columns.size == 0:
            return None
        ratio = CROP_SIZE // HOLE_SIZE
        low = int(columns[0]) * ratio, int(rows[0]) * ratio
        high = (int(columns[-1]) + 1) * ratio, (int(rows[-1]) + 1) * ratio
        left, top = (max((side - ratio) // 4 * 4, 0) for side in low)
        right, bottom = (min((side + ratio) // -4 * -4, CROP_SIZE) for side in high)
        return left, top, right, bottom


@dataclass(frozen=True)
class Sides:
    """Of a crop's four sides."""

    left: bool = False
    top: bool = False
    right: bool = False
    bottom: bool = False


NO_SIDE = Sides()


def sides_outside(frame_from_crop: Affine, *, width: int, height: int) -> Sides:
    """The sides of the crop that lie wholly outside a frame of `width` and `height` pixels."""
    last = CROP_SIZE - 1
    corners = frame_from_crop.apply([[0, 0], [last, 0], [last, last], [0, last]])
    beyond = np.column_stack(
        [corners <= 0, corners >= [width - 1, height - 1]]
    )  # each corner: left, top, right, bottom
    top, right, bottom, left = (bool((beyond[i] & beyond[(i + 1) % 4]).any()) for i in range(4))
    return Sides(left, top, right, bottom)


def find_hole(mask: NDArray[np.float32], *, grow_px: float, feather_px: float, outside: Sides = NO_SIDE) -> Hole:
    """The hole of a crop's `mask` (S, S) in [0, 1]. `grow_px` and `feather_px` are in pixels of the crop.

    The feather lies outside the grown mask, so that no masked pixel shines through, and ends before the crop's border:
    a mask that goes on in the frame must not end in a line. On the sides that are `outside` the frame nothing goes on.
    """
    scale = HOLE_SIZE / mask.shape[0]
    small = cv2.resize(mask, (HOLE_SIZE, HOLE_SIZE), interpolation=cv2.INTER_AREA)
    # uint8 stops at both ends and makes the growing ten times as fast.
    covered = cv2.convertScaleAbs(np.maximum(small - _NOISE, 0), alpha=255 / (_SURE - _NOISE)).astype(
        np.uint8, copy=False
    )
    grow, half = max(1, round(grow_px * scale)), max(1, round(feather_px * scale / 2))
    grown = cv2.dilate(covered, _disc(grow))
    wide = cv2.dilate(grown, _disc(half))
    inwards = (outside.top, wide), (outside.bottom, wide[::-1]), (outside.left, wide.T), (outside.right, wide.T[::-1])
    for is_outside, lines in inwards:  # views of one array, from a side inwards
        if not is_outside:
            goes_on = lines[half] > 0
            lines[:_FADE] = np.where(goes_on, np.minimum(lines[:_FADE], _RAMP), lines[:_FADE])
            lines[:half] = 0
    soft = cv2.GaussianBlur(wide, (2 * half + 1, 2 * half + 1), half / 1.5)
    alpha = soft.astype(np.float32) * np.float32(1 / 255)
    return Hole(alpha, covered, grown.astype(np.uint8, copy=False))


def _disc(radius: int) -> NDArray[np.uint8]:
    size = 2 * radius + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)).astype(np.uint8, copy=False)
