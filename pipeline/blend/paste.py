"""Pasting into a private copy of a decoded picture, in the picture's own format, and the visible mark made of a paste.

The decoder goes on using its pictures as references for later ones, so a picture is copied before it is written to.
Only samples under the paint change; every other sample stays bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from av.filter import Graph

from pipeline.geometry import Affine
from pipeline.picture.samples import Component, Samples, Values, samples_of
from pipeline.rules import Number, setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    from numpy.typing import NDArray

    from pipeline.blend.hole import Place
    from pipeline.frames import Frame

_UNTIMED = Fraction(1, 1000)
"""The time base under which a picture without one passes through the copier."""

_FINEST = 3
"""How many times finer than the crop a sheet is made before it is turned; from there on straight lines will do."""

_RIM = 8
"""Pixels by which a sheet goes on beyond its box: farther than any paint and a cubic reach."""

_TEXT = "SYNTHETIC"
_DRAWN_PX = 96
"""Height at which the badge is drawn, before it is shrunk to its size."""


class Copier:
    """Makes private copies of pictures, with all that a picture carries: times, colour tags, captions, side data.

    PyAV has no call for this. A filter graph without filters hands on a second reference to the picture with everything
    attached, and making that one writable copies its samples. The graph is kept from picture to picture while size and
    format stay. Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._key: tuple[object, ...] = ()

    def copy(self, picture: av.VideoFrame) -> av.VideoFrame:
        """A picture with the same samples that may be written to; `picture` itself stays as it is."""
        time_base = picture.time_base or _UNTIMED
        key = (picture.format.name, picture.width, picture.height, time_base)
        if self._graph is None or key != self._key:
            self._graph, self._key = _pass_through(picture, time_base), key

        # What the graph hands on shares its samples with the picture until it is made writable.
        self._graph.vpush(picture)
        copy = self._graph.vpull()
        copy.make_writable()
        copy.pts = picture.pts
        if picture.time_base is not None:
            copy.time_base = picture.time_base
        return copy


def paste(
    picture: av.VideoFrame, *, left: int, top: int, colour: NDArray[np.generic], alpha: NDArray[np.float32]
) -> av.VideoFrame:
    """A copy of `picture` with `colour` (h, w, 3) RGB in [0, 255] laid over it where `alpha` (h, w) in [0, 1] says so.

    The paint's top left pixel lies at (left, top); what reaches outside the picture is cut off. A chroma sample that
    several pixels share is painted with their mean alpha and colour. Raises `SourceError` for an unknown format.
    """
    copy = Copier().copy(picture)
    right, bottom = min(left + alpha.shape[1], picture.width), min(top + alpha.shape[0], picture.height)
    first_x, first_y = max(left, 0), max(top, 0)
    if first_x >= right or first_y >= bottom:
        return copy

    # Converted at full resolution; a component with fewer samples then takes the means.
    samples = samples_of(copy, writable=True)
    inside = np.s_[first_y - top : bottom - top, first_x - left : right - left]
    covered = alpha[inside].astype(np.float32)  # (h, w)
    values = cv2.transform(colour[inside].astype(np.float32), samples.samples_from_rgb)  # (h, w, components)
    size = (picture.width, picture.height)
    for index, component in enumerate(samples.components):
        paint = values[..., index] if values.ndim == 3 else values
        target, paint, weight = _subsample(paint, covered, left=first_x, top=first_y, size=size, component=component)
        mix(target, paint, weight, samples)
    return copy


def mix(target: Values, values: Values, alpha: NDArray[np.float32], samples: Samples) -> None:
    """Write `values` (h, w) float32 over the samples `target` (h, w), as far as `alpha` (h, w) in [0, 1] says."""
    below = target.astype(np.float32)
    write(target, below + alpha * (values - below), alpha, samples)


class Sheet:
    """What is painted into a box of the crop, ready to be laid on a frame's samples again and again.

    A much finer grid is reached in two steps, an enlargement and a straight-line turn; before a coarser one the values
    are averaged. Frames in which the same is painted differ in the turn alone, so what comes before it is kept.
    """

    def __init__(
        self, image: NDArray[np.float32], box: tuple[int, int, int, int], edges: NDArray[np.float32] | None = None
    ) -> None:
        self.image = image
        """(h, w, 3) RGB: what is painted inside `box`."""
        self.box = box
        """left, top, right, bottom of the crop, half-open and not empty."""
        self.edges = edges
        """On a finer grid, what makes its edges steeper, in 8-bit levels; None for a small face."""
        self._kept: dict[int, tuple[object, Values, Affine]] = {}

    def laid(self, index: int, place: Place, target: Samples, *, steepness: float = 0.0) -> NDArray[np.float32]:
        """(h, w) float32: component `index` of `target` on the samples of `place`, with so much of the edges."""
        scale = place.here_from_crop.scale
        factor = float(min(math.ceil(scale), _FINEST)) if scale > 1.3 else 2.0 ** min(round(math.log2(scale)), 0)
        edges = self.edges if steepness > 0 and (index == 0 or target.rgb) else None
        component_from_rgb = target.samples_from_rgb[index : index + 1]

        key = factor, component_from_rgb.tobytes(), None if edges is None else steepness
        if index not in self._kept or self._kept[index][0] != key:
            values = self._resized(cv2.transform(self.image, component_from_rgb), factor, cv2.INTER_CUBIC)
            if edges is not None:
                finer = self._resized(edges, factor, cv2.INTER_LINEAR)
                values = cv2.scaleAdd(finer, steepness * target.level, values)
            self._kept[index] = key, *self._with_rim(values)
        _, values, crop_from_values = self._kept[index]
        # What is seen of a coarser grid is its brightness: a cubic takes three times as long.
        sharp = factor <= 1 and (index == 0 or target.rgb)
        return place.turned(values, crop_from_values, cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR)

    def _resized(self, values: Values, factor: float, enlarging: int) -> Values:
        """`values` on a grid `factor` times as fine as the image's, averaged where it is no finer."""
        height, width = self.image.shape[:2]
        size = max(round(width * factor), 1), max(round(height * factor), 1)
        if values.shape == size[::-1]:
            return values
        return cv2.resize(values, size, interpolation=enlarging if factor > 1 else cv2.INTER_AREA)

    def _with_rim(self, values: Values) -> tuple[Values, Affine]:
        """`values` of the box with a rim in which their border goes on, and `crop_from_values`."""
        (height, width), (rows, columns) = self.image.shape[:2], values.shape
        box_from_values = Affine.resize(width / columns, height / rows).after(Affine.shift(-_RIM, -_RIM))
        rimmed = cv2.copyMakeBorder(values, _RIM, _RIM, _RIM, _RIM, cv2.BORDER_REPLICATE)
        return rimmed, Affine.shift(*self.box[:2]).after(box_from_values)


def between(picture: av.VideoFrame, other: av.VideoFrame, share: float, copier: Copier) -> av.VideoFrame:
    """A picture `share` of the way from `picture` to `other`, which is as large; `picture` itself where they are equal.

    Raises `SourceError` for an unknown format.
    """
    have, wanted = samples_of(picture).components, samples_of(other).components
    differ = [one.samples != two.samples for one, two in zip(have, wanted, strict=True)]
    if not any(place.any() for place in differ):
        return picture

    copy = copier.copy(picture)
    target = samples_of(copy, writable=True)
    for one, two, place in zip(target.components, wanted, differ, strict=True):
        # Mixing is the dearest step: rows in which nothing differs are left alone.
        rows = np.flatnonzero(place.any(axis=1))
        if len(rows):
            part = np.s_[rows[0] : rows[-1] + 1]
            alpha = np.float32(share) * place[part].astype(np.float32)
            mix(one.samples[part], two.samples[part].astype(np.float32), alpha, target)
    return copy


def write(target: Values, values: Values, alpha: NDArray[np.float32], samples: Samples) -> None:
    """Write `values` (h, w) float32 to the samples `target` (h, w) where `alpha` is above 0, rounded and in range.

    Where `alpha` is 0 the values must be those of `target`. `values` may change.
    """
    if samples.step == 1 and target.dtype == np.uint8:
        cv2.threshold(values, 0, 0, cv2.THRESH_TOZERO, values)
        target[...] = cv2.convertScaleAbs(values)  # rounds and stops at 255
        return
    rounded = np.clip(np.rint(values / samples.step) * samples.step, 0, samples.peak).astype(target.dtype)
    np.copyto(target, rounded, where=alpha > 0)  # the bits below the step stay too


def _pass_through(picture: av.VideoFrame, time_base: Fraction) -> Graph:
    """A filter graph without filters for pictures like `picture`."""
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=time_base, name="in"
    )
    source.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _subsample(
    paint: Values, alpha: NDArray[np.float32], *, left: int, top: int, size: tuple[int, int], component: Component
) -> tuple[Values, Values, NDArray[np.float32]]:
    """The samples of a component that the paint at (left, top) reaches, a view, with their own paint and alpha.

    `size` is the picture's (width, height).
    """
    grid, (rows, columns) = component.grid, component.samples.shape
    height, width = alpha.shape
    if grid.step_x == grid.step_y == 1:
        return component.samples[top : top + height, left : left + width], paint, alpha

    # Whole groups of pixels, and one more at the right and below: a sample at a group's first pixel reaches before it.
    first_column, first_row = left // grid.step_x, top // grid.step_y
    end_column = min(-(-(left + width) // grid.step_x) + 1, columns)
    end_row = min(-(-(top + height) // grid.step_y) + 1, rows)
    first_x, first_y = first_column * grid.step_x, first_row * grid.step_y

    # Means of alpha, of colour times alpha, and of what lies inside the picture at all.
    shape = ((end_row - first_row) * grid.step_y, (end_column - first_column) * grid.step_x)
    inside = np.zeros(shape, np.float32)
    inside[: size[1] - first_y, : size[0] - first_x] = 1
    covered, premultiplied = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    place = np.s_[top - first_y : top - first_y + height, left - first_x : left - first_x + width]
    covered[place], premultiplied[place] = alpha, alpha * paint
    share, weight, sums = (
        _thinned(_thinned(layer, grid.step_x, grid.first_x, axis=1), grid.step_y, grid.first_y, axis=0)
        for layer in (inside, covered, premultiplied)
    )
    samples = component.samples[first_row:end_row, first_column:end_column]
    return samples, sums / np.maximum(weight, 1e-6), weight / share


def _thinned(layer: NDArray[np.float32], step: int, first: float, *, axis: int) -> NDArray[np.float32]:
    """One value for each `step` along `axis`: their mean, or a triangle about the first where the sample lies on it."""
    if step == 1:
        return layer
    if first > 0:
        weights = dict.fromkeys(range(step), 1 / step)
    else:
        weights = {offset: (step - abs(offset)) / step**2 for offset in range(1 - step, step)}

    lines = np.moveaxis(layer, axis, 0)
    padded = np.concatenate([np.zeros_like(lines[: step - 1]), lines])
    thinned = np.zeros_like(lines[::step])
    for offset, weight in weights.items():
        thinned += weight * padded[step - 1 + offset :: step][: len(thinned)]
    return np.moveaxis(thinned, 0, axis)


@dataclass(frozen=True)
class Mark:
    """Stage: a translucent badge in the lower right corner of every frame, which says that faces in it are
    synthetic."""

    height_share: float = setting(
        0.04, Number(0, 0.5), "height of the badge as a share of the frame's shorter side; raise it for small screens"
    )
    opacity: float = setting(0.6, Number(0, 1), "opacity of the badge: 0 is invisible, 1 hides what lies below")

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Raises `SourceError` for a picture in a format that can't be painted on."""
        for frame in frames:
            height = max(10, round(self.height_share * min(frame.width, frame.height)))
            colour, alpha = badge(height)
            margin = height // 2
            picture = paste(
                frame.planes,
                left=frame.width - margin - colour.shape[1],
                top=frame.height - margin - height,
                colour=colour,
                alpha=self.opacity * alpha,
            )
            yield replace(frame, planes=picture)


@lru_cache(maxsize=4)
def badge(height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The badge at `height` pixels: (height, w, 3) RGB in [0, 255] and (height, w) alpha in [0, 1], both float32.

    White letters and a ring, cut in two, on a dark plate with round ends, so that it shows on any ground.
    """
    font = cv2.FONT_HERSHEY_DUPLEX
    (text_width, _), _ = cv2.getTextSize(_TEXT, font, 1.6, 3)
    middle, width = _DRAWN_PX // 2, _DRAWN_PX + text_width + 3 * _DRAWN_PX // 4
    plate = np.zeros((_DRAWN_PX, width), np.uint8)
    cv2.line(plate, (middle, middle), (width - middle, middle), 255, _DRAWN_PX - 8, cv2.LINE_AA)

    ink = np.zeros_like(plate)
    cv2.circle(ink, (middle + 8, middle), 26, 255, 5, cv2.LINE_AA)
    cv2.ellipse(ink, (middle + 8, middle), (26, 26), 0, 0, 180, 255, -1, cv2.LINE_AA)
    cv2.putText(ink, _TEXT, (_DRAWN_PX, middle + 18), font, 1.6, 255, 3, cv2.LINE_AA)

    # Shrinking is what makes the edges smooth at every size.
    size = (round(width * height / _DRAWN_PX), height)
    shape, letters = (
        cv2.resize(layer, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
        for layer in (plate, ink)
    )
    colour = np.repeat((24 + (235 - 24) * letters)[..., None], 3, axis=2)
    alpha = shape * (0.7 + 0.3 * letters)
    return colour.astype(np.float32), alpha.astype(np.float32)
