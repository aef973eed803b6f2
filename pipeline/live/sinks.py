"""Where a live run's pictures go: a virtual camera, which meetings see, and a window with the picture the keys choose.

The virtual camera needs pyvirtualcam, which is GPL-2 and optional; the window is Tk's.
"""

from __future__ import annotations

import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self, cast

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from pipeline.errors import SinkError, how_to_install
from pipeline.picture.pixels import read_small
from pipeline.run.ledger import blank
from pipeline.video.conform import ONE_THREAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.run.ledger import Shown


INSTALL = how_to_install("live")

MODPROBE = "sudo modprobe v4l2loopback devices=1 exclusive_caps=1 card_label=barefaced"

CURES = {
    "linux": f"load the kernel module: {MODPROBE} (docs/live-linux.md)",
    "darwin": "install OBS 30 or newer, start its virtual camera once and allow it (docs/live-macos.md)",
    "win32": "install OBS 28 or newer, start its virtual camera once and stop it again (docs/live-windows.md)",
}
"""`sys.platform` to what is needed for a virtual camera there."""


class Target(Protocol):
    """The part of `pyvirtualcam.Camera` that is used."""

    device: str

    def send(self, frame: NDArray[np.uint8]) -> None:
        """Show a picture."""
        ...

    def close(self) -> None:
        """Release the device."""
        ...


class VirtualCamera:
    """A virtual camera of one size, open inside its `with` block and released however that is left.

    Raises `SinkError` with the cure when there is none, and when it goes away.
    """

    def __init__(self, *, width: int, height: int, fps: float, device: str | None = None) -> None:
        """Open it. `device` is a path or a name as apps show it, None for the first there is. Sides are made even."""
        self.width, self.height = width // 2 * 2, height // 2 * 2
        self._target = opened(width=self.width, height=self.height, fps=fps, device=device)

    @property
    def device(self) -> str:
        """The name by which apps know it, or its path."""
        return self._target.device

    def show(self, picture: av.VideoFrame) -> None:
        """Send a picture, scaled if it has another size. Raises `SinkError`."""
        samples = as_i420(picture, self.width, self.height)
        try:
            self._target.send(samples)
        except (RuntimeError, OSError, ValueError) as error:
            raise SinkError(f"the virtual camera {self.device} is gone ({error}); start again") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._target.close()


def missing() -> str | None:
    """The reason why there can't be a virtual camera; None when pyvirtualcam is installed."""
    from importlib.util import find_spec

    return None if find_spec("pyvirtualcam") else f"a virtual camera needs pyvirtualcam, which is GPL-2: {INSTALL}"


def opened(*, width: int, height: int, fps: float, device: str | None) -> Target:
    """Open the device for I420 pictures. Raises `SinkError`."""
    reason = missing()
    if reason is not None:
        raise SinkError(reason)

    import pyvirtualcam

    try:
        camera = pyvirtualcam.Camera(width, height, fps, fmt=pyvirtualcam.PixelFormat.I420, device=device)
    except RuntimeError as error:
        cure = CURES.get(sys.platform, "see docs/live.md")
        raise SinkError(f"no virtual camera: {' '.join(str(error).split())}; {cure}") from error
    return cast("Target", camera)


def as_i420(picture: av.VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    """Convert a picture into Y, U and V planes of BT.601 in limited range, which consumers assume.

    Gives (width * height * 3 / 2,) uint8.
    """
    planes = picture.reformat(
        width=width,
        height=height,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        threads=ONE_THREAD,
    )
    return np.ascontiguousarray(planes.to_ndarray(), np.uint8).reshape(-1)


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
class ChosenView:
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


MOST_WIDE_PX = 960
"""The greatest width of a picture in the window; a wider one is shown smaller, since Tk takes pictures slowly."""

CURE = "--virtual-camera alone needs no display"


class Preview:
    """A window, open inside its `with` block, in the main thread. Raises `SinkError` with the cure."""

    @classmethod
    def check(cls) -> None:
        """Open a window that is never seen, so that what is missing is said before any work. Raises `SinkError`."""
        found = cls()
        found._window.destroy()

    def __init__(self, help_line: str = HELP, cure: str = CURE) -> None:
        """`help_line` is in the title; `cure` says what can be done where there is no display."""
        try:
            import tkinter
        except ImportError as error:
            raise SinkError(f"no preview: Python has no Tk here; sudo apt install python3-tk, or: {cure}") from error
        try:
            self._window = tkinter.Tk()
        except tkinter.TclError as error:
            raise SinkError(f"no preview: there is no display ({error}); {cure}") from error

        self._gone: type[Exception] = tkinter.TclError
        self._pressed: deque[Key] = deque()
        self._window.title(f"barefaced: {help_line}")
        self._window.protocol("WM_DELETE_WINDOW", lambda: self._pressed.append(Key.QUIT))
        self._window.bind("<Key>", self._press)
        self._picture = tkinter.PhotoImage(master=self._window)
        self._label = tkinter.Label(self._window, image=self._picture, borderwidth=0)
        self._label.pack()
        self._caption = tkinter.Label(self._window, font=("TkDefaultFont", 14), wraplength=MOST_WIDE_PX)

    def _press(self, event: object) -> None:
        """Note a key that was pressed, if it means anything."""
        key = key_of(getattr(event, "char", ""))
        if key is not None:
            self._pressed.append(key)

    def show(self, picture: av.VideoFrame, *, mirrored: bool = False) -> None:
        """Show a picture, or its mirror image. Raises `SinkError` when the window is gone."""
        width = min(picture.width, MOST_WIDE_PX)
        height = picture.height * width // picture.width
        image = picture.reformat(width=width, height=height, format="rgb24").to_ndarray()
        if mirrored:
            image = image[:, ::-1]
        try:
            self._picture.configure(data=b"P6 %d %d 255 " % (width, height) + image.tobytes(), format="PPM")
            self._window.update()
        except self._gone as error:
            raise SinkError(f"the preview window is gone ({error})") from error

    def caption(self, text: str) -> None:
        """Say something below the picture, from the next picture on."""
        with suppress(self._gone):  # the next picture tells
            self._caption.configure(text=text)
            self._caption.pack()

    def pressed(self) -> Iterator[Key]:
        """The keys that were pressed in the window since the last call."""
        while self._pressed:
            yield self._pressed.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._window.destroy()
        except self._gone:  # it is gone already
            return
