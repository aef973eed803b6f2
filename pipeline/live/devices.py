"""Cameras, streams and files as sources of pictures: which cameras there are, how one is opened, why it can't be."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import av

from pipeline.errors import ConfigError, SourceError
from pipeline.video.decode import FileSource

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping


CURE = "`barefaced cameras` lists what there is"
"""The cure for a camera that was named wrongly."""

OPEN_SECONDS, READ_SECONDS = 8.0, 5.0
"""How long a stream over the network may take to open, and to give its next packet, before it counts as gone."""

FORMAT_OF_PLATFORM = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""`sys.platform` to FFmpeg's name for its cameras."""


@dataclass(frozen=True)
class CameraDevice:
    """A camera or a stream, ready to be opened."""

    name: str
    """The name by which the user knows it."""
    url: str
    """The address that FFmpeg opens."""
    format: str | None = None
    """FFmpeg's input device, such as `v4l2`; None for a stream, whose format FFmpeg finds out."""
    options: Mapping[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[av.VideoFrame]]:
        """Open it, in a `with` block, and give the pictures as they come.

        The iterator ends when a stream ends. Entering and iterating raise `SourceError` with the cure, also where a
        camera is unplugged.
        """
        try:
            container = av.open(
                self.url,
                format=self.format,
                options=dict(self.options),
                timeout=(OPEN_SECONDS, READ_SECONDS),
            )
        except av.error.FFmpegError as error:
            raise SourceError(explained(self, error)) from error

        with container:
            if not container.streams.video:
                raise SourceError(f"{self.name} gives no video: {CURE}")
            yield self._pictures(container)

    def _pictures(self, container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
        """Decode the camera's pictures, and leave out incomplete ones. Raises `SourceError` when it is gone."""
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # frame threads would hold pictures back
        try:
            for packet in container.demux(stream):
                with contextlib.suppress(av.error.InvalidDataError):  # an incomplete picture, as cameras send first
                    yield from packet.decode()
        except av.error.FFmpegError as error:
            raise SourceError(explained(self, error)) from error


@dataclass(frozen=True)
class Playback:
    """A video file as a camera: it is played once, and its pictures come when their time has come."""

    path: Path

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self.path)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[av.VideoFrame]]:
        """The pictures, upright, each at its time from now on. Entering and iterating raise `SourceError`."""
        with contextlib.closing(self._pictures(FileSource(self.path))) as pictures:
            yield pictures

    def _pictures(self, source: FileSource) -> Generator[av.VideoFrame]:
        """Wait for the time of each frame, and give its picture; the clock runs once the first was taken."""
        began: float | None = None
        for frame in source:
            if began is not None:
                wait = began + float(frame.time) - time.perf_counter()
                time.sleep(max(0.0, wait))
            yield frame.planes
            if began is None:
                began = time.perf_counter() - float(frame.time)


def camera(
    which: str, *, size: tuple[int, int] | None, fps: int, sends: str | None = None, platform: str = sys.platform
) -> CameraDevice:
    """The camera of that number, path or name, not opened yet. `sends` is a format to ask it for, such as `mjpeg`.

    Raises `ConfigError` on a platform whose cameras are unknown, and `SourceError` for a number that no camera has.
    """
    kind = FORMAT_OF_PLATFORM.get(platform)
    if kind is None:
        raise ConfigError(f"cameras are not known on {platform}; give --input rtsp://… of a network camera")
    options = {"framerate": str(fps)}
    if size is not None:
        options["video_size"] = f"{size[0]}x{size[1]}"

    if kind == "v4l2":
        url = f"/dev/video{which}" if which.isdecimal() else which
        return CameraDevice(url, url, kind, options | ({"input_format": sends} if sends else {}))
    if kind == "avfoundation":
        return CameraDevice(f"camera {which}", f"{which}:none", kind, options | {"pixel_format": sends or "nv12"})
    name = _directshow_name(int(which)) if which.isdecimal() else which
    wanted = {"vcodec" if sends == "mjpeg" else "pixel_format": sends} if sends else {}
    return CameraDevice(name, f"video={name}", kind, options | {"rtbufsize": "64M"} | wanted)


def stream(url: str) -> CameraDevice:
    """A stream over the network, such as `rtsp://…`, not opened yet; RTSP goes over TCP, where no packet is lost."""
    options = {"fflags": "nobuffer"}
    return CameraDevice(url, url, None, options | ({"rtsp_transport": "tcp"} if url.startswith("rtsp") else {}))


def cameras(platform: str = sys.platform) -> tuple[tuple[str, str], ...]:
    """List the cameras of this machine: what `--camera` takes, and what the system calls it.

    Raises `SourceError` when the system does not list them.
    """
    kind = FORMAT_OF_PLATFORM.get(platform, "")
    if kind == "v4l2" and not any(Path("/dev").glob("video*")):
        return ()
    try:
        found = av.enumerate_input_devices(kind)
    except (av.error.FFmpegError, ValueError) as error:
        raise SourceError(f"the cameras of {platform} can't be listed: {error}") from error

    video = [device for device in found if "video" in device.media_types or not device.media_types]
    return tuple(
        (device.name if kind == "v4l2" else str(number), device.description) for number, device in enumerate(video)
    )


def formats(device: CameraDevice) -> tuple[str, ...]:
    """List what a camera can send, in FFmpeg's words; empty where the camera would have to be opened for that."""
    wanted = {"v4l2": {"list_formats": "all"}, "dshow": {"list_options": "true"}}.get(device.format or "")
    if wanted is None:
        return ()
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture() as said, contextlib.suppress(av.error.FFmpegError):
            av.open(device.url, format=device.format, options=wanted).close()
    finally:
        av.logging.set_level(level)
    return format_lines("".join(text for _, _, text in said))


def format_lines(said: str) -> tuple[str, ...]:
    """The lines about formats in what FFmpeg logs, without their prefix, each once."""
    lines = [re.sub(r"^\[[^]]*\]\s*", "", line).strip() for line in said.splitlines()]
    return tuple(dict.fromkeys(line for line in lines if re.match(r"(Raw|Compressed|pixel_format=|vcodec=)", line)))


def _directshow_name(number: int) -> str:
    """The name of a camera on Windows, where FFmpeg takes no numbers. Raises `SourceError`."""
    found = cameras("win32")
    if number >= len(found):
        raise SourceError(f"there is no camera {number}: {CURE}")
    return found[number][1]


def explained(device: CameraDevice, error: av.error.FFmpegError) -> str:
    """Say in a sentence what FFmpeg's error means, and what to do."""
    network = device.format is None
    if isinstance(error, av.error.FileNotFoundError):
        advice = "; in a container or a virtual machine it has to be passed through" if device.format == "v4l2" else ""
        return f"{device.name} is not there: plug it in; {CURE}{advice}"
    if isinstance(error, av.error.PermissionError):
        return f"{device.name} may not be opened by you: {permission(device.format, group='video', pane='Camera')}"
    if error.errno == errno.EBUSY:
        who = holders(Path(device.url)) if device.format == "v4l2" else ()
        by = f" by {', '.join(who)}: close that" if who else ": close the program that shows its picture"
        return f"{device.name} is in use{by}, or take another camera"

    if error.errno in (errno.ENODEV, errno.EIO, errno.ENXIO):
        return f"{device.name} is gone: plug it in again"
    if error.errno == errno.ENOTTY:
        return f"{device.name} is not a camera: {CURE}"
    if error.errno == errno.EINVAL:
        wanted = ", ".join(f"{key}={value}" for key, value in device.options.items())
        return f"{device.name} can't do {wanted}: `barefaced cameras` lists sizes; give --size, --fps, --camera-format"

    if network:
        return f"{device.name} does not answer ({error.strerror}): is the address right, is the sender on?"
    return f"{device.name} can't be read: {error.strerror}; {CURE}"


def permission(kind: str | None, *, group: str, pane: str) -> str:
    """How a user gets the right to open a device of FFmpeg's `kind`, such as `v4l2`; None where FFmpeg finds it out.

    On Linux the user joins a `group`; elsewhere the system's settings have a `pane`, such as `Camera`.
    """
    if kind in ("v4l2", "alsa"):
        return f"sudo usermod -aG {group} $USER, then log out and in"
    if kind == "avfoundation":
        return f"System Settings, Privacy & Security, {pane}: allow the terminal, then start it anew"
    return f"Settings, Privacy & security, {pane}: let desktop apps use it"


LOOK_SECONDS = 1.0
"""How long to wait between two looks: a look walks through all programs."""

PATIENCE_SECONDS = 10.0
"""How long a device must be closed before nobody counts as watching: meetings close and open a camera when they change
its settings."""


def holders(device: Path) -> tuple[str, ...]:
    """The other programs that have `device` open, such as `zoom (1234)`.

    Only the programs that this user may look at are found, and none on systems without /proc.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            if any(_leads_to(link, device) for link in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text(encoding='utf-8').strip()} ({process.name})")
        except OSError:  # it has ended, or is somebody else's
            continue
    return tuple(found)


def _leads_to(link: Path, device: Path) -> bool:
    """Whether an open file of a process, as /proc links to it, is `device`."""
    try:
        return link.readlink() == device
    except OSError:  # closed meanwhile
        return False


class Onlookers:
    """Asks the system whether another program has a device open. One thread asks; another may set `device`, once.

    Somebody counts as watching until the device is known, and for a while after the last one has left.
    """

    def __init__(self, watching: Callable[[Path], tuple[str, ...]] = holders) -> None:
        self.device: Path | None = None
        self._watching = watching
        self._looked = self._seen = time.monotonic()

    def __call__(self) -> bool:
        """Whether somebody watches."""
        now = time.monotonic()
        if self.device is None:
            self._seen = now
        elif now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if self._watching(self.device):
                self._seen = now
        return now - self._seen < PATIENCE_SECONDS
