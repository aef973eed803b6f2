"""A frame's brightness as a small picture: what cut detection and optical flow look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.picture.samples import samples_of

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

    from pipeline.picture.samples import Values

_BYTE = 255
_SAMPLES_A_PIXEL = 4
"""Across and down, of a thumbnail."""


def read_luma(picture: av.VideoFrame, *, shrink: int) -> NDArray[np.uint8]:
    """(height // shrink, width // shrink) uint8, the mean of each square of `shrink` frame pixels.

    The samples' own range is kept: black may be 16. Of red, green and blue it is green, which is nearest to brightness.
    Raises `SourceError` for an unknown format.
    """
    samples, peak = _brightness(picture)
    height, width = (max(size // shrink, 1) for size in samples.shape)
    shrunk = samples[: height * shrink, : width * shrink]
    if shrink > 1:
        shrunk = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(shrunk) if peak == _BYTE else (shrunk / (peak / _BYTE)).astype(np.uint8)


def read_thumbnail(picture: av.VideoFrame, *, width: int, height: int) -> NDArray[np.float32]:
    """(height, width) float32 in [0, 255]: the frame squeezed into a few pixels, from some of its samples only.

    Raises `SourceError` for an unknown format.
    """
    samples, peak = _brightness(picture)
    rows, columns = _SAMPLES_A_PIXEL * height, _SAMPLES_A_PIXEL * width
    down, across = max(samples.shape[0] // rows, 1), max(samples.shape[1] // columns, 1)
    # Shrinking by a whole number is many times faster than by any other.
    some = np.ascontiguousarray(samples[::down, ::across][:rows, :columns])
    small = cv2.resize(some, (width, height), interpolation=cv2.INTER_AREA)
    return np.multiply(small, _BYTE / peak, dtype=np.float32)


def _brightness(picture: av.VideoFrame) -> tuple[Values, int]:
    """The samples of the component that says most about green, and their largest value."""
    samples = samples_of(picture)
    most = int(np.argmax(np.abs(samples.rgb_from_samples[1, : len(samples.components)])))
    return samples.components[most].samples, samples.peak
