"""The stage that looks for faces, in every k-th frame and wherever a new shot begins.

Two frames of one shot look alike however bright they are, so cuts are found by structure: the correlation of two
thumbnails, which neither a gain nor an offset changes. That makes it blind to fades and to exposure. A flash drives
pixels to white: these are left out, and a frame with too few others is not judged at all; the next that can be is
compared with the last one before. A pan is a shift: it is estimated and undone before a frame is called a cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from pipeline.frames import Detected, Detection, Frame
from pipeline.geometry import Affine, Box, Landmarks
from pipeline.picture.pixels import read_rgb, read_small, read_thumbnail
from pipeline.rules import Number, Whole, setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.detectors import Detector

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
"""The farthest that a camera may pan in one frame, as a part of its size; beyond, too little is left to compare."""
SURE = 0.9
"""Score from which a face counts as surely one."""
WORTH_TILES, NEXT_TILES = 1.3, 4
"""How much larger a picture must be than a tile before it is searched in tiles; and by how much more they shrink it."""
OVERLAP, EDGE_PX = 0.25, 3
"""How much neighbouring tiles overlap, as a share; how near to a tile's edge a face is taken to be cut by it."""
SURE_IN_TILE, SURE_IN_TURNED_TILE = 0.8, 0.98
"""Score from which a face counts that a tile shows, upright or turned: many looks find many things that resemble one.
Turned, heads have 0.999, and in sixteen 4K pictures of some 700 upright faces the two things taken for one had 0.95."""
SAME_FACE = 0.4
"""Share of the smaller of two boxes from which they are one face."""
FULL_RANGE, RGB_MATRIX = 2, 0
"""FFmpeg's numbers."""
MOSTLY_FOUND_PX = 48
"""Longer side of a masked face, in the picture that the detector gets, from which most are found: of 98 masked faces 16
at 24 pixels, 45 at 32, 74 at 48, 82 at 64."""
LARGEST_SIZE = 4096
"""The largest picture that a detector can be asked to look at, by its longer side in pixels."""
MUCH_LARGER, LARGER = 3.0, 1.3
"""How many times larger than what is searched frames are before a run says so, and before it does where it found no
face."""
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
    _turn: Lock = field(default_factory=Lock, repr=False, compare=False)
    """Held to look: whoever follows the faces may have a frame looked at too, in another thread."""

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
                yield Detected(frame, None, cut, partial(self._look, frame))
                continue

            # Calm faces are followed by optical flow for longer, and looking is what costs most where little is drawn.
            found = self._look(frame)
            calm = self.every > 1 and not cut and _same_faces(last, found)
            times = self.calm_times if calm else 1
            last, since_look, looked = found, 0, frame.time
            yield Detected(frame, found, cut)

    def _look(self, frame: Frame) -> tuple[Detection, ...]:
        with self._turn:
            return self.detector(frame)

    def unanswered(self, frame: Frame) -> Detected:
        """The frame as it goes on when the detector failed on it: as one in which nobody looked for faces."""
        return Detected(frame, None, cut=False)


def _same_faces(before: Sequence[Detection], now: Sequence[Detection]) -> bool:
    """Whether two looks found the same faces, at least one, sure of each and hardly moved."""
    stayed = [face.score >= SURE and any(face.box.iou(other.box) >= HARDLY_MOVED for other in before) for face in now]
    return len(before) == len(now) > 0 and all(stayed)


def often_missed(width: int, height: int, size: int, *, found: bool) -> str | None:
    """Which faces are often missed where frames are searched at `size`, in a sentence with the cure; None for few.

    `found` says whether any face was.
    """
    longer = max(width, height)
    larger = min(longer // 2 if longer > MUCH_LARGER * size else longer, LARGEST_SIZE)
    if larger <= size or longer <= (MUCH_LARGER if found else LARGER) * size:
        return None
    below, then = (round(longer / side * MOSTLY_FOUND_PX) for side in (size, larger))
    return (
        f"faces are looked for in frames shrunk from {width}x{height} to {size} pixels: those below about {below} "
        f"pixels are often missed; with --detect-size {larger}, which takes longer, those below {then}"
    )


@dataclass(frozen=True)
class DetectInPicture:
    """Looks for faces in a single picture: as a whole, in tiles at full size, and with heads turned.

    One look at a large picture misses small faces, and a detector knows heads that are upright. A picture has the time
    for more looks, which a frame of a video has not.
    """

    detector: Detector
    size: int
    """The longer side, in pixels, of what the detector looks at."""

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Detected]:
        """Each picture with its faces, best first. Raises `EngineError`."""
        for frame in frames:
            yield Detected(frame, tuple(merged(list(self.looks(frame)))), cut=True)

    def looks(self, frame: Frame) -> Iterator[Detection]:
        """The faces of every look; one face may be found in several."""
        yield from self.detector(frame)
        longer = max(frame.width, frame.height)
        # Each round finds faces of another size: in tiles of the picture, then of the picture made smaller.
        shrink = 1
        while self.size * shrink * WORTH_TILES < longer:
            yield from self.in_tiles(frame, shrink)
            shrink *= NEXT_TILES

        whole = min(1.0, self.size / longer)
        small = read_small(
            frame.planes, width=max(round(frame.width * whole), 1), height=max(round(frame.height * whole), 1)
        )
        frame_from_small = Affine.resize(frame.width / small.shape[1], frame.height / small.shape[0])
        for face in self.turned(frame, small, SURE):
            yield moved(face, frame_from_small)

    def turned(self, frame: Frame, image: NDArray[np.uint8], least: float) -> Iterator[Detection]:
        """The faces of heads that lie or stand upside down in a part of the picture, in its pixels, from a score on."""
        height, width = image.shape[:2]
        for quarters in (1, 2, 3):
            image_from_turned = upright_from_turned(quarters, width, height)
            for face in self.detector(_pictured(frame, np.ascontiguousarray(np.rot90(image, quarters)))):
                if face.score >= least and not tilted(face):
                    yield moved(face, image_from_turned)

    def in_tiles(self, frame: Frame, shrink: int) -> Iterator[Detection]:
        """The faces in tiles of the picture, shrunk by a whole number, that no edge of a tile cuts."""
        width, height = max(frame.width // shrink, 1), max(frame.height // shrink, 1)
        small = None if shrink == 1 else read_small(frame.planes, width=width, height=height)
        frame_from_small = Affine.resize(frame.width / width, frame.height / height)

        for top in tile_starts(height, self.size):
            for left in tile_starts(width, self.size):
                right, bottom = min(left + self.size, width), min(top + self.size, height)
                tile = (
                    read_rgb(frame.planes, left=left, top=top, right=right, bottom=bottom)
                    if small is None
                    else np.ascontiguousarray(small[top:bottom, left:right])
                )
                inside = (left > 0, top > 0, right < width, bottom < height)
                upright = (face for face in self.detector(_pictured(frame, tile)) if face.score >= SURE_IN_TILE)
                for face in chain(upright, self.turned(frame, tile, SURE_IN_TURNED_TILE)):
                    if not cut_by(face.box, inside, tile.shape[1], tile.shape[0]):
                        yield moved(face, frame_from_small.after(Affine.shift(left, top)))


def _pictured(frame: Frame, image: NDArray[np.uint8]) -> Frame:
    """A part of a picture as a picture of its own."""
    planes = av.VideoFrame.from_ndarray(image, format="rgb24")
    planes.color_range, planes.colorspace = FULL_RANGE, RGB_MATRIX
    return Frame(frame.index, frame.time, frame.arrived, planes)


def tile_starts(length: int, size: int) -> list[int]:
    """Where tiles of `size` begin that overlap by a quarter at least and cover `length`."""
    if length <= size:
        return [0]
    count = math.ceil((length - size) / (size * (1 - OVERLAP))) + 1
    return [round(number * (length - size) / (count - 1)) for number in range(count)]


def cut_by(box: Box, inside: tuple[bool, bool, bool, bool], width: int, height: int) -> bool:
    """Whether a box touches an edge of its tile beyond which the picture goes on; `inside` says of each if it does."""
    edges = (box.left, box.top, width - box.right, height - box.bottom)
    return any(goes_on and edge < EDGE_PX for goes_on, edge in zip(inside, edges, strict=True))


def upright_from_turned(quarters: int, width: int, height: int) -> Affine:
    """Pixels of a picture of that size turned counter-clockwise by `np.rot90` to those of the picture itself."""
    return Affine(
        np.array(
            {
                1: [[0.0, -1.0, width - 1], [1.0, 0.0, 0.0]],
                2: [[-1.0, 0.0, width - 1], [0.0, -1.0, height - 1]],
                3: [[0.0, 1.0, 0.0], [-1.0, 0.0, height - 1]],
            }[quarters]
        )
    )


def moved(face: Detection, target_from_source: Affine) -> Detection:
    """The face in the pixels of another picture."""
    box = face.box
    corners = np.array([[box.left, box.top], [box.right, box.bottom]]) - 0.5  # from edges to centres
    (left, right), (top, bottom) = (sorted(side) for side in (target_from_source.apply(corners) + 0.5).T.tolist())
    points = target_from_source.apply(face.landmarks.points).astype(np.float32)
    return Detection(Box(left, top, right, bottom), Landmarks(points), face.score)


def tilted(face: Detection) -> bool:
    """Whether the head leans by more than a turn of the picture by a quarter can make up for."""
    across, down = face.landmarks.mouth.mean(axis=0) - face.landmarks.eyes.mean(axis=0)
    return bool(down < abs(across))


def merged(faces: list[Detection]) -> list[Detection]:
    """Each face once, as the look that was surest of it saw it, best first."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        smaller = (min(face.box.area, other.box.area) for other in kept)
        shared = (face.box.intersection(other.box).area for other in kept)
        if all(common < SAME_FACE * area for common, area in zip(shared, smaller, strict=True)):
            kept.append(face)
    return kept


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
        # A dark or blank picture tells nothing, so the next one is compared with the last that did.
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
