"""Which pixels of each face's crop are mask, and which faces are to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.align import align, turned_away, write_colours
from pipeline.frames import Cropped, FaceCrop, Left
from pipeline.geometry import CROP_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from engine.spec import Array, Engine, Pending
    from pipeline.frames import Frame, Track, Tracked
    from pipeline.geometry import Affine

INPUT_SIZE = 128
"""Side of the picture that the segmenter looks at."""


@dataclass(frozen=True)
class Looking:
    """A frame whose faces are being searched for masks."""

    tracked: Tracked
    aligned: tuple[tuple[Track, NDArray[np.uint8], Affine], ...]
    """Each face with its crop and `crop_from_frame`."""
    left: tuple[tuple[Track, Left], ...]
    """The faces that are not searched, each with the reason."""
    masks: Pending | None
    """None when there is no face to search."""

    @property
    def frame(self) -> Frame:
        """Whose faces they are."""
        return self.tracked.frame


@dataclass(frozen=True)
class Segment:
    """Cuts the crop of each track and finds the mask in it, in two stages: while the second waits for one frame, the
    first cuts the next.
    """

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

    def ask(self, stream: Iterator[Tracked]) -> Iterator[Looking]:
        """Stage: cut the crops of each frame and hand them to the network. Raises `EngineError`."""
        for tracked in stream:
            left: list[tuple[Track, Left]] = []
            aligned: list[tuple[Track, NDArray[np.uint8], Affine]] = []
            for track in tracked.tracks:
                reason = self._unfit(track)
                if reason is None:
                    aligned.append((track, *align(tracked.frame, track)))
                else:
                    left.append((track, reason))
            masks = self.engine.submit({"crop": _feed([image for _, image, _ in aligned])}) if aligned else None
            yield Looking(tracked, tuple(aligned), tuple(left), masks)

    def answer(self, stream: Iterator[Looking]) -> Iterator[Cropped]:
        """Stage: each frame with its masked faces, and the others with why they are left. Raises `EngineError`."""
        masked: frozenset[int] = frozenset()
        for looking in stream:
            cropped = self._judged(looking, masked)
            masked = frozenset(crop.track.id for crop in cropped.crops)
            yield cropped

    def _judged(self, looking: Looking, masked: frozenset[int]) -> Cropped:
        left = list(looking.left)
        crops: list[FaceCrop] = []
        masks: Array | tuple[()] = () if looking.masks is None else looking.masks.result()["mask"]
        for (track, image, crop_from_frame), (small,) in zip(looking.aligned, masks, strict=True):
            mask = cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
            reason = self._unmasked(mask, was_masked=track.id in masked)
            if reason is None:
                crops.append(FaceCrop(track=track, image=image, mask=mask, crop_from_frame=crop_from_frame))
            else:
                left.append((track, reason))
        return Cropped(tracked=looking.tracked, crops=tuple(crops), left=tuple(left))

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


def _feed(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(N, 3, s, s) in [-1, 1] of N crops, s = `INPUT_SIZE`."""
    size = (INPUT_SIZE, INPUT_SIZE)
    feed = np.empty((len(images), 3, *size), np.float32)
    for image, planes in zip(images, feed, strict=True):
        write_colours(cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False), planes)
    return feed
