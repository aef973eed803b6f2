"""The stage that looks for faces, in every k-th frame and wherever a new shot begins.

Two frames of one shot look alike however bright they are, so cuts are found by structure: the correlation of two
thumbnails, which neither a gain nor an offset changes. That makes it blind to fades and to exposure. A flash drives
pixels to white: these are left out, and a frame with too few others is not judged at all; the next that can be is
compared with the last one before. A pan is a shift: it is estimated and undone before a frame is called a cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.frames import Detected
from pipeline.picture.pixels import read_thumbnail
from pipeline.rules import Number, Whole, setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import av
    from numpy.typing import NDArray

    from pipeline.detectors import Detector
    from pipeline.frames import Detection, Frame

    Thumbnail = NDArray[np.float32]

WIDTH, HEIGHT = 64, 36
FLASH, LESS_ALIKE_IN_A_FLASH = 60.0, 0.2
"""When the mean brightness jumps by so many 8-bit steps, less correlation is asked for: a flash drives colours to white
one by one, which bends what is left, and few cuts jump as far."""
CLEARLY_SAME_SHOT = 0.9
"""Correlation from which no shift is looked for."""
DARKEST, BRIGHTEST = 18.0, 232.0
"""Values outside say nothing: they are cut off in the camera, or bars of the picture's frame."""
ENOUGH_PIXELS = 0.25
ENOUGH_CONTRAST = 9.0
"""Variance; below, what is left is noise."""
LARGEST_PAN = 0.4
"""In one frame, as a part of its size; beyond, too little is left to compare."""
SURE = 0.9
"""Score from which a face counts as surely one."""
HARDLY_MOVED = 0.6
"""Intersection over union of a face's boxes in two looks from which it has hardly moved between them."""


@dataclass(frozen=True)
class Detect:
    """Looks for faces in every k-th frame, and where a new shot begins."""

    detector: Detector
    every: int = 4
    """Look at every so many frames; the tracker follows the faces between. Raise it and detection costs less, and a
    face that comes into the picture is found later. At 1 every frame is looked at, calm or not."""
    same_shot: float = setting(
        0.55,
        Number(0, 1),
        "correlation from which two frames are one shot; raise it and fast zooms count as cuts, lower it and a cut "
        "between two similar pictures is missed",
    )
    # Neighbouring frames of recordings stay above 0.8, even of a hand-held one; two random photographs of people are
    # below 0.55 in 97 of 100 cases.
    calm_times: int = setting(
        2,
        Whole(1, 30),
        "how many times as seldom to look for faces while the last two looks found the same ones, sure and hardly "
        "moved; 1 looks as often all along, raise it and a face that joins calm ones is found later",
    )
    longest_seconds: float | None = None
    """Look again after so long, too. For live video: a slow machine leaves frames out, and a face can't be followed
    over what is far apart; `calm_times` counts here too. None: count frames only."""

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Detected]:
        """Each frame with its faces, or with None where nobody looked. Raises `EngineError`."""
        begins_shot = CutFinder(self.same_shot)
        since_look, looked, times = 0, Fraction(0), 1
        last: tuple[Detection, ...] = ()
        for frame in frames:
            cut = begins_shot(frame.planes)
            since_look += 1
            overdue = self.longest_seconds is not None and frame.time - looked >= times * self.longest_seconds
            if not (cut or overdue or since_look >= times * self.every):
                yield Detected(frame, None, cut)
                continue

            # Calm faces are followed by optical flow for longer, and looking is what costs most where little is drawn.
            found = self.detector(frame)
            calm = self.every > 1 and not cut and _same_faces(last, found)
            times = self.calm_times if calm else 1
            last, since_look, looked = found, 0, frame.time
            yield Detected(frame, found, cut)

    def unanswered(self, frame: Frame) -> Detected:
        """The frame as it goes on when the detector failed on it: as one in which nobody looked for faces."""
        return Detected(frame, None, cut=False)


def _same_faces(before: Sequence[Detection], now: Sequence[Detection]) -> bool:
    """Whether two looks found the same faces, at least one, sure of each and hardly moved."""
    stayed = [face.score >= SURE and any(face.box.iou(other.box) >= HARDLY_MOVED for other in before) for face in now]
    return len(before) == len(now) > 0 and all(stayed)


class CutFinder:
    """Tells whether a picture begins a new shot; shown every picture in order."""

    def __init__(self, same_shot: float = Detect.same_shot) -> None:
        self._same_shot = same_shot
        self._last: Thumbnail | None = None

    def __call__(self, picture: av.VideoFrame) -> bool:
        """True when `picture` begins a new shot; the first one does. Raises `SourceError` for an unknown format."""
        thumbnail = read_thumbnail(picture, width=WIDTH, height=HEIGHT)
        if self._last is None:
            self._last = thumbnail
            return True
        before, alike = self._last, likeness(self._last, thumbnail)
        if alike is None:
            return False
        self._last = thumbnail
        flash = abs(float(thumbnail.mean()) - float(before.mean())) > FLASH
        return alike < (self._same_shot - LESS_ALIKE_IN_A_FLASH if flash else self._same_shot)


def likeness(one: Thumbnail, other: Thumbnail) -> float | None:
    """How much two thumbnails are alike, in [-1, 1], one shifted if need be; None when nobody can say."""
    alike = _correlation(one, other)
    if alike is None or alike >= CLEARLY_SAME_SHOT:
        return alike
    # Copied, since phaseCorrelate multiplies what it is given by the window.
    window = cv2.createHanningWindow((WIDTH, HEIGHT), cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(one.copy(), other.copy(), window)
    if max(abs(right) / WIDTH, abs(down) / HEIGHT) > LARGEST_PAN:
        return alike
    x, y = round(right), round(down)
    shifted = _correlation(
        one[max(0, -y) : HEIGHT - max(0, y), max(0, -x) : WIDTH - max(0, x)],
        other[max(0, y) : HEIGHT - max(0, -y), max(0, x) : WIDTH - max(0, -x)],
    )
    return alike if shifted is None else max(alike, shifted)


def _correlation(one: Thumbnail, other: Thumbnail) -> float | None:
    """The correlation of two thumbnails where neither is clipped; None when too little is left to say."""
    clear = (np.minimum(one, other) > DARKEST) & (np.maximum(one, other) < BRIGHTEST)
    if clear.mean() < ENOUGH_PIXELS:
        return None
    first, second = one[clear] - one[clear].mean(), other[clear] - other[clear].mean()
    contrasts = (first @ first / len(first), second @ second / len(second))
    if min(contrasts) < ENOUGH_CONTRAST:
        return None
    return float(first @ second / len(first) / np.sqrt(contrasts[0] * contrasts[1]))
