"""The drawn clip: what it shows is known, it is the same every time, and it can be looped."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from pipeline.demo.clip import (
    CYCLE_SECONDS,
    FRAME_RATE,
    LANDMARKS,
    PORTRAIT_SIZE,
    SAMPLE_RATE,
    beeps,
    draw_frames,
    frame_from_portrait,
    mask_alpha,
    masked_portrait,
    portrait,
    warped,
    write_clip,
)

if TYPE_CHECKING:
    from pathlib import Path

SIZE = {"width": 320, "height": 240}


def test_the_mask_covers_nose_and_mouth_and_leaves_the_eyes() -> None:
    alpha = mask_alpha()
    at = [alpha[round(y), round(x)] for x, y in LANDMARKS]
    assert np.allclose(at, [0, 0, 1, 1, 1])
    assert 0.015 < alpha.mean() < 0.03
    assert ((alpha > 0.01) & (alpha < 0.99)).any()


def test_the_portrait_is_untouched_away_from_the_mask() -> None:
    changed = (masked_portrait() != portrait()).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert masked_portrait().shape == (PORTRAIT_SIZE, PORTRAIT_SIZE, 3)
    assert (rows.min(), columns.min()) > (95, 160)
    assert (rows.max(), columns.max()) < (205, 295)


def test_the_mask_is_bluer_than_skin() -> None:
    inside = mask_alpha() > 0.99
    red, _, blue = masked_portrait()[inside].astype(int).T
    assert (blue > red).mean() > 0.99


def test_the_motion_comes_back_to_where_it_began() -> None:
    start = frame_from_portrait(Fraction(0), **SIZE)
    assert np.allclose(frame_from_portrait(Fraction(CYCLE_SECONDS), **SIZE).matrix, start.matrix)
    assert not np.allclose(frame_from_portrait(Fraction(1), **SIZE).matrix, start.matrix)


def test_the_face_stays_in_the_picture_all_the_time() -> None:
    for width, height in ((640, 480), (1280, 720)):
        for index in range(0, CYCLE_SECONDS * FRAME_RATE, 3):
            place = frame_from_portrait(Fraction(index, FRAME_RATE), width=width, height=height)
            points = place.apply(LANDMARKS)
            assert (points > 0).all()
            assert (points < [width, height]).all()


def test_warping_puts_a_landmark_where_the_motion_says() -> None:
    dot = np.zeros((PORTRAIT_SIZE, PORTRAIT_SIZE), np.uint8)
    dot[125, 224] = 255
    place = frame_from_portrait(Fraction(13, 10), **SIZE)
    moved = warped(dot, place, **SIZE).astype(float)
    rows, columns = np.mgrid[: SIZE["height"], : SIZE["width"]]
    centre = [(moved * columns).sum() / moved.sum(), (moved * rows).sum() / moved.sum()]
    assert np.allclose(centre, place.apply([224, 125]), atol=0.5)


def test_frames_are_the_same_every_time_and_differ_from_each_other() -> None:
    first, again = (list(draw_frames(**SIZE, frames=3)) for _ in range(2))
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    assert (first[0] != first[1]).mean() > 0.3


def test_there_is_a_beep_at_every_second() -> None:
    loud = np.abs(beeps(Fraction(3))).reshape(30, SAMPLE_RATE // 10).max(axis=1) > 0.1
    assert np.flatnonzero(loud).tolist() == [0, 10, 20]


def test_the_file_holds_what_was_drawn(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, **SIZE, frames=6)
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 1
        frames = list(container.decode(video=0))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, FRAME_RATE) for index in range(6)]
    for frame, drawn in zip(frames, draw_frames(**SIZE, frames=6), strict=True):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - drawn).mean() < 6
