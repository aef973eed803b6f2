"""The chain of a container's parts: whole in a whole file, and every early end and broken link is found."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import av
import pytest

from pipeline.video.structure import flaw, ogg_checksum, y4m_picture_bytes
from tests.pipeline.clips import Clip, Sound

if TYPE_CHECKING:
    from pathlib import Path

CLIP = Clip(frames=60, sounds=(Sound(),))
LIVE = {"live": "1"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
SMALL = {"g": "10", "preset": "ultrafast"}
VP8 = CLIP.but(codec="libvpx", options={"deadline": "realtime", "b": "400k"}, sounds=(Sound("libopus"),))

KINDS = {
    "mkv": (CLIP, "a.mkv", "matroska,webm"),
    "live mkv": (CLIP.but(muxer_options=LIVE), "a.mkv", "matroska,webm"),
    "webm": (VP8, "a.webm", "matroska,webm"),
    "live webm": (VP8.but(muxer_options=LIVE), "a.webm", "matroska,webm"),
    "mp4": (CLIP, "a.mp4", "mov,mp4,m4a,3gp,3g2,mj2"),
    "fragmented mp4": (CLIP.but(muxer_options=FRAGMENTS, options=SMALL), "a.mp4", "mov,mp4,m4a,3gp,3g2,mj2"),
    "ts": (CLIP, "a.ts", "mpegts"),
    "m2ts": (CLIP, "a.m2ts", "mpegts"),
    "apng": (Clip(frames=9, codec="apng", pixel_format="rgb24", options={}), "a.apng", "apng"),
    "gif": (Clip(frames=9, codec="gif", pixel_format="rgb8", options={}), "a.gif", "gif"),
    "flv": (CLIP, "a.flv", "flv"),
    "avi": (CLIP.but(codec="mpeg4", options={}, sounds=(Sound("mp2"),)), "a.avi", "avi"),
    "ogg": (Clip(frames=2).but(codec="libvpx", options={}), "a.ogg", "ogg"),
    "y4m": (Clip(frames=7, codec="wrapped_avframe", options={}), "a.y4m", "yuv4mpegpipe"),
    "ivf": (VP8.but(sounds=()), "a.ivf", "ivf"),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    clip, name, container = KINDS[request.param]
    return clip.write(tmp_path / name), container


def test_a_whole_file_has_no_flaw(whole: tuple[Path, str]) -> None:
    path, container = whole
    assert flaw(path, container) is None


@pytest.mark.parametrize("share", [0.31, 0.52, 0.88])
def test_an_end_inside_a_part_is_a_cut(share: float, whole: tuple[Path, str]) -> None:
    path, container = whole
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share) | 1])
    assert "cut off" in str(flaw(path, container))


@pytest.mark.parametrize("kind", ["mkv", "ogg", "apng"])
def test_every_flipped_bit_is_found_where_there_are_checksums(kind: str, tmp_path: Path) -> None:
    clip, name, container = KINDS[kind]
    path = clip.write(tmp_path / name)
    data = path.read_bytes()
    first = data.index(bytes.fromhex("1F43B675")) + 20 if kind == "mkv" else 8
    for position in range(first, len(data) - 100, len(data) // 23):
        path.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        assert flaw(path, container) is not None, position


@pytest.mark.parametrize("kind", ["live mkv", "fragmented mp4", "flv", "avi", "gif", "ogg", "y4m", "apng"])
def test_a_lost_stretch_breaks_the_chain(kind: str, tmp_path: Path) -> None:
    clip, name, container = KINDS[kind]
    path = clip.write(tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3] + data[len(data) // 2 :])
    assert flaw(path, container) is not None


@pytest.mark.parametrize("kind", ["ts", "m2ts", "fragmented mp4", "apng", "gif"])
def test_a_zeroed_stretch_is_damage(kind: str, tmp_path: Path) -> None:
    clip, name, container = KINDS[kind]
    path = clip.write(tmp_path / name)
    data = path.read_bytes()
    begin = data.rindex(b"moof") - 200 if kind == "fragmented mp4" else len(data) // 2
    path.write_bytes(data[:begin] + bytes(400) + data[begin + 400 :])
    assert flaw(path, container) is not None


@pytest.mark.parametrize(
    ("colour", "pixel_format"),
    [
        ("420jpeg", "yuv420p"),
        ("420p10", "yuv420p10le"),
        ("422", "yuv422p"),
        ("444p12", "yuv444p12le"),
        ("411", "yuv411p"),
        ("mono", "gray"),
        ("mono16", "gray16le"),
        ("444alpha", "yuva444p"),
    ],
)
def test_y4m_pictures_have_the_size_of_their_pixel_format(colour: str, pixel_format: str) -> None:
    planes = av.VideoFrame(67, 51, pixel_format).planes
    bytes_a_sample = 2 if pixel_format.endswith("le") else 1
    expected = sum(plane.width * plane.height for plane in planes) * bytes_a_sample
    assert y4m_picture_bytes(67, 51, colour) == expected


def test_containers_that_say_nothing_of_their_end_have_no_flaw(tmp_path: Path) -> None:
    path = tmp_path / "a.h264"
    path.write_bytes(bytes(100))
    assert flaw(path, "h264") is None


BLOCK = bytes(4000)
LONG = {
    "matroska,webm": b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + (b"\xec\x4f\xa0" + BLOCK) * 10_000,
    "mpegts": (b"G" + bytes(187)) * 200_000,
    "ivf": bytes(32) + (len(BLOCK).to_bytes(4, "little") + bytes(8) + BLOCK) * 10_000,
}
WALK = """
import resource, sys
from pathlib import Path
from pipeline.video import structure
structure.WINDOW_BYTES = 1 << 20
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert structure.flaw(Path(sys.argv[1]), sys.argv[2]) is None
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("container", LONG)
def test_a_long_file_is_walked_in_little_memory(container: str, tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(LONG[container])
    command = [sys.executable, "-c", WALK, str(path), container]
    kilobytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert kilobytes < path.stat().st_size / 1000 / 3


def test_the_checksum_is_that_of_the_ogg_specification() -> None:
    """Computed bit by bit, as RFC 3533 describes it."""
    page = b"OggS" + bytes(range(60))
    remainder = 0
    for byte in page:
        remainder ^= byte << 24
        for _ in range(8):
            remainder = (remainder << 1 ^ 0x04C11DB7 if remainder & 1 << 31 else remainder << 1) & 0xFFFFFFFF
    assert ogg_checksum(page) == remainder
