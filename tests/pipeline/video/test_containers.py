"""Which container holds which streams and tags."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import pytest

from pipeline.errors import SinkError
from pipeline.video.codecs import Codec
from pipeline.video.containers import (
    CONTAINERS,
    SYNTHETIC,
    codec_for,
    container_for,
    file_tags,
    holds,
    stream_tags,
    unusual_in_mp4,
)
from pipeline.video.remux import select
from tests.pipeline.clips import Clip, Sound

if TYPE_CHECKING:
    from pathlib import Path


TALKING = Clip(frames=5, sounds=(Sound(),), subtitles=((Fraction(0), Fraction(1, 10), "Hi"),))


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h264"), ("a.MKV", "h264"), ("a.webm", "vp9"), ("a.ts", "h264")])
def test_each_container_has_its_usual_codec(name: str, codec: str, tmp_path: Path) -> None:
    assert codec_for(tmp_path / name, Codec.AUTO) == codec


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts", ".webm"])
def test_more_than_eight_bits_are_encoded_in_what_players_show(suffix: str, tmp_path: Path) -> None:
    expected = Codec.VP9 if suffix == ".webm" else Codec.HEVC
    assert codec_for(tmp_path / f"a{suffix}", Codec.AUTO, bits=10) == expected
    assert codec_for(tmp_path / "a.mp4", Codec.H264, bits=10) == Codec.H264


@pytest.mark.parametrize("name", ["a.avi", "a.flv", "a"])
def test_other_containers_are_refused_with_the_ones_that_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"\.mp4, \.m4v, \.mkv"):
        container_for(tmp_path / name)


def test_codec_that_a_container_cannot_hold_names_one_that_can(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"\.mp4 can't hold ffv1.*\.mkv"):
        codec_for(tmp_path / "a.mp4", Codec.FFV1)


@pytest.mark.parametrize("suffix", sorted(CONTAINERS))
@pytest.mark.parametrize("codec", [codec for codec in Codec if codec is not Codec.AUTO])
def test_the_table_says_what_the_muxers_do(suffix: str, codec: Codec) -> None:
    container = CONTAINERS[suffix]
    with av.open("unused", "w", format=container.muxer) as output:
        able = {"hevc": "libx265", "h264": "libx264", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
        able |= {"ffv1": "ffv1", "webp": "libwebp_anim", "apng": "apng"}
        if codec not in container.codecs:
            return
        output.add_stream(able[codec])  # raises for a codec that the muxer refuses


@pytest.mark.parametrize(
    ("source", "target", "cure"),
    [("in.mkv", "out.mp4", ".mkv"), ("in.mp4", "out.mkv", ".mp4 or .mov"), ("in.mp4", "out.webm", ".mp4")],
)
def test_stream_that_the_output_cannot_hold_names_a_container_that_can(
    source: str, target: str, cure: str, tmp_path: Path
) -> None:
    TALKING.write(tmp_path / source)
    with av.open(str(tmp_path / source)) as opened, pytest.raises(SinkError) as caught:
        select(opened, 0, tmp_path / target, codec_for(tmp_path / target, Codec.AUTO))
    assert "subtitle" in str(caught.value)
    assert f"write to {cure}" in str(caught.value)


def test_sound_that_nobody_could_read_is_not_put_into_a_transport_stream(tmp_path: Path) -> None:
    Clip(frames=5, sounds=(Sound(codec="flac"),)).write(tmp_path / "in.mkv")
    with av.open(str(tmp_path / "in.mkv")) as opened:
        assert not holds(".ts", opened.streams.audio[0])
        assert holds(".mp4", opened.streams.audio[0])


MP4, MKV, MOV = CONTAINERS[".mp4"], CONTAINERS[".mkv"], CONTAINERS[".mov"]


def test_every_output_says_that_faces_are_invented() -> None:
    assert file_tags({}, MP4) == {"comment": SYNTHETIC}
    assert file_tags({}, MKV) == {"comment": SYNTHETIC, "SYNTHETIC_CONTENT": SYNTHETIC}
    assert "invented" in SYNTHETIC


def test_own_comment_stays_in_front_whatever_its_spelling() -> None:
    tags = file_tags({"COMMENT": "mine"}, MKV)
    assert tags["COMMENT"] == f"mine\n{SYNTHETIC}"
    assert "comment" not in tags


def test_the_sentence_is_not_said_twice() -> None:
    once = file_tags({"comment": "mine"}, MP4)
    assert file_tags(once, MP4) == once


def test_tags_of_storage_are_dropped() -> None:
    tags = file_tags({"major_brand": "isom", "ENCODER": "Lavf", "title": "kept"}, MP4)
    assert set(tags) == {"title", "comment"}
    assert stream_tags({"DURATION-eng": "1", "rotate": "90", "BPS": "3", "language": "eng"}, MKV) == {"language": "eng"}


def test_track_title_survives_mp4() -> None:
    assert stream_tags({"name": "Main"}, MP4) == {"title": "Main"}


@pytest.mark.parametrize(("language", "stored"), [("deu", "ger"), ("eng", "eng")])
def test_quicktime_gets_the_language_codes_that_it_knows(language: str, stored: str) -> None:
    assert stream_tags({"language": language}, MOV)["language"] == stored
    assert stream_tags({"language": language}, MP4)["language"] == language


def test_only_unusual_tags_need_the_table_of_free_keys() -> None:
    assert unusual_in_mp4(file_tags({"title": "a", "creation_time": "b"}, MP4)) == []
    assert unusual_in_mp4({"title": "a", "com.apple.quicktime.make": "b"}) == ["com.apple.quicktime.make"]


def test_our_own_tag_does_not_follow_into_containers_that_lack_it() -> None:
    assert set(file_tags(file_tags({}, MKV), MP4)) == {"comment"}
