"""What hangs together with a mask: in its crop, and in a second look beyond that, twice as wide and as coarse.

The second look finds flaps behind the ear and the lower half of a scarf. What is found counts where it hangs together
with the mask, so that a dark wall does not become one, nor the end of a temple of glasses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.geometry import CROP_SIZE, VIEW_FROM_CROP, VIEW_TIMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.geometry import Affine

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

_GREY, _FADE = np.float32(128), 0.16
"""What the segmenter is shown beyond the frame's border, and how far away only that, as a part of the crop's side.
Grey from the border on hides which way a mask goes, without grey the stripes mislead."""

_HALF = 0.5
"""A pixel of the frame reaches so far to each side."""

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


def view_of(crop_from_frame: Affine) -> Affine:
    """`view_from_frame` of a crop."""
    return VIEW_FROM_CROP.after(crop_from_frame)


def in_frame(view_from_frame: Affine, width: int, height: int, *, size: int = CROP_SIZE) -> NDArray[np.bool_]:
    """(size, size) which pixels of a view lie in the frame; beyond its border the border goes on, and means nothing."""
    across, down = _places(view_from_frame, size)
    return np.asarray((across >= -_HALF) & (across < width - _HALF) & (down >= -_HALF) & (down < height - _HALF))


def leaves_frame(crop_from_frame: Affine, width: int, height: int) -> bool:
    """Whether a crop shows something that lies beyond the frame's border."""
    last = CROP_SIZE - 1
    corners = crop_from_frame.inverse().apply([[0, 0], [last, 0], [0, last], [last, last]]).tolist()
    return any(not (-_HALF <= x < width - _HALF and -_HALF <= y < height - _HALF) for x, y in corners)


def faded(image: NDArray[np.uint8], image_from_frame: Affine, width: int, height: int) -> NDArray[np.uint8]:
    """(s, s, 3) a crop's `image` that turns grey beyond the frame's border.

    There a mask that the border cuts off goes on in stripes, which the segmenter takes for a mask of another form.
    """
    (across, down), reach = _places(image_from_frame, len(image)), _FADE * len(image) * image_from_frame.inverse().scale
    away = np.hypot(across - np.clip(across, 0, width - 1), down - np.clip(down, 0, height - 1))
    share = np.minimum(away / reach, 1).astype(np.float32)[..., None]
    return np.asarray(image + share * (_GREY - image.astype(np.float32)), np.uint8)


def carried_on(mask: NDArray[np.float32], crop_from_frame: Affine, width: int, height: int) -> NDArray[np.float32]:
    """(S, S) a crop's `mask` that beyond the frame's border goes on as the crop's picture does: as at the border."""
    across, down = _places(crop_from_frame, CROP_SIZE)
    nearest = np.stack([np.clip(across, 0, width - 1), np.clip(down, 0, height - 1)], axis=-1)
    x, y = crop_from_frame.apply(nearest).astype(np.float32).transpose(2, 0, 1)
    return np.asarray(cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _places(view_from_frame: Affine, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y in the frame, (size, size) each, of the pixels of a view."""
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    (a, b, x), (c, d, y) = view_from_frame.inverse().matrix
    return a * columns + b * rows + x, c * columns + d * rows + y
