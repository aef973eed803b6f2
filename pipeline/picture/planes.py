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
from av.video.format import VideoFormat
from numpy.typing import NDArray

from pipeline.errors import DecodeError

if TYPE_CHECKING:
    from fractions import Fraction

    from av.video.plane import VideoPlane


Samples = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Traits:
    """What matters when one pixel format stands in for another."""

    rgb: bool
    grey: bool
    alpha: bool
    depth: int
    """Bits a sample."""
    coarse_x: int
    coarse_y: int
    """Luma samples for one chroma sample, across and down: 1 or 2, 4 in rare formats; 1 without chroma."""


def traits(name: str) -> Traits:
    """The traits of a pixel format by name. Raises `ValueError` for an unknown one."""
    pixel_format = VideoFormat(name, 64, 64)
    components = pixel_format.components
    chroma = [component for component in components if component.is_chroma]
    return Traits(
        rgb=pixel_format.is_rgb,
        grey=len(components) <= 2 and not pixel_format.has_palette,
        alpha=any(component.is_alpha for component in components),
        depth=max(component.bits for component in components),
        coarse_x=64 // chroma[0].width if chroma else 1,
        coarse_y=64 // chroma[0].height if chroma else 1,
    )


def samples(plane: VideoPlane, *, itemsize: int, channels: int) -> Samples:
    """(height, width, channels) uint8 or uint16 view of a plane, top row first, without the padding of its rows."""
    kind = np.uint8 if itemsize == 1 else np.dtype("<u2")
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, abs(plane.line_size))  # type: ignore[call-overload]
    row_bytes = plane.width * channels * itemsize
    view: Samples = rows[:, :row_bytes].view(kind).reshape(plane.height, plane.width, channels)
    return view[::-1] if plane.line_size < 0 else view


def layout(picture: av.VideoFrame) -> list[tuple[int, int]]:
    """Bytes a sample and channels of each plane."""
    itemsizes: dict[int, int] = {}
    channels: dict[int, int] = {}
    for component in picture.format.components:
        itemsizes[component.plane] = 1 if component.bits <= 8 else 2
        channels[component.plane] = channels.get(component.plane, 0) + 1
    return [(itemsizes[plane], channels[plane]) for plane in sorted(channels)]


def arrays(picture: av.VideoFrame) -> list[Samples]:
    """Every plane of the picture as (height, width, channels)."""
    return [
        samples(picture.planes[index], itemsize=itemsize, channels=channels)
        for index, (itemsize, channels) in enumerate(layout(picture))
    ]


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


def finer(chroma: Samples, *, width: int, height: int) -> Samples:
    """Chroma written once for every luma sample that it belongs to."""
    for axis, size in ((0, height), (1, width)):
        factor = round(size / chroma.shape[axis])
        if factor > 1:
            chroma = cast("Samples", np.repeat(chroma, factor, axis=axis))
    return chroma[:height, :width]


def plain(name: str) -> str:
    """The format without FFmpeg's old mark for full range: yuvj420p is yuv420p whose range is full."""
    return name.replace("yuvj", "yuv", 1)


def moves_exactly(source: str, target: str) -> bool:
    """True when `move` can turn `source` into `target` and every sample keeps its value."""
    have, want = traits(source), traits(target)
    if have.rgb or want.rgb or have.alpha or want.alpha or have.depth != want.depth:
        return False
    if have.grey:
        return want.grey or planar(target)
    finer_or_same = want.coarse_x <= have.coarse_x and want.coarse_y <= have.coarse_y
    return not want.grey and finer_or_same and planar(target) and have.coarse_x <= 2


def loses_nothing(source: str, target: str) -> bool:
    """True when a picture in format `target` can hold all that one in `source` says, to the bit."""
    if plain(source) == plain(target) or moves_exactly(source, target):
        return True
    have, want = traits(source), traits(target)
    return have.rgb and want.rgb and have.depth == want.depth and have.alpha <= want.alpha


def planar(name: str) -> bool:
    """True for YUV with a plane for each component."""
    return plain(name).startswith("yuv") and "p" in name


def move(picture: av.VideoFrame, target: str) -> av.VideoFrame:
    """The picture in format `target`, each sample moved or repeated, none changed; see `moves_exactly`.

    Grey gets neutral chroma, coarse chroma is repeated, interleaved chroma is separated.
    """
    moved = av.VideoFrame(picture.width, picture.height, target)
    have, planes = traits(picture.format.name), arrays(picture)
    if picture.format.name.startswith("p0"):
        planes = [cast("Samples", plane >> (16 - have.depth)) for plane in planes]
    if len(planes) == 2:
        planes = [planes[0], planes[1][:, :, :1], planes[1][:, :, 1:]]
    targets = arrays(moved)
    targets[0][...] = planes[0]
    for index, into in enumerate(targets[1:], start=1):
        if have.grey:
            into[...] = 1 << (have.depth - 1)
        elif into.shape == planes[index].shape:
            into[...] = planes[index]
        else:
            into[...] = finer(planes[index], width=picture.width, height=picture.height)[
                : into.shape[0], : into.shape[1]
            ]
    copy_tags(picture, moved)
    return moved


UNEQUAL_CHROMA = {
    "yuv422p": "yuv444p",
    "yuvj422p": "yuvj444p",
    "yuv440p": "yuv444p",
    "yuvj440p": "yuvj444p",
    "yuv422p9le": "yuv444p9le",
    "yuv422p10le": "yuv444p10le",
    "yuv440p10le": "yuv444p10le",
    "yuv422p12le": "yuv444p12le",
    "yuv440p12le": "yuv444p12le",
    "yuv422p14le": "yuv444p14le",
    "yuv422p16le": "yuv444p16le",
}
"""Formats whose chroma is coarser in one direction only, and the one that holds them lying on their side.

4:2:2 turned by 90 degrees is 4:4:0, which few encoders take; 4:4:4 holds it too, each chroma sample written twice.
"""


@dataclass(frozen=True)
class Turn:
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
        return UNEQUAL_CHROMA.get(name, name) if self.transposed else name

    def __str__(self) -> str:
        if self.nothing:
            return "upright"
        pure = self.transposed == (self.mirrored_x != self.mirrored_y)
        return f"turned by {self.degrees} degrees" if pure else "mirrored"


def turn_from_matrix(matrix: bytes) -> Turn | None:
    """The turn that a display matrix (nine native int32, as FFmpeg stores it) asks for; None when it is no right angle.

    A point (p, q) of the stored picture is shown at (a p + c q, b p + d q).
    """
    a, b, _, c, d = struct.unpack("=9i", matrix[:36])[:5]
    if not (b or c) and a and d:
        return Turn(transposed=False, mirrored_x=a < 0, mirrored_y=d < 0)
    if not (a or d) and b and c:
        return Turn(transposed=True, mirrored_x=c < 0, mirrored_y=b < 0)
    return None


def turn_frame(frame: av.VideoFrame, turn: Turn) -> av.VideoFrame:
    """A new frame: `frame` turned, with its time and colour tags. Also puts bottom-up pictures the right way up."""
    width, height = turn.size(frame.width, frame.height)
    upright = av.VideoFrame(width, height, turn.pixel_format(frame.format.name))
    for stored, target in zip(arrays(frame), arrays(upright), strict=True):
        if upright.format.name != frame.format.name:
            stored = finer(stored, width=frame.width, height=frame.height)
        target[...] = turn_samples(stored, turn)
    copy_tags(frame, upright)
    return upright


def turn_samples(stored: Samples, turn: Turn) -> Samples:
    """(height, width, channels) samples turned."""
    shape = stored.shape
    turned = cv2.transpose(stored) if turn.transposed else stored
    if turn.mirrored_x or turn.mirrored_y:
        turned = cv2.flip(turned, -1 if turn.mirrored_x and turn.mirrored_y else int(turn.mirrored_x))
    height, width = turn.size(shape[0], shape[1])
    return cast("Samples", np.asarray(turned).reshape(height, width, -1))
