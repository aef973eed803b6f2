"""What is learned from lies apart in time from what is held back, and both show the person in many ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.training.enrol.portraits import view
from training.enrol.choose import APART_SECONDS, choose, missing, spanning, variety

VIEWS = [view(number) for number in range(30)]


def test_the_end_of_a_video_is_held_back_apart_in_time() -> None:
    choice = choose(VIEWS)
    assert choice.held_back == tuple(VIEWS[24:])
    assert max(one.time for one in choice.learned) < VIEWS[24].time - APART_SECONDS
    assert len(choice.learned) == 19


def test_the_end_of_each_video_is_held_back() -> None:
    other = [replace(one, source="second.mp4") for one in VIEWS]
    held_back = choose([*VIEWS, *other]).held_back
    assert [one.source for one in held_back] == ["talk.mp4"] * 6 + ["second.mp4"] * 6


def test_one_photo_in_five_is_held_back_and_none_of_fewer() -> None:
    photos = [replace(one, still=True, source=f"{number}.jpg") for number, one in enumerate(VIEWS[:11])]
    assert choose(photos).held_back == (photos[4], photos[9])
    assert len(choose(photos).learned) == 9
    assert choose(photos[:4]).held_back == ()
    assert choose(photos[:4]).learned == tuple(photos[:4])


def test_the_views_that_are_kept_are_unlike_each_other() -> None:
    alike = [replace(VIEWS[0], time=float(number)) for number in range(20)]
    kept = spanning([*alike, VIEWS[3], VIEWS[7]], 3)
    assert kept == (alike[0], VIEWS[3], VIEWS[7])
    assert spanning(VIEWS, 50) == tuple(VIEWS)


def test_variety_tells_one_view_from_many() -> None:
    still, moving = variety(VIEWS[:1] * 5), variety(VIEWS)
    assert still == {"sideways": 0.0, "upward": 0.0, "mouth": 0.0}
    assert moving["mouth"] > 1
    assert np.isfinite(list(moving.values())).all()
    assert len(missing(VIEWS[:1] * 5)) == 3
