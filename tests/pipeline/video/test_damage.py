"""What a file declares against what is in it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from pipeline.video.damage import broken_matroska, missing_end
from pipeline.video.probe import probe
from tests.pipeline.clips import Clip, Sound, cut

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.video.info import SourceInfo

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
    sentence = missing(replace(info, frames=None), packets=None, ends=1)
    assert sentence is not None
    assert "ends at 1.00 s of 2.00 s" in sentence


def test_what_was_not_asked_for_is_not_missing(info: SourceInfo) -> None:
    assert missing(info, packets=10, ends=1, end=Fraction(1)) is None


def test_nothing_declared_is_nothing_missing(info: SourceInfo) -> None:
    assert missing(replace(info, frames=None, video_until=None, until=None), packets=5, ends=0) is None


def test_sound_that_is_longer_than_the_video_is_no_damage(info: SourceInfo) -> None:
    longer = replace(info, frames=None, video_until=None, until=Fraction(9))
    assert missing_end(longer, packets=None, video_end=Fraction(2), latest=Fraction(9), end=None) is None


def test_half_a_transport_packet_is_a_cut(tmp_path: Path) -> None:
    whole = CLIP.write(tmp_path / "whole.ts")
    half = tmp_path / "half.ts"
    half.write_bytes(whole.read_bytes()[: 188 * 40 + 77])
    info = replace(probe(whole), path=half, video_until=None, until=None)
    sentence = missing(info, packets=None)
    assert sentence is not None
    assert "middle of a packet" in sentence
    assert missing(replace(info, path=whole), packets=None) is None


def test_healthy_matroska_is_not_broken(tmp_path: Path) -> None:
    assert not broken_matroska(CLIP.write(tmp_path / "in.mkv"))
    assert not broken_matroska(CLIP.but(sounds=()).write(tmp_path / "silent.mkv"))


def test_every_flipped_bit_in_a_cluster_is_found(tmp_path: Path) -> None:
    whole = CLIP.write(tmp_path / "in.mkv").read_bytes()
    first = whole.index(bytes.fromhex("1F43B675"))
    for position in range(first + 20, len(whole) - 100, len(whole) // 23):
        data = bytearray(whole)
        data[position] ^= 4
        (tmp_path / "flipped.mkv").write_bytes(data)
        assert broken_matroska(tmp_path / "flipped.mkv"), position


def test_cut_matroska_is_broken(tmp_path: Path) -> None:
    assert broken_matroska(cut(CLIP.write(tmp_path / "in.mkv"), tmp_path / "cut.mkv", share=0.7))
