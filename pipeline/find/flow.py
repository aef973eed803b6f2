"""How a face moved from one frame to the next, by optical flow on its upper half.

Eyes, brows and forehead are seen whatever hides the rest, and they move as one piece: a few dozen corners there are
followed (Lucas and Kanade 1981, in Bouguet's pyramid), and the similarity transform is taken that most of them agree
on. To follow them back again and drop those that do not return, as is often done, doubled the cost and changed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE, Affine, similarity
from pipeline.picture.pixels import read_luma

if TYPE_CHECKING:
    import av

Points: TypeAlias = NDArray[np.float64]
"""(n, 2) in frame pixels."""

SHORT_SIDE_PX = 480
"""The picture that flow looks at has at most this many pixels on its shorter side: more cost time and gain nothing."""
LARGEST_PX = 80
"""What is followed of a face is at most this wide; that of a larger one is followed in a picture of half the size."""
WINDOW, LEVELS = (15, 15), 3
STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 8, 0.02)
"""At most so many steps of Newton's method at each size of the pyramid, until a step is shorter than so many pixels."""
MOST_CORNERS, FEWEST_CORNERS = 24, 8
AGREES_PX = 0.25
"""A corner that the fitted motion misses by so many pixels of the small picture weighs a quarter of a hit."""
REFITS = 4
MOVES_ALONG_PX = 1.5
"""A corner that the fitted motion misses by more pixels of the small picture does not count."""
LARGEST_STEP = 1.3
"""A face grows or shrinks at most this much from one frame to the next."""
MARGIN = 0.75
"""How far a face may move from one frame to the next, as a part of the width of what is followed."""
UPPER_FACE = np.array([[0.27, 0.20], [0.73, 0.20], [0.73, 0.46], [0.27, 0.46]]) * CROP_SIZE
"""Corners of the region followed, in the canonical crop: from the hairline to below the eyes, temple to temple."""
PATCH_WIDTH, PATCH_HEIGHT = 32, 18
COMPLEX = np.array([1, 1j])
ALL_LANDMARKS = np.array([1.0, 1.0, 0.5, 0.5, 0.5])


@dataclass(frozen=True)
class FlowPicture:
    """A frame made small for following."""

    luma: NDArray[np.uint8]
    shrink: int
    """How many frame pixels one pixel of the luma is, across and down."""

    @classmethod
    def of(cls, picture: av.VideoFrame) -> FlowPicture:
        """The luma of `picture`. Raises `SourceError` for an unknown pixel format."""
        shrink = max(-(-min(picture.width, picture.height) // SHORT_SIDE_PX), 1)
        return cls(read_luma(picture, shrink=shrink), shrink)

    @cached_property
    def halved(self) -> FlowPicture:
        """The same picture, half as large across and down."""
        height, width = self.luma.shape
        even = self.luma[: height // 2 * 2, : width // 2 * 2]
        half = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        return FlowPicture(half.astype(np.uint8, copy=False), self.shrink * 2)

    def small(self, points: Points) -> NDArray[np.float32]:
        """(n, 2) float32 in the small picture from frame pixels."""
        return ((points + 0.5) / self.shrink - 0.5).astype(np.float32)

    def full(self, points: NDArray[np.generic]) -> Points:
        """Frame pixels from (n, 2) in the small picture."""
        return (points.astype(np.float64) + 0.5) * self.shrink - 0.5


@dataclass(frozen=True)
class Motion:
    """How a face moved from one frame to the next."""

    after_from_before: Affine
    corners: Points
    """Where the corners that moved along are now."""


def upper_face(landmarks: Points) -> Points:
    """(4, 2) frame pixels: the quadrilateral that is followed."""
    return similarity(CANONICAL_LANDMARKS, landmarks, ALL_LANDMARKS).apply(UPPER_FACE)


def pick_corners(picture: FlowPicture, landmarks: Points) -> Points:
    """Corners of the upper face that can be followed, (n, 2) in frame pixels; none when it is outside the picture."""
    region = picture.small(upper_face(landmarks))
    height, width = picture.luma.shape
    left, top = np.clip(np.floor(region.min(axis=0)).astype(int), 0, (width, height))
    right, bottom = np.clip(np.ceil(region.max(axis=0)).astype(int) + 1, 0, (width, height))
    if min(right - left, bottom - top) < WINDOW[0] // 4:
        return np.empty((0, 2))
    window = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillConvexPoly(window, np.round(region - [left, top]).astype(np.int32), 255)
    apart = max(float(np.linalg.norm(region[1] - region[0])) / 12, 2.0)
    found = cv2.goodFeaturesToTrack(picture.luma[top:bottom, left:right], MOST_CORNERS, 0.01, apart, mask=window)
    return np.empty((0, 2)) if found is None else picture.full(found.reshape(-1, 2) + np.array([left, top]))


def follow(before: FlowPicture, after: FlowPicture, corners: Points) -> Motion | None:
    """How the face with these `corners` moved; None when they can't be followed as one piece."""
    if len(corners) < FEWEST_CORNERS or np.ptp(corners, axis=0).max() < before.shrink:
        return None

    # Only the part of the picture in which the face can be is looked at, and of a large face a smaller picture.
    extent = float(np.ptp(corners, axis=0).max()) / before.shrink
    while extent > LARGEST_PX:
        before, after, extent = before.halved, after.halved, extent / 2
    start = before.small(corners)
    left, top, right, bottom = _around(start, before.luma.shape)
    first, second = before.luma[top:bottom, left:right], after.luma[top:bottom, left:right]
    origin = np.array([left, top], np.float32)

    # A corner that is lost says nothing; too few that agree say that this is not one piece.
    there, found = _followed(first, second, start - origin)
    if found.sum() < FEWEST_CORNERS:
        return None
    start, there = start[found], there[found] + origin
    motion, along = fit_motion(before.full(start), before.full(there), scale_px=float(before.shrink))
    if along.sum() < max(FEWEST_CORNERS, len(along) / 2) or not 1 / LARGEST_STEP < motion.scale < LARGEST_STEP:
        return None
    return Motion(motion, after.full(there[along]))


def fit_motion(before: Points, after: Points, *, scale_px: float) -> tuple[Affine, NDArray[np.bool_]]:
    """The similarity transform that most points (n, 2) agree on, and (n,) which of them do.

    Least squares, again and again, in which a point counts the less the farther it was off the time before (weights of
    Geman and McClure). Unlike a choice of inliers at random, a little more noise changes the result only a little.
    """
    # A similarity of the plane is a product and a sum of complex numbers. It begins as the median shift.
    source, target = before @ COMPLEX, after @ COMPLEX  # (n,)
    moves = target - source
    errors = np.abs(moves - complex(_median(moves.real), _median(moves.imag)))
    scale = max(AGREES_PX * scale_px, _median(errors))

    for _ in range(REFITS):
        weights = 1 / (1 + (errors / scale) ** 2) ** 2
        share = weights / weights.sum()
        from_middle, to_middle = source - share @ source, target - share @ target
        spread = max(float(share @ np.abs(from_middle) ** 2), 1e-9)
        errors = np.abs(to_middle - (share * to_middle) @ from_middle.conj() / spread * from_middle)
        scale = max(AGREES_PX * scale_px, scale / 2)
    return similarity(before, after, weights), errors < MOVES_ALONG_PX * scale_px


def _median(values: NDArray[np.floating[Any]]) -> float:
    """The median of (n,), in a fifth of the time of numpy's for so few."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _followed(
    first: NDArray[np.uint8], second: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(n, 2) where `points` of the first picture are in the second, and (n,) whether they were found."""
    there = np.empty_like(points)
    _, found, _ = cv2.calcOpticalFlowPyrLK(
        first, second, points, there, winSize=WINDOW, maxLevel=LEVELS, criteria=STEPS
    )
    return there, np.asarray(found).ravel() == 1


def _around(points: NDArray[np.float32], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the part of the picture in which `points` can be after one frame."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = max(MARGIN * float((high - low).max()), 2.0 * WINDOW[0])
    left, top = np.floor(np.clip(low - margin, 0, [shape[1] - 1, shape[0] - 1])).astype(int).tolist()
    right, bottom = np.ceil(np.clip(high + margin, 1, [shape[1], shape[0]])).astype(int).tolist()
    return left, top, right, bottom


def patch(picture: FlowPicture, landmarks: Points) -> NDArray[np.float32]:
    """What the upper face looks like: upright, small, mean 0 and length 1, whatever the exposure.

    The product of two patches, summed, is their correlation.
    """
    corners = picture.small(upper_face(landmarks)[:3])  # three fix an affine transform
    target = np.array([[0, 0], [PATCH_WIDTH - 1, 0], [PATCH_WIDTH - 1, PATCH_HEIGHT - 1]], np.float32)
    matrix = cv2.getAffineTransform(corners, target)
    values = cv2.warpAffine(picture.luma, matrix, (PATCH_WIDTH, PATCH_HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    centred = np.asarray(values, np.float32) - np.float32(values.mean())
    return centred / np.float32(max(float(np.linalg.norm(centred)), 1.0))
