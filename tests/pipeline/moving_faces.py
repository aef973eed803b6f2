"""Made shots of people who move along known paths, and a detector that knows the truth and errs as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial
from typing import TYPE_CHECKING, TypeAlias

import av
import cv2
import numpy as np

from pipeline.demo.clip import FACE_CENTRE, LANDMARKS, masked_portrait
from pipeline.frames import Detected, Detection, Frame
from pipeline.geometry import Affine, Box, Landmarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEIGHT, RATE = 320, 240, 25
HEAD = (46.0, 62.0)
"""Half axes of the ellipse that is cut out of the portrait, in its pixels."""

Pose: TypeAlias = tuple[float, float, float, float]
"""x and y of the face in the frame, degrees turned, frame pixels a portrait pixel."""
Path: TypeAlias = Callable[[float], Pose | None]
"""The pose at a time in seconds; None while nobody is there."""


def still(x: float = 160, y: float = 110, *, zoom: float = 0.8) -> Path:
    return lambda _: (x, y, 0.0, zoom)


@dataclass(frozen=True)
class Shot:
    """Frames, and where every person's landmarks are in them."""

    frames: list[Frame]
    truth: NDArray[np.float64]
    """(F, people, 5, 2) frame pixels; not a number while somebody is absent."""


def shot(*paths: Path, frames: int = 50, first: int = 0, noise: float = 2.0, scenery: int = 0) -> Shot:
    """People on `paths`, those named later in front, before one of several sceneries; `first` is the first index."""
    draw = np.random.default_rng(scenery)
    pictures, truth = [], np.full((frames, len(paths), 5, 2), np.nan)
    for number in range(frames):
        image = background(scenery).astype(np.float32)
        for person, path in enumerate(paths):
            pose = path(number / RATE)
            if pose is not None:
                frame_from_portrait = placed(pose)
                image = painted(image, person, frame_from_portrait)
                truth[number, person] = frame_from_portrait.apply(LANDMARKS)
        image += noise * np.roll(grain(), draw.integers(0, WIDTH, 2), axis=(0, 1))
        pictures.append(frame_of(np.clip(image + 0.5, 0, 255).astype(np.uint8), first + number))
    return Shot(pictures, truth)


def frame_of(image: NDArray[np.uint8], index: int = 0) -> Frame:
    """A frame in the format of most videos."""
    planes = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    return Frame(index=index, time=Fraction(index, RATE), arrived=0.0, planes=planes)


def placed(pose: Pose) -> Affine:
    """`frame_from_portrait`."""
    x, y, degrees, zoom = pose
    turn = np.radians(degrees)
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return Affine(np.column_stack([linear, np.array([x, y]) - linear @ np.array(FACE_CENTRE)]))


@cache
def background(scenery: int) -> NDArray[np.float32]:
    """Soft blots with some edges, (HEIGHT, WIDTH, 3)."""
    draw = np.random.default_rng(100 + scenery)
    coarse = draw.uniform(30, 220, (6, 8, 3)).astype(np.float32)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        corner = draw.integers(0, [WIDTH, HEIGHT])
        opposite = corner + draw.integers(20, 90, 2)
        cv2.rectangle(image, corner.tolist(), opposite.tolist(), draw.uniform(30, 220, 3).tolist(), -1)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1.5), 0, 255)


@cache
def grain() -> NDArray[np.float32]:
    """(HEIGHT, WIDTH, 3) noise of deviation 1."""
    return np.random.default_rng(3).normal(0, 1, (HEIGHT, WIDTH, 3)).astype(np.float32)


@cache
def head(person: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A person's portrait and how much of it is head; every person is lit in another way."""
    lit = masked_portrait().astype(np.float32) * np.array([(1.0, 1.0, 1.0), (0.6, 0.75, 0.9)][person % 2], np.float32)
    alpha = np.zeros(lit.shape[:2], np.float32)
    centre = (round(FACE_CENTRE[0]), round(FACE_CENTRE[1]) - 10)
    cv2.ellipse(alpha, (centre, (2 * HEAD[0], 2 * HEAD[1]), 0), 1.0, -1)
    return lit, cv2.GaussianBlur(alpha, (0, 0), 2)


def painted(image: NDArray[np.float32], person: int, frame_from_portrait: Affine) -> NDArray[np.float32]:
    """`image` with a person's head pasted in."""
    lit, alpha = head(person)
    size = (WIDTH, HEIGHT)
    moved = cv2.warpAffine(lit, frame_from_portrait.matrix, size, flags=cv2.INTER_LINEAR)
    weight = cv2.warpAffine(alpha, frame_from_portrait.matrix, size)[..., None]
    return np.asarray(image * (1 - weight) + moved * weight, np.float32)


@dataclass
class KnowingDetector:
    """Finds the people of a shot where they are, off by some noise."""

    shot: Shot
    noise: float = 0.0
    """Standard deviation, in distances between the eyes."""
    score: float = 0.99
    blind: Sequence[tuple[int, int]] = ()
    """(frame, person) that it misses."""
    looks: list[int] = field(default_factory=list)
    """Indices of the frames it was shown."""

    def __call__(self, frame: Frame) -> tuple[Detection, ...]:
        place = frame.index - self.shot.frames[0].index
        self.looks.append(frame.index)
        draw = np.random.default_rng(frame.index)
        found = []
        for person, points in enumerate(self.shot.truth[place]):
            if np.isnan(points).any() or (place, person) in self.blind:
                continue
            away = draw.normal(0, self.noise * np.linalg.norm(points[1] - points[0]), (5, 2))
            found.append(detection_at(points + away, score=self.score))
        return tuple(found)


def detection_at(points: NDArray[np.floating], *, score: float = 0.99) -> Detection:
    """A detection with these landmarks, and a box as a detector would give."""
    middle = points.mean(axis=0)
    reach = 1.25 * float(np.linalg.norm(points[1] - points[0]))
    left, top, right, bottom = (*(middle - reach), *(middle + reach))
    return Detection(Box(left, top, right, bottom), Landmarks(points.astype(np.float32)), score)


def detected(
    shot: Shot, detector: KnowingDetector | None = None, *, every: int = 4, again: bool = False
) -> Iterator[Detected]:
    """What the detection stage gives for one shot, the finding of cuts left out; `again`: it would look once more."""
    knowing = detector or KnowingDetector(shot)
    for place, frame in enumerate(shot.frames):
        if place % every == 0:
            yield Detected(frame, knowing(frame), cut=place == 0)
        else:
            yield Detected(frame, None, cut=False, look=partial(knowing, frame) if again else None)
