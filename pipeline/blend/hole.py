"""Where a drawn face replaces the frame: the mask grown past its soiled edge and feathered, and its place in the frame.

A hole is in the crop's coordinates; a place says which samples of one component of the frame it covers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.geometry import CROP_SIZE, Affine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.picture.samples import Component, Values

HOLE_SIZE = 128
"""Side of the arrays here: half the mask's, at a quarter of the time; a strap that is two pixels wide is one here."""

_SURE, _NOISE = 0.3, 0.15
"""From `_SURE` on a pixel is mask, as in the generator's hole: where a network doubts how far a mask goes, its rim lies
rather there than at a half. Below `_NOISE` it is not: what is said of bare skin is seldom exactly 0."""

FADE = 12
_RAMP = np.linspace(0, 255, FADE).astype(np.uint8)[:, None]
"""Over so many pixels the paint fades where a mask goes on beyond the crop, so that it does not begin with a line."""

_CELL = 8
"""Samples across and down of the cells by which a place is parted."""

_WORTH = 8192
"""Samples that take as long as the calls for one part more."""

_WHOLE = 100_000
"""Samples up to which a place is not parted, since parting takes as long as it spares."""


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
    """Something of each of a crop's four sides."""

    left: bool = False
    top: bool = False
    right: bool = False
    bottom: bool = False


NO_SIDE = Sides()


def sides_outside(frame_from_crop: Affine, *, width: int, height: int) -> Sides:
    """The sides of the crop that lie wholly outside a frame of `width` and `height` pixels."""
    last = CROP_SIZE - 1
    corners = frame_from_crop.apply([[0, 0], [last, 0], [last, last], [0, last]]).tolist()
    # Of each corner, the sides of the frame that it lies beyond; single numbers take less time than small arrays.
    beyond = [(x <= 0, y <= 0, x >= width - 1, y >= height - 1) for x, y in corners]
    top, right, bottom, left = (
        any(first and second for first, second in zip(beyond[place - 1], beyond[place], strict=True))
        for place in (1, 2, 3, 0)
    )
    return Sides(left, top, right, bottom)


def find_hole(mask: NDArray[np.float32], *, grow_px: float, feather_px: float, outside: Sides = NO_SIDE) -> Hole:
    """The hole of a crop's `mask` (S, S) in [0, 1]. `grow_px` and `feather_px` are in pixels of the crop.

    The feather lies outside the grown mask, so that no masked pixel shines through, and ends before the crop's border:
    a mask that goes on in the frame must not end in a line. On the sides that are `outside` the frame nothing goes on.
    """
    scale = HOLE_SIZE / mask.shape[0]
    grow, half = max(1, round(grow_px * scale)), max(1, round(feather_px * scale / 2))

    # Bytes stop at both ends and make the growing ten times as fast.
    small = cv2.resize(mask, (HOLE_SIZE, HOLE_SIZE), interpolation=cv2.INTER_AREA)  # (128, 128)
    covered = cv2.convertScaleAbs(np.maximum(small - _NOISE, 0), alpha=255 / (_SURE - _NOISE))
    grown = cv2.dilate(covered, _disc(grow)).astype(np.uint8, copy=False)
    wide = cv2.dilate(grown, _disc(half))

    # Each side is a view of one array whose first lines lie at that side.
    inwards = (outside.top, wide), (outside.bottom, wide[::-1]), (outside.left, wide.T), (outside.right, wide.T[::-1])
    for is_outside, lines in inwards:
        if not is_outside:
            goes_on = lines[half] > 0
            lines[:FADE] = np.where(goes_on, np.minimum(lines[:FADE], _RAMP), lines[:FADE])
            lines[:half] = 0

    soft = cv2.GaussianBlur(wide, (2 * half + 1, 2 * half + 1), half / 1.5)
    alpha = soft.astype(np.float32) * np.float32(1 / 255)
    return Hole(alpha, covered.astype(np.uint8, copy=False), grown)


def _disc(radius: int) -> NDArray[np.uint8]:
    """(2 * radius + 1, the same) a disc of ones."""
    size = 2 * radius + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)).astype(np.uint8, copy=False)


@dataclass(frozen=True)
class Place:
    """The samples that a box of the crop covers."""

    left: int
    top: int
    right: int
    bottom: int
    """Which of the component's samples, half-open."""
    here_from_crop: Affine
    """Positions among these samples from positions in the crop."""

    @property
    def width(self) -> int:
        """The width in samples."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """The height in samples."""
        return self.bottom - self.top

    @property
    def part(self) -> tuple[slice, slice]:
        """These samples among all of the component's."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def parted(self, hole: Hole) -> list[Place]:
        """Places within this one with every sample on which `hole` has alpha, and few others; straps make boxes wide.

        A part's corner lies a multiple of 8 samples from this one's.
        """
        if self.width * self.height <= _WHOLE:
            return [self]

        # A cell is looked at in its middle, in the nearest pixel of the hole, which is grown by as far as a corner of
        # the cell and alpha reach from there.
        here_from_hole = self.here_from_crop.after(Affine.resize(CROP_SIZE / HOLE_SIZE))
        reach = math.ceil(math.sqrt(0.5) * (_CELL - 1) / here_from_hole.scale + 1.55) - 1
        covered = cv2.dilate((hole.alpha > 0).astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8))
        matrix = Affine.resize(1 / _CELL).after(here_from_hole).matrix
        size = -(-self.width // _CELL), -(-self.height // _CELL)
        cells = cv2.warpAffine(covered, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)

        # Row by row, until a part has too many cells that are not covered.
        firsts, ends = cells.argmax(axis=1).tolist(), (size[0] - cells[:, ::-1].argmax(axis=1)).tolist()
        parts: list[tuple[int, int, int, int]] = []
        needed = 0
        for row in np.flatnonzero(cells.any(axis=1)).tolist():
            first, end = firsts[row], ends[row]
            needed += end - first
            if parts:
                left, top, right, _ = parts[-1]
                left, right = min(left, first), max(right, end)
                if ((right - left) * (row + 1 - top) - needed) * _CELL**2 <= _WORTH:
                    parts[-1] = left, top, right, row + 1
                    continue
            parts.append((first, row, end, row + 1))
            needed = end - first
        return [self._part(*(_CELL * side for side in part)) for part in parts]

    def _part(self, left: int, top: int, right: int, bottom: int) -> Place:
        """The place at these of this one's samples, as far as there are so many."""
        here_from_crop = Affine.shift(-left, -top).after(self.here_from_crop)
        end_x, end_y = min(self.left + right, self.right), min(self.top + bottom, self.bottom)
        return Place(self.left + left, self.top + top, end_x, end_y, here_from_crop)

    def alpha(self, hole: Hole) -> NDArray[np.float32]:
        """(h, w) float32: the hole's alpha at the samples, exactly 0 where it covers nothing."""
        return self.turned(hole.alpha, Affine.resize(CROP_SIZE / HOLE_SIZE), cv2.INTER_LINEAR)

    def turned(self, values: Values, crop_from_values: Affine, flags: int) -> NDArray[np.float32]:
        """`values`, which lie in the crop as `crop_from_values` says, on the samples: (h, w) float32, 0 beyond them."""
        matrix = self.here_from_crop.after(crop_from_values).matrix
        # A border that goes on would take several times as long, and the corners lie beyond a box that is turned.
        size, border = (self.width, self.height), cv2.BORDER_CONSTANT
        return cv2.warpAffine(values, matrix, size, flags=flags, borderMode=border).astype(np.float32, copy=False)


def place_of(box: tuple[int, int, int, int], component: Component, component_from_crop: Affine) -> Place | None:
    """The samples of `component` that `box` of the crop covers; None when it lies outside the frame."""
    left, top, right, bottom = box
    edges = np.array([[left, top], [right, top], [left, bottom], [right, bottom]]) - 0.5
    across, down = component_from_crop.apply(edges).T.tolist()
    rows, columns = component.samples.shape
    first_x, first_y = max(math.floor(min(across)), 0), max(math.floor(min(down)), 0)
    end_x, end_y = min(math.ceil(max(across)) + 1, columns), min(math.ceil(max(down)) + 1, rows)
    if first_x >= end_x or first_y >= end_y:
        return None
    here_from_crop = Affine.shift(-first_x, -first_y).after(component_from_crop)
    return Place(first_x, first_y, end_x, end_y, here_from_crop)
