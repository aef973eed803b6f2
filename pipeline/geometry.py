"""Boxes, landmarks and similarity transforms, and the one canonical face crop, used alike by training.

(0, 0) is the centre of the top-left pixel, x right, y down. A transform is named target-from-source:
`crop_from_frame.apply(points_in_frame)` gives points in the crop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CROP_SIZE = 256
"""Side of the canonical crop in pixels."""

CANONICAL_LANDMARKS = (
    np.array([[0.375, 0.350], [0.625, 0.350], [0.500, 0.500], [0.390, 0.606], [0.610, 0.606]]) * CROP_SIZE - 0.5
)
"""(5, 2) crop pixels: where eyes, nose tip and mouth corners of an upright frontal face lie.

The eyes are a quarter of the crop apart and a third of the way down, so that the chin and a neck's length below it,
where scarves and gaiters end, are inside. Proportions are the mean of faces that the detector found in portraits.
"""

EYES, NOSE, MOUTH = slice(0, 2), 2, slice(3, 5)
"""Where the eyes, the nose tip and the mouth's corners are among five landmarks, the person's right side first."""

LANDMARK_WEIGHTS = np.array([1.0, 1.0, 0.25, 0.15, 0.15])
"""How much each landmark says about the crop: nose and mouth under a mask are guesses, the eyes are seen."""


@dataclass(frozen=True)
class Box:
    """A rectangle in frame pixels, half-open: `right` and `bottom` are the first column and row outside."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        return max(self.width, 0.0) * max(self.height, 0.0)

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def intersection(self, other: Box) -> Box:
        """What both cover; its area is 0 when they do not meet."""
        return Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    def iou(self, other: Box) -> float:
        """Intersection over union, in [0, 1]."""
        shared = self.intersection(other).area
        union = self.area + other.area - shared
        return shared / union if union > 0 else 0.0


@dataclass(frozen=True)
class Landmarks:
    """Five points of a face."""

    points: NDArray[np.float32]
    """(5, 2) float32 in frame pixels: eyes, nose tip, mouth corners, the person's right first."""

    def __post_init__(self) -> None:
        if self.points.shape != (5, 2):
            raise ValueError(f"landmarks have shape {self.points.shape}, expected (5, 2)")

    @property
    def eyes(self) -> NDArray[np.float32]:
        """(2, 2) the eyes' centres, the person's right first."""
        return self.points[EYES]

    @property
    def mouth(self) -> NDArray[np.float32]:
        """(2, 2) the mouth's corners, the person's right first."""
        return self.points[MOUTH]

    def __repr__(self) -> str:
        x, y = self.eyes.mean(axis=0)
        return f"Landmarks(eyes at {x:.1f}, {y:.1f})"


@dataclass(frozen=True)
class Affine:
    """An affine transform of the plane."""

    matrix: NDArray[np.float64]
    """(2, 3) float64: linear part and translation."""

    def __post_init__(self) -> None:
        if self.matrix.shape != (2, 3):
            raise ValueError(f"an affine matrix has shape {self.matrix.shape}, expected (2, 3)")

    @classmethod
    def shift(cls, x: float, y: float) -> Affine:
        """The transform that adds `x` and `y` and turns nothing."""
        return cls(np.array([[1.0, 0.0, x], [0.0, 1.0, y]]))

    @classmethod
    def resize(cls, across: float, down: float | None = None) -> Affine:
        """The transform from a picture's pixels to those of the same picture made `across` times as wide.

        It is made `down` times as high, by default as much. The corners of both pictures meet, not the centres of
        their first pixels.
        """
        down = across if down is None else down
        return cls(np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2]]))

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """(..., 2) points of the source in the target."""
        return np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def inverse(self) -> Affine:
        """Source from target. Raises `ValueError` when the transform flattens the plane."""
        (a, b, x), (c, d, y) = self.matrix.tolist()  # single numbers take a tenth of the time of small matrices
        area = a * d - b * c
        if abs(area) < 1e-12:
            raise ValueError("a singular transform has no inverse")
        return Affine(np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y]]) / area)

    def after(self, first: Affine) -> Affine:
        """`self` applied to what `first` gives."""
        (a, b, x), (c, d, y) = self.matrix.tolist()
        (e, f, u), (g, h, v) = first.matrix.tolist()
        return Affine(
            np.array(
                [
                    [a * e + b * g, a * f + b * h, a * u + b * v + x],
                    [c * e + d * g, c * f + d * h, c * u + d * v + y],
                ]
            )
        )

    @property
    def scale(self) -> float:
        """Target pixels per source pixel: the root of the change in area."""
        (a, b, _), (c, d, _) = self.matrix.tolist()
        return math.sqrt(abs(a * d - b * c))


VIEW_TIMES = 2
"""How many times as wide as a crop the view around it is."""

_CENTRE = (CROP_SIZE - 1) / 2
VIEW_FROM_CROP = (
    Affine.shift(_CENTRE, _CENTRE).after(Affine(np.eye(2, 3) / VIEW_TIMES)).after(Affine.shift(-_CENTRE, -_CENTRE))
)
"""Where a crop lies in the view around it, which has as many pixels and the same centre."""


def similarity(source: ArrayLike, target: ArrayLike, weights: ArrayLike) -> Affine:
    """The rotation, uniform scale and shift that bring `source` (n, 2) nearest to `target` (n, 2).

    Weighted least squares in closed form; a similarity of the plane is a product and a sum of complex numbers.
    Raises `ValueError` when the source points fall together.
    """
    source_points = np.asarray(source, np.float64) @ np.array([1, 1j])  # (n,)
    target_points = np.asarray(target, np.float64) @ np.array([1, 1j])

    share = np.asarray(weights, np.float64) / np.sum(weights)
    source_mean, target_mean = share @ source_points, share @ target_points
    source_points, target_points = source_points - source_mean, target_points - target_mean
    spread = share @ np.abs(source_points) ** 2
    if spread < 1e-9:
        raise ValueError("the points fall together: no similarity transform")
    turn = share @ (target_points * source_points.conj()) / spread
    shift = target_mean - turn * source_mean
    return Affine(np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]))


def face_crop(landmarks: Landmarks, *, pixel_aspect: Fraction = Fraction(1)) -> Affine:
    """`crop_from_frame`: the canonical upright crop of the face, in the pipeline and in training alike.

    `pixel_aspect` is a pixel's width over its height; the crop has square pixels whatever the frame's are.
    Raises `ValueError` when the landmarks fall together.
    """
    square_from_frame = Affine(np.array([[float(pixel_aspect), 0.0, 0.0], [0.0, 1.0, 0.0]]))
    points = square_from_frame.apply(landmarks.points)
    return similarity(points, CANONICAL_LANDMARKS, LANDMARK_WEIGHTS).after(square_from_frame)
