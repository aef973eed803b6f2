"""Telling which faces are as they were, so that what was found and drawn of them is kept and no network runs.

A face that keeps still in its crop would be drawn the same again, but for noise. What is compared is what is seen, with
the crop of the last look, so that slow changes add up and are noticed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from pipeline.errors import EngineError
from pipeline.picture.pixels import FACE, largest, shrunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from pipeline.frames import Track

Kept = TypeVar("Kept")


def kept(before: Mapping[int, Kept], track: Track) -> Kept:
    """What `before` has of a face that is held. Raises `EngineError` when it has nothing."""
    if track.id not in before:
        raise EngineError(f"the network failed on the frame that face {track.id} is held from")
    return before[track.id]


@dataclass(frozen=True)
class _Look:
    """What was seen of a face when it was last looked at."""

    crop: NDArray[np.float32]
    """(64, 64, 3) RGB, blurred."""
    frames: int
    """For how many frames it has been kept."""


@dataclass
class Holder:
    """Remembers the faces of a stream. Used by one thread."""

    every: int
    """A face is looked at anew at least in every so many frames."""
    face_levels: float = 1.5
    """Mean change of the whole face, in 8-bit steps, up to which it is as it was."""
    spot_levels: float = 6.0
    """The same for the spot that has changed most, about a tenth of the face wide."""
    sooner: bool = False
    """Both are divided by the number of frames that the face would have been kept for: a face that changes
    more is looked at sooner."""
    _looks: dict[int, _Look] = field(default_factory=dict)

    def keep(self, tracks: Iterable[int], *, cut: bool) -> None:
        """Forget all faces but those of `tracks`, and these too where a new shot begins."""
        alive = () if cut else tracks
        self._looks = {track: self._looks[track] for track in alive if track in self._looks}

    def holds(
        self, track: int, image: NDArray[np.uint8], *, where: NDArray[np.uint8] = FACE, allowed: bool = True
    ) -> bool:
        """Whether the face of `track`, whose crop is `image` (S, S, 3), is kept as it was; else it is looked at now.

        No spot of `where` (64, 64) may have changed, 255 is inside. Without `allowed` it is looked at in any case.
        """
        crop = np.asarray(cv2.blur(shrunk(image), (3, 3)), np.float32)  # (64, 64, 3)
        last = self._looks.get(track)
        if allowed and last is not None and last.frames + 1 < self.every and self._alike(crop, last, where):
            self._looks[track] = _Look(last.crop, last.frames + 1)
            return True
        self._looks[track] = _Look(crop, 0)
        return False

    def _alike(self, crop: NDArray[np.float32], last: _Look, where: NDArray[np.uint8]) -> bool:
        change = largest(cv2.absdiff(crop, last.crop)) * np.float32(last.frames + 1 if self.sooner else 1)
        if cv2.mean(change, mask=FACE)[0] > self.face_levels:
            return False
        return bool(cv2.minMaxLoc(cv2.blur(change, (5, 5)), mask=where)[1] <= self.spot_levels)
