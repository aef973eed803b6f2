"""Reading a part of a decoded picture as colours or as brightness: a face's crop above all, whole or at a quarter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.geometry import CROP_SIZE, Affine, face_crop
from pipeline.picture.samples import Component, Samples, Values, samples_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import av
    from numpy.typing import NDArray

    from pipeline.frames import Frame, Track


_MUCH_FINER = 1.6
"""Crop pixels for each chroma sample."""


def read_rgb(picture: av.VideoFrame, *, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
    """The rectangle of `picture` as (bottom - top, right - left, 3) uint8 RGB; half-open, inside the picture.

    Converted with the picture's own matrix and range; chroma is interpolated from where its samples lie.
    Raises `ValueError` for a rectangle that is empty or reaches outside, `SourceError` for an unknown format.
    """
    if not (0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height):
        raise ValueError(f"({left}, {top}, {right}, {bottom}) is not inside {picture.width}x{picture.height}")

    samples = samples_of(picture)
    rectangle_from_frame = Affine(np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]]))
    values = [
        component.samples[top:bottom, left:right]
        if component.grid.step_x == component.grid.step_y == 1
        else _resample(component, rectangle_from_frame, (right - left, bottom - top), cv2.INTER_LINEAR)
        for component in samples.components
    ]
    return _to_rgb(values, samples)


def read_small(picture: av.VideoFrame, *, width: int, height: int) -> NDArray[np.uint8]:
    """The whole picture resized to (height, width, 3) uint8 RGB, averaged where it shrinks.

    Halves and quarters are fastest. Chroma is taken as lying in the middle of its group, which may be half a frame
    pixel off: good for looking, not for drawing. Raises `SourceError` for an unknown format.
    """
    samples = samples_of(picture)
    return _to_rgb([_resize(component.samples, width, height) for component in samples.components], samples)


def read_crop(picture: av.VideoFrame, crop_from_frame: Affine, *, size: int) -> NDArray[np.uint8]:
    """The square that `crop_from_frame` cuts out, (size, size, 3) uint8 RGB; outside the picture its border goes on.

    Only what the crop needs is converted. Where the frame has more pixels than the crop they are averaged first.
    Raises `SourceError` for an unknown format.
    """
    samples = samples_of(picture)
    first, *others = samples.components
    values = [_resample(first, crop_from_frame, (size, size), cv2.INTER_CUBIC)]
    values += [_resample_chroma(component, crop_from_frame, size) for component in others]
    return _to_rgb(values, samples)


def _resample_chroma(component: Component, crop_from_frame: Affine, size: int) -> Values:
    """Resample, by way of a grid half as fine where the crop has much more pixels than subsampled chroma."""
    crop_from_component = crop_from_frame.after(component.grid.component_from_frame.inverse())
    if component.grid.step_x == 1 or crop_from_component.scale < _MUCH_FINER or size % 2:
        return _resample(component, crop_from_frame, (size, size), cv2.INTER_LINEAR)
    half_from_crop = Affine(np.array([[0.5, 0.0, -0.25], [0.0, 0.5, -0.25]]))
    half = _resample(component, half_from_crop.after(crop_from_frame), (size // 2, size // 2), cv2.INTER_LINEAR)
    return cv2.resize(half, (size, size), interpolation=cv2.INTER_LINEAR)


def _resample(component: Component, target_from_frame: Affine, size: tuple[int, int], interpolation: int) -> Values:
    """The component's samples on another grid of `size` (width, height), averaged first where that grid is coarser."""
    target_from_component = target_from_frame.after(component.grid.component_from_frame.inverse())
    wanted = round(-math.log2(target_from_component.scale))
    halvings = max(0, min(wanted, min(component.samples.shape).bit_length() - 1))
    left, top, right, bottom = _source_box(component, target_from_component, size, unit=1 << halvings)
    piece = component.samples[top:bottom, left:right]
    for _ in range(halvings):
        piece = cv2.resize(piece, (piece.shape[1] // 2, piece.shape[0] // 2), interpolation=cv2.INTER_AREA)

    # A pixel of the piece is the middle of the square of samples that it was averaged from.
    shrink = 1 << halvings
    middle = (shrink - 1) / 2
    component_from_piece = Affine(np.array([[shrink, 0.0, left + middle], [0.0, shrink, top + middle]]))
    matrix = target_from_component.after(component_from_piece).matrix
    exact = piece.astype(np.float32)  # and a third less time than in bytes
    return cv2.warpAffine(exact, matrix, size, flags=interpolation, borderMode=cv2.BORDER_REPLICATE)


def _source_box(
    component: Component, target_from_component: Affine, size: tuple[int, int], *, unit: int
) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the samples that the target needs, each way a multiple of `unit` if there are enough.

    A target that lies outside the picture gets the nearest samples of its border.
    """
    rows, columns = component.samples.shape
    width, height = size
    corners = target_from_component.inverse().apply([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]])

    # Single numbers take a fraction of the time of small arrays, here and below.
    firsts, ends = [], []
    for places, limit in zip(corners.T.tolist(), (columns, rows), strict=True):
        low, high = math.floor(min(places)) - 2 * unit, math.ceil(max(places)) + 2 * unit + 1
        first = min(max(low, 0), max(limit - unit, 0))
        whole = (min(max(high, first + unit), limit) - first) // unit * unit
        firsts.append(first)
        ends.append(min(first + max(whole, unit), limit))
    return firsts[0], firsts[1], ends[0], ends[1]


def _resize(values: Values, width: int, height: int) -> Values:
    """`values` at (height, width), averaged where they shrink."""
    rows, columns = values.shape
    while columns >= 2 * width and rows >= 2 * height and columns % 2 == rows % 2 == 0:
        rows, columns = rows // 2, columns // 2
        values = cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA)  # the one size it averages fast
    if (columns, rows) == (width, height):
        return values
    grows = width >= columns and height >= rows
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR if grows else cv2.INTER_AREA)


def _to_rgb(values: Sequence[Values], samples: Samples) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB from sample values of the same size."""
    if all(value.dtype == np.uint8 for value in values):
        stacked = cv2.merge([np.ascontiguousarray(value) for value in values])
        return cv2.transform(stacked, samples.rgb_from_samples).astype(np.uint8, copy=False)
    stacked = cv2.merge([value.astype(np.float32) for value in values])
    image = cv2.transform(stacked, samples.rgb_from_samples)
    return cv2.convertScaleAbs(np.maximum(image, 0, out=image)).astype(np.uint8, copy=False)  # rounds, stops at 255


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


FIELD_SIZE = 64
"""Side of a field in pixels. Light and colour change slowly, so a quarter of the crop's resolution holds them."""

FACE = np.zeros((FIELD_SIZE, FIELD_SIZE), np.uint8)
cv2.ellipse(FACE, (FIELD_SIZE // 2, FIELD_SIZE // 2), (17, 22), 0, 0, 360, 255, -1)
"""Where a face lies in a field: 255 inside, 0 outside. What changes behind the face says nothing about it."""


def halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) at half the size; that is the one shrinking that is fast."""
    size = max(image.shape[1] // 2, 1), max(image.shape[0] // 2, 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def shrunk(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A crop (s, s, 3), s = 64, 128 or 256, at the resolution of a field: (64, 64, 3) float32."""
    while image.shape[0] > FIELD_SIZE:
        image = halved(image)
    return image.astype(np.float32)


def largest(image: Values) -> NDArray[np.float32]:
    """(h, w): the largest of the three channels of `image` (h, w, 3), all at least 0."""
    first, second, third = cv2.split(image)
    return cv2.max(cv2.max(first, second), third).astype(np.float32, copy=False)


def align(frame: Frame, track: Track, *, size: int = CROP_SIZE) -> tuple[NDArray[np.uint8], Affine]:
    """The face's canonical crop as (size, size, 3) uint8 RGB, and `crop_from_frame`, which is that of a whole crop.

    Raises `ValueError` when the track's landmarks fall together.
    """
    crop_from_frame = face_crop(track.detection.landmarks, pixel_aspect=frame.pixel_aspect)
    image_from_crop = Affine.resize(size / CROP_SIZE)
    return read_crop(frame.planes, image_from_crop.after(crop_from_frame), size=size), crop_from_frame


def write_colours(image: Values, planes: NDArray[np.float32]) -> None:
    """Write a crop (S, S, 3) in [0, 255] as our networks take pictures: `planes` (3, S, S) float32 in [-1, 1]."""
    for channel, plane in zip(cv2.split(image), planes, strict=True):  # a transposed copy takes ten times as long
        np.multiply(channel, np.float32(1 / 127.5), out=plane)
        plane -= 1.0


def read_colours(planes: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A crop (S, S, 3) uint8 of what our networks give: `planes` (3, S, S) in [-1, 1]."""
    lifted = np.maximum(np.asarray(planes, np.float32) + np.float32(1), 0)
    return np.asarray(cv2.merge([cv2.convertScaleAbs(plane, alpha=127.5) for plane in lifted]), np.uint8)


def turned_away(track: Track) -> float:
    """How far the head is turned, from 0 (towards the camera) to 1 (one eye hides the other).

    Turning brings the eyes together and leaves the height from eyes to mouth.
    """
    (right_x, right_y), (left_x, left_y) = track.detection.landmarks.eyes.tolist()
    (corner_x, corner_y), (other_x, other_y) = track.detection.landmarks.mouth.tolist()
    down_x, down_y = (corner_x + other_x - right_x - left_x) / 2, (corner_y + other_y - right_y - left_y) / 2
    height = math.hypot(down_x, down_y)
    if height < 1e-3:
        return 1.0
    across = ((left_x - right_x) * down_y - (left_y - right_y) * down_x) / height
    return float(min(max(1.0 - abs(across) / height, 0.0), 1.0))


GREY, FADE = np.float32(128), 0.16
"""What a network is shown beyond the frame's border, and how far away only that, as a part of the crop's side.
Grey from the border on hides which way a mask goes, without grey the stripes mislead."""

_HALF = 0.5
"""A pixel of the frame reaches so far to each side."""


def stretched(weighted: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, n, 3) values where their weight is high, and between them a smooth surface: push and pull over a pyramid.

    `weighted` (n, n, 4) holds the values times their weights, and the weights. Gortler and others, The Lumigraph, 1996,
    section 4.
    """
    # Push: each level sums what is known, the weights beside the values.
    levels: list[Values] = [weighted]
    while levels[-1].shape[0] > 2:
        levels.append(cv2.pyrDown(levels[-1]))

    # Pull: from the coarsest level, where all is known, to the finest.
    surface: Values = np.zeros((1, 1, 3), np.float32)
    for level in reversed(levels):
        total = level[..., 3:]
        own = level[..., :3] / np.maximum(total, np.float32(1e-6))
        if level is levels[-1]:
            surface = own
        else:
            coarser = cv2.pyrUp(surface)
            surface = coarser + np.minimum(2 * total, 1) * (own - coarser)
    return np.asarray(surface, np.float32)


def in_frame(view_from_frame: Affine, width: int, height: int, *, size: int = CROP_SIZE) -> NDArray[np.bool_]:
    """(size, size) which pixels of a view lie in the frame; beyond its border the border goes on, and means nothing."""
    across, down = _places(view_from_frame, size)
    return np.asarray((across >= -_HALF) & (across < width - _HALF) & (down >= -_HALF) & (down < height - _HALF))


def leaves_frame(crop_from_frame: Affine, width: int, height: int) -> bool:
    """Whether a crop shows something that lies beyond the frame's border."""
    last = CROP_SIZE - 1
    corners = crop_from_frame.inverse().apply([[0, 0], [last, 0], [0, last], [last, last]]).tolist()
    return any(not (-_HALF <= x < width - _HALF and -_HALF <= y < height - _HALF) for x, y in corners)


def faded(image: NDArray[np.uint8], image_from_frame: Affine, width: int, height: int) -> NDArray[np.uint8]:
    """(s, s, 3) a crop's `image` that turns grey beyond the frame's border.

    There a mask that the border cuts off goes on in stripes, which the segmenter takes for a mask of another form.
    """
    (across, down), reach = _places(image_from_frame, len(image)), FADE * len(image) * image_from_frame.inverse().scale
    away = np.hypot(across - np.clip(across, 0, width - 1), down - np.clip(down, 0, height - 1))
    share = np.minimum(away / reach, 1).astype(np.float32)[..., None]
    return np.asarray(image + share * (GREY - image.astype(np.float32)), np.uint8)


def carried_on(mask: NDArray[np.float32], crop_from_frame: Affine, width: int, height: int) -> NDArray[np.float32]:
    """(S, S) a crop's `mask` that beyond the frame's border goes on as the crop's picture does: as at the border."""
    across, down = _places(crop_from_frame, CROP_SIZE)
    nearest = np.stack([np.clip(across, 0, width - 1), np.clip(down, 0, height - 1)], axis=-1)
    x, y = crop_from_frame.apply(nearest).astype(np.float32).transpose(2, 0, 1)
    return np.asarray(cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _places(view_from_frame: Affine, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y in the frame, (size, size) each, of the pixels of a view."""
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    (a, b, x), (c, d, y) = view_from_frame.inverse().matrix
    return a * columns + b * rows + x, c * columns + d * rows + y
