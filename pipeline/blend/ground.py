"""What lies behind a mask where it goes on beyond its face's crop: neck, clothes, hair, background.

The generator draws faces, within the crop. Around it the hole is inpainted from what is seen at its rim, the drawn face
among it, by OpenCV's method after Telea (An image inpainting technique based on the fast marching method, 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.blend.hole import FADE, HOLE_SIZE, Hole, Sides, find_hole
from pipeline.geometry import CROP_SIZE, VIEW_TIMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.frames import Beyond

_CROP = slice((CROP_SIZE - HOLE_SIZE) // 2, (CROP_SIZE + HOLE_SIZE) // 2)
"""The rows, and the columns, of a view that its crop covers; a hole of the crop has a pixel for each of the view's."""

_LIKELY = 0.3
"""The alpha from which a pixel is mask where others beside it surely are, as in the generator's hole."""

_SOILED_PX = 4
"""How far around a mask the view's pixels have something of it, in pixels of the view."""

_RADIUS_PX = 5
"""How far what is inpainted is taken from, in pixels of the view."""

_CALM = 1.5
"""Sigma of the blur that takes the streaks out of what was inpainted, in pixels of the view."""

_PACE = 0.25
"""Share of each new ground that enters the average, and by which the hole shrinks in a frame: raise it and it
shimmers, lower it and it drags behind what moves."""


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


@dataclass(frozen=True)
class DrawnFace:
    """What is painted over the ground."""

    hole: Hole
    box: tuple[int, int, int, int]
    """left, top, right, bottom of the crop, half-open and even."""
    drawn: NDArray[np.float32]
    """(bottom - top, right - left, 3) RGB."""


def ground_of(
    view: NDArray[np.uint8],
    beyond: Beyond,
    face: DrawnFace,
    before: Ground | None,
    *,
    grow_px: float,
    feather_px: float,
    outside: Sides,
) -> Ground | None:
    """The ground of a face whose mask goes on in its `view` (S, S, 3) RGB; None where its drawing covers all of it.

    `grow_px` and `feather_px` are in pixels of the crop, `outside` are the sides of the view that lie outside the
    frame. `before` is the ground of the frame before, into which this one fades.
    """
    mask = beyond.mask.copy()
    mask[_CROP, _CROP][FADE:-FADE, FADE:-FADE] = 0  # there the drawing is whole
    if before is not None:
        mask = np.maximum(mask, before.mask - _PACE).astype(np.float32)
    hole = find_hole(mask, grow_px=grow_px / VIEW_TIMES, feather_px=feather_px / VIEW_TIMES, outside=outside)
    if not hole.alpha.any():
        return None

    disc = np.ones((2 * _SOILED_PX + 1,) * 2, np.uint8)
    hidden = cv2.dilate((mask > _LIKELY).astype(np.uint8), disc)
    filled = cv2.inpaint(_with_face(view, face), hidden, _RADIUS_PX, cv2.INPAINT_TELEA)
    image = np.where(hidden[..., None] > 0, cv2.GaussianBlur(filled, (0, 0), _CALM), filled).astype(np.float32)
    if before is not None:
        image = before.image + _PACE * (image - before.image)
    return Ground(beyond, mask, np.asarray(image, np.float32), hole)


def _with_face(view: NDArray[np.uint8], face: DrawnFace) -> NDArray[np.uint8]:
    """(S, S, 3) the view with the drawn face in it."""
    left, top, right, bottom = (side // VIEW_TIMES for side in face.box)
    small = cv2.resize(face.drawn, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    alpha = face.hole.alpha[top:bottom, left:right, None]

    whole = view.copy()
    place = whole[_CROP, _CROP][top:bottom, left:right]
    place[...] = np.clip(np.rint(place + alpha * (small - place)), 0, 255).astype(np.uint8)
    return whole
