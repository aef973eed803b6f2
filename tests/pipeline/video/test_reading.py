"""Files of every container are read to their end, on their own clock, and nothing is called missing that is there."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import pytest

from pipeline.video.decode import FileSource
from tests.pipeline.clips import (
    Clip,
    Sound,
    empty_matroska_blocks,
    empty_quicktime_samples,
    images_of,
    later,
    number_in,
    times_of,
    variable_rate,
)
from tests.pipeline.video.test_torture import first_flash_and_beep, through

if TYPE_CHECKING:
    from pathlib import Path

MJPEG = Clip(frames=30, codec="mjpeg", pixel_format="yuvj420p", options={})
BEEPING = Clip(frames=45, sounds=(Sound(),))
LIVE = {"live": "1"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov", "avoid_negative_ts": "disabled"}


def numbers_of(source: FileSource) -> list[tuple[Fraction, int]]:
    """Time since the origin and number of every frame."""
    return [(frame.time - source.info.origin, number_in(frame.image)) for frame in source]


# Empty packets -----------------------------------------------------------------------------------------------------


def with_empty_packets(kind: str, folder: Path, empty: tuple[int, ...], *, frames: int = 30) -> Path:
    """A clip of so many pictures in which the packets of these numbers hold nothing."""
    clip = MJPEG.but(frames=frames)
    if kind == "mov":
        return empty_quicktime_samples(clip.write(folder / "in.mov"), empty)
    if kind == "mkv":
        clip = clip.but(muxer_options={"write_crc32": "0"})
        return empty_matroska_blocks(clip.write(folder / "in.mkv"), empty)
    with av.open(str(folder / f"in.{kind}"), "w") as output:
        stream = clip.add_video(output)
        for number, packet in enumerate(clip.video_packets(stream)):
            nothing = av.Packet(b"")
            nothing.stream, nothing.time_base, nothing.duration = stream, packet.time_base, packet.duration
            nothing.pts, nothing.dts = packet.pts, packet.dts
            output.mux(nothing if number in empty else packet)
    return folder / f"in.{kind}"


@pytest.mark.parametrize("kind", ["mov", "mkv", "nut", "avi"])
@pytest.mark.parametrize("empty", [(1,), (7, 8, 20)])
def test_an_empty_packet_is_not_the_end(kind: str, empty: tuple[int, ...], tmp_path: Path) -> None:
    source = FileSource(with_empty_packets(kind, tmp_path, empty))
    left = [number for number in range(30) if number not in empty]
    assert [number for _, number in numbers_of(source)] == left
    assert source.outcome.complete, source.outcome


@pytest.mark.parametrize("kind", ["mov", "mkv", "nut", "avi"])
def test_a_picture_stays_where_the_next_is_empty(kind: str, tmp_path: Path) -> None:
    source = FileSource(with_empty_packets(kind, tmp_path, (7, 8, 20)))
    assert all(abs(time - Fraction(number, 30)) <= Fraction(1, 1000) for time, number in numbers_of(source))


@pytest.mark.parametrize("kind", ["mov", "nut", "avi"])  # FFmpeg does not tell of empty blocks in Matroska
def test_no_picture_is_said_to_be_lost_where_the_last_one_was_to_stay(kind: str, tmp_path: Path) -> None:
    source = FileSource(with_empty_packets(kind, tmp_path, (40,), frames=90))
    assert len(list(source)) == 89
    assert source.outcome.warnings == []


# Where the clock begins --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [("late.mkv", {}), ("live.mkv", LIVE), ("late.mp4", FRAGMENTS), ("late.nut", {}), ("late.ts", {})],
)
@pytest.mark.parametrize("seconds", [Fraction(3, 2), Fraction(1000)])
def test_a_clock_may_begin_anywhere(name: str, options: dict[str, str], seconds: Fraction, tmp_path: Path) -> None:
    source = later(BEEPING.write(tmp_path / "in.mkv"), tmp_path / name, seconds=seconds, options=options)
    reading, sink = through(source, tmp_path / "out.mp4")
    assert reading.outcome.complete, reading.outcome
    assert not sink.outcome.problems
    times = times_of(tmp_path / "out.mp4")
    assert len(times) == 45
    assert times[0] < Fraction(1, 20)
    flash, beep = first_flash_and_beep(tmp_path / "out.mp4", near=1.0)
    assert abs(flash - beep) < 1 / 30


@pytest.mark.parametrize(("name", "options"), [("late.mkv", {}), ("live.mkv", LIVE), ("late.mp4", FRAGMENTS)])
def test_start_and_end_count_from_where_the_clock_begins(name: str, options: dict[str, str], tmp_path: Path) -> None:
    clip = BEEPING.but(sounds=())
    source = later(clip.write(tmp_path / "in.mkv"), tmp_path / name, seconds=Fraction(500), options=options)
    reading, _ = through(source, tmp_path / "out.mp4", start=Fraction(1, 2), end=Fraction(1))
    assert [number_in(image) for image in images_of(tmp_path / "out.mp4")] == list(range(15, 30))
    assert reading.outcome.complete


# What a file declares ----------------------------------------------------------------------------------------------


def test_statistics_of_before_a_cut_are_not_believed(tmp_path: Path) -> None:
    old = {"NUMBER_OF_FRAMES-eng": "9000", "DURATION-eng": "00:05:00.000000000"}
    old["_STATISTICS_WRITING_DATE_UTC-eng"] = "2024-05-05 05:05:05"
    source = FileSource(BEEPING.but(video_metadata=old).write(tmp_path / "in.mkv"))
    assert len(list(source)) == 45
    assert source.outcome.complete, source.outcome


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4", "in.avi"])
def test_a_picture_that_stays_to_the_end_is_no_missing_end(name: str, tmp_path: Path) -> None:
    """Sound goes on for three seconds after the last picture."""
    clip = Clip(frames=15, codec="mpeg4", options={})
    with av.open(str(tmp_path / name), "w") as output:
        video, audio = clip.add_video(output), clip.add_sound(output, Sound("mp2"))
        packets = [*clip.video_packets(video), *silence(audio, seconds=4)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    source = FileSource(tmp_path / name)
    assert len(list(source)) == 15
    assert source.outcome.complete, source.outcome


def silence(stream: av.AudioStream, *, seconds: int) -> list[av.Packet]:
    """Packets of a track in which nothing is heard."""
    packets = []
    for start in range(0, 48000 * seconds, 1152):
        frame = av.AudioFrame(format="s16", layout="mono", samples=1152)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def test_joined_recordings_are_as_long_as_what_is_in_them(tmp_path: Path) -> None:
    first = BEEPING.write(tmp_path / "first.ts")
    second = later(first, tmp_path / "second.ts", seconds=Fraction(20_000))
    (tmp_path / "in.ts").write_bytes(first.read_bytes() + second.read_bytes())
    source = FileSource(tmp_path / "in.ts")
    assert len(list(source)) == 90
    assert source.outcome.complete, source.outcome


def test_a_header_that_counts_moments_without_a_picture_is_not_believed(tmp_path: Path) -> None:
    """AVI's header counts the empty chunks of a capture that dropped pictures."""
    source = FileSource(with_empty_packets("avi", tmp_path, (3, 4, 5, 6, 20)))
    assert len(list(source)) == 25
    assert source.outcome.complete, source.outcome


# Ends that nothing declares ----------------------------------------------------------------------------------------

UNDECLARED = {
    "live.mkv": BEEPING.but(muxer_options=LIVE),
    "live.webm": BEEPING.but(
        codec="libvpx", options={"deadline": "realtime"}, sounds=(Sound("libopus"),), muxer_options=LIVE
    ),
    "in.gif": Clip(frames=20, codec="gif", pixel_format="rgb8", options={}),
    "in.y4m": Clip(frames=20, codec="wrapped_avframe", options={}),
    "in.flv": BEEPING,
    "in.ivf": Clip(frames=20, codec="libvpx", options={"deadline": "realtime"}),
}


@pytest.mark.parametrize("name", UNDECLARED)
@pytest.mark.parametrize("share", [0.43, 0.71, 1.0])
def test_an_end_inside_a_picture_is_a_missing_end(name: str, share: float, tmp_path: Path) -> None:
    path = UNDECLARED[name].write(tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    source = FileSource(path)
    count = len(list(source))
    assert source.outcome.complete == (share == 1), source.outcome
    assert count >= UNDECLARED[name].frames * share / 2


# Times of showing that AVI does not store --------------------------------------------------------------------------


def test_pictures_of_avi_are_shown_in_their_order_from_the_beginning(tmp_path: Path) -> None:
    clip = Clip(frames=40, options={"preset": "medium", "bf": "2", "g": "20"})
    assert numbers_of(FileSource(clip.write(tmp_path / "in.avi"))) == [(Fraction(n, 30), n) for n in range(40)]


def test_two_pictures_in_one_packet_are_shown_one_after_the_other(tmp_path: Path) -> None:
    """Written like XviD: a B-frame behind the frame that it refers to, then a packet that stands for nothing."""
    clip = Clip(frames=40, codec="mpeg4", options={"bf": "1", "b_strategy": "0", "g": "100"})
    with av.open(str(tmp_path / "in.avi"), "w") as output:
        stream = clip.add_video(output)
        packets = sorted(clip.video_packets(stream), key=lambda packet: packet.dts)
        first, rest = packets[0], packets[1:]
        merged = [bytes(first).replace(b"\x00\x00\x01\xb6", b"\x00\x00\x01\xb2DivX503b1393p\x00\x00\x01\xb6", 1)]
        for reference, between in zip(rest[::2], rest[1::2], strict=False):
            merged += [bytes(reference) + bytes(between), b"\x00\x00\x01\xb6\x51\x60\x00\x00"]
        for number, data in enumerate(merged):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.dts, packet.pts = stream, Fraction(1, 30), number, number
            packet.is_keyframe = number == 0
            output.mux(packet)
    found = numbers_of(FileSource(tmp_path / "in.avi"))
    assert found == [(Fraction(n, 30), n) for n in range(len(found))]
    assert len(found) >= 38


def test_a_configuration_that_comes_again_breaks_no_output(tmp_path: Path) -> None:
    """An FLV that begins without the configuration of its sound and sends it in mid-stream."""
    whole = BEEPING.write(tmp_path / "whole.flv").read_bytes()
    position, tags, configuration = 13, [], b""
    while position < len(whole):
        length = 11 + int.from_bytes(whole[position + 1 : position + 4], "big") + 4
        tag, position = whole[position : position + length], position + length
        if tag[0] == 8 and tag[12] == 0:
            configuration = tag
        else:
            tags.append(tag)
    tags.insert(len(tags) // 2, configuration)
    (tmp_path / "in.flv").write_bytes(whole[:13] + b"".join(tags))
    for target in ("out.mkv", "out.mp4"):
        _, sink = through(tmp_path / "in.flv", tmp_path / target)
        assert len(times_of(tmp_path / target)) == sink.outcome.frames == 45


def test_a_stream_that_begins_late_is_said(tmp_path: Path) -> None:
    """An FLV whose header promises no sound, in which sound comes after the first seconds."""
    silent = Clip(frames=200, width=64, height=48).write(tmp_path / "in.flv").read_bytes()
    body = b"\x2e" + bytes(200)
    tags = b"".join(
        struct.pack(">B", 8) + len(body).to_bytes(3, "big") + (4000 + 26 * i).to_bytes(3, "big") + bytes(4) + body
        + (len(body) + 11).to_bytes(4, "big")
        for i in range(50)
    )  # fmt: skip
    (tmp_path / "in.flv").write_bytes(silent + tags)
    source = FileSource(tmp_path / "in.flv")
    assert len(list(source)) == 200
    assert any("begins in the middle" in warning for warning in source.outcome.warnings), source.outcome
    _, sink = through(tmp_path / "in.flv", tmp_path / "out.mp4")
    assert sink.outcome.frames == 200


STEADY = Clip(frames=60, width=64, height=64, options={"preset": "ultrafast", "g": "10", "bf": "0"})
MPEG2 = STEADY.but(codec="mpeg2video", options={"g": "1"}, rate=Fraction(25))
HOLED = {"a.nut": STEADY.but(codec="mpeg4", options={}), "a.mpg": MPEG2, "a.mkv": STEADY, "a.ts": STEADY}


@pytest.mark.parametrize("name", HOLED)
def test_a_hole_in_the_times_of_a_constant_rate_is_a_warning(name: str, tmp_path: Path) -> None:
    whole = HOLED[name]
    source = FileSource(whole.write(tmp_path / name))
    assert len(list(source)) == 60
    assert source.outcome.warnings == []

    times = [moment for number, moment in enumerate(whole.moments) if not 30 <= number < 37]
    holed = FileSource(whole.but(times=times).write(tmp_path / name))
    assert len(list(holed)) == 53
    assert holed.outcome.complete
    (warning,) = holed.outcome.warnings
    assert "leave room for 7 pictures more, first after " in warning
    after = float(warning.partition("first after ")[2].partition(" s")[0])
    assert after == pytest.approx(float(29 / whole.rate), abs=0.09)  # FFmpeg's times in MPEG-PS are two pictures late


def test_a_block_that_is_lost_between_two_pictures_is_a_warning_where_the_container_is_silent(tmp_path: Path) -> None:
    path = HOLED["a.nut"].but(options={"g": "1"}).write(tmp_path / "a.nut")
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    path.write_bytes(data[: places[20]] + data[places[24] :])
    source = FileSource(path)
    assert len(list(source)) < 60
    assert not source.outcome.complete or any("leave room for" in warning for warning in source.outcome.warnings)


@pytest.mark.parametrize(
    "times",
    [
        variable_rate(3),
        [Fraction(number, 30) for number in range(20)],
        [Fraction(number // 2 * 5 + number % 2 * 2, 60) for number in range(80)],  # films of 24 on a clock of 60
        [Fraction(number, 30) if number < 59 else Fraction(4) for number in range(60)],
    ],
)
def test_other_rates_and_what_says_how_long_pictures_stand_have_no_holes(times: list[Fraction], tmp_path: Path) -> None:
    name = "a.mp4" if times[-1] == 4 else "a.mkv"
    clip = STEADY.but(times=times, time_base=Fraction(1, 90000))
    source = FileSource(clip.write(tmp_path / name))
    list(source)
    assert source.outcome.warnings == []
