"""A virtual camera as a sink: meetings see what it is sent. It needs pyvirtualcam, which is GPL-2 and optional."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol, Self, cast

import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from pipeline.errors import SinkError
from pipeline.video.conform import ONE_THREAD

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

INSTALL = "make setup EXTRAS=live, or pip install --editable '.[live]' in the clone"

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
