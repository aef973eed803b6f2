"""Turning a picture upright, exactly: whole samples move, none is changed.

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

from pipeline.picture.planes import Samples, arrays, copy_tags, finer

if TYPE_CHECKING:
    from fractions import Fraction

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
