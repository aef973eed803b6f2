"""Bringing a box of the crop onto the samples of one component of the frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.blend.hole import HOLE_SIZE, Hole
from pipeline.geometry import CROP_SIZE, Affine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.picture.samples import Component

_FINEST = 3
"""How many times finer than the crop a patch is made before it is turned; from there on straight lines will do."""


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
    box: tuple[int, int, int, int]
    """left, top, right, bottom of the crop, half-open."""

    @property
    def part(self) -> tuple[slice, slice]:
        """These samples among all of the component's."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def resampled(self, drawn: NDArray[np.float32]) -> NDArray[np.float32]:
        """`drawn` (bottom - top, right - left), the crop's values inside the box, on the samples: (h, w) float32.

        Cubic. A much finer grid is reached in two steps, a quick enlargement and a straight-line turn; before a coarser
        one the values are averaged.
        """
        scale = self.here_from_crop.scale
        factor = float(min(math.ceil(scale), _FINEST)) if scale > 1.3 else 2.0 ** min(round(math.log2(scale)), 0)
        height, width = drawn.shape
        if factor != 1:
            size = max(round(width * factor), 1), max(round(height * factor), 1)
            method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
            drawn = cv2.resize(drawn, size, interpolation=method).astype(np.float32, copy=False)
        flags = cv2.INTER_LINEAR if factor > 1 else cv2.INTER_CUBIC
        stretch_x, stretch_y = drawn.shape[1] / width, drawn.shape[0] / height
        left, top = self.box[:2]
        crop_from_drawn = Affine(
            np.array(
                [[1 / stretch_x, 0, 0.5 / stretch_x - 0.5 + left], [0, 1 / stretch_y, 0.5 / stretch_y - 0.5 + top]]
            )
        )
        return self._warped(drawn, crop_from_drawn, flags, cv2.BORDER_REPLICATE)

    def alpha(self, hole: Hole) -> NDArray[np.float32]:
        """(h, w) float32: the hole's alpha at the samples, exactly 0 where it covers nothing."""
        ratio = CROP_SIZE / HOLE_SIZE
        crop_from_hole = Affine(np.array([[ratio, 0, (ratio - 1) / 2], [0, ratio, (ratio - 1) / 2]]))
        return self._warped(hole.alpha, crop_from_hole, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)

    def _warped(
        self, values: NDArray[np.float32], crop_from_values: Affine, flags: int, border: int
    ) -> NDArray[np.float32]:
        matrix = self.here_from_crop.after(crop_from_values).matrix
        width, height = self.right - self.left, self.bottom - self.top
        warped = cv2.warpAffine(values, matrix, (width, height), flags=flags, borderMode=border)
        return warped.astype(np.float32, copy=False)


def place_of(box: tuple[int, int, int, int], component: Component, component_from_crop: Affine) -> Place | None:
    """The samples of `component` that `box` of the crop covers; None when it lies outside the frame."""
    left, top, right, bottom = box
    corners = component_from_crop.apply(
        [[left - 0.5, top - 0.5], [right - 0.5, top - 0.5], [left - 0.5, bottom - 0.5], [right - 0.5, bottom - 0.5]]
    )
    rows, columns = component.samples.shape
    first_x, first_y = (max(int(np.floor(low)), 0) for low in corners.min(axis=0))
    end_x, end_y = (
        min(int(np.ceil(high)) + 1, limit) for high, limit in zip(corners.max(axis=0), (columns, rows), strict=True)
    )
    if first_x >= end_x or first_y >= end_y:
        return None
    shift = Affine(np.array([[1.0, 0.0, -first_x], [0.0, 1.0, -first_y]]))
    return Place(first_x, first_y, end_x, end_y, shift.after(component_from_crop), box)
