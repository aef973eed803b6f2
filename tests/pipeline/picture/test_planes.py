"""Samples as arrays, and the changes of format that change no sample."""

from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.errors import DecodeError
from pipeline.picture.planes import arrays, loses_nothing, moment, move, moves_exactly, traits
from tests.pipeline.picture.test_rotate import noise


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
