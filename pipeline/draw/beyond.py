"""What hangs together with a mask: in its crop, and in a second look beyond that, twice as wide and as coarse.

The second look finds flaps behind the ear and the lower half of a scarf. What is found counts where it hangs together
with the mask, so that a dark wall does not become one, nor the end of a temple of glasses.

Where a mask goes on beyond its crop, the generator does not see in the crop how the neck goes on, or where clothes
begin. So it draws a wider square first, with all of the mask in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.draw.hole import Shown, filled
from pipeline.geometry import CROP_SIZE, VIEW_FROM_CROP, VIEW_TIMES, Affine
from pipeline.picture.pixels import carried_on, in_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.frames import Beyond, FaceCrop, Surroundings

_EDGE = CROP_SIZE // 16
"""A mask that comes so near to a side of the crop may go on beyond it."""

_LEAST_EDGE = 4 * CROP_SIZE // 64
"""Pixels of mask in that margin from which it is looked for."""

_LIKELY = 0.3
"""The alpha from which a pixel is taken for mask where others beside it surely are, as in the generator's hole."""

_COARSE = CROP_SIZE // 2
_DOUBTED, _RIM, _MUCH_DOUBT = (0.1, 0.9), np.ones((5, 5), np.uint8), 0.018
"""Between which alphas a network doubts, how wide a rim it may doubt in a crop of `_COARSE` pixels, and from which part
of the crop on its doubt is much."""

_STRAP = 9 / 256
"""How wide a strap is at most, as a part of the crop's side. Raise it and a mask's rims grow where two looks
differ."""

_LEAST_BEYOND = 4
"""Pixels of the view beyond the crop, or where its paint fades, from which something lies there."""

_FADING = 5
"""From so near to a side of the crop, in pixels of the view, a mask has the paint fade towards that side."""

_NEAR = CROP_SIZE // 64
"""Within so many pixels of the mask that the crop shows, the crop knows better than the coarser view."""

_SURE = 0.5
"""Beyond the crop, where nothing else speaks for it, what is likelier than this is mask."""

_AGREED = 0.6
"""Intersection over union of both looks within the crop from which the wider one is believed."""

_MOST_BEYOND = 1.0
"""How much mask may lie beyond the crop, as a part of the mask within it. A gown in the mask's colour is larger."""

_EYES = np.s_[: round(0.44 * CROP_SIZE), round(0.2 * CROP_SIZE) : round(0.8 * CROP_SIZE)]
"""Where the eyes are in a crop: the view is too coarse to say anything about them."""

_GAP = 6
"""Pixels of a crop that hair, or a fold, may hide between a mask and its strap."""

_OWN = 0.05
"""Part of the largest piece of a mask from which another piece counts by itself, as where a hand cuts a mask in two."""

_WIDER, _MARGIN = 1.5, 24
"""How many times as wide as the crop the square is at least in which a mask is drawn that goes on beyond it, and how
many pixels of the crop are seen of what is around the mask. Raise the first and less is seen of the face."""

_RIM_PX = 8
"""How far a crop takes what was drawn in the wider square, from the sides through which a mask goes on."""

_LEFT = round(CROP_SIZE * (1 - 1 / VIEW_TIMES) / 2)
INSIDE = slice(_LEFT, _LEFT + CROP_SIZE // VIEW_TIMES)
"""The rows, and the columns, of a view that its crop covers."""


def connected(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """A crop's `mask` (S, S) without the small pieces that are near to no other: a strap hangs on something."""
    likely = (mask > _LIKELY).astype(np.uint8)
    count, parts = cv2.connectedComponents(cv2.dilate(likely, np.ones((_GAP + 1,) * 2, np.uint8)))
    if count <= 2:  # the background, and all that is mask
        return mask
    sizes = np.bincount(parts[mask > _SURE], minlength=count)
    stray = sizes < _OWN * sizes.max()
    stray[0] = False
    return np.where(stray[parts], np.float32(0), mask)


def doubts(mask: NDArray[np.floating]) -> bool:
    """Whether a network that says `mask` (s, s) doubts more than the rim of a mask."""
    step = max(1, len(mask) // _COARSE)
    coarse = np.asarray(mask[::step, ::step], np.float32)
    doubted = cv2.inRange(coarse, *_DOUBTED)
    return cv2.countNonZero(cv2.erode(doubted, _RIM)) > _MUCH_DOUBT * coarse.size


def with_straps(mask: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(s, s) a `mask` with the straps and loops of `other`, which was found of the same face: what is thin."""
    both = np.maximum(mask, other)
    across = round(_STRAP * len(mask)) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    broad = cv2.morphologyEx((both > _LIKELY).astype(np.uint8), cv2.MORPH_OPEN, disc)
    rim = cv2.dilate(broad, np.ones((3, 3), np.uint8))
    return np.where(rim > 0, mask, both)


def may_go_on(mask: NDArray[np.float32]) -> bool:
    """Whether a crop's `mask` (S, S) comes near to the left, right or lower side."""
    likely = mask > _LIKELY
    sides = likely[:, :_EDGE], likely[:, -_EDGE:], likely[-_EDGE:]
    return any(int(np.count_nonzero(side)) >= _LEAST_EDGE for side in sides)


def joined(
    mask: NDArray[np.float32], wide: NDArray[np.float32], view_from_frame: Affine, *, width: int, height: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """A crop's mask (S, S) with what the view's `wide` (S, S) adds to it, and all of it in the view.

    The second is None where nothing lies beyond the crop. `width` and `height` are the frame's.
    """
    seen = np.zeros_like(wide)
    seen[INSIDE, INSIDE] = cv2.resize(mask, (CROP_SIZE // VIEW_TIMES,) * 2, interpolation=cv2.INTER_AREA)
    inside = in_frame(view_from_frame, width, height)
    if not _agree(wide, seen, inside):
        return mask, None
    both = np.where(inside, np.maximum(wide, seen), 0).astype(np.float32)

    # All that hangs together with what the crop shows.
    _, parts = cv2.connectedComponents((both > _SURE).astype(np.uint8))
    reached = np.unique(parts[seen > 0.5])
    both *= np.isin(parts, reached[reached > 0])

    outside = both.copy()
    outside[INSIDE, INSIDE][_FADING:-_FADING, _FADING:-_FADING] = 0
    fading = int(np.count_nonzero(outside))
    outside[INSIDE, INSIDE] = 0
    beyond = int(np.count_nonzero(outside))
    if beyond > _MOST_BEYOND * np.count_nonzero(seen > _SURE):
        return mask, None

    # In the crop the view adds only what the crop's own look overlooked, such as the flap before an ear.
    added = cv2.resize(both[INSIDE, INSIDE], (CROP_SIZE,) * 2, interpolation=cv2.INTER_LINEAR)
    added[_EYES] = 0
    near = cv2.dilate((mask > _LIKELY).astype(np.uint8), np.ones((2 * _NEAR + 1,) * 2, np.uint8))
    whole = np.where(near > 0, mask, np.maximum(mask, added)).astype(np.float32)
    return whole, both if fading >= _LEAST_BEYOND else None


def _agree(wide: NDArray[np.float32], seen: NDArray[np.float32], inside: NDArray[np.bool_]) -> bool:
    """Whether both looks see the same mask in the crop, `seen` being the crop's own in the view (S, S)."""
    first, second = (((look > _SURE) & inside)[INSIDE, INSIDE] for look in (seen, wide))
    return bool((first & second).sum() >= _AGREED * max(1, (first | second).sum()))


def mask_around(
    mask: NDArray[np.float32], beyond: Beyond, *, width: int, height: int
) -> tuple[Affine, NDArray[np.float32]]:
    """From a crop to the square around it in which it is drawn with all of its mask, and (S, S) the mask there.

    `mask` (S, S) is the crop's own, `width` and `height` are the frame's. Beyond the frame's border the mask goes on as
    the picture does.
    """
    here_from_crop = _around(beyond.mask)
    here_from_view = here_from_crop.after(VIEW_FROM_CROP.inverse())
    parts = (mask, here_from_crop), (beyond.mask, here_from_view)
    own, view = (cv2.warpAffine(part, here_from.matrix, (CROP_SIZE, CROP_SIZE)) for part, here_from in parts)
    whole = np.maximum(own, view).astype(np.float32)
    return here_from_crop, carried_on(whole, here_from_view.after(beyond.view_from_frame), width, height)


def _around(view: NDArray[np.float32]) -> Affine:
    """From a crop to the square, of as many pixels, that holds it and all of its mask, which is `view` (S, S) there."""
    left, top, width, height = cv2.boundingRect((view > _LIKELY).astype(np.uint8))
    ends = VIEW_FROM_CROP.inverse().apply([[left, top], [left + width - 1, top + height - 1]])
    first, last = np.minimum(ends[0], 0), np.maximum(ends[1], CROP_SIZE - 1)
    times = float(np.clip((np.max(last - first) + 1 + 2 * _MARGIN) / CROP_SIZE, _WIDER, VIEW_TIMES))

    (x, y), centre = ((first + last) / 2).tolist(), (CROP_SIZE - 1) / 2
    smaller = Affine(np.eye(2, 3) / times)
    return Affine.shift(centre, centre).after(smaller).after(Affine.shift(-x, -y))


def _within(around: Surroundings) -> NDArray[np.uint8]:
    """(S, S, 3) what was drawn `around` a crop, within the crop."""
    matrix, size = around.here_from_crop.inverse().matrix, (CROP_SIZE, CROP_SIZE)
    return np.asarray(cv2.warpAffine(around.image, matrix, size, flags=cv2.INTER_CUBIC), np.uint8)


def shown_of(crop: FaceCrop, hole: NDArray[np.float32], around: Surroundings | None) -> Shown:
    """What is shown of a `crop` with a `hole` (S, S), and with a rim of what is `around` it."""
    finer = 1 / crop.crop_from_frame.scale
    if around is None:
        return Shown(crop.image, hole, finer)
    return Shown(filled(crop.image, _within(around), hole), _closed(hole), finer, around)


def _closed(hole: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, S) a crop's `hole` (S, S) that ends before the sides through which a mask goes on."""
    inner = hole.copy()
    inner[:, :_RIM_PX] = inner[:, -_RIM_PX:] = inner[-_RIM_PX:] = 0
    return np.asarray(cv2.blur(inner, (3, 3)), np.float32)


def view_of(crop_from_frame: Affine) -> Affine:
    """`view_from_frame` of a crop."""
    return VIEW_FROM_CROP.after(crop_from_frame)
