"""How the samples of a decoded picture lie in memory, and what they mean as colours.

A picture stays in the format that the decoder gave it. This module views its components (luma and chroma, or red, green
and blue) as arrays, without a copy, and knows where each sample lies in the frame and which colour it stands for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SourceError
from pipeline.geometry import Affine

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

    @property
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


@dataclass(frozen=True)
class _Place:
    """Where a component's samples lie: in `plane`, from value `offset` on, one in every `stride` values."""

    plane: int
    offset: int = 0
    stride: int = 1
    log2_x: int = 0
    log2_y: int = 0


@dataclass(frozen=True)
class _Format:
    places: tuple[_Place, ...]
    bits: int = 8
    unused_bits: int = 0
    rgb: bool = False
    full_range: bool | None = None
    """None: the picture's tag says."""
    centred_chroma: bool = False


_SUBSAMPLING = {"410": (2, 2), "411": (2, 0), "420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0)}
_PLANAR_YUV = re.compile(r"yuv(?P<jpeg>j?)a?(?P<sampling>\d{3})p(?P<bits>9|10|12|14|16)?(le)?")
_GRAY = re.compile(r"gray(?P<bits>9|10|12|14|16)?(le)?")
_PLANAR_RGB = re.compile(r"gbra?p(?P<bits>9|10|12|14|16)?(le)?")
_TWO_PLANES = {
    "nv12": ("420", 8, 0, 0),
    "nv21": ("420", 8, 0, 1),
    "nv16": ("422", 8, 0, 0),
    "nv24": ("444", 8, 0, 0),
    "nv42": ("444", 8, 0, 1),
    "p010le": ("420", 10, 6, 0),
    "p012le": ("420", 12, 4, 0),
    "p016le": ("420", 16, 0, 0),
    "p210le": ("422", 10, 6, 0),
    "p212le": ("422", 12, 4, 0),
    "p216le": ("422", 16, 0, 0),
    "p410le": ("444", 10, 6, 0),
    "p412le": ("444", 12, 4, 0),
    "p416le": ("444", 16, 0, 0),
}
"""Name: sampling, bits, unused low bits, 1 when red difference comes first."""
_PACKED_RGB = re.compile(r"(?P<order>[rgba0]{3,4})(?P<depth>24|48le|64le)?")
_PACKED_YUV = {"yuyv422": (0, 1, 3), "uyvy422": (1, 0, 2), "yvyu422": (0, 3, 1)}
"""Name: the byte of the first luma, blue and red difference among the four that hold two pixels."""

_MATRICES = {
    0: None,
    1: (0.2126, 0.0722),
    2: None,
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""FFmpeg's number of a colour matrix: the weights of red and blue in luma. None: not said."""
_FULL_RANGE_TAG = 2
_LIMITED_RANGE_TAG = 1


def samples_of(picture: av.VideoFrame, *, writable: bool = False) -> Samples:
    """View the components of `picture`.

    Raises `SourceError` for a pixel format or a colour matrix that is not known here.
    """
    name = picture.format.name
    format_ = _format(name)
    matrix, full_range = colour_of(picture)
    rgb_from_samples, samples_from_rgb = _matrices(name, matrix, full_range)
    planes = [_plane_values(picture, index) for index in range(1 + max(place.plane for place in format_.places))]
    components = tuple(
        _component(planes[place.plane], place, picture, centred=format_.centred_chroma, writable=writable)
        for place in format_.places
    )
    wide = format_.rgb or full_range
    level = ((1 << format_.bits) - 1) / 255 if wide else (1 << format_.bits) * 219 / (256 * 255)
    return Samples(
        components=components,
        rgb=format_.rgb,
        rgb_from_samples=rgb_from_samples,
        samples_from_rgb=samples_from_rgb,
        level=level * (1 << format_.unused_bits),
        peak=((1 << format_.bits) - 1) << format_.unused_bits,
        step=1 << format_.unused_bits,
    )


def colour_of(picture: av.VideoFrame) -> tuple[int, bool]:
    """FFmpeg's number of the colour matrix, and whether the samples use their full range; guessed where untagged.

    The guesses are everybody's: BT.709 from 720 lines on and BT.601 below; limited range for YUV, full range for gray.
    Raises `SourceError` for a matrix that is not known here.
    """
    format_ = _format(picture.format.name)
    if format_.rgb:
        return 0, True
    matrix = int(picture.colorspace)
    if matrix not in _MATRICES:
        raise SourceError(
            f"colour matrix {matrix} is not supported; convert the input first, for example with "
            "`ffmpeg -i INPUT -vf scale=out_color_matrix=bt709 OUTPUT`"
        )
    if _MATRICES[matrix] is None:
        matrix = 1 if picture.height >= 720 else 6
    if format_.full_range is not None:
        return matrix, format_.full_range
    tag = int(picture.color_range)
    return matrix, tag != _LIMITED_RANGE_TAG if len(format_.places) == 1 else tag == _FULL_RANGE_TAG


@lru_cache(maxsize=64)
def _format(name: str) -> _Format:
    if match := _PLANAR_YUV.fullmatch(name):
        log2_x, log2_y = _SUBSAMPLING[match["sampling"]]
        places = (_Place(0), _Place(1, 0, 1, log2_x, log2_y), _Place(2, 0, 1, log2_x, log2_y))
        jpeg = bool(match["jpeg"])
        return _Format(places, int(match["bits"] or 8), full_range=True if jpeg else None, centred_chroma=jpeg)
    if name in _TWO_PLANES:
        sampling, bits, unused_bits, red_first = _TWO_PLANES[name]
        log2_x, log2_y = _SUBSAMPLING[sampling]
        chroma = [_Place(1, offset, 2, log2_x, log2_y) for offset in (red_first, 1 - red_first)]
        return _Format((_Place(0), *chroma), bits, unused_bits)
    if match := _GRAY.fullmatch(name):
        return _Format((_Place(0),), int(match["bits"] or 8))
    if match := _PLANAR_RGB.fullmatch(name):
        return _Format((_Place(2), _Place(0), _Place(1)), int(match["bits"] or 8), rgb=True)
    if name in _PACKED_YUV:
        luma, blue, red = _PACKED_YUV[name]
        return _Format((_Place(0, luma, 2), _Place(0, blue, 4, 1), _Place(0, red, 4, 1)))
    if (match := _PACKED_RGB.fullmatch(name)) and set("rgb") <= set(match["order"]):
        order, bits = match["order"], 16 if match["depth"] in ("48le", "64le") else 8
        return _Format(tuple(_Place(0, order.index(letter), len(order)) for letter in "rgb"), bits, rgb=True)
    raise SourceError(
        f"pictures in pixel format {name} can't be processed; convert the input first, for example with "
        "`ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT`"
    )


@lru_cache(maxsize=64)
def _matrices(name: str, matrix: int, full_range: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # noqa: FBT001 - cached
    """`rgb_from_samples` and `samples_from_rgb` of the pictures in format `name`."""
    format_ = _format(name)
    white = (1 << format_.bits) - 1
    if format_.rgb:
        linear, shift = np.eye(3) * white / 255, np.zeros(3)
    else:
        weights = _MATRICES[matrix]
        assert weights is not None  # noqa: S101 - colour_of has replaced "not said" by a guess
        red, blue = weights
        luma = np.array([red, 1 - red - blue, blue])
        linear = np.stack([luma, ([0, 0, 1] - luma) / (2 - 2 * blue), ([1, 0, 0] - luma) / (2 - 2 * red)]) / 255
        eighths = 1 << (format_.bits - 8)
        spans = np.array([white] * 3 if full_range else [219 * eighths, 224 * eighths, 224 * eighths])
        shift = np.array([0 if full_range else 16 * eighths, 128 * eighths, 128 * eighths])
        linear = linear * spans[:, None]
    forth = np.column_stack([linear, shift]) * (1 << format_.unused_bits)
    back = np.linalg.inv(forth[:, :3])
    back = np.column_stack([back, -back @ forth[:, 3]])
    if len(format_.places) == 1:  # gray: the differences are zero, so that all three follow from luma
        back = np.column_stack([back[:, 0], np.full(3, -back[0, 0] * forth[0, 3])])
        forth = forth[:1]
    return back.astype(np.float32), forth.astype(np.float32)


def _plane_values(picture: av.VideoFrame, index: int) -> Values:
    """(rows, values in a line with its padding) of one plane, top row first."""
    plane = picture.planes[index]
    bits = _format(picture.format.name).bits
    values = np.frombuffer(plane, np.uint8 if bits == 8 else np.dtype("<u2"))  # type: ignore[call-overload]
    lines: Values = values.reshape(plane.height, -1)
    return lines if plane.line_size > 0 else lines[::-1]


def _component(values: Values, place: _Place, picture: av.VideoFrame, *, centred: bool, writable: bool) -> Component:
    columns = -(-picture.width >> place.log2_x)
    rows = -(-picture.height >> place.log2_y)
    samples = values[:rows, place.offset : place.offset + (columns - 1) * place.stride + 1 : place.stride]
    samples.flags.writeable = writable
    step_x, step_y = 1 << place.log2_x, 1 << place.log2_y
    # Across, MPEG puts chroma on the left luma sample of its group and JPEG in the middle; down, both in the middle.
    first_x = (step_x - 1) / 2 if centred else 0.0
    return Component(samples, Grid(step_x, step_y, first_x, (step_y - 1) / 2))
