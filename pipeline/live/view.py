"""The keys of a live run, and the picture they choose: the result, the camera, both side by side, or one held."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from pipeline.picture.pixels import read_small
from pipeline.run.ledger import blank

if TYPE_CHECKING:
    from pipeline.run.ledger import Shown


class Key(StrEnum):
    """What a key does, in the terminal and in the preview window."""

    PAUSE = "p"
    BYPASS = "b"
    BOTH = "s"
    QUIT = "q"


HELP = "p pause, b bypass, s side by side, q quit"


def key_of(character: str) -> Key | None:
    """The key that a character is, whatever its case; None for others."""
    return next((key for key in Key if key.value == character.lower()), None)


class Mode(StrEnum):
    """Which picture is shown."""

    RESULT = "result"
    CAMERA = "bypass"
    """The camera's own picture."""
    BOTH = "side by side"


@dataclass
class View:
    """What the user chose by keys."""

    mode: Mode = Mode.RESULT
    paused: bool = False
    """Whether the picture is held; the run goes on behind it, so that resuming is instant."""
    quitting: bool = False
    _held: av.VideoFrame | None = field(default=None, repr=False)

    def press(self, key: Key) -> None:
        """Do what a key means. The key of bypass or side by side, pressed again, goes back to the result."""
        if key is Key.QUIT:
            self.quitting = True
        elif key is Key.PAUSE:
            self.paused = not self.paused
        else:
            chosen = Mode.CAMERA if key is Key.BYPASS else Mode.BOTH
            self.mode = Mode.RESULT if self.mode is chosen else chosen

    def picture(self, shown: Shown, *, stale: bool) -> av.VideoFrame:
        """The picture to show for the frame `shown`: black if it is `stale`, unless a pause holds a picture."""
        if self.paused and self._held is not None:
            return self._held
        if stale:
            return blank(shown.frame.width, shown.frame.height)
        if self.mode is Mode.CAMERA:
            self._held = shown.camera
        else:
            self._held = shown.frame.planes if self.mode is Mode.RESULT else side_by_side(shown)
        return self._held

    def __str__(self) -> str:
        return f"{self.mode.value}, paused" if self.paused else self.mode.value


def side_by_side(shown: Shown) -> av.VideoFrame:
    """The camera's picture on the left and the result on the right, each at half size, in the frame's own size."""
    width, height = shown.frame.width, shown.frame.height
    half, tall = max(width // 2, 1), max(height // 2, 1)
    picture = np.zeros((height, width, 3), np.uint8)
    top = (height - tall) // 2
    for left, planes in ((0, shown.camera), (half, shown.frame.planes)):
        picture[top : top + tall, left : left + half] = read_small(planes, width=half, height=tall)
    cv2.line(picture, (half, top), (half, top + tall), (255, 255, 255), 1)
    return av.VideoFrame.from_ndarray(picture, format="rgb24")
