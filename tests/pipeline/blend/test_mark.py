from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from pipeline.blend.paste import Mark, badge
from pipeline.frames import Frame
from pipeline.picture.pixels import read_rgb
from pipeline.picture.samples import samples_of


def plain(level: int, *, name: str = "yuv420p", width: int = 640, height: int = 480) -> Frame:
    picture = av.VideoFrame(width, height, name)
    for component, value in zip(samples_of(picture, writable=True).components, (level, 128, 128), strict=False):
        component.samples[...] = value
    picture.pts, picture.time_base = 3, Fraction(1, 25)
    return Frame(3, Fraction(3, 25), 0.0, picture)


def changed(before: Frame, after: Frame) -> np.ndarray:
    one, other = (
        read_rgb(frame.planes, left=0, top=0, right=frame.width, bottom=frame.height).astype(int)
        for frame in (before, after)
    )
    return np.abs(one - other).max(axis=2)


@pytest.mark.parametrize("level", [20, 128, 230])
def test_the_mark_shows_on_any_ground_and_only_in_its_corner(level: int) -> None:
    before = plain(level)
    difference = changed(before, next(Mark()(iter([before]))))
    assert difference.max() > 40
    rows, columns = np.nonzero(difference)
    assert rows.min() > 0.85 * 480
    assert columns.min() > 0.6 * 640
    assert difference[-1].max() == difference[:, -1].max() == 0


def test_the_ground_shines_through() -> None:
    marked = [next(Mark()(iter([plain(level)]))) for level in (60, 140)]
    assert changed(*marked).min() > 10


@pytest.mark.parametrize("name", ["yuv420p10le", "nv12", "rgb24", "gray", "yuv444p"])
def test_any_format_keeps_its_format_and_time(name: str) -> None:
    frame = next(Mark()(iter([plain(100, name=name)])))
    assert frame.planes.format.name == name
    assert (frame.planes.pts, frame.planes.time_base, frame.time) == (3, Fraction(1, 25), Fraction(3, 25))


def test_the_decoders_picture_is_not_written_to() -> None:
    before = plain(100)
    next(Mark()(iter([before])))
    assert (samples_of(before.planes).components[0].samples == 100).all()


@pytest.mark.parametrize(("width", "height"), [(64, 48), (33, 21), (1920, 1080), (1080, 1920), (8, 8)])
def test_the_mark_scales_with_the_frame(width: int, height: int) -> None:
    before = plain(100, width=width, height=height)
    after = next(Mark()(iter([before])))
    assert (after.width, after.height) == (width, height)
    rows = np.flatnonzero(changed(before, after).max(axis=1))
    assert len(rows) >= min(8, height // 3)


def test_the_badge_has_the_height_that_was_asked_for() -> None:
    for height in (10, 20, 86):
        colour, alpha = badge(height)
        assert colour.shape == (*alpha.shape, 3)
        assert alpha.shape[0] == height
        assert alpha.max() <= 1
