"""What a file declares against what is in it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from pipeline.video.declared import missing_end
from pipeline.video.probe import probe
from tests.pipeline.clips import Clip, Sound

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
