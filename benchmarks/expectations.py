"""What shape each curve of `bench scale` is expected to have, said before it is measured, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Expectation:
    """A figure of a curve and what it may be at most."""

    curve: str
    """Which curve it is about."""
    says: str
    """In a sentence."""
    figure: str
    """What is held against the limit."""
    limit: float

    def judged(self, measured: float) -> dict[str, object]:
        """As JSON holds it, with what was measured and whether that is what was expected."""
        return {
            "curve": self.curve,
            "expected": self.says,
            "figure": self.figure,
            "limit": self.limit,
            "measured": round(measured, 4),
            "met": bool(measured <= self.limit),
        }


FACES = Expectation(
    "faces",
    "A line from no face on that bends down: faces of a frame go through the networks together.",
    "(T(8) - T(0)) / (T(1) - T(0)), T(n) the milliseconds of a frame with n faces",
    5.6,
)
RESOLUTION = Expectation(
    "resolution",
    "Codec and painting cost by the pixel, networks by the face: a frame's time grows no faster than its pixels.",
    "exponent of a frame's time over its pixels",
    1.05,
)
LENGTH = Expectation(
    "length",
    "Flat: what is remembered of a run does not grow with the clip.",
    "MB of peak memory for each 1000 frames more",
    5.0,
)
THREADS = Expectation(
    "threads",
    "Down, or flat where the stages keep the cores busy already: a second thread never costs.",
    "a frame's time with two threads for each network over its time with one",
    1.05,
)
BATCH = Expectation(
    "batch",
    "Flat or down: a face in a batch of eight costs no more than a face alone.",
    "the generator's milliseconds a face in a batch of eight over those alone",
    1.0,
)
ALL = (FACES, RESOLUTION, LENGTH, THREADS, BATCH)


def faces_figure(frame_ms: Mapping[int, float]) -> float:
    """How many times what the first face costs eight cost, from a frame's time by its number of faces.

    Infinite where the first costs nothing that can be measured.
    """
    first = frame_ms[1] - frame_ms[0]
    return (frame_ms[8] - frame_ms[0]) / first if first > 0 else float("inf")


def exponent(time_by_pixels: Mapping[int, float]) -> float:
    """Of the power law that fits best: 1 is proportional. Raises `ValueError` for fewer than two sizes."""
    if len(time_by_pixels) < 2:
        raise ValueError("one point has no slope")
    pixels, times = (np.log(np.array(list(values), np.float64)) for values in zip(*time_by_pixels.items(), strict=True))
    return float(np.polyfit(pixels, times, 1)[0])


def growth_per_thousand(memory_by_frames: Mapping[int, float]) -> float:
    """MB for each 1000 frames more, from the shortest clip to the longest."""
    shortest, longest = min(memory_by_frames), max(memory_by_frames)
    return 1000 * (memory_by_frames[longest] - memory_by_frames[shortest]) / (longest - shortest)


def over(by_count: Mapping[int, float], more: int, fewer: int) -> float:
    """The figure at `more` over that at `fewer`."""
    return by_count[more] / by_count[fewer]
