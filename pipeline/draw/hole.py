"""The hole that the generator fills in a crop, what it is shown, and how smooth edges run in what it drew.

The edges that it draws are ragged: it knows where a jaw goes to a few pixels, and its grain breaks the line. So what
was drawn is smoothed along its edges, after Kyprianidis and Kang, Image and Video Abstraction by Coherence-Enhancing
Filtering, 2011: a jaw becomes one line, and no edge gets softer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE, NOSE
from pipeline.picture.pixels import write_colours
from pipeline.picture.samples import BT601

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.frames import Surroundings
    from pipeline.picture.samples import Values

    Floats = NDArray[np.float32]
    Image = NDArray[np.uint8]

GROW_PX = 4
"""How far the hole reaches beyond a mask where a network is validated, and by default in use."""

_STRAP_PX, _STRAP_GROW_PX = 13, 3
"""A part of a mask that is narrower than the first is a strap; the hole reaches the second beyond it."""

_EYE_PX, _EYE_GROW_PX = (20, 10), 2
"""How far an eye reaches across and down from its middle, and how far the hole may reach beyond a mask there."""

_LUMA = np.array([BT601], np.float32)

_GREY_LEVELS, _COLOURED = 8, 0.1
"""How far a grey pixel's channels lie apart at most, and from what share of other pixels on a picture has colours."""

_ALONG_PX, _ALONG_SIGMA = (2.0, 4.0), 2.6
"""How far along an edge, either way, the pixels lie that are averaged, and how fast they count less."""

_SLOPE = 4.0
"""Levels a pixel of the crop from which a slope that leads one way is an edge."""

_ONE_WAY = (0.05, 0.6)
"""How much slopes must lead one way for what was drawn to be smoothed along them: not yet, and wholly."""

_FINER = (0.8, 1.2)
"""Pixels of the frame for one of the crop from which edges are smoothed: not yet, and wholly."""

_NOSE_AND_MOUTH_PX = (44.0, 38.0)
"""How far nose and mouth reach across and down from their middle: gaps between teeth run across lips, and stay."""


@dataclass(frozen=True)
class Shown:
    """What the generator is shown of a face."""

    image: Image
    """(S, S, 3) uint8 RGB."""
    hole: Floats
    """(S, S) in [0, 1]: what it fills."""
    finer: float
    """How many pixels of the frame one of the image is across."""
    around: Surroundings | None = None
    """What it drew before around the crop, of which `image` has the rim; None where the mask ends within."""

    def with_rim(self, face: Image) -> Image:
        """(S, S, 3) the drawn `face` (S, S, 3) with the rim of what is around it."""
        return face if self.around is None else filled(self.image, face, self.hole)

    def coloured(self, face: Image) -> Image:
        """(S, S, 3) the drawn `face`, in black and white where all around it is: a network tints it a little."""
        first, second, third = cv2.split(self.image[::4, ::4])
        spread = cv2.max(cv2.max(first, second), third) - cv2.min(cv2.min(first, second), third)
        seen = spread[self.hole[::4, ::4] == 0]
        share = float((seen > _GREY_LEVELS).mean()) / _COLOURED if len(seen) else 1.0
        if share >= 1:
            return face
        luma = cv2.merge([cv2.transform(face, _LUMA)] * 3)
        return np.asarray(cv2.addWeighted(luma, 1 - share, face, share, 0), np.uint8)


def hole_of(mask: Floats, grow_px: int = GROW_PX, *, aligned: bool = True) -> Floats:
    """(S, S) in [0, 1], what the generator fills: the mask's likely pixels, grown by `grow_px` and softened.

    Straps grow less: they throw no shadow, and an ear that the hole hides whole would not be drawn. Least grows over
    the eyes, which lie where they should in a crop that is `aligned` to the face.
    """
    likely = (mask > 0.3).astype(np.uint8)
    cloth = cv2.dilate(without_straps(likely), square(grow_px))
    hole = cv2.max(cloth, cv2.dilate(likely, square(min(grow_px, _STRAP_GROW_PX))))
    if aligned:
        cv2.copyTo(cv2.dilate(likely, square(min(grow_px, _EYE_GROW_PX))), _eyes(), hole)
    return np.asarray(cv2.blur(hole.astype(np.float32), (3, 3)), np.float32)


@lru_cache(maxsize=1)
def _eyes() -> Image:
    """(S, S) 1 on the eyes, 0 elsewhere."""
    eyes = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    for middle in np.rint(CANONICAL_LANDMARKS[:2]).astype(int).tolist():
        cv2.ellipse(eyes, middle, _EYE_PX, 0, 0, 360, 1, -1)
    return eyes


def square(radius: int) -> Image:
    """(2 * radius + 1, the same) of ones: holes grow so in training, and in an eighth of a disc's time."""
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def without_straps(mask: Image) -> Image:
    """(S, S) what of a `mask` (S, S) of ones is wider than a strap."""
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, square(_STRAP_PX // 2)), np.uint8)


def generator_input(images: Sequence[Image], holes: Sequence[Floats]) -> Floats:
    """(N, 4, S, S): RGB in [-1, 1] of the images (S, S, 3) of N crops, and their `holes` (S, S) in [0, 1]."""
    feed = np.empty((len(images), 4, CROP_SIZE, CROP_SIZE), np.float32)
    for image, hole, planes in zip(images, holes, feed, strict=True):
        write_colours(image, planes[:3])
        planes[3] = hole
    return feed


def along_edges(face: Image, hole: Floats, finer: float) -> Image:
    """(S, S, 3) the drawn `face`, smoothed along its edges in the `hole` (S, S), but for nose and mouth.

    The frame is so much `finer`: in a small face nobody sees ragged edges.
    """
    left, top, width, height = cv2.boundingRect((hole > 0).astype(np.uint8))
    strength = float(np.clip((finer - _FINER[0]) / (_FINER[1] - _FINER[0]), 0, 1))
    if not width or strength == 0:
        return face
    box = np.s_[top : top + height, left : left + width]
    drawn = np.ascontiguousarray(face[box])

    # Which way edges lead is said by the structure tensor, at half the size: more than the grain's own width around.
    luma = cv2.GaussianBlur(cv2.transform(drawn, _LUMA).astype(np.float32), (5, 5), 0.8)
    across, down = (cv2.Scharr(luma, cv2.CV_32F, x, 1 - x, scale=1 / 32) for x in (1, 0))
    products = cv2.merge([across * across, down * down, across * down])
    half = (width + 1) // 2, (height + 1) // 2
    tensor = cv2.GaussianBlur(cv2.resize(products, half, interpolation=cv2.INTER_AREA), (9, 9), 1.5)
    xx, yy, xy = cv2.split(tensor)
    lead = cv2.sqrt((xx - yy) ** 2 + 4 * xy * xy) / (xx + yy + np.float32(_SLOPE**2))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)  # of the slope; the edge runs at right angles to it
    # Half a turn lies between two angles of one line, so they can't be averaged.
    turn = cv2.resize(cv2.merge([-np.sin(angle), np.cos(angle)]), (width, height), interpolation=cv2.INTER_NEAREST)

    # What lies on the edge before and behind each pixel.
    step_x, step_y = cv2.split(turn)
    x, y = (grid[:height, :width] for grid in positions())
    total: Values = drawn.astype(np.float32)
    weights = 1.0
    for distance in _ALONG_PX:
        weight = float(np.exp(-0.5 * (distance / _ALONG_SIGMA) ** 2))
        weights += 2 * weight
        for far in (distance, -distance):
            place_x, place_y = cv2.scaleAdd(step_x, far, x), cv2.scaleAdd(step_y, far, y)
            beside = cv2.remap(drawn, place_x, place_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            total = cv2.addWeighted(total, 1, beside, weight, 0, dtype=cv2.CV_32F)

    share = (
        cv2.resize(rise(lead.astype(np.float32, copy=False), _ONE_WAY), (width, height))
        * _around_mouth()[box]
        * np.float32(strength)
    )
    change = cv2.multiply(cv2.addWeighted(total, 1 / weights, drawn, -1, 0, dtype=cv2.CV_32F), cv2.merge([share] * 3))
    smooth = face.copy()
    smooth[box] = cv2.add(drawn, change, dtype=cv2.CV_8U)
    return smooth


@lru_cache(maxsize=1)
def positions() -> tuple[Floats, Floats]:
    """(S, S) how far across each pixel of a crop lies, and (S, S) how far down."""
    down, across = np.mgrid[:CROP_SIZE, :CROP_SIZE].astype(np.float32)
    return across, down


@lru_cache(maxsize=1)
def _around_mouth() -> Floats:
    """(S, S) 0 where a crop has nose and mouth, 1 away from them."""
    middle, grids = CANONICAL_LANDMARKS[NOSE:].mean(axis=0), positions()
    away = ((grid - at) / reach for grid, at, reach in zip(grids, middle, _NOSE_AND_MOUTH_PX, strict=True))
    return rise(np.asarray(np.hypot(*away), np.float32), (0.8, 1.2))


def filled(image: Image, face: Image, hole: Floats) -> Image:
    """(S, S, 3) an `image` (S, S, 3) with the drawn `face` (S, S, 3) in its `hole` (S, S)."""
    return np.asarray(cv2.convertScaleAbs(composite(image, face, hole)), np.uint8)


def composite(image: Image, face: Image, hole: Floats) -> Floats:
    """(S, S, 3) the drawn `face` in the `hole` (S, S) of a crop's `image`."""
    left, top, width, height = cv2.boundingRect((hole > 0).astype(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    drawn = image.astype(np.float32)
    if width:
        more = cv2.multiply(cv2.subtract(face[box], image[box], dtype=cv2.CV_32F), cv2.merge([hole[box]] * 3))
        drawn[box] += more
    return drawn


def rise(values: Floats, ends: tuple[float, float]) -> Floats:
    """0 up to the first of `ends`, 1 from the second on, smooth between."""
    share = np.clip((values - ends[0]) / (ends[1] - ends[0]), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def resized(values: Values, side: int, method: int = cv2.INTER_LINEAR) -> Floats:
    """(side, side, ...) `values` (S, S, ...)."""
    return cv2.resize(values, (side, side), interpolation=method).astype(np.float32, copy=False)
