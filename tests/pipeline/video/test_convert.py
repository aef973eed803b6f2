"""Where an encoder needs other numbers, they mean the same colour: matrix and range are respected, not only tagged."""

from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.picture.planes import arrays
from pipeline.video.convert import converted
from pipeline.video.info import Colour
from tests.pipeline.picture.test_rotate import noise

BT709 = Colour(matrix=1, range=1, primaries=1, transfer=1)


def flat(red: int, green: int, blue: int) -> av.VideoFrame:
    frame = av.VideoFrame(16, 16, "rgb24")
    arrays(frame)[0][...] = (red, green, blue)
    return frame


def test_same_format_is_the_very_picture() -> None:
    frame = noise("yuv420p", 8, 8)
    assert converted(frame, "yuv420p", BT709) is frame


@pytest.mark.parametrize(
    ("rgb", "colour", "yuv"),
    [
        ((255, 255, 255), BT709, (235, 128, 128)),
        ((0, 0, 0), BT709, (16, 128, 128)),
        ((255, 0, 0), BT709, (63, 102, 240)),
        ((255, 0, 0), Colour(6, 1, 6, 6), (81, 90, 240)),
        ((0, 0, 255), Colour(9, 1, 9, 14), (29, 240, 119)),
        ((255, 0, 0), Colour(1, 2, 1, 1), (54, 99, 255)),
    ],
)
def test_rgb_becomes_yuv_of_the_tagged_matrix_and_range(
    rgb: tuple[int, ...], colour: Colour, yuv: tuple[int, ...]
) -> None:
    planes = arrays(converted(flat(*rgb), "yuv444p", colour))
    found = [int(plane[8, 8, 0]) for plane in planes]
    assert np.abs(np.array(found) - yuv).max() <= 1, found


@pytest.mark.parametrize("full", [1, 2])
def test_fewer_bits_keep_the_range(full: int) -> None:
    frame = noise("yuv420p10le", 32, 32)
    for plane in arrays(frame):
        plane *= 5
    frame.color_range = full
    fewer = converted(frame, "yuv420p", Colour(1, full, 1, 1))
    # Black is 0 and white is all ones in full range; in limited range both move by two bits, as chroma always does.
    scales = (255 / 1023 if full == 2 else 1 / 4, 1 / 4, 1 / 4)
    for before, after, scale in zip(arrays(frame), arrays(fewer), scales, strict=True):
        error = before.astype(float) * scale - after  # rounded with a dither
        assert np.abs(error).max() < 1
        assert abs(error.mean()) < 0.3


def test_full_range_by_name_and_by_tag_are_the_same_numbers() -> None:
    frame = noise("yuvj420p", 8, 8)
    relabelled = converted(frame, "yuv420p", Colour(5, 2, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(arrays(frame), arrays(relabelled), strict=True))
