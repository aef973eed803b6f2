"""A crop at a quarter of its resolution, which is enough to compare light and colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.picture.samples import Values

FIELD_SIZE = 64
"""Side of a field in pixels. Light and colour change slowly, so a quarter of the crop's resolution holds them."""

FACE = np.zeros((FIELD_SIZE, FIELD_SIZE), np.uint8)
cv2.ellipse(FACE, (FIELD_SIZE // 2, FIELD_SIZE // 2), (17, 22), 0, 0, 360, 255, -1)
"""Where a face lies in a field: 255 inside, 0 outside. What changes behind the face says nothing about it."""


def shrunk(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A crop (S, S, 3) at the correction's resolution: (64, 64, 3) float32."""
    half = cv2.resize(image, (2 * FIELD_SIZE, 2 * FIELD_SIZE), interpolation=cv2.INTER_AREA)  # halving is fast
    return cv2.resize(half, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)


def largest(image: Values) -> NDArray[np.float32]:
    """(h, w): the largest of the three channels of `image` (h, w, 3), all at least 0."""
    first, second, third = cv2.split(image)
    return cv2.max(cv2.max(first, second), third).astype(np.float32, copy=False)
