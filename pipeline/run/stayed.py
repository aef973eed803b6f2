"""Where masks stayed on: when, on which face, and why, gathered while frames pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.frames import Skipped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

    from pipeline.frames import Frame, Inpainted, Track
    from pipeline.geometry import Box

LOST = "lost"
"""The reason for a face that was drawn, and then not found any more although it did not leave the picture."""

BY_CHOICE = (Skipped.SWITCHED_OFF, Skipped.NOT_CHOSEN)
"""Reasons that somebody asked for."""

LONGEST_GAP_SECONDS = 0.5
"""Two stretches of one face for one reason are one when no more lies between them."""

LEAST_INSIDE = 0.75
"""A face has not left the picture when so much of its box was inside when it was last seen."""

LONGEST_LOST_SECONDS = 2
"""How long a lost face is taken to be still there: after that nobody knows whether it left behind something."""

MOST_STRETCHES = 10_000
"""Of one file; beyond, they are counted and no longer kept."""


@dataclass
class Stretch:
    """A stretch of time in which a mask stayed on one face for one reason. Changed in place while it goes on."""

    track: int
    reason: str
    start: Fraction
    end: Fraction
    """The time of the last frame in it."""
    frames: int = 1

    def as_json(self) -> dict[str, object]:
        """The stretch as JSON holds it."""
        return {
            "track": self.track,
            "reason": self.reason,
            "start": round(float(self.start), 3),
            "end": round(float(self.end), 3),
            "frames": self.frames,
        }

    def __str__(self) -> str:
        span = clock(self.start) if self.frames == 1 else f"{clock(self.start)} to {clock(self.end)}"
        return f"{span} ({self.reason})"


@dataclass
class StayedOn:
    """Gathers the stretches of one file, frame by frame in order."""

    stretches: list[Stretch] = field(default_factory=list)
    """In the order in which they began."""
    dropped: int = 0
    """How many more there are than are kept."""
    _open: dict[tuple[int, str], Stretch] = field(default_factory=dict, repr=False)
    _drawn: dict[int, Box] = field(default_factory=dict, repr=False)
    """The faces whose last appearance was drawn, with the box that they had."""
    _lost: dict[int, tuple[Box, Fraction]] = field(default_factory=dict, repr=False)
    """The faces that are not found any more, with the box that they had and the time since when."""

    def see(self, item: Inpainted) -> None:
        """Note who was left in this frame, and who of those drawn before is not found in it."""
        tracked, frame = item.cropped.tracked, item.frame
        if tracked.detected.cut:
            self._drawn.clear()
            self._lost.clear()

        self._find_again(tracked.tracks, frame.time)
        for number in self._drawn.keys() - {track.id for track in tracked.tracks}:
            box = self._drawn.pop(number)
            if inside(box, frame) >= LEAST_INSIDE:
                self._lost[number] = box, frame.time
        for number in self._lost:
            self._extend(number, LOST, frame.time)

        for track, reason in item.cropped.skipped:
            self._drawn.pop(track.id, None)
            if reason is not Skipped.BARE:
                self._extend(track.id, reason.value, frame.time)
        for patch in item.patches:
            self._drawn[patch.crop.track.id] = patch.crop.track.detection.box

    @property
    def unasked(self) -> list[Stretch]:
        """The stretches that nobody asked for, the longest first."""
        chosen = {reason.value for reason in BY_CHOICE}
        return sorted((one for one in self.stretches if one.reason not in chosen), key=lambda one: -one.frames)

    def _find_again(self, tracks: Iterable[Track], time: Fraction) -> None:
        """Give up lost faces in whose place a face is found, and those that were lost too long ago."""
        boxes = {track.id: track.detection.box for track in tracks}
        for number, (box, since) in list(self._lost.items()):
            found = number in boxes or any(box.iou(other) > 0 for other in boxes.values())
            if found or time - since > LONGEST_LOST_SECONDS:
                del self._lost[number]

    def _extend(self, track: int, reason: str, time: Fraction) -> None:
        known = self._open.get((track, reason))
        if known is not None and time - known.end <= LONGEST_GAP_SECONDS:
            known.end, known.frames = time, known.frames + 1
            return
        if len(self.stretches) == MOST_STRETCHES:
            self.dropped += 1
            return
        begun = self._open[track, reason] = Stretch(track, reason, time, time)
        self.stretches.append(begun)


def inside(box: Box, frame: Frame) -> float:
    """How much of a box lies in the picture, from 0 to 1."""
    width = min(box.right, frame.width) - max(box.left, 0.0)
    height = min(box.bottom, frame.height) - max(box.top, 0.0)
    whole = (box.right - box.left) * (box.bottom - box.top)
    return max(0.0, width) * max(0.0, height) / whole if whole > 0 else 0.0


def clock(seconds: Fraction) -> str:
    """A time as people read it, such as 1:02:03.5 or 0:20.4."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02}.{rest % 10}"
