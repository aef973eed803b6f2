from __future__ import annotations

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.blend.hole import place_of
from pipeline.blend.paste import Copier, Mark, Sheet, badge, paste
from pipeline.errors import SourceError
from pipeline.frames import Frame
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.picture.pixels import read_rgb
from pipeline.picture.samples import samples_of
from tests.pipeline.picture.test_pixels import COLOUR_FORMATS, GRAY_FORMATS

ALL_FORMATS = COLOUR_FORMATS + GRAY_FORMATS
ROUNDING_LEVELS = 2
"""A colour of 8-bit limited range is stored in steps of about one level of brightness and two of a channel."""


def noisy(name: str, *, width: int = 37, height: int = 29, seed: int = 0) -> av.VideoFrame:
    """A picture whose memory is random, padding and unused bits and all."""
    picture = av.VideoFrame(width, height, name)
    random = np.random.default_rng(seed)
    for plane in picture.planes:
        values = np.frombuffer(plane, np.uint8)
        values[:] = random.integers(0, 256, values.size, np.uint8)
    return picture


def raw(picture: av.VideoFrame) -> list[bytes]:
    """Every row of every plane, transparency too, without the padding."""
    rows = []
    for index, plane in enumerate(picture.planes):
        lines = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
        bits = picture.format.components[0].bits
        packed = len({component.plane for component in picture.format.components}) == 1
        pixel = picture.format.padded_bits_per_pixel // 8 if packed else (1 if bits == 8 else 2)
        interleaved = 2 if not packed and len(picture.planes) == 2 and index == 1 else 1
        rows.append(lines[:, : plane.width * pixel * interleaved].tobytes())
    return rows


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_a_copy_is_the_same_picture_elsewhere(name: str) -> None:
    picture = noisy(name)
    before = raw(picture)
    copy = Copier().copy(picture)
    assert raw(copy) == before
    samples_of(copy, writable=True).components[0].samples[...] = 0
    assert raw(picture) == before


def test_a_copy_keeps_what_the_picture_carries() -> None:
    picture = noisy("yuv420p")
    picture.pts, picture.time_base, picture.duration = 12345, Fraction(1, 90000), 3003
    picture.color_range, picture.colorspace, picture.color_primaries, picture.color_trc = 2, 9, 9, 16
    picture.pict_type = 2
    copy = Copier().copy(picture)
    names = ["pts", "time_base", "dts", "duration", "color_range", "colorspace", "color_primaries", "color_trc"]
    names.append("pict_type")
    assert {name: getattr(copy, name) for name in names} == {name: getattr(picture, name) for name in names}


def test_a_picture_without_times_stays_without() -> None:
    picture = noisy("rgb24")
    copy = Copier().copy(picture)
    assert copy.pts is None
    assert picture.pts is None
    assert picture.time_base is None


def test_one_copier_serves_pictures_of_any_size_and_format() -> None:
    copier = Copier()
    for name, width in (("yuv420p", 32), ("yuv420p", 48), ("p010le", 48), ("gray", 48), ("yuv420p", 32)):
        picture = noisy(name, width=width)
        assert raw(copier.copy(picture)) == raw(picture)


@pytest.mark.parametrize("name", ALL_FORMATS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_only_samples_under_the_paint_change(name: str, data: st.DataObject) -> None:
    picture = noisy(name, seed=data.draw(st.integers(0, 99)))
    left, top = data.draw(st.integers(-8, 36)), data.draw(st.integers(-8, 28))
    width, height = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 24))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    alpha = (random.random((height, width)) * (random.random((height, width)) > 0.5)).astype(np.float32)
    colour = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
    painted = samples_of(paste(picture, left=left, top=top, colour=colour, alpha=alpha)).components
    reached = np.zeros((picture.height, picture.width), bool)
    for (y, x), value in np.ndenumerate(alpha):
        if value > 0 and 0 <= top + y < picture.height and 0 <= left + x < picture.width:
            reached[top + y, left + x] = True
    for before, after in zip(samples_of(picture).components, painted, strict=True):
        grid = before.grid
        touched = np.zeros(before.samples.shape, bool)
        for y, x in np.argwhere(reached):
            # A sample on the first pixel of its group also reaches into the group before.
            for column in {
                x // grid.step_x,
                (x + grid.step_x - 1) // grid.step_x if grid.first_x == 0 else x // grid.step_x,
            }:
                if column < touched.shape[1]:
                    touched[y // grid.step_y, column] = True
        assert (before.samples[~touched] == after.samples[~touched]).all()


@pytest.mark.parametrize("name", COLOUR_FORMATS)
def test_a_painted_colour_is_that_colour_up_to_the_border(name: str) -> None:
    picture = noisy(name)
    colour = np.full((29, 37, 3), (180, 90, 60), np.uint8)
    painted = paste(picture, left=0, top=0, colour=colour, alpha=np.ones((29, 37), np.float32))
    seen = read_rgb(painted, left=0, top=0, right=37, bottom=29)
    assert np.abs(seen.astype(int) - colour).max() <= ROUNDING_LEVELS


@pytest.mark.parametrize("name", ["yuv420p10le", "yuv444p12le", "yuv420p16le", "gray16le", "gbrp10le"])
def test_paint_is_as_fine_as_the_picture(name: str) -> None:
    ramp = np.repeat(np.linspace(100, 104, 64, dtype=np.float32)[None, :, None], 3, axis=2).repeat(8, axis=0)
    picture = av.VideoFrame(64, 8, name)
    painted = paste(picture, left=0, top=0, colour=ramp, alpha=np.ones((8, 64), np.float32))
    assert len(np.unique(samples_of(painted).components[0].samples[0])) > 12  # 8 bits have five values here


def test_half_transparent_paint_lies_half_way() -> None:
    picture = av.VideoFrame(16, 16, "gray")
    samples_of(picture, writable=True).components[0].samples[...] = 100
    colour = np.full((16, 16, 3), 200, np.uint8)
    painted = paste(picture, left=0, top=0, colour=colour, alpha=np.full((16, 16), 0.5, np.float32))
    assert (samples_of(painted).components[0].samples == 150).all()


def test_paint_outside_the_picture_is_cut_off() -> None:
    picture = noisy("yuv420p")
    colour, alpha = np.zeros((5, 5, 3), np.uint8), np.ones((5, 5), np.float32)
    assert raw(paste(picture, left=100, top=3, colour=colour, alpha=alpha)) == raw(picture)
    assert raw(paste(picture, left=-5, top=3, colour=colour, alpha=alpha)) == raw(picture)
    assert raw(paste(picture, left=-4, top=27, colour=colour, alpha=alpha)) != raw(picture)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(SourceError, match="rgb565le"):
        paste(
            av.VideoFrame(16, 16, "rgb565le"),
            left=0,
            top=0,
            colour=np.zeros((4, 4, 3), np.uint8),
            alpha=np.ones((4, 4), np.float32),
        )


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


def test_what_a_sheet_has_kept_is_not_taken_for_another_format_size_or_steepness() -> None:
    random = np.random.default_rng(0)
    image, edges = (random.uniform(60, 190, shape).astype(np.float32) for shape in ((40, 52, 3), (80, 104)))
    box = (100, 120, 152, 160)
    used = Sheet(image, box, edges / np.float32(20))
    for name, scale, steepness in itertools.product(("yuv420p", "yuv420p10le", "rgb24"), (0.8, 1.7, 2.6), (0.0, 0.5)):
        target = samples_of(noisy(name, width=700, height=600))
        for index, component in enumerate(target.components):
            place = place_of(box, component, component.grid.component_from_frame.after(Affine.resize(scale)))
            assert place is not None
            fresh = Sheet(image, box, edges / np.float32(20)).laid(index, place, target, steepness=steepness)
            assert np.array_equal(used.laid(index, place, target, steepness=steepness), fresh)
            assert np.array_equal(used.laid(index, place, target, steepness=steepness), fresh)


@pytest.mark.parametrize("scale", [0.4, 0.9, 1.7, 3.5])
def test_a_sheet_goes_on_beyond_its_box_as_far_as_paint_reaches(scale: float) -> None:
    """Paint fades up to two pixels of the crop beyond its side: a plain picture has its own colour there."""
    box = (60, 100, CROP_SIZE, CROP_SIZE)
    sheet = Sheet(np.full((156, 196, 3), 180, np.float32), box)
    target = samples_of(noisy("gray", width=1000, height=1000))
    place = place_of((60, 100, CROP_SIZE + 2, CROP_SIZE + 2), target.components[0], Affine.resize(scale))
    assert place is not None
    assert np.abs(sheet.laid(0, place, target) - 180).max() < 0.01
