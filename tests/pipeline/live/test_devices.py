"""Cameras by name, and what is said when they can't be opened. The errors are those of the real library."""

from __future__ import annotations

import errno
import subprocess
import sys
from typing import TYPE_CHECKING

import av
import pytest

from pipeline.errors import ConfigError, SourceError
from pipeline.live import devices
from pipeline.live.devices import CameraDevice, camera, explained, format_lines, holders, stream

if TYPE_CHECKING:
    from pathlib import Path

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has v4l2 and /proc")


def opening(device: CameraDevice) -> str:
    """The sentence with which opening `device` fails."""
    with pytest.raises(SourceError) as raised, device.opened():
        pass
    return str(raised.value)


def test_a_number_becomes_what_each_system_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cameras", lambda _platform: (("0", "HD Webcam"),))
    linux, mac, windows = (camera("0", size=(640, 480), fps=30, platform=name) for name in ("linux", "darwin", "win32"))
    assert (linux.format, linux.url) == ("v4l2", "/dev/video0")
    assert (mac.format, mac.url) == ("avfoundation", "0:none")
    assert (windows.format, windows.url) == ("dshow", "video=HD Webcam")
    assert all(
        device.options["video_size"] == "640x480" and device.options["framerate"] == "30" for device in (linux, mac)
    )


def test_a_camera_is_asked_for_the_format_that_was_given() -> None:
    assert camera("0", size=None, fps=30, sends="mjpeg", platform="linux").options["input_format"] == "mjpeg"


def test_a_number_that_no_camera_has_points_to_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cameras", lambda _platform: ())
    with pytest.raises(SourceError, match="there is no camera 3: `barefaced cameras` lists"):
        camera("3", size=None, fps=30, platform="win32")


def test_an_unknown_system_is_told_to_use_the_network() -> None:
    with pytest.raises(ConfigError, match="cameras are not known on plan9; give --input rtsp"):
        camera("0", size=None, fps=30, platform="plan9")


@linux_only
def test_a_camera_that_is_not_there() -> None:
    said = opening(camera("/dev/video987", size=None, fps=30, platform="linux"))
    assert said.startswith("/dev/video987 is not there: plug it in; `barefaced cameras` lists what there is")


@linux_only
def test_a_file_that_is_no_camera(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no camera")
    assert "is not a camera: `barefaced cameras`" in opening(camera(str(path), size=None, fps=30, platform="linux"))


def test_a_stream_that_nobody_sends() -> None:
    said = opening(stream("rtsp://127.0.0.1:9/none"))
    assert "rtsp://127.0.0.1:9/none does not answer" in said
    assert "is the sender on?" in said


@pytest.mark.parametrize(
    ("number", "platform", "expected"),
    [
        (errno.EACCES, "linux", "sudo usermod -aG video"),
        (errno.EACCES, "darwin", "Privacy & Security, Camera: allow the terminal"),
        (errno.EBUSY, "linux", "is in use: close the program"),
        (errno.ENODEV, "linux", "is gone: plug it in again"),
        (errno.EINVAL, "linux", "can't do framerate=30, video_size=640x480"),
    ],
)
def test_what_an_error_number_means(number: int, platform: str, expected: str) -> None:
    device = camera("0", size=(640, 480), fps=30, platform=platform)
    with pytest.raises(av.error.FFmpegError) as raised:
        av.error.err_check(-number)
    assert expected in explained(device, raised.value)


def test_a_real_input_gives_its_pictures_until_it_ends() -> None:
    made = CameraDevice("test picture", "testsrc=size=64x48:rate=30:duration=0.2", "lavfi")
    with made.opened() as pictures:
        sizes = [(picture.width, picture.height) for picture in pictures]
    assert sizes == [(64, 48)] * 6


def test_formats_are_read_from_what_ffmpeg_logs() -> None:
    said = (
        "[video4linux2,v4l2 @ 0x55] Raw       :     yuyv422 :           YUYV 4:2:2 : 640x480 320x240\n"
        "[video4linux2,v4l2 @ 0x55] Compressed:       mjpeg :          Motion-JPEG : 1280x720\n"
        "[in#0 @ 0x56] Error opening input\n"
        "[dshow @ 0x57]   pixel_format=nv12  min s=640x480 fps=5 max s=640x480 fps=30\n"
    )
    found = format_lines(said)
    assert [line.split()[0] for line in found] == ["Raw", "Compressed:", "pixel_format=nv12"]


@linux_only
def test_who_has_a_device_open_is_found_by_its_program(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch()
    assert holders(device) == ()
    code = f"import sys; file = open({str(device)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        (found,) = holders(device)
        assert found.endswith(f"({other.pid})")
        other.communicate()
    assert holders(device) == ()
