"""What a file holds, and why one can't be opened."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import SourceError
from pipeline.video.info import Colour
from pipeline.video.probe import missing_end, probe
from tests.pipeline.clips import Clip, Sound, variable_rate

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.video.info import SourceInfo


def test_info_says_what_the_clip_is(tmp_path: Path) -> None:
    clip = Clip(frames=30, rate=Fraction(30000, 1001), sounds=(Sound(title="Main"),), colour=(1, 1, 1, 1))
    info = probe(clip.write(tmp_path / "in.mp4"))
    assert (info.width, info.height, info.pixel_aspect) == (320, 240, 1)
    assert info.average_rate == info.base_rate == Fraction(30000, 1001)
    assert info.frames == 30
    assert info.duration == 30 * Fraction(1001, 30000)
    assert info.pixel_format == info.stored_format == "yuv420p"
    assert info.colour == Colour(1, 1, 1, 1)
    assert not info.colour.hdr
    assert info.turn.nothing
    assert not info.interlaced
    assert [(stream.kind, stream.codec) for stream in info.streams] == [("video", "h264"), ("audio", "aac")]
    assert str(info.streams[1]) == "stream 1 (audio, aac eng)"
    assert info.origin == 0


def test_info_of_a_turned_anamorphic_clip_is_upright(tmp_path: Path) -> None:
    clip = Clip(frames=2, width=320, height=176, rotation=90, aspect=Fraction(4, 3), pixel_format="yuv422p10le")
    info = probe(clip.write(tmp_path / "in.mp4"))
    assert (info.width, info.height, info.pixel_aspect) == (176, 320, Fraction(3, 4))
    assert (info.stored_format, info.pixel_format) == ("yuv422p10le", "yuv444p10le")


def test_variable_rate_has_an_average(tmp_path: Path) -> None:
    clip = Clip(times=variable_rate(6), time_base=Fraction(1, 90000), width=64, height=48)
    info = probe(clip.write(tmp_path / "in.mp4"))
    assert info.average_rate is not None
    assert 19 < info.average_rate < 21
    assert info.frame_seconds == 1 / info.average_rate


def test_transport_stream_has_an_arbitrary_origin(tmp_path: Path) -> None:
    clip = Clip(frames=10, sounds=(Sound(),), muxer_options={"output_ts_offset": "600"})
    info = probe(clip.write(tmp_path / "in.ts"))
    assert info.origin > 500
    assert info.duration is not None
    assert abs(info.duration - Fraction(1, 3)) < Fraction(1, 10)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no\.mp4 does not exist"):
        probe(tmp_path / "no.mp4")


def test_directory_empty_file_and_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a directory"):
        probe(tmp_path)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match="is empty"):
        probe(tmp_path / "empty.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(SourceError, match="not a regular file"):
        probe(tmp_path / "pipe.mp4")


def test_text_is_no_media_file(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_text("This is a letter, not a film. " * 100)
    with pytest.raises(SourceError, match="not a media file"):
        probe(tmp_path / "in.mp4")


def test_sound_alone_has_no_video_stream(tmp_path: Path) -> None:
    whole = Clip(frames=30, sounds=(Sound(),)).write(tmp_path / "whole.mp4")
    sound_only(whole, tmp_path / "in.m4a")
    with pytest.raises(SourceError, match=r"no video stream \(it holds: audio\)"):
        probe(tmp_path / "in.m4a")


def sound_only(source: Path, target: Path) -> None:
    import av

    with av.open(str(source)) as opened, av.open(str(target), "w", format="mp4") as output:
        stream = output.add_stream_from_template(opened.streams.audio[0])
        for packet in opened.demux(opened.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)


def test_unknown_hardware_decoder_lists_the_known(tmp_path: Path) -> None:
    source = Clip(frames=2).write(tmp_path / "in.mp4")
    with pytest.raises(SourceError, match="no hardware decoder is called 'warp'"):
        probe(source, hardware="warp")


def test_hardware_that_is_not_there_is_an_error_not_software(tmp_path: Path) -> None:
    source = Clip(frames=2).write(tmp_path / "in.mp4")
    if os.path.exists("/dev/nvidiactl"):  # noqa: PTH110
        pytest.skip("this machine has an NVIDIA device")
    with pytest.raises(SourceError, match="cuda"):
        probe(source, hardware="cuda")


CLIP = Clip(frames=60, sounds=(Sound(),))


@pytest.fixture
def info(tmp_path: Path) -> SourceInfo:
    return probe(CLIP.write(tmp_path / "in.mp4"))


def missing(info: SourceInfo, *, packets: int | None = 60, ends: int = 2, end: Fraction | None = None) -> str | None:
    return missing_end(info, packets=packets, video_end=Fraction(ends), latest=Fraction(ends), end=end)


def test_whole_file_misses_nothing(info: SourceInfo) -> None:
    assert missing(info) is None


def test_missing_pictures_are_counted(info: SourceInfo) -> None:
    sentence = missing(info, packets=59)
    assert sentence is not None
    assert "1 of 60 pictures" in sentence


def test_early_end_is_seen_where_pictures_are_not_counted(info: SourceInfo) -> None:
    sentence = missing(replace(info, frames=None, container="asf"), packets=None, ends=1)
    assert sentence is not None
    assert "ends at 1.00 s of 2.00 s" in sentence


def test_what_was_not_asked_for_is_not_missing(info: SourceInfo) -> None:
    assert missing(info, packets=10, ends=1, end=Fraction(1)) is None


def test_nothing_declared_is_nothing_missing(info: SourceInfo) -> None:
    assert missing(replace(info, frames=None, video_until=None, until=None), packets=5, ends=0) is None


def test_sound_that_is_longer_than_the_video_is_no_damage(info: SourceInfo) -> None:
    longer = replace(info, frames=None, video_until=None, until=Fraction(9))
    assert missing_end(longer, packets=None, video_end=Fraction(2), latest=Fraction(9), end=None) is None
