"""How the samples of a decoded picture lie in memory, and what they mean as colours.

A picture stays in the format that the decoder gave it. This module views its components (luma and chroma, or red, green
and blue) as arrays, without a copy, and knows where each sample lies in the frame and which colour it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SourceError
from pipeline.geometry import Affine
from pipeline.picture.formats import ComponentPlace, Layout, layout

if TYPE_CHECKING:
    import av

Values: TypeAlias = NDArray[np.integer[Any] | np.floating[Any]]
"""Samples, uint8 or uint16, and what is computed from them, float32."""


@dataclass(frozen=True)
class Grid:
    """Where one component's samples lie: sample (i, j) at (first_x + i * step_x, first_y + j * step_y) in the frame."""

    step_x: int = 1
    step_y: int = 1
    first_x: float = 0.0
    first_y: float = 0.0

    @cached_property
    def component_from_frame(self) -> Affine:
        """Sample positions from frame positions."""
        return Affine(
            np.array(
                [
                    [1 / self.step_x, 0.0, -self.first_x / self.step_x],
                    [0.0, 1 / self.step_y, -self.first_y / self.step_y],
                ]
            )
        )


@dataclass(frozen=True)
class Component:
    """The samples of one component, as they lie in the picture."""

    samples: Values
    """(rows, columns) uint8 or uint16: a view, read-only unless the picture was opened for writing."""
    grid: Grid


@dataclass(frozen=True)
class Samples:
    """A picture's components and their meaning."""

    components: tuple[Component, ...]
    """Luma, blue difference, red difference; or red, green, blue; or luma alone. Transparency is left out."""
    rgb: bool
    """True when the components are red, green and blue."""
    rgb_from_samples: NDArray[np.float32]
    """(3, n + 1) float32: RGB in [0, 255] from the n sample values and a 1."""
    samples_from_rgb: NDArray[np.float32]
    """(n, 4) float32: the way back."""
    level: float
    """How far two sample values lie apart that are one of 255 steps of brightness apart."""
    peak: int
    """The largest value that a sample may have."""
    step: int
    """The difference between neighbouring values: 1, or 64 where ten bits are kept in the upper end of sixteen."""


BT601 = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601): the usual measure of brightness."""

_MATRICES = {
    0: None,
    1: (0.2126, 0.0722),
    2: None,
    4: (0.30, 0.11),
    5: BT601[::2],
    6: BT601[::2],
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""FFmpeg's number of a colour matrix: the weights of red and blue in luma. None: the file does not say."""
_BT709, _BT601 = 1, 6
_HD_HEIGHT = 720
_FULL_RANGE_TAG = 2
_LIMITED_RANGE_TAG = 1


def samples_of(picture: av.VideoFrame, *, writable: bool = False) -> Samples:
    """View the components of `picture`.

    Raises `SourceError` for a pixel format or a colour matrix that is not known here.
    """
    form = layout(picture.format.name)
    planes = picture.planes  # a new tuple at each look
    values = [_plane_values(planes[index], form) for index in range(1 + max(place.plane for place in form.places))]
    components = tuple(
        _component(values[place.plane], place, picture, centred=form.centred_chroma, writable=writable)
        for place in form.places
    )

    matrix, full_range = colour_of(picture)
    rgb_from_samples, samples_from_rgb = _matrices(form, matrix, full_range)
    peak = (1 << form.bits) - 1
    level = peak / 255 if form.rgb or full_range else (1 << form.bits) * 219 / (256 * 255)
    return Samples(
        components=components,
        rgb=form.rgb,
        rgb_from_samples=rgb_from_samples,
        samples_from_rgb=samples_from_rgb,
        level=level * (1 << form.unused_bits),
        peak=peak << form.unused_bits,
        step=1 << form.unused_bits,
    )


def colour_of(picture: av.VideoFrame) -> tuple[int, bool]:
    """FFmpeg's number of the colour matrix, and whether the samples use their full range; guessed where untagged.

    The guesses are everybody's: BT.709 from 720 lines on and BT.601 below; limited range for YUV, full range for gray.
    Raises `SourceError` for a matrix that is not known here.
    """
    form = layout(picture.format.name)
    if form.rgb:
        return 0, True
    matrix = int(picture.colorspace)
    if matrix not in _MATRICES:
        raise SourceError(
            f"colour matrix {matrix} is not supported; convert the input first, for example with "
            "`ffmpeg -i INPUT -vf scale=out_color_matrix=bt709 OUTPUT`"
        )

    if _MATRICES[matrix] is None:
        matrix = _BT709 if picture.height >= _HD_HEIGHT else _BT601
    if form.full_range is not None:
        return matrix, form.full_range
    tag = int(picture.color_range)
    return matrix, tag != _LIMITED_RANGE_TAG if form.grey else tag == _FULL_RANGE_TAG


@lru_cache(maxsize=64)
def _matrices(form: Layout, matrix: int, full_range: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # noqa: FBT001 - cached
    """`rgb_from_samples` and `samples_from_rgb` of the pictures that lie like `form`."""
    white = (1 << form.bits) - 1
    if form.rgb:
        linear, shift = np.eye(3) * white / 255, np.zeros(3)
    else:
        weights = _MATRICES[matrix]
        assert weights is not None  # noqa: S101 - colour_of has put a guess in its place
        red, blue = weights
        luma = np.array([red, 1 - red - blue, blue])
        linear = np.stack([luma, ([0, 0, 1] - luma) / (2 - 2 * blue), ([1, 0, 0] - luma) / (2 - 2 * red)]) / 255
        # The numbers of limited range are written for 8 bits.
        scale = 1 << (form.bits - 8)
        spans = np.array([white] * 3 if full_range else [219 * scale, 224 * scale, 224 * scale])
        shift = np.array([0 if full_range else 16 * scale, 128 * scale, 128 * scale])
        linear = linear * spans[:, None]

    forth = np.column_stack([linear, shift]) * (1 << form.unused_bits)  # (3, 4)
    back = np.linalg.inv(forth[:, :3])
    back = np.column_stack([back, -back @ forth[:, 3]])  # (3, 4)
    if form.grey:  # the differences are zero, so that all three colours follow from luma
        back = np.column_stack([back[:, 0], np.full(3, -back[0, 0] * forth[0, 3])])  # (3, 2)
        forth = forth[:1]
    return back.astype(np.float32), forth.astype(np.float32)


def _plane_values(plane: av.video.plane.VideoPlane, form: Layout) -> Values:
    """(rows, values in a line with its padding) of one plane, top row first."""
    values = np.frombuffer(plane, np.uint8 if form.bits == 8 else np.dtype("<u2"))  # type: ignore[call-overload]
    lines: Values = values.reshape(plane.height, -1)
    return lines if plane.line_size > 0 else lines[::-1]


def _component(
    values: Values, place: ComponentPlace, picture: av.VideoFrame, *, centred: bool, writable: bool
) -> Component:
    """The samples of one component among the values of its plane."""
    columns, rows = -(-picture.width // place.coarse_x), -(-picture.height // place.coarse_y)
    samples = values[:rows, place.offset : place.offset + (columns - 1) * place.stride + 1 : place.stride]
    samples.flags.writeable = writable
    return Component(samples, _grid(place, centred))


@lru_cache(maxsize=64)
def _grid(place: ComponentPlace, centred: bool) -> Grid:  # noqa: FBT001 - cached
    # Across, MPEG puts chroma on the left luma sample of its group and JPEG in the middle; down, both in the middle.
    first_x = (place.coarse_x - 1) / 2 if centred else 0.0
    return Grid(place.coarse_x, place.coarse_y, first_x, (place.coarse_y - 1) / 2)
