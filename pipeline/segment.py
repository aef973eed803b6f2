"""Which pixels of each face's crop are mask, and which faces are to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.align import align, turned_away, write_colours
from pipeline.frames import Cropped, FaceCrop, Left, Tracked
from pipeline.geometry import CROP_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.frames import Track
    from pipeline.geometry import Affine

INPUT_SIZE = 128
"""Side of the picture that the segmenter looks at."""


@dataclass(frozen=True)
class Segment:
    """Stage: cut the crop of each track and find the mask in it."""

    engine: Engine
    least_mask: float = 0.03
    """Part of the crop that must be mask before a face counts as masked: raise it and a mask on the chin stays, lower
    it and a hand may be taken for a mask. Once masked, a face stays so down to half of this."""
    least_certainty: float = 0.6
    """How sure the network must be of the pixels that it calls mask, on average, in (0.5, 1]."""
    least_eye_distance_px: float = 7.0
    """Smaller faces are left: there is nothing to see in what would be drawn."""
    most_turned: float = 0.72
    """How far a head may be turned, 1 is one eye behind the other: beyond it the generator draws nothing good."""

    def __call__(self, stream: Iterator[Tracked]) -> Iterator[Cropped]:
        """Each frame with its masked faces, and the others with why they are left."""
        masked: frozenset[int] = frozenset()
        for tracked in stream:
            cropped = self._look(tracked, masked)
            masked = frozenset(crop.track.id for crop in cropped.crops)
            yield cropped

    def _look(self, tracked: Tracked, masked: frozenset[int]) -> Cropped:
        left: list[tuple[Track, Left]] = []
        aligned: list[tuple[Track, NDArray[np.uint8], Affine]] = []
        for track in tracked.tracks:
            reason = self._unfit(track)
            if reason is None:
                aligned.append((track, *align(tracked.frame, track)))
            else:
                left.append((track, reason))
        crops: list[FaceCrop] = []
        for (track, image, crop_from_frame), mask in zip(aligned, self._masks([a[1] for a in aligned]), strict=True):
            reason = self._unmasked(mask, was_masked=track.id in masked)
            if reason is None:
                crops.append(FaceCrop(track=track, image=image, mask=mask, crop_from_frame=crop_from_frame))
            else:
                left.append((track, reason))
        return Cropped(tracked=tracked, crops=tuple(crops), left=tuple(left))

    def _unfit(self, track: Track) -> Left | None:
        eyes = track.detection.landmarks.points[:2]
        if turned_away(track) > self.most_turned:
            return Left.TURNED_AWAY
        spread = float(np.ptp(track.detection.landmarks.points, axis=0).max())
        if max(float(np.hypot(*(eyes[1] - eyes[0]))), 0.6 * spread) < self.least_eye_distance_px:
            return Left.TOO_SMALL
        return None

    def _unmasked(self, mask: NDArray[np.float32], *, was_masked: bool) -> Left | None:
        inside = mask > 0.5
        if inside.mean() < (self.least_mask / 2 if was_masked else self.least_mask):
            return Left.BARE
        return Left.UNCERTAIN if mask[inside].mean() < self.least_certainty else None

    def _masks(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(N, S, S) in [0, 1] for N crops."""
        if not images:
            return np.zeros((0, CROP_SIZE, CROP_SIZE), np.float32)
        size = (INPUT_SIZE, INPUT_SIZE)
        feed = np.empty((len(images), 3, *size), np.float32)
        for image, planes in zip(images, feed, strict=True):
            write_colours(cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False), planes)
        masks = self.engine.run({"crop": feed})["mask"]
        return np.stack([cv2.resize(mask[0], (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR) for mask in masks])
