"""The stage that steadies what was drawn: each face is averaged over time, in the coordinates of its crop.

A network draws each frame on its own, and noise that nobody sees makes what it invents shimmer. Averaging over time
calms it, but must not drag behind a face that moves. So the average follows at its own pace where the crop stays as it
was, and at once where the crop has really changed: a turn of the head, an expression, another light. The crop decides
that, not the drawing, since only the crop is real.

A tracker's jitter moves the crop over a face that is still. So each crop is first laid over the average, and the patch
goes on in the average's own steadier coordinates (Lucas and Kanade, An Iterative Image Registration Technique, 1981,
for a similarity, with weights against what moves otherwise).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

from pipeline.geometry import CROP_SIZE, Affine
from pipeline.picture.pixels import FACE, FIELD_SIZE, largest, shrunk
from pipeline.picture.samples import BT601
from pipeline.rules import Number, setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.frames import Inpainted, Patch


_ROUNDS = 2
_OTHERWISE = 6.0
"""A pixel that is this many 8-bit steps off counts half: a blink or a word moves it, not the camera."""

_STEADY = 30.0
"""Added to the equations' diagonal, so that a picture without edges stays where it is."""


def register(moved: NDArray[np.float32], fixed: NDArray[np.float32], where: NDArray[np.float32]) -> Affine:
    """`moved_from_fixed` in pixels of both, (h, w) float32 luma: `moved` sampled there looks like `fixed`.

    `where` (h, w) in [0, 1] says which pixels count. Shifts of about a pixel are found, larger ones in part.
    """
    height, width = fixed.shape
    slopes, radius = _slopes(fixed)  # (4, h * w)
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    shift_x, shift_y, growth, turn = 0.0, 0.0, 0.0, 0.0
    moved_from_fixed = Affine.shift(0, 0)
    for _ in range(_ROUNDS):
        seen = cv2.warpAffine(moved, moved_from_fixed.matrix, (width, height), flags=flags, borderMode=border)
        rest = (fixed - seen).reshape(-1)
        # What does not fit, as a mouth that opens or a hand, loses its say in where the face lies.
        off = rest / _OTHERWISE
        weighted = slopes * (where.reshape(-1) / (1 + off * off))

        # One step of Gauss and Newton: four equations for two shifts, growth and turn.
        step = np.linalg.solve(weighted @ slopes.T + _STEADY * np.eye(4, dtype=np.float32), weighted @ rest)
        shift_x, shift_y = shift_x + float(step[0]), shift_y + float(step[1])
        growth, turn = growth + float(step[2]) / radius, turn + float(step[3]) / radius
        moved_from_fixed = _about_middle(1 + growth, turn, shift_x, shift_y, width, height)
    return moved_from_fixed


def _slopes(fixed: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """(4, h * w) how each pixel changes with shifts across and down, growth and turn; and the unit of the last two.

    Growth and turn count at this radius in pixels, so that all four are about a pixel.
    """
    height, width = fixed.shape
    radius = np.float32(width / 4)
    x, y = _from_middle(height, width)
    across, down = (cv2.Sobel(fixed, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1)))
    slopes = np.stack([across, down, (across * x + down * y) / radius, (down * x - across * y) / radius])
    return slopes.reshape(4, -1), float(radius)


@lru_cache(maxsize=2)
def _from_middle(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(height, width) x and y of every pixel, counted from the middle."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x - np.float32((width - 1) / 2), y - np.float32((height - 1) / 2)


def _about_middle(stretch: float, turn: float, shift_x: float, shift_y: float, width: int, height: int) -> Affine:
    """The similarity that turns and stretches about the middle of a picture and shifts then."""
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    turned = Affine(np.array([[stretch, -turn, 0.0], [turn, stretch, 0.0]]))
    return Affine.shift(middle_x + shift_x, middle_y + shift_y).after(turned).after(Affine.shift(-middle_x, -middle_y))


_QUIETEST, _LOUDEST = 0.4, 2.5
"""The noise of a still crop lies between these two, as a mean change in 8-bit steps."""

_LUMA = np.array([BT601], np.float32)

_FACE_CORNERS = np.array([[20.0, 15.0], [44.0, 15.0], [20.0, 50.0], [44.0, 50.0]])
"""The corners of a face in a crop of 64 pixels."""

_FARTHEST, _NEAREST = 1.0, 0.01
"""How far a crop may lie from the average, in 64ths of the crop's side. A farther one is another pose and begins a new
average; a nearer one is not worth the moving."""

_MARGIN_PX = 16
"""How far around the mask the drawing is averaged: as far as any blending reaches."""


@dataclass(frozen=True)
class _Average:
    """What is known of one face from its frames so far."""

    drawn: NDArray[np.float32]
    """(S, S, 3) RGB."""
    image: NDArray[np.uint8]
    """`drawn` in bytes."""
    mask: NDArray[np.float32]
    """(S, S) in [0, 1]."""
    small: NDArray[np.float32]
    """(64, 64, 3): `drawn`, shrunk."""
    crop: NDArray[np.float32]
    """(64, 64, 3) RGB: the crop that `drawn` goes with."""
    noise: float
    """Mean change of the crop from its average while the face is still, in 8-bit steps."""


@dataclass(frozen=True)
class Smooth:
    """Stage: the patches of each face calmed over time. A new track begins afresh, and so does every track after a
    cut."""

    pace: float = setting(
        0.12,
        Number(0.001, 1),
        "share of each new drawing that enters the average while the face is still; lower it for a calmer face, which "
        "then takes longer to gain from a better view; 1 smooths nothing",
    )
    alert: float = setting(
        2.5,
        Number(0, 100),
        "how many times its usual noise a crop has to change for its drawing to be taken at once; lower it and slow "
        "movement is followed more closely but noise is let through, raise it and the mouth lags behind a slow turn",
    )
    jump_levels: float = setting(
        24.0,
        Number(0, 255),
        "by how many of 255 levels a drawing must differ from the average, over a few pixels, to be taken there at "
        "once; too high, and two mouths show at a time; too low, and shimmer is taken for change",
    )
    release: float = setting(
        0.15,
        Number(0, 1),
        "share of the way that the hole shrinks in each frame, while it grows at once so that no mask shows; raise it "
        "and the hole's edge wanders with the segmenter's noise, lower it and real skin is hidden for longer",
    )

    def __call__(self, items: Iterator[Inpainted]) -> Iterator[Inpainted]:
        """The same frames, each patch with its drawing and its mask calmed; a frame without patches as it came."""
        averages: dict[int, _Average] = {}
        for item in items:
            tracked = item.cropped.tracked
            alive = set() if tracked.detected.cut else {track.id for track in tracked.tracks}
            averages = {track: average for track, average in averages.items() if track in alive}

            patches = []
            for patch in item.patches:
                track = patch.crop.track.id
                averages[track], settled = self._joined(averages.get(track), patch)
                patches.append(settled)
            yield replace(item, patches=tuple(patches)) if patches else item

    def _joined(self, average: _Average | None, patch: Patch) -> tuple[_Average, Patch]:
        """The average with `patch` in it, and what is to be painted instead of `patch`."""
        crop = shrunk(patch.crop.image)
        small_from_average = None if average is None else _nearby(average, crop)
        # A face that is new, or in another pose, begins an average of its own.
        if average is None or small_from_average is None:
            drawn = patch.image.astype(np.float32)
            return _Average(drawn, patch.image, patch.crop.mask, shrunk(patch.image), crop, _QUIETEST), patch
        if patch.crop.held:
            return average, _laid(patch, average, small_from_average)

        # From here on everything is in the average's coordinates.
        settled = patch
        is_moved = _farthest(small_from_average) > _NEAREST
        if is_moved:
            crop = _warped(crop, small_from_average.matrix, crop.shape[:2])
            settled = _moved(patch, crop, small_from_average, _around(np.maximum(patch.crop.mask, average.mask)))

        # Where the last drawing is carried on, only the mask is new.
        if patch.crop.carried:
            mask = _shrunk_towards(settled.crop.mask, average.mask, self.release)
            settled = replace(settled, crop=replace(settled.crop, mask=mask), image=average.image)
            return replace(average, mask=mask), settled

        small = shrunk(patch.image)
        if is_moved:
            small = _warped(small, small_from_average.matrix, small.shape[:2])
        pace, noise = self._pace(average, crop, small)  # (64, 64)
        fine = cv2.resize(pace, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)  # (S, S)
        mask = _shrunk_towards(settled.crop.mask, average.mask, np.maximum(fine, self.release))

        # Averaging is the dearest step, so only what will be painted is averaged.
        drawn = settled.image.astype(np.float32)
        left, top, right, bottom = _around(mask)
        inside = np.s_[top:bottom, left:right]
        before, share = average.drawn[inside], cv2.merge([fine[inside]] * 3)
        drawn[inside] = cv2.add(before, cv2.multiply(cv2.subtract(drawn[inside], before), share))
        image = settled.image.copy()
        image[inside] = cv2.convertScaleAbs(drawn[inside])
        joined = _Average(
            drawn=drawn,
            image=image,
            mask=mask,
            small=average.small + pace[..., None] * (small - average.small),
            crop=average.crop + pace[..., None] * (crop - average.crop),
            noise=noise,
        )
        return joined, replace(settled, crop=replace(settled.crop, mask=mask), image=image)

    def _pace(
        self, average: _Average, crop: NDArray[np.float32], drawn: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float]:
        """(64, 64) in [pace, 1]: how much of the new drawing to take where; and the crop's noise."""
        change = largest(cv2.absdiff(cv2.blur(crop, (3, 3)), cv2.blur(average.crop, (3, 3))))  # (64, 64)
        overall = float(cv2.mean(change, mask=FACE)[0])
        # Noise is the least change that comes again and again: movement must not pass for it, so it rises slowly.
        settling = 0.2 if overall < average.noise else 0.02
        noise = float(np.clip(average.noise + settling * (overall - average.noise), _QUIETEST, _LOUDEST))

        # Any one reason will do: the whole face has changed, this part of it, or what was drawn of it.
        everywhere = _rise(overall / (self.alert * noise))
        nearby = cv2.blur(change, (9, 9)) / (3 * self.alert * noise)
        jump = largest(cv2.absdiff(cv2.blur(drawn, (3, 3)), cv2.blur(average.small, (3, 3)))) / self.jump_levels
        reason = cv2.blur(np.maximum(np.maximum(_rise(nearby), _rise(jump)), everywhere), (5, 5))
        return np.asarray(self.pace + (1 - self.pace) * reason, np.float32), noise


def _shrunk_towards(
    mask: NDArray[np.float32], before: NDArray[np.float32], pace: NDArray[np.float32] | float
) -> NDArray[np.float32]:
    """(S, S) `mask`, or where `before` is larger, `pace` of the way from there to `mask`."""
    return np.asarray(np.maximum(mask, before + pace * (mask - before)), np.float32)


def _rise(times: NDArray[np.generic] | float) -> NDArray[np.float32]:
    """0 up to half of the threshold, 1 from the threshold on, smooth between."""
    share = np.clip(2 * np.asarray(times, np.float32) - 1, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _nearby(average: _Average, crop: NDArray[np.float32]) -> Affine | None:
    """How `crop` (64, 64, 3) lies over the average's crop, `small_from_average`; None when it is too far away."""
    lumas = (cv2.blur(cv2.transform(image, _LUMA), (3, 3)) for image in (crop, average.crop))
    moved, fixed = (luma.astype(np.float32, copy=False) for luma in lumas)
    small_from_average = register(moved, fixed, FACE.astype(np.float32) / np.float32(255))
    return small_from_average if _farthest(small_from_average) <= _FARTHEST else None


def _farthest(small_from_average: Affine) -> float:
    """How far the corners of a face are moved, at most."""
    return float(np.hypot(*(small_from_average.apply(_FACE_CORNERS) - _FACE_CORNERS).T).max())


def _laid(patch: Patch, average: _Average, small_from_average: Affine) -> Patch:
    """The average as it is, laid where the crop of `patch` lies."""
    crop_from_frame = _in_full(small_from_average).inverse().after(patch.crop.crop_from_frame)
    return replace(
        patch, crop=replace(patch.crop, mask=average.mask, crop_from_frame=crop_from_frame), image=average.image
    )


def _in_full(small_from_average: Affine) -> Affine:
    """`crop_from_average`, between pictures of the crop's whole size."""
    crop_from_small = Affine.resize(CROP_SIZE / FIELD_SIZE)
    return crop_from_small.after(small_from_average).after(crop_from_small.inverse())


def _moved(
    patch: Patch, small: NDArray[np.float32], small_from_average: Affine, box: tuple[int, int, int, int]
) -> Patch:
    """`patch` in the average's coordinates; drawing and mask are moved only inside `box`, where they are looked at.

    `small` (64, 64, 3) is the crop in these coordinates. A drawing that is carried on is not moved, since the one that
    will be shown is the average's.
    """
    crop_from_average = _in_full(small_from_average)
    left, top, right, bottom = box
    matrix = crop_from_average.after(Affine.shift(left, top)).matrix
    inside, shape = np.s_[top:bottom, left:right], (bottom - top, right - left)

    image, mask = patch.image, patch.crop.mask.copy()
    mask[inside] = _warped(mask, matrix, shape)
    if not patch.crop.carried:
        drawn = _warped(image.astype(np.float32), matrix, shape, cv2.INTER_CUBIC)
        image = image.copy()
        image[inside] = cv2.convertScaleAbs(np.maximum(drawn, 0))

    crop_from_frame = crop_from_average.inverse().after(patch.crop.crop_from_frame)
    seen = np.asarray(cv2.convertScaleAbs(small), np.uint8)
    crop = replace(patch.crop, image=seen, mask=mask, crop_from_frame=crop_from_frame)
    return replace(patch, crop=crop, image=image)


def _warped(
    values: NDArray[np.integer[Any] | np.floating[Any]],
    source_from_target: NDArray[np.float64],
    shape: tuple[int, int],
    flags: int = cv2.INTER_LINEAR,
) -> NDArray[np.float32]:
    """`values` sampled where `source_from_target` says, at the size `shape`; its border goes on outside."""
    height, width = shape
    flags |= cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(values, source_from_target, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return cast("NDArray[np.float32]", warped)


def _around(mask: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """left, top, right, bottom of what `mask` covers, with a margin."""
    left, top, width, height = cv2.boundingRect((mask > 0.05).astype(np.uint8))
    if width == 0:
        return 0, 0, CROP_SIZE, CROP_SIZE
    right, bottom = min(left + width + _MARGIN_PX, CROP_SIZE), min(top + height + _MARGIN_PX, CROP_SIZE)
    return max(left - _MARGIN_PX, 0), max(top - _MARGIN_PX, 0), right, bottom
