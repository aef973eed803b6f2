"""Samples as arrays, and the changes of format and direction that change no sample."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DecodeError
from pipeline.picture.formats import loses_nothing, moves_exactly, traits
from pipeline.picture.planes import Rotation, arrays, moment, move, turn_frame, turn_from_matrix


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("yuv420p", [(5, 7, 1), (3, 4, 1), (3, 4, 1)]),
        ("nv12", [(5, 7, 1), (3, 4, 2)]),
        ("yuv422p10le", [(5, 7, 1), (5, 4, 1), (5, 4, 1)]),
        ("rgb24", [(5, 7, 3)]),
        ("gbrp", [(5, 7, 1)] * 3),
        ("gray16le", [(5, 7, 1)]),
    ],
)
def test_planes_have_the_shape_of_their_samples(name: str, shapes: list[tuple[int, int, int]]) -> None:
    planes = arrays(av.VideoFrame(7, 5, name))
    assert [plane.shape for plane in planes] == shapes
    assert {plane.dtype for plane in planes} == {np.dtype(np.uint16 if "10" in name or "16" in name else np.uint8)}


def test_arrays_write_into_the_picture() -> None:
    frame = av.VideoFrame(6, 4, "yuv420p")
    arrays(frame)[0][...] = 77
    assert frame.to_ndarray()[:4].min() == 77


def test_grey_becomes_yuv_with_neutral_chroma() -> None:
    frame = noise("gray10le", 6, 4)
    luma, *chroma = arrays(move(frame, "yuv420p10le"))
    assert np.array_equal(luma, arrays(frame)[0])
    assert all((plane == 512).all() for plane in chroma)


def test_coarse_chroma_is_repeated() -> None:
    frame = noise("yuv420p", 7, 5)
    for fine, coarse in zip(arrays(move(frame, "yuv444p"))[1:], arrays(frame)[1:], strict=True):
        assert np.array_equal(fine, np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1)[:5, :7])


@pytest.mark.parametrize(
    ("source", "target"), [("nv12", "yuv420p"), ("p010le", "yuv420p10le"), ("yuvj420p", "yuv420p")]
)
def test_rearranged_samples_are_the_ones_that_ffmpeg_gives(source: str, target: str) -> None:
    frame = noise(source, 8, 6)
    if source == "p010le":
        for plane in arrays(frame):
            plane <<= 6
    frame.color_range = 2 if source == "yuvj420p" else 1
    ours = arrays(move(frame, target))
    if source == "yuvj420p":
        assert all(np.array_equal(a, b) for a, b in zip(ours, arrays(frame), strict=True))
        return
    theirs = arrays(frame.reformat(format=target, threads=1))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("source", "target", "exact"),
    [
        ("yuv420p", "yuv444p", True),
        ("yuv444p", "yuv420p", False),
        ("yuv422p", "yuv440p", False),
        ("yuv420p", "yuv420p10le", False),
        ("gray", "yuv420p", True),
        ("yuv420p", "gray", False),
        ("rgb24", "yuv444p", False),
        ("yuv410p", "yuv444p", False),
    ],
)
def test_only_changes_without_loss_count_as_exact(source: str, target: str, exact: bool) -> None:
    assert moves_exactly(source, target) is exact


def test_reordered_rgb_loses_nothing_but_lost_transparency_counts() -> None:
    assert loses_nothing("rgb24", "bgr0")
    assert loses_nothing("rgba", "bgra")
    assert not loses_nothing("rgba", "gbrp")
    assert not loses_nothing("gbrp10le", "gbrp")


def test_traits_tell_formats_apart() -> None:
    assert traits("p010le").depth == 10
    assert traits("gray").grey
    assert not traits("pal8").grey
    assert (traits("yuv422p").coarse_x, traits("yuv422p").coarse_y) == (2, 1)


def test_a_picture_without_time_is_an_error() -> None:
    with pytest.raises(DecodeError, match="no time"):
        moment(av.VideoFrame(4, 4, "gray"))


ONE = 1 << 16

QUARTER = Rotation(transposed=True, mirrored_x=True)
HALF = Rotation(mirrored_x=True, mirrored_y=True)
TRANSPOSED = Rotation(transposed=True)


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack("=9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)


def noise(pixel_format: str, width: int, height: int, seed: int = 0) -> av.VideoFrame:
    """A picture of random samples."""
    frame = av.VideoFrame(width, height, pixel_format)
    generator = np.random.default_rng(seed)
    for plane in arrays(frame):
        plane[...] = generator.integers(0, 200, plane.shape)
    return frame


def test_upright_matrix_is_no_turn() -> None:
    turn = turn_from_matrix(matrix(1, 0, 0, 1))
    assert turn is not None
    assert turn.nothing
    assert str(turn) == "upright"


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda image: np.swapaxes(image, 0, 1)),
        ((0, -1, -1, 0), lambda image: np.rot90(np.swapaxes(image, 0, 1), 2)),
    ],
)
def test_every_right_angle_and_mirroring_is_applied(numbers: tuple[int, int, int, int], expected: object) -> None:
    turn = turn_from_matrix(matrix(*numbers))
    assert turn is not None
    frame = noise("rgb24", 7, 5)
    assert np.array_equal(arrays(turn_frame(frame, turn))[0], expected(arrays(frame)[0]))  # type: ignore[operator]


def test_other_angles_are_no_turn() -> None:
    assert turn_from_matrix(struct.pack("=9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)) is None


def test_phone_matrix_is_named_by_its_degrees() -> None:
    assert str(turn_from_matrix(matrix(0, 1, -1, 0))) == "turned by 90 degrees"
    assert str(turn_from_matrix(matrix(-1, 0, 0, 1))) == "mirrored"


@given(
    pixel_format=st.sampled_from(
        ["yuv420p", "yuv444p10le", "nv12", "p010le", "gray", "gray12le", "rgb24", "rgba", "gbrp"]
    ),
    width=st.integers(2, 40),
    height=st.integers(2, 40),
    turns=st.sampled_from([(QUARTER, 4), (HALF, 2), (TRANSPOSED, 2)]),
)
def test_turning_until_upright_again_gives_the_same_samples(
    pixel_format: str, width: int, height: int, turns: tuple[Rotation, int]
) -> None:
    frame = noise(pixel_format, width, height)
    turned = frame
    for _ in range(turns[1]):
        turned = turn_frame(turned, turns[0])
    assert all(np.array_equal(a, b) for a, b in zip(arrays(turned), arrays(frame), strict=True))


def test_chroma_of_422_keeps_every_sample_lying_on_its_side() -> None:
    frame = noise("yuv422p", 7, 5)
    turned = turn_frame(frame, QUARTER)
    assert turned.format.name == "yuv444p"
    for full, coarse in zip(arrays(turned)[1:], arrays(frame)[1:], strict=True):
        expected = np.rot90(np.repeat(coarse, 2, axis=1)[:, :7], -1)
        assert np.array_equal(full, expected)


def test_a_turn_swaps_pixel_aspect_and_keeps_time_and_colour() -> None:
    turn = QUARTER
    assert turn.pixel_aspect(Fraction(4, 3)) == Fraction(3, 4)
    frame = noise("yuv420p", 8, 4)
    frame.pts, frame.time_base, frame.colorspace, frame.color_range = 5, Fraction(1, 7), 1, 2
    turned = turn_frame(frame, turn)
    assert (turned.width, turned.height) == (4, 8)
    assert (turned.pts, turned.time_base, turned.colorspace, turned.color_range) == (5, Fraction(1, 7), 1, 2)
