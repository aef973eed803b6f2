"""Where masks stayed on: when, on which face, and why, gathered while frames pass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipeline.frames import Skipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from fractions import Fraction

    from pipeline.frames import Frame, Inpainted, Track

LOST = "lost"
"""The reason for a face that was drawn, and then not found any more although its mouth had not left the picture."""

TAKEN_FOR_BARE = "taken for bare"
"""The reason for a face that was drawn, and in which no mask was found shortly after: it may be there all the same."""

BY_CHOICE = (Skipped.SWITCHED_OFF, Skipped.NOT_CHOSEN)
"""Reasons that somebody asked for."""

LONGEST_GAP_SECONDS = 0.5
"""Two stretches of one face for one reason are one when no more lies between them."""

LONGEST_DOUBT_SECONDS = 2
"""How long the mask of a face that was drawn is taken to be still there: later nobody knows."""

MOST_STRETCHES = 10_000
"""How many stretches of one file are kept; beyond, they are counted alone."""


@dataclass
class MaskStretch:
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

    stretches: list[MaskStretch] = field(default_factory=list)
    """The stretches, in the order in which they began."""
    dropped: int = 0
    """How many more there are than are kept."""
    _open: dict[tuple[int, str], MaskStretch] = field(default_factory=dict, repr=False)
    _drawn: dict[int, tuple[Track, Fraction]] = field(default_factory=dict, repr=False)
    """The faces that were drawn: as they were then, and when."""
    _counts: bool = field(default=True, repr=False)
    _lost: dict[int, tuple[Track, Fraction, Fraction]] = field(default_factory=dict, repr=False)
    """The faces that are not found any more: as they were drawn last, when that was, and since when they are lost."""

    def see(self, item: Inpainted, *, counts: bool = True) -> None:
        """Note who was left in this frame, and who of those drawn before is not found in it.

        A frame that does not count only tells who was drawn.
        """
        self._counts = counts
        tracked, frame = item.cropped.tracked, item.frame
        if tracked.detected.cut:
            self._drawn.clear()
            self._lost.clear()

        self._give_up(tracked.tracks, frame.time)
        for number in self._drawn.keys() - {track.id for track in tracked.tracks}:
            track, drawn = self._drawn.pop(number)
            if mouth_inside(track, frame):
                self._lost[number] = track, drawn, frame.time
        for number in self._lost:
            self._extend(number, LOST, frame.time)

        for track, reason in item.cropped.skipped:
            if reason is not Skipped.BARE:
                self._extend(track.id, reason.value, frame.time)
            elif track.id in self._drawn:
                self._extend(track.id, TAKEN_FOR_BARE, frame.time)
        for patch in item.patches:
            self._drawn[patch.crop.track.id] = patch.crop.track, frame.time

    def add(self, later: StayedOn, names: Mapping[int, int]) -> None:
        """Add what another gathered from later frames; `names` has the id here of each track there."""
        self.dropped += later.dropped
        for one in later.stretches:
            track = names[one.track]
            known = self._open.get((track, one.reason))
            if known is not None and one.start - known.end <= LONGEST_GAP_SECONDS:
                known.end, known.frames = one.end, known.frames + one.frames
            elif len(self.stretches) == MOST_STRETCHES:
                self.dropped += 1
            else:
                self._open[track, one.reason] = begun = replace(one, track=track)
                self.stretches.append(begun)

    @property
    def unasked(self) -> list[MaskStretch]:
        """The stretches that nobody asked for, the longest first."""
        chosen = {reason.value for reason in BY_CHOICE}
        return sorted((one for one in self.stretches if one.reason not in chosen), key=lambda one: -one.frames)

    def _give_up(self, tracks: Iterable[Track], now: Fraction) -> None:
        """Take a face that is found in the place of a lost one for that one, and forget what is too long ago."""
        boxes = {track.id: track.detection.box for track in tracks}
        for number, (track, drawn, since) in list(self._lost.items()):
            overlaps = [other for other, box in boxes.items() if track.detection.box.iou(box) > 0]
            found = number if number in boxes else next(iter(overlaps), None)
            if found is not None:
                self._drawn.setdefault(found, (track, drawn))
            if found is not None or now - since > LONGEST_DOUBT_SECONDS:
                del self._lost[number]
        for number, (_, last) in list(self._drawn.items()):
            if now - last > LONGEST_DOUBT_SECONDS:
                del self._drawn[number]

    def _extend(self, track: int, reason: str, time: Fraction) -> None:
        if not self._counts:
            return
        known = self._open.get((track, reason))
        if known is not None and time - known.end <= LONGEST_GAP_SECONDS:
            known.end, known.frames = time, known.frames + 1
            return
        if len(self.stretches) == MOST_STRETCHES:
            self.dropped += 1
            return
        begun = self._open[track, reason] = MaskStretch(track, reason, time, time)
        self.stretches.append(begun)


def mouth_inside(track: Track, frame: Frame) -> bool:
    """Whether the middle of a face's mouth, and so of its mask, is in the picture."""
    x, y = track.detection.landmarks.points[3:].mean(axis=0)
    return bool(0 <= x < frame.width and 0 <= y < frame.height)


def clock(seconds: Fraction) -> str:
    """A time as people read it, such as 1:02:03.5 or 0:20.4."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02}.{rest % 10}"
