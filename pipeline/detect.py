"""Stage: looks for faces, in every k-th frame and wherever a new shot begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.cuts import CutFinder
from pipeline.frames import Detected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.detectors import Detector
    from pipeline.frames import Frame


@dataclass(frozen=True)
class Detect:
    """Finds faces."""

    detector: Detector
    every: int = 4
    """Look at every so many frames; the tracker follows the faces between. Raise it and detection costs less, and a
    face that comes into the picture is found later."""

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Detected]:
        """Each frame with its faces, or with None where nobody looked. Raises `EngineError`."""
        begins_shot = CutFinder()
        since_look = 0
        for frame in frames:
            cut = begins_shot(frame.planes)
            since_look = 0 if cut else (since_look + 1) % self.every
            yield Detected(frame, None if since_look else self.detector(frame), cut)
