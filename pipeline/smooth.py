"""Steady drawing: what the networks say of one face is smoothed over time, in the coordinates of its crop.

A network draws each frame on its own, and noise that nobody sees makes what it invents shimmer. Averaging over time
calms it, but must not drag behind a face that moves. So the average follows at its own pace where the crop stays as it
was, and at once where the crop has really changed: a turn of the head, an expression, another light. The crop tells,
not the drawing: only the crop is real.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.colour import FIELD_SIZE, shrunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.frames import Inpainted, Patch

_FACE = np.zeros((FIELD_SIZE, FIELD_SIZE), np.uint8)
cv2.ellipse(_FACE, (FIELD_SIZE // 2, FIELD_SIZE // 2), (17, 22), 0, 0, 360, 255, -1)
"""Where a face lies in its crop: what changes behind it says nothing."""

_QUIETEST, _LOUDEST = 0.4, 2.5
"""Between which mean changes, in 8-bit steps, the noise of a still crop is looked for."""


@dataclass(frozen=True)
class _Average:
    """What is known of one face from its frames so far."""

    drawn: NDArray[np.float32]
    """(S, S, 3) RGB."""
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

    pace: float = 0.15
    """How much of each new drawing enters the average while the face is still, in (0, 1]. Lower it for a calmer face,
    which then also takes longer to gain from a better view; at 1 nothing is smoothed."""
    alert: float = 2.0
    """How many times its usual noise a crop has to change for its drawing to be taken at once. Lower it and slow
    movement is followed more closely, but noise is let through; raise it and the mouth drags behind a slow turn."""
    jump_levels: float = 24.0
    """By how many of 255 steps a drawing must differ from the average, over a few pixels, to be taken there at once.
    Below it two mouths could be seen at a time; too low, and the shimmer is taken for change."""
    release: float = 0.15
    """How fast the hole shrinks again, as a share of the way in each frame; it grows at once, so that no mask shows.
    Raise it and the hole's edge wanders with the segmenter's noise; lower it and real skin is hidden for longer."""

    def __call__(self, items: Iterator[Inpainted]) -> Iterator[Inpainted]:
        """The same frames, each patch with its drawing and its mask calmed; a frame without patches as it came."""
        averages: dict[int, _Average] = {}
        for item in items:
            alive = {track.id for track in item.cropped.tracked.tracks}
            averages = {track: average for track, average in averages.items() if track in alive}
            if item.cropped.tracked.detected.cut:
                averages = {}
            patches = []
            for patch in item.patches:
                track = patch.crop.track.id
                averages[track] = self._joined(averages.get(track), patch)
                patches.append(_from_average(averages[track], patch))
            yield replace(item, patches=tuple(patches)) if patches else item

    def _joined(self, average: _Average | None, patch: Patch) -> _Average:
        crop, small, mask = shrunk(patch.crop.image), shrunk(patch.image), patch.crop.mask
        drawn = patch.image.astype(np.float32)
        if average is None:
            return _Average(drawn, mask, small, crop, _QUIETEST)
        pace, noise = self._pace(average, crop, small)
        size = (mask.shape[1], mask.shape[0])
        fine = cv2.resize(pace, size, interpolation=cv2.INTER_LINEAR)
        moved = cv2.multiply(cv2.subtract(drawn, average.drawn), cv2.merge([fine, fine, fine]))
        shrinking = average.mask + np.maximum(fine, self.release) * (mask - average.mask)
        return _Average(
            drawn=cv2.add(average.drawn, moved).astype(np.float32, copy=False),
            mask=np.maximum(mask, shrinking).astype(np.float32, copy=False),
            small=average.small + pace[..., None] * (small - average.small),
            crop=average.crop + pace[..., None] * (crop - average.crop),
            noise=noise,
        )

    def _pace(
        self, average: _Average, crop: NDArray[np.float32], drawn: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float]:
        """(64, 64) in [pace, 1]: how much of the new drawing to take where; and the crop's noise."""
        change = cv2.absdiff(cv2.blur(crop, (3, 3)), cv2.blur(average.crop, (3, 3))).max(axis=2)
        overall = float(cv2.mean(change, mask=_FACE)[0])
        settling = 0.2 if overall < average.noise else 0.02
        noise = float(np.clip(average.noise + settling * (overall - average.noise), _QUIETEST, _LOUDEST))
        everywhere = _rise(overall / (self.alert * noise))
        nearby = cv2.blur(change, (9, 9)) / (3 * self.alert * noise)
        jump = cv2.absdiff(cv2.blur(drawn, (3, 3)), cv2.blur(average.small, (3, 3))).max(axis=2) / self.jump_levels
        reason = cv2.blur(np.maximum(np.maximum(_rise(nearby), _rise(jump)), everywhere), (5, 5))
        return np.asarray(self.pace + (1 - self.pace) * reason, np.float32), noise


def _rise(times: NDArray[np.generic] | float) -> NDArray[np.float32]:
    """0 up to half of the threshold, 1 from the threshold on, smooth between."""
    share = np.clip(2 * np.asarray(times, np.float32) - 1, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _from_average(average: _Average, patch: Patch) -> Patch:
    image = cv2.convertScaleAbs(average.drawn).astype(np.uint8, copy=False)
    return replace(patch, crop=replace(patch.crop, mask=average.mask), image=image)
