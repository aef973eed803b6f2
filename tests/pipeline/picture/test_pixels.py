"""Parts of a picture are read as the colours and the brightness that they have."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.blend.paste import paste
from pipeline.errors import SourceError
from pipeline.geometry import Affine
from pipeline.picture.pixels import read_crop, read_luma, read_rgb, read_small, read_thumbnail, stretched
from pipeline.picture.samples import colour_of, samples_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


FULL_CHROMA = ["yuv444p", "nv24", "nv42", "yuv444p10le", "yuv444p12le", "p410le", "gbrp", "gbrp10le", "gbrap12le"]
PACKED_RGB = ["rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "0rgb", "bgr0", "rgb48le", "bgra64le"]
LESS_CHROMA = [
    *("yuv420p", "yuv422p", "yuv440p", "yuv411p", "yuv410p", "yuva420p", "nv12", "nv21", "nv16", "yuyv422", "uyvy422"),
    *("yvyu422", "yuv420p10le", "yuv422p12le", "yuv420p16le", "yuv422p9le", "p010le", "p012le", "p016le", "p210le"),
]
COLOUR_FORMATS = FULL_CHROMA + PACKED_RGB + LESS_CHROMA
GRAY_FORMATS = ["gray", "gray10le", "gray12le", "gray16le"]

SWSCALE_LEVELS = 1
"""How far libswscale's 8-bit colours may lie from ours: each rounds once in its own place."""

CONVERSION_LEVELS = 3
"""What a colour may lose on its way into 8 bits of limited range and back."""


def soft_image(height: int = 72, width: int = 96) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def picture_of(image: NDArray[np.uint8], name: str, *, matrix: int = 1, full_range: bool = False) -> av.VideoFrame:
    tagged = {"dst_colorspace": matrix, "src_color_range": 2, "dst_color_range": 2 if full_range else 1}
    flags = 0x4 | 0x2000 | 0x40000  # bicubic, full chroma, accurate rounding
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=name, interpolation=flags, **tagged)


def sited_picture_of(image: NDArray[np.uint8], name: str) -> av.VideoFrame:
    """`image` with chroma where the standards put it; libswscale takes it as lying in the middle of its group."""
    picture = av.VideoFrame(image.shape[1], image.shape[0], name)
    return paste(picture, left=0, top=0, colour=image, alpha=np.ones(image.shape[:2], np.float32))


def whole(picture: av.VideoFrame) -> NDArray[np.uint8]:
    return read_rgb(picture, left=0, top=0, right=picture.width, bottom=picture.height)


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int_]:
    return np.abs(one.astype(int) - other)


@pytest.mark.parametrize("name", FULL_CHROMA)
@pytest.mark.parametrize(("matrix", "full_range"), [(5, False), (1, False), (1, True), (9, False)])
def test_full_chroma_reads_as_libswscale_reads_it(name: str, matrix: int, full_range: bool) -> None:
    image = soft_image()
    picture = picture_of(image, name, matrix=matrix, full_range=full_range)
    source = {"src_colorspace": matrix, "src_color_range": 2 if full_range else 1, "dst_color_range": 2}
    theirs = picture.reformat(format="rgb24", interpolation=0x4 | 0x2000 | 0x40000, **source).to_ndarray()
    assert apart(whole(picture), theirs).max() <= SWSCALE_LEVELS


@pytest.mark.parametrize("name", PACKED_RGB)
def test_packed_rgb_reads_exactly(name: str) -> None:
    image = soft_image()
    assert apart(whole(picture_of(image, name)), image).max() <= (1 if "le" in name else 0)


@pytest.mark.parametrize("name", LESS_CHROMA)
def test_less_chroma_reads_near_the_original(name: str) -> None:
    image = cv2.GaussianBlur(soft_image(), (0, 0), 6).astype(np.uint8)
    assert apart(whole(sited_picture_of(image, name)), image).mean() < 2


@pytest.mark.parametrize("name", COLOUR_FORMATS)
@pytest.mark.parametrize("colour", [(200, 40, 90), (10, 250, 128), (255, 255, 255), (0, 0, 0)])
def test_a_plain_colour_survives(name: str, colour: tuple[int, int, int]) -> None:
    image = np.full((18, 22, 3), colour, np.uint8)
    assert apart(whole(picture_of(image, name)), image).max() <= CONVERSION_LEVELS


@pytest.mark.parametrize("name", GRAY_FORMATS)
def test_gray_reads_as_three_equal_channels_of_full_range(name: str) -> None:
    image = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(8, axis=0)
    picture = picture_of(image, name, full_range=True)
    assert apart(whole(picture), image).max() <= 1


def test_gray_that_is_tagged_as_limited_is_widened() -> None:
    picture = av.VideoFrame(16, 8, "gray")
    picture.color_range = 1
    samples_of(picture, writable=True).components[0].samples[...] = 235
    assert whole(picture).min() == 255


@pytest.mark.parametrize(("height", "matrix"), [(480, 6), (719, 6), (720, 1), (2160, 1)])
def test_an_untagged_matrix_is_guessed_from_the_height(height: int, matrix: int) -> None:
    assert colour_of(av.VideoFrame(32, height, "yuv420p")) == (matrix, False)


def test_old_jpeg_formats_are_full_range() -> None:
    assert colour_of(av.VideoFrame(32, 32, "yuvj420p")) == (6, True)


def test_chroma_lies_left_in_mpeg_and_in_the_middle_in_jpeg() -> None:
    grids = [samples_of(av.VideoFrame(8, 8, name)).components[1].grid for name in ("yuv420p", "yuvj420p", "yuv422p")]
    assert [(grid.first_x, grid.first_y) for grid in grids] == [(0.0, 0.5), (0.5, 0.5), (0.0, 0.0)]


@pytest.mark.parametrize("name", ["pal8", "yuv420p10be", "rgb565le", "monow", "gbrpf32le"])
def test_an_unknown_format_is_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(SourceError, match=rf"{name}.*-pix_fmt yuv420p"):
        read_rgb(av.VideoFrame(16, 16, name), left=0, top=0, right=16, bottom=16)


def test_an_unknown_matrix_is_refused() -> None:
    picture = av.VideoFrame(16, 16, "yuv420p")
    picture.colorspace = 8
    with pytest.raises(SourceError, match="colour matrix 8"):
        whole(picture)


@pytest.mark.parametrize("name", ["yuv420p", "yuv411p", "nv12", "yuyv422", "p010le", "gbrp", "yuvj420p"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_rectangle_is_cut_from_the_whole(name: str, data: st.DataObject) -> None:
    picture = picture_of(soft_image(), name)
    left, top = data.draw(st.integers(0, 95)), data.draw(st.integers(0, 71))
    right, bottom = data.draw(st.integers(left + 1, 96)), data.draw(st.integers(top + 1, 72))
    part = read_rgb(picture, left=left, top=top, right=right, bottom=bottom)
    assert part.shape == (bottom - top, right - left, 3)
    assert apart(part, whole(picture)[top:bottom, left:right]).max() <= 1


@pytest.mark.parametrize("rectangle", [(0, 0, 97, 10), (-1, 0, 10, 10), (5, 5, 5, 10), (0, 8, 10, 4)])
def test_a_rectangle_must_lie_inside(rectangle: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = rectangle
    with pytest.raises(ValueError, match="not inside 96x72"):
        read_rgb(picture_of(soft_image(), "yuv420p"), left=left, top=top, right=right, bottom=bottom)


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "nv12", "p010le", "rgb24", "yuyv422"])
@pytest.mark.parametrize("size", [(48, 36), (24, 18), (96, 72), (40, 30), (31, 23), (150, 100)])
def test_small_is_the_whole_resized(name: str, size: tuple[int, int]) -> None:
    image = cv2.GaussianBlur(soft_image(), (0, 0), 4).astype(np.uint8)
    small = read_small(picture_of(image, name), width=size[0], height=size[1])
    assert small.shape == (size[1], size[0], 3)
    assert apart(small, cv2.resize(image, size, interpolation=cv2.INTER_AREA)).mean() < 4


def crop_from(scale: float, degrees: float, at: tuple[float, float], size: int) -> Affine:
    turn = np.deg2rad(degrees)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / scale
    return Affine(np.column_stack([linear, np.full(2, (size - 1) / 2) - linear @ at]))


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "nv12", "rgb24", "yuyv422", "yuvj420p", "yuv411p"])
@pytest.mark.parametrize(("scale", "degrees"), [(0.5, 0), (1.0, 25), (1.4, -10), (3.0, 40), (6.0, 5)])
def test_a_crop_is_what_the_transform_cuts_out(name: str, scale: float, degrees: float) -> None:
    image = cv2.GaussianBlur(soft_image(288, 384), (0, 0), 5 + 2 * scale).astype(np.uint8)
    crop_from_frame = crop_from(scale, degrees, (190.0, 140.0), 32)
    crop = read_crop(sited_picture_of(image, name), crop_from_frame, size=32)
    eightfold = Affine(np.array([[8.0, 0, 3.5], [0, 8.0, 3.5]])).after(crop_from_frame)
    fine = cv2.warpAffine(image, eightfold.matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE)
    assert apart(crop, cv2.resize(fine, (32, 32), interpolation=cv2.INTER_AREA)).mean() < 2


def test_a_crop_shrinks_without_aliasing() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = read_crop(picture_of(stripes, "gbrp"), crop_from(4.0, 0, (127.5, 127.5), 48), size=48)
    assert apart(crop, np.full_like(crop, 128)).max() <= 2


def test_beyond_the_picture_its_border_goes_on() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, -1] = (0, 200, 0)
    picture = picture_of(image, "gbrp")
    assert (read_crop(picture, crop_from(1, 0, (500, 30), 16), size=16) == (0, 200, 0)).all()
    assert (read_crop(picture, crop_from(1, 0, (-500, 30), 16), size=16) == 0).all()


@pytest.mark.parametrize("scale", [0.01, 100.0, 1000.0])
def test_absurd_crops_do_not_fail(scale: float) -> None:
    assert read_crop(picture_of(soft_image(), "yuv420p"), crop_from(scale, 0, (48, 36), 16), size=16).shape == (
        16,
        16,
        3,
    )


def test_reading_leaves_the_picture_alone() -> None:
    picture = picture_of(soft_image(), "yuv420p")
    picture.pts, picture.time_base = 7, Fraction(1, 25)
    before = [bytes(plane) for plane in picture.planes]
    read_small(picture, width=48, height=36)
    read_crop(picture, crop_from(1, 10, (40, 40), 32), size=32)
    assert [bytes(plane) for plane in picture.planes] == before
    assert not samples_of(picture).components[0].samples.flags.writeable


FORMATS = ["yuv420p", "yuv422p10le", "nv12", "p010le", "gray", "gray16le", "gbrp", "rgb24", "yuyv422", "yuv444p16le"]


def ramp(pixel_format: str, *, width: int = 96, height: int = 54) -> av.VideoFrame:
    """Brightness rises from left to right."""
    grey = np.broadcast_to(np.linspace(0, 255, width)[None, :, None], (height, width, 3)).astype(np.uint8)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(grey), format="rgb24").reformat(format=pixel_format)


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("shrink", [1, 2, 5])
def test_brightness_of_every_format_is_a_small_picture(pixel_format: str, shrink: int) -> None:
    luma = read_luma(ramp(pixel_format), shrink=shrink)
    assert luma.dtype == np.uint8
    assert luma.shape == (54 // shrink, 96 // shrink)
    row = luma[luma.shape[0] // 2].astype(float)
    middles = np.arange(len(row)) * shrink + (shrink - 1) / 2
    fit = np.polyfit(middles, row, 1)
    assert fit[0] * 95 == pytest.approx(219 if row.min() > 8 else 255, rel=0.06), "limited or full range"
    assert np.abs(np.polyval(fit, middles) - row).max() < 4


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("size", [(96, 54), (1280, 720), (40, 20)])
def test_a_thumbnail_has_its_size_whatever_the_frames(pixel_format: str, size: tuple[int, int]) -> None:
    thumbnail = read_thumbnail(ramp(pixel_format, width=size[0], height=size[1]), width=64, height=36)
    assert thumbnail.shape == (36, 64)
    assert thumbnail.dtype == np.float32
    assert (np.diff(thumbnail[18]) > -2).all()
    assert thumbnail[18, 60] - thumbnail[18, 3] > 150


def test_a_surface_goes_through_what_is_known_and_is_smooth_between() -> None:
    values = np.tile(np.linspace(0, 252, 64, dtype=np.float32)[None, :, None], (64, 1, 3))
    weight = np.zeros((64, 64, 1), np.float32)
    weight[:, :12], weight[:, 52:] = 1, 1
    found = stretched(np.concatenate([values * weight, weight], axis=2))
    known = weight[..., 0] > 0
    assert np.abs(found - values)[known].mean() < 4
    assert np.abs(np.diff(found[32, :, 0])).max() < 20
    assert np.diff(found[32, :, 0]).min() > -4
