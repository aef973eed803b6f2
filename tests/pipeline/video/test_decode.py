"""A file as a source of frames."""

from __future__ import annotations

import resource
import struct
import zlib
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ConfigError, DecodeError, SourceError
from pipeline.picture.planes import arrays
from pipeline.run.work import Account
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
from pipeline.video.opening import read_sound
from pipeline.video.reading import BAD_PACKETS_IN_A_ROW
from tests.pipeline.clips import Clip, Sound, number_in, times_of, variable_rate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOUND_RATE = 16_000
SHORT = Clip(frames=20, width=192, height=64)


def test_frames_come_in_order_with_index_time_and_the_decoders_own_planes(tmp_path: Path) -> None:
    path = SHORT.but(times=variable_rate(1), time_base=Fraction(1, 90000)).write(tmp_path / "in.mp4")
    source = FileSource(path)
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time for frame in frames] == times_of(path)
    assert [number_in(frame.planes.to_ndarray(format="rgb24", threads=1)) for frame in frames] == list(range(20))
    assert all(frame.planes.format.name == "yuv420p" for frame in frames)
    assert all(b.arrived >= a.arrived for a, b in pairwise(frames))
    with av.open(str(path)) as opened:
        for frame, stored in zip(frames, opened.decode(video=0), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(arrays(frame.planes), arrays(stored), strict=True))
    assert source.outcome.ended
    assert source.outcome.end_time == times_of(path)[-1] + Fraction(frames[-1].planes.duration, 90000)


def test_outcome_of_a_run_that_was_stopped_is_not_complete(tmp_path: Path) -> None:
    source = FileSource(SHORT.write(tmp_path / "in.mp4"))
    frames = iter(source)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert not source.outcome.ended
    assert not source.outcome.complete
    assert source.outcome.frames == 1


@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 5), Fraction(2, 5)])
def test_start_gives_the_frames_from_there_on(start: Fraction, tmp_path: Path) -> None:
    path = SHORT.write(tmp_path / "in.mp4")
    assert [frame.time for frame in FileSource(path, start=start)] == [time for time in times_of(path) if time >= start]


def test_end_is_not_inside(tmp_path: Path) -> None:
    path = SHORT.write(tmp_path / "in.mp4")
    source = FileSource(path, end=Fraction(1, 3))
    assert [frame.time for frame in source][-1] == Fraction(9, 30)
    assert source.outcome.complete


@pytest.mark.parametrize(("start", "end"), [(-1, None), (2, 1), (1, 1), (None, 0)])
def test_impossible_start_and_end_are_refused(start: int | None, end: int | None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start"):
        FileSource(
            tmp_path / "in.mp4",
            start=None if start is None else Fraction(start),
            end=None if end is None else Fraction(end),
        )


def test_start_behind_the_end_says_how_long_the_video_is(tmp_path: Path) -> None:
    source = FileSource(SHORT.write(tmp_path / "in.mp4"), start=Fraction(5))
    with pytest.raises(DecodeError, match=r"start is 5.00 s, but the video lasts 0.67 s"):
        list(source)


def test_start_works_where_the_format_cannot_seek(tmp_path: Path) -> None:
    path = SHORT.write(tmp_path / "in.h264")
    numbers = [
        number_in(f.planes.to_ndarray(format="rgb24", threads=1)) for f in FileSource(path, start=Fraction(1, 3))
    ]
    assert numbers[-1] == 19
    assert numbers == list(range(numbers[0], 20))
    assert 8 <= numbers[0] <= 12


def test_pictures_without_times_get_them_from_the_rate(tmp_path: Path) -> None:
    source = FileSource(SHORT.but(rate=Fraction(25)).write(tmp_path / "in.h264"))
    times = [frame.time for frame in source]
    assert len(times) == 20
    steps = {b - a for a, b in pairwise(times)}
    assert len(steps) == 1
    assert any("no time" in warning for warning in source.outcome.warnings)


def test_odd_formats_arrive_in_one_that_can_be_blended_in(tmp_path: Path) -> None:
    source = FileSource(Clip(frames=2, codec="ffv1", pixel_format="yuv411p", options={}).write(tmp_path / "in.mkv"))
    assert {frame.planes.format.name for frame in source} == {source.info.pixel_format} == {"yuv422p"}
    assert any("yuv411p" in warning for warning in source.outcome.warnings)


def test_bottom_up_pictures_are_turned_over(tmp_path: Path) -> None:
    path = Clip(frames=1, codec="rawvideo", pixel_format="bgr24", options={}).write(tmp_path / "in.avi")
    frame = next(iter(FileSource(path)))
    assert all(plane.line_size > 0 for plane in frame.planes.planes)
    assert number_in(frame.planes.to_ndarray(format="rgb24", threads=1)) == 0
    top = frame.planes.to_ndarray(format="rgb24", threads=1)[:16]
    assert top.mean() < frame.planes.to_ndarray(format="rgb24", threads=1)[16:].mean()


def test_first_picture_may_be_damaged(tmp_path: Path) -> None:
    whole = Clip(frames=30, options={"preset": "ultrafast", "g": "10"}, muxer_options={"movflags": "faststart"})
    data = bytearray(whole.write(tmp_path / "whole.mp4").read_bytes())
    start = data.index(b"mdat") + 4
    data[start : start + 600] = bytes(600)
    (tmp_path / "in.mp4").write_bytes(data)
    source = FileSource(tmp_path / "in.mp4")
    frames = list(source)
    assert 15 <= len(frames) < 30
    assert source.outcome.bad_packets > 0
    assert not source.outcome.complete


def test_reading_gives_up_after_many_bad_packets_in_a_row(tmp_path: Path) -> None:
    clip = Clip(frames=BAD_PACKETS_IN_A_ROW + 60, width=32, height=32, options={"preset": "ultrafast", "g": "1"})
    path = clip.but(muxer_options={"movflags": "faststart"}, draw=lambda n, w, h, _: flat(n, w, h)).write(
        tmp_path / "whole.mp4"
    )
    with av.open(str(path)) as opened:
        positions = [(packet.pos, packet.size) for packet in opened.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in positions[20:]:
        data[position : position + size] = bytes([255]) * size
    (tmp_path / "in.mp4").write_bytes(data)
    source = FileSource(tmp_path / "in.mp4")
    frames = list(source)
    assert len(frames) == 20
    assert source.outcome.bad_packets >= BAD_PACKETS_IN_A_ROW
    assert any("in a row" in problem for problem in source.outcome.problems)


def flat(number: int, width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 40 + number % 160, np.uint8)


def test_frames_hold_only_themselves_in_memory(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    path = Clip(frames=120, width=640, height=480, draw=lambda n, w, h, _: flat(n, w, h)).write(tmp_path / "in.mp4")
    process = psutil.Process()
    seen = [process.memory_info().rss for _ in FileSource(path)]
    assert max(seen[60:]) - seen[30] < 8_000_000


def test_a_sound_track_does_not_come_as_frames(tmp_path: Path) -> None:
    source = FileSource(Clip(frames=10, sounds=(Sound(), Sound())).write(tmp_path / "in.mkv"))
    assert len(list(source)) == 10


def test_sound_of_a_file_is_mono_at_one_rate(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)).astype(np.int16)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
        frame.rate = 44_100
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    start, blocks = read_sound(path, SOUND_RATE)
    samples = np.concatenate(list(blocks))
    assert start == 0
    assert len(samples) == pytest.approx(SOUND_RATE, abs=50)
    assert np.sqrt((samples**2).mean()) == pytest.approx(8000 / 32768 / np.sqrt(2), rel=0.02)


def test_a_file_without_sound_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mute.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "gray"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16), np.uint8), format="gray")))
        file.mux(stream.encode(None))
    with pytest.raises(SourceError, match="has no sound"):
        read_sound(path, SOUND_RATE)
    with pytest.raises(SourceError, match="can't be read"):
        read_sound(tmp_path / "none.mp4", SOUND_RATE)


def test_a_hole_in_the_sound_leaves_what_follows_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "hole.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=SOUND_RATE, layout="mono")
        for second in (0, 3):
            tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(SOUND_RATE) / SOUND_RATE)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
            frame.rate, frame.pts = SOUND_RATE, second * SOUND_RATE
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    start, blocks = read_sound(path, SOUND_RATE)
    samples = np.concatenate(list(blocks))
    assert start == 0
    loud = np.abs(samples.reshape(-1, SOUND_RATE // 10)).max(axis=1) > 0.1
    assert loud.tolist() == [True] * 10 + [False] * 20 + [True] * 10


def replaced(path: Path) -> None:
    """Another file under the same name."""
    Clip(frames=9).write(path.with_name(f"other{path.suffix}")).replace(path)


def appended(path: Path) -> None:
    """The same file with more in it."""
    with path.open("ab") as file:
        file.write(bytes(5000))


def overwritten(path: Path) -> None:
    """The same file and length with something else in it."""
    with path.open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"x" * 100)


@pytest.mark.parametrize("change", [replaced, appended, overwritten])
@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.ts"])
def test_an_input_that_changes_while_it_is_read_is_not_complete(
    change: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    source = FileSource(Clip(frames=20).write(tmp_path / name))
    sink = FileSink(source, tmp_path / "out.mkv")
    for frame in sink(iter(source)):
        if frame.index == 3:
            change(source.path)
    assert any("while it was read" in problem for problem in sink.outcome.problems)
    assert not Account.of(source, sink).complete


def test_an_input_that_is_deleted_while_it_is_read_is_complete(tmp_path: Path) -> None:
    source = FileSource(Clip(frames=20).write(tmp_path / "in.ts"))
    sink = FileSink(source, tmp_path / "out.mkv")
    for frame in sink(iter(source)):
        if frame.index == 3:
            source.path.unlink()
    assert sink.outcome.frames == 20
    assert not sink.outcome.problems


TINY = Clip(frames=3, width=64, height=64)


def claiming(path: Path, clip: Clip, mark: bytes, order: str, side: int) -> Path:
    """A film whose pictures say after `mark` that they are `side` pixels wide and high."""
    data = bytearray(clip.write(path).read_bytes())
    at = -1
    while (at := data.find(mark, at + 1)) >= 0:
        struct.pack_into(f"{order}HH", data, at + len(mark), side, side)
    path.write_bytes(data)
    return path


def animated_png(path: Path, side: int) -> Path:
    """An animation whose header claims a size."""
    images = [Image.new("L", (8, 8), grey) for grey in (0, 99)]
    images[0].save(path, save_all=True, append_images=images[1:])
    data = bytearray(path.read_bytes())
    struct.pack_into(">II", data, 16, side, side)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    path.write_bytes(data)
    return path


JPEGS = TINY.but(codec="mjpeg", pixel_format="yuvj420p", options={})
VP8 = TINY.but(codec="libvpx", options={"deadline": "realtime"})
CLAIMS: dict[str, Callable[[Path], object]] = {
    "a.ivf": lambda path: claiming(path, VP8, b"\x9d\x01\x2a", "<", 16_383),
    "a.webm": lambda path: claiming(path, VP8, b"\x9d\x01\x2a", "<", 9_000),
    "a.avi": lambda path: claiming(path, JPEGS, b"\xff\xc0\x00\x11\x08", ">", 16_000),
    "a.mov": lambda path: claiming(path, JPEGS, b"\xff\xc0\x00\x11\x08", ">", 16_000),
    "a.y4m": lambda path: path.write_bytes(b"YUV4MPEG2 W16384 H16384 F25:1 C420\nFRAME\n" + bytes(1000)),
    "a.png": lambda path: animated_png(path, 60_000),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_film_that_claims_huge_frames_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    CLAIMS[name](tmp_path / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SourceError, match=r"a\.[a-z0-9]+"):
        list(FileSource(tmp_path / name))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000  # kilobytes


def test_frames_beyond_the_limit_are_refused_with_the_flag_that_allows_them(tmp_path: Path) -> None:
    path = Clip(frames=2, width=640, height=480).write(tmp_path / "in.mp4")
    with pytest.raises(SourceError, match=r"640x480, more than the 0 megapixels .* --largest-picture 2 allows them"):
        _ = FileSource(path, largest_megapixels=Fraction(3, 10)).info
    assert len(list(FileSource(path, largest_megapixels=2 * Fraction(4, 25)))) == 2


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "libx265"])
def test_frames_that_grow_in_the_middle_are_scaled_back_or_end_the_reading(codec: str, tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    clips = [Clip(frames=6, width=side, height=side, codec=codec, options=options) for side in (128, 512, 128)]
    parts = [clip.write(tmp_path / f"{number}.ts").read_bytes() for number, clip in enumerate(clips)]
    (tmp_path / "in.ts").write_bytes(b"".join(parts))
    source = FileSource(tmp_path / "in.ts")
    assert {(frame.width, frame.height) for frame in source} == {(128, 128)}
    assert source.outcome.frames >= 16  # FFmpeg loses up to two at joints, and says so
    assert any("scaled back" in warning for warning in source.outcome.warnings)

    limited = FileSource(tmp_path / "in.ts", largest_megapixels=Fraction(1, 10))
    assert len(list(limited)) <= 6
    assert any("512x512, more than is allowed" in problem for problem in limited.outcome.problems)
    assert not limited.outcome.complete
