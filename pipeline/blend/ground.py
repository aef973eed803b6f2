"""What lies behind a mask: the background that sticks out beside a face, and beyond the crop neck, clothes, hair too.

The generator draws it, beyond the crop in a wider square and more coarsely than the face. Where a still camera saw the
background in earlier frames, when neither mask nor person was before it, what was seen is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.blend.hole import FADE, HOLE_SIZE, Hole, Sides, find_hole
from pipeline.geometry import CROP_SIZE, VIEW_FROM_CROP, VIEW_TIMES, Affine
from pipeline.picture.pixels import largest, read_small

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from pipeline.frames import Beyond, Patch, Surroundings, Tracked
    from pipeline.geometry import Box
    from pipeline.picture.samples import Values

_CROP = slice((CROP_SIZE - HOLE_SIZE) // 2, (CROP_SIZE + HOLE_SIZE) // 2)
"""The rows, and the columns, of a view that its crop covers; a hole of the crop has a pixel for each of the view's."""

_LIKELY = 0.3
"""The alpha from which a pixel is mask where others beside it surely are, as in the generator's hole."""

_SOILED_PX = 4
"""How far around a mask the view's pixels have something of it, in pixels of the view."""

_PACE = 0.25
"""Share of each new ground that enters the average, and by which the hole shrinks in a frame: raise it and it
shimmers, lower it and it drags behind what moves."""

_EVERY = 6
"""Frames from one look at the background to the next."""

_LARGEST_PX = 640
"""Longer side, at most, at which the background is remembered."""

_STILL_LEVELS = 8.0
"""Mean change of the background, in 8-bit steps, from which on it is another one: the camera or the light moved."""

_ALIKE_LEVELS = 32.0
"""Up to so many 8-bit steps what was drawn is taken for the background, seen less sharply."""

_STRANGE_LEVELS = 96.0
"""The same in the crop, where a network says what is background: what differs more has come there since."""
_NEAR_PX = 5
"""So near to a person, in pixels of the crop, the background has something of the person in it."""


class Background:
    """What a still camera saw where nobody was. Shown every frame in order; a cut begins it anew."""

    def __init__(self) -> None:
        self._frames = 0
        self._image: NDArray[np.uint8] | None = None
        """(h, w, 3) RGB, smaller than the frame."""
        self._seen = np.zeros((0, 0), np.uint8)
        """(h, w) 255 where the background was seen, else 0."""
        self._small_from_frame = Affine.resize(1.0)

    def look(self, tracked: Tracked, patches: Iterable[Patch] = ()) -> None:
        """Remember what is seen of the background in this frame, now and then. Raises `SourceError`.

        Around a face nothing counts as background but what its patch says is ground.
        """
        if tracked.detected.cut:
            self._frames, self._image = 0, None
        self._frames += 1
        if self._frames % _EVERY != 1:
            return

        frame = tracked.frame
        halvings = max(0, math.ceil(math.log2(max(frame.width, frame.height) / _LARGEST_PX)))
        width, height = max(frame.width >> halvings, 1), max(frame.height >> halvings, 1)
        image = read_small(frame.planes, width=width, height=height)
        free = np.full((height, width), 255, np.uint8)
        for track in tracked.tracks:
            _without_person(free, track.detection.box, width / frame.width, height / frame.height)
        self._small_from_frame = Affine.resize(width / frame.width, height / frame.height)
        for patch in patches:
            small_from_crop = self._small_from_frame.after(patch.crop.crop_from_frame.inverse())
            free[cv2.warpAffine(_seen_beside(patch), small_from_crop.matrix, (width, height)) == 255] = 255
        before, both = self._image, free & self._seen if self._seen.shape == free.shape else np.zeros_like(free)
        # The camera moved, or the light changed: what was seen before lies elsewhere now.
        if before is None or not both.any() or _mean(cv2.absdiff(image, before), both) > _STILL_LEVELS:
            self._image, self._seen = image, free
        else:
            cv2.copyTo(image, free, before)
            self._seen = self._seen | free

    def within(
        self, view_from_frame: Affine, size: tuple[int, int] = (CROP_SIZE, CROP_SIZE)
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
        """(h, w, 3) the background in a view of `size` (w, h), and (h, w) where it was seen; None where nothing was."""
        if self._image is None or not cv2.countNonZero(self._seen):
            return None
        matrix = view_from_frame.after(self._small_from_frame.inverse()).matrix
        image = cv2.warpAffine(self._image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        seen = cv2.warpAffine(self._seen, matrix, size, flags=cv2.INTER_NEAREST)
        return np.asarray(image, np.uint8), np.asarray(seen > 0)


def _seen_beside(patch: Patch) -> NDArray[np.uint8]:
    """(S, S) 255 where a crop shows the background and nothing else; nowhere, unless it was drawn in this frame."""
    if patch.ground is None or patch.crop.carried:
        return np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    hidden = cv2.dilate((patch.crop.mask > _LIKELY).astype(np.uint8), _square(VIEW_TIMES * _SOILED_PX))
    return np.asarray(255 * cv2.erode(patch.ground, _square(_NEAR_PX)) * (1 - hidden), np.uint8)


def _square(radius: int) -> NDArray[np.uint8]:
    return np.ones((2 * radius + 1,) * 2, np.uint8)


def with_ground_seen(
    drawn: NDArray[np.float32],
    ground: NDArray[np.uint8],
    behind: tuple[NDArray[np.uint8], NDArray[np.bool_]],
    before: NDArray[np.float32] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A drawing (h, w, 3) with the background as it was seen earlier, and (h, w) how much of it is seen.

    `ground` (h, w) is 1 where the background is, `behind` as `Background.within` gives it, and `before` how much of it
    the drawing before showed, so that it fades in.
    """
    background, seen = behind
    more = cv2.subtract(background, drawn, dtype=cv2.CV_32F)
    away = cv2.blur(largest(np.abs(more)), (5, 5))
    known = cv2.erode(((away < _STRANGE_LEVELS) & seen & (ground > 0)).astype(np.float32), _square(2))
    share = np.asarray(cv2.blur(known, (5, 5)), np.float32)
    share = share if before is None else np.minimum(share, before + np.float32(_PACE))
    return np.asarray(drawn + cv2.multiply(more, cv2.merge([share] * 3)), np.float32), share


def _mean(image: Values, where: NDArray[np.uint8]) -> float:
    """The mean of `image` (h, w, 3) where `where` (h, w) is not 0; many times as fast as picking out these pixels."""
    return sum(cv2.mean(image, mask=where)[:3]) / 3


def _without_person(free: NDArray[np.uint8], box: Box, across: float, down: float) -> None:
    """Take head, hair and body of somebody whose face is in `box` out of what is `free` of people."""
    (middle, _), wide, high = box.centre, box.width, box.height

    def cleared(left: float, top: float, right: float) -> None:
        columns = slice(max(0, round(left * across)), max(0, round(right * across)))
        free[max(0, round(top * down)) :, columns] = 0

    cleared(middle - 1.5 * wide, box.top - 0.7 * high, middle + 1.5 * wide)
    cleared(middle - 2.5 * wide, box.bottom, middle + 2.5 * wide)


@dataclass(frozen=True)
class Ground:
    """What is painted beneath a drawn face, where its mask goes on beyond the crop."""

    beyond: Beyond
    mask: NDArray[np.float32]
    """(S, S) of the view in [0, 1]: what of `beyond` the face's own drawing leaves, over time."""
    image: NDArray[np.float32]
    """(S, S, 3) RGB of the view."""
    hole: Hole
    """The hole in the view's coordinates."""


def ground_of(
    beyond: Beyond,
    around: Surroundings,
    before: Ground | None,
    *,
    grow_px: float,
    feather_px: float,
    outside: Sides,
    behind: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None = None,
) -> Ground | None:
    """The ground of a face, of which what lies `around` was drawn; None where its own drawing covers all of the mask.

    `grow_px` and `feather_px` are in pixels of the crop, `outside` are the sides of the view that lie outside the
    frame. `before` is the ground of the frame before, into which this one fades. `behind` is what was seen there
    earlier, as `Background.within` gives it.
    """
    mask = beyond.mask.copy()
    mask[_CROP, _CROP][FADE:-FADE, FADE:-FADE] = 0  # there the drawing is whole
    if before is not None:
        mask = np.maximum(mask, before.mask - _PACE).astype(np.float32)
    hole = find_hole(mask, grow_px=grow_px / VIEW_TIMES, feather_px=feather_px / VIEW_TIMES, outside=outside)
    if not hole.alpha.any():
        return None

    matrix, size = VIEW_FROM_CROP.after(around.here_from_crop.inverse()).matrix, (CROP_SIZE, CROP_SIZE)
    drawn = cv2.warpAffine(around.image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    image = drawn.astype(np.float32)
    if behind is not None:
        hidden = np.asarray(cv2.dilate((mask > _LIKELY).astype(np.uint8), _square(_SOILED_PX)), np.uint8)
        image = _with_background(image, hidden, *behind)
    if before is not None:
        image = before.image + _PACE * (image - before.image)
    return Ground(beyond, mask, np.asarray(image, np.float32), hole)


def _with_background(
    image: NDArray[np.float32],
    hidden: NDArray[np.uint8],
    background: NDArray[np.uint8],
    seen: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """(S, S, 3) `image` with the background where it was seen and what was drawn is like it."""
    away = cv2.blur(np.abs(image - background).max(axis=2), (5, 5))
    alike = ((away < _ALIKE_LEVELS) & seen & (hidden > 0)).astype(np.float32)
    share = np.minimum(cv2.blur(alike, (5, 5)), alike)[..., None]
    return np.asarray(image + share * (background - image), np.float32)
