"""Tags of the input are kept, those of its storage are not, and every output says that faces are invented."""

from __future__ import annotations

import pytest

from pipeline.video.containers import CONTAINERS
from pipeline.video.tags import SYNTHETIC, file_tags, stream_tags, unusual_in_mp4

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
