"""Stage: looks for faces, in every k-th frame and wherever a new shot begins."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.find.cuts import CutFinder
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

    longest_seconds: float | None = None
    """Look again after so long, too. For live video: a slow machine leaves frames out, and a face can't be followed
    over what is far apart. None: count frames only."""

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Detected]:
        """Each frame with its faces, or with None where nobody looked. Raises `EngineError`."""
        begins_shot = CutFinder()
        since_look, looked = 0, Fraction(0)
        for frame in frames:
            cut = begins_shot(frame.planes)
            overdue = self.longest_seconds is not None and frame.time - looked >= self.longest_seconds
            since_look = 0 if cut or overdue else (since_look + 1) % self.every
            looked = looked if since_look else frame.time
            yield Detected(frame, None if since_look else self.detector(frame), cut)
