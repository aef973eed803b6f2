"""The samples of a picture as arrays, and changes of format or of direction that move samples and change none.

Phones store portrait clips lying down, with a display matrix that says how to turn them. The matrix is applied to the
planes once, where a file is read, so that everything after sees upright pictures and the output needs no tag.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DecodeError
from pipeline.picture.formats import layout, plane_layout, traits, upright_format

if TYPE_CHECKING:
    from fractions import Fraction

    from av.video.plane import VideoPlane


PlaneValues = NDArray[np.uint8] | NDArray[np.uint16]
"""(height, width, channels): the values of one plane."""


def arrays(picture: av.VideoFrame) -> list[PlaneValues]:
    """Every plane of the picture as a (height, width, channels) view, top row first."""
    return [
        _plane_array(picture.planes[index], itemsize=itemsize, channels=channels)
        for index, (itemsize, channels) in enumerate(plane_layout(picture.format.name))
    ]


def _plane_array(plane: VideoPlane, *, itemsize: int, channels: int) -> PlaneValues:
    """View a plane without the padding of its rows."""
    kind = np.uint8 if itemsize == 1 else np.dtype("<u2")
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, abs(plane.line_size))  # type: ignore[call-overload]
    row_bytes = plane.width * channels * itemsize
    view: PlaneValues = rows[:, :row_bytes].view(kind).reshape(plane.height, plane.width, channels)
    return view[::-1] if plane.line_size < 0 else view


def copy_tags(source: av.VideoFrame, target: av.VideoFrame) -> None:
    """Give `target` the time and colour tags of `source`."""
    target.pts = source.pts
    if source.time_base is not None:
        target.time_base = source.time_base
    target.duration = source.duration
    target.colorspace = source.colorspace
    target.color_range = source.color_range
    target.color_primaries = source.color_primaries
    target.color_trc = source.color_trc


def moment(picture: av.VideoFrame) -> Fraction:
    """When the picture is shown, in seconds as the input counts, exact."""
    if picture.pts is None or picture.time_base is None:
        raise DecodeError("a picture has no time")
    return picture.pts * picture.time_base


def finer(chroma: PlaneValues, *, width: int, height: int) -> PlaneValues:
    """Chroma written once for every luma sample that it belongs to."""
    for axis, size in ((0, height), (1, width)):
        factor = round(size / chroma.shape[axis])
        if factor > 1:
            chroma = cast("PlaneValues", np.repeat(chroma, factor, axis=axis))
    return chroma[:height, :width]


def move(picture: av.VideoFrame, target: str) -> av.VideoFrame:
    """The picture in format `target`, each sample moved or repeated, none changed; see `formats.moves_exactly`.

    Grey gets neutral chroma, coarse chroma is repeated, interleaved chroma is separated.
    """
    have, planes = traits(picture.format.name), arrays(picture)
    if unused_bits := layout(picture.format.name).unused_bits:
        planes = [cast("PlaneValues", plane >> unused_bits) for plane in planes]
    if len(planes) == 2:
        planes = [planes[0], planes[1][:, :, :1], planes[1][:, :, 1:]]

    moved = av.VideoFrame(picture.width, picture.height, target)
    luma, *chroma = arrays(moved)
    luma[...] = planes[0]
    for index, values in enumerate(chroma, start=1):
        if have.grey:
            values[...] = 1 << (have.depth - 1)
        elif values.shape == planes[index].shape:
            values[...] = planes[index]
        else:
            fine = finer(planes[index], width=picture.width, height=picture.height)
            values[...] = fine[: values.shape[0], : values.shape[1]]
    copy_tags(picture, moved)
    return moved


@dataclass(frozen=True)
class Rotation:
    """How the stored picture becomes the upright one: first transposed, then mirrored."""

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    @property
    def degrees(self) -> int:
        """Clockwise turn, in 0, 90, 180, 270; a remaining mirroring is not in it."""
        if self.transposed:
            return 90 if self.mirrored_x else 270 if self.mirrored_y else 90
        return 180 if self.mirrored_y else 0

    @property
    def nothing(self) -> bool:
        """True when the picture is upright already."""
        return not (self.transposed or self.mirrored_x or self.mirrored_y)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the turn."""
        return (height, width) if self.transposed else (width, height)

    def pixel_aspect(self, aspect: Fraction) -> Fraction:
        """A pixel's width over its height after the turn."""
        return 1 / aspect if self.transposed else aspect

    def pixel_format(self, name: str) -> str:
        """The format that holds a turned picture of format `name` without loss."""
        return upright_format(name) if self.transposed else name

    def __str__(self) -> str:
        if self.nothing:
            return "upright"
        pure = self.transposed == (self.mirrored_x != self.mirrored_y)
        return f"turned by {self.degrees} degrees" if pure else "mirrored"


def turn_from_matrix(matrix: bytes) -> Rotation | None:
    """The turn that a display matrix (nine native int32, as FFmpeg stores it) asks for; None when it is no right angle.

    A point (p, q) of the stored picture is shown at (a p + c q, b p + d q).
    """
    a, b, _, c, d = struct.unpack("=9i", matrix[:36])[:5]
    if not (b or c) and a and d:
        return Rotation(transposed=False, mirrored_x=a < 0, mirrored_y=d < 0)
    if not (a or d) and b and c:
        return Rotation(transposed=True, mirrored_x=c < 0, mirrored_y=b < 0)
    return None


def turn_frame(frame: av.VideoFrame, turn: Rotation) -> av.VideoFrame:
    """A new frame: `frame` turned, with its time and colour tags. Also puts bottom-up pictures the right way up."""
    width, height = turn.size(frame.width, frame.height)
    upright = av.VideoFrame(width, height, turn.pixel_format(frame.format.name))
    for stored, target in zip(arrays(frame), arrays(upright), strict=True):
        if upright.format.name != frame.format.name:
            stored = finer(stored, width=frame.width, height=frame.height)
        target[...] = turn_samples(stored, turn)
    copy_tags(frame, upright)
    return upright


def turn_samples(stored: PlaneValues, turn: Rotation) -> PlaneValues:
    """(height, width, channels) samples turned."""
    shape = stored.shape
    turned = cv2.transpose(stored) if turn.transposed else stored
    if turn.mirrored_x or turn.mirrored_y:
        turned = cv2.flip(turned, -1 if turn.mirrored_x and turn.mirrored_y else int(turn.mirrored_x))
    height, width = turn.size(shape[0], shape[1])
    return cast("PlaneValues", np.asarray(turned).reshape(height, width, -1))
