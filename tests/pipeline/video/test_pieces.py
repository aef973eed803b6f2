"""A video that is encoded in pieces: the joined file has every picture at its exact time, and never another one."""

from __future__ import annotations

import platform
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import cv2
import pytest

from pipeline.errors import SinkError
from pipeline.video.codecs import Codec
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
from pipeline.video.pieces import ENCODER_THREADS, OPENCV_AVX2_AND_FMA3, Piece, PieceSink
from tests.pipeline.clips import Clip, Sound, images_of, number_in, sound_of, times_of, variable_rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEYS = {"preset": "ultrafast", "crf": "12", "g": "15", "bf": "2"}
CLIP = Clip(frames=60, options=KEYS, sounds=(Sound(),))
HALVES = (None, Fraction(1, 2), Fraction(1), Fraction(3, 2), None)


def preset_of(codec: Codec) -> str | None:
    return None if codec is Codec.FFV1 else "ultrafast"


def pieces(source: Path, target: Path, bounds: Sequence[Fraction | None], codec: Codec = Codec.AUTO) -> list[Piece]:
    """The stretches between the bounds, each encoded by itself from its own pass over the file."""
    found = []
    for begin, end in pairwise(bounds):
        lead = Fraction(0) if begin is None else Fraction(1, 4)
        reading = FileSource(source, start=begin, end=end, lead=lead, tail=Fraction(1, 4), may_be_empty=True)
        sink = PieceSink(FileSink(reading, target, codec=codec, preset=preset_of(codec)))
        assert sum(1 for _ in sink(iter(reading))) == reading.outcome.frames
        assert sink.piece is not None
        found.append(sink.piece)
    return found


def joined(source: Path, target: Path, found: Sequence[Piece], codec: Codec = Codec.AUTO, **trim: Fraction) -> FileSink:
    """The file that the pieces make."""
    reading = FileSource(source, **trim)
    reading.outcome.ended = True
    reading.outcome.end_time = times_of(source)[-1] + Fraction(1, 30)
    sink = FileSink(reading, target, codec=codec, preset=preset_of(codec), encoder_threads=ENCODER_THREADS)
    sink.join(found)
    return sink


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "h264"), (".mov", "hevc"), (".mkv", "vp9"), (".mp4", "av1"), (".mkv", "ffv1"), (".ts", "h264")],
)
def test_every_codec_joins_without_a_picture_lost_or_moved(tmp_path: Path, suffix: str, codec: str) -> None:
    source, target = CLIP.write(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    sink = joined(source, target, pieces(source, target, HALVES, Codec(codec)), Codec(codec))
    assert [number_in(image) for image in images_of(target)] == list(range(60))
    shift = times_of(target)[0]  # a transport stream begins anywhere
    tolerance = Fraction(1, 10_000) if suffix == ".ts" else 0
    for there, wanted in zip(times_of(target), times_of(source), strict=True):
        assert abs(there - shift - wanted) <= tolerance
    assert sink.outcome.frames == 60
    assert sound_of(target)[1].shape[0] > 1.9 * 48_000


def test_a_piece_is_the_same_whenever_it_is_encoded(tmp_path: Path) -> None:
    source, target = CLIP.write(tmp_path / "in.mkv"), tmp_path / "out.mp4"
    one, other = (pieces(source, target, HALVES)[2] for _ in range(2))
    assert one.data == other.data
    assert (one.times == other.times).all()
    assert one.configuration == other.configuration


def test_a_processor_with_newer_instructions_encodes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the usual preset, whose macroblock tree is where instructions once made a difference."""
    source = replace(CLIP, width=400, height=304).write(tmp_path / "in.mkv")
    asked, has_avx2 = list[int](), all(map(cv2.checkHardwareSupport, OPENCV_AVX2_AND_FMA3))

    def encoded(newer: bool) -> Piece:
        monkeypatch.setattr(cv2, "checkHardwareSupport", lambda feature: asked.append(feature) or newer)
        reading = FileSource(source, may_be_empty=True)
        sink = PieceSink(FileSink(reading, tmp_path / "out.mp4"))
        assert sum(1 for _ in sink(iter(reading))) == 60
        assert sink.piece is not None
        return sink.piece

    old = encoded(newer=False)
    if platform.machine().lower() in ("x86_64", "amd64"):
        assert asked
    if has_avx2:
        assert encoded(newer=True).data == old.data


def test_times_of_a_variable_rate_stay_exact(tmp_path: Path) -> None:
    moments = variable_rate(3)
    clip = Clip(frames=len(moments), times=moments, time_base=Fraction(1, 90_000), options=KEYS)
    source, target = clip.write(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    middle = times_of(source)[len(moments) // 2]
    joined(source, target, pieces(source, target, (None, middle, None)))
    assert times_of(target) == times_of(source)


def test_decoding_times_grow_where_frames_come_thick_and_then_thin(tmp_path: Path) -> None:
    thick = [Fraction(number, 100) for number in range(20)]
    thin = [Fraction(1, 5) + Fraction(number, 5) for number in range(20)]
    clip = Clip(frames=40, times=thick + thin, time_base=Fraction(1, 1000), options=KEYS)
    source, target = clip.write(tmp_path / "in.mkv"), tmp_path / "out.mp4"
    joined(source, target, pieces(source, target, (None, Fraction(1, 5), None)))
    assert times_of(target) == times_of(source)
    with av.open(str(target)) as opened:
        decoding = [packet.dts for packet in opened.demux(video=0) if packet.dts is not None]
    assert decoding == sorted(set(decoding))


def test_a_cut_begins_at_zero_and_its_sound_is_cut_alike(tmp_path: Path) -> None:
    source, target = CLIP.write(tmp_path / "in.mkv"), tmp_path / "out.mp4"
    start, end = Fraction(7, 10), Fraction(3, 2)
    found = pieces(source, target, (start, Fraction(1), end))
    joined(source, target, found, start=start, end=end)
    assert [number_in(image) for image in images_of(target)] == list(range(21, 45))
    assert times_of(target)[0] == 0


def test_a_piece_of_another_encoder_is_refused(tmp_path: Path) -> None:
    source, target = CLIP.write(tmp_path / "in.mkv"), tmp_path / "out.mp4"
    (piece,) = pieces(source, target, (None, None))
    with pytest.raises(SinkError, match="was encoded by another build of libx264; run it again with --fresh"):
        joined(source, target, [Piece(piece.configuration[:-1], piece.times, piece.data)])
    assert not target.exists()
