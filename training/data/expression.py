"""What a mouth does, as four numbers that a face mesh shows, free of where the head is, how it is turned, and its size.

Lengths are taken along the head's own axes, in parts of the distance between the outer corners of the eyes. A person's
own mouth still shows in them: full lips pout a little at rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.data.mesh import Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("opening", "width", "corners", "pout")
"""The gap between the lips; from corner to corner; how far the corners stand above the upper lip's lower edge; how much
of the lips is seen, from their upper to their lower rim without the gap."""

OPENING = 0
"""The place of the opening among the numbers."""

TYPICAL = np.array([[0.057, 0.619, 0.014, 0.156], [0.054, 0.079, 0.018, 0.015]])
"""Mean and standard deviation of each over 629 photos (CelebA's val partition and FFHQ, heads turned by up to 35
degrees)."""

MOST = 4.0
"""Standard deviations beyond which a number is cut off: there the mesh is wrong more often than the mouth is odd."""


def head_axes(mesh: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(..., 3) unit vectors across the face (to the person's left) and down it, and (...,) how far the eyes are apart.

    Of a mesh (..., 468, 3). The points between which they are taken don't move with the mouth.
    """
    points = np.asarray(mesh, np.float64)
    across = points[..., Point.LEFT_EYE, :] - points[..., Point.RIGHT_EYE, :]
    apart = np.linalg.norm(across, axis=-1)
    across = across / apart[..., None]

    down = points[..., Point.NOSE_BASE, :] - points[..., Point.BETWEEN_EYES, :]
    down = down - (down * across).sum(-1, keepdims=True) * across
    return across, down / np.linalg.norm(down, axis=-1, keepdims=True), apart


def expression_of(mesh: NDArray[np.floating]) -> NDArray[np.float32]:
    """(..., 4) the `NAMES` of a mesh (..., 468, 3), in standard deviations from a typical photo."""
    points = np.asarray(mesh, np.float64)
    _, down, apart = head_axes(points)

    def height(point: Point) -> NDArray[np.float64]:
        return np.asarray((points[..., point, :] * down).sum(-1) / apart)

    right, left = points[..., Point.RIGHT_CORNER, :], points[..., Point.LEFT_CORNER, :]
    opening = height(Point.LOWER_LIP) - height(Point.UPPER_LIP)
    width = np.linalg.norm(left - right, axis=-1) / apart
    corners = height(Point.UPPER_LIP) - (height(Point.RIGHT_CORNER) + height(Point.LEFT_CORNER)) / 2
    pout = height(Point.BELOW_LIPS) - height(Point.ABOVE_LIPS) - opening

    mean, spread = TYPICAL
    numbers = (np.stack([opening, width, corners, pout], axis=-1) - mean) / spread  # (..., 4)
    return np.asarray(np.clip(numbers, -MOST, MOST), np.float32)
