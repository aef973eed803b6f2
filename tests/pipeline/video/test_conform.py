"""Pictures are made alike, are left alone where nothing is to be done, and mean the same colour in another format."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from pipeline.picture.planes import arrays
from pipeline.video.conform import conform, converted
from pipeline.video.decode import Cropper
from pipeline.video.info import Colour, Crop
from pipeline.video.probe import probe
from tests.pipeline.clips import Clip
from tests.pipeline.picture.test_planes import noise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.video.info import SourceInfo


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> SourceInfo:
    return probe(Clip(frames=2, width=64, height=48).write(tmp_path_factory.mktemp("clip") / "in.mp4"))


def conformed(pictures: Iterable[av.VideoFrame], info: SourceInfo) -> tuple[list[av.VideoFrame], list[str]]:
    warnings: list[str] = []
    timed = []
    for number, picture in enumerate(pictures):
        picture.pts, picture.time_base = number * 7, Fraction(1, 50)
        timed.append(picture)
    return list(conform(iter(timed), info, warnings.append)), warnings


def test_what_needs_nothing_passes_untouched(info: SourceInfo) -> None:
    pictures = [noise("yuv420p", 64, 48, seed) for seed in range(3)]
    given, warnings = conformed(pictures, info)
    assert all(a is b for a, b in zip(given, pictures, strict=True))
    assert warnings == []


def test_another_size_is_fitted_and_centred(info: SourceInfo) -> None:
    narrow = av.VideoFrame(20, 48, "yuv420p")
    for plane, value in zip(arrays(narrow), (200, 128, 128), strict=True):
        plane[...] = value
    given, warnings = conformed([noise("yuv420p", 64, 48), narrow], info)
    luma = arrays(given[1])[0][:, :, 0]
    assert luma.shape == (48, 64)
    assert (luma[:, 24:40] > 190).all()
    assert (luma[:, :20] == 16).all()
    assert (luma[:, 44:] == 16).all()
    assert [picture.pts for picture in given] == [0, 7]
    assert len(warnings) == 1
    assert "20x48" in warnings[0]


def test_a_picture_smaller_than_what_is_cropped_is_shown_whole() -> None:
    warnings: list[str] = []
    crop = Cropper(Crop(top=16, bottom=16), warnings.append)
    shown = [crop(noise("yuv420p", 64, height)) for height in (48, 16)]
    assert [(picture.width, picture.height) for picture in shown] == [(64, 16), (64, 16)]
    assert len(warnings) == 1


def test_another_pixel_format_becomes_the_first(info: SourceInfo) -> None:
    given, warnings = conformed([noise("yuv420p", 64, 48), noise("yuv444p10le", 64, 48)], info)
    assert [picture.format.name for picture in given] == ["yuv420p", "yuv420p"]
    assert "yuv444p10le" in warnings[0]


def test_progressive_pictures_among_interlaced_ones_are_not_filtered(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = Clip(frames=12, interlaced=True).write(tmp_path_factory.mktemp("clip") / "in.mp4")
    interlaced_info = probe(path)
    assert interlaced_info.interlaced
    with av.open(str(path)) as opened:
        interlaced = list(opened.decode(video=0))
    progressive = [noise("yuv420p", 320, 240, seed) for seed in range(3)]
    given, warnings = conformed([*interlaced[:4], *progressive], interlaced_info)
    assert len(given) == 7
    assert [picture.pts for picture in given] == [number * 7 for number in range(7)]
    for before, after in zip(progressive, given[4:], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(arrays(before), arrays(after), strict=True))
    assert sum("interlaced" in warning for warning in warnings) == 1


def test_tags_survive_every_change(info: SourceInfo) -> None:
    tagged = noise("yuva420p", 64, 48)
    tagged.colorspace, tagged.color_range, tagged.color_primaries, tagged.color_trc = 9, 1, 9, 16
    (given,), _ = conformed([tagged], replace(info, stored_format="yuva420p"))
    assert given.format.name == "yuv420p"
    assert (given.colorspace, given.color_range, given.color_primaries, given.color_trc) == (9, 1, 9, 16)


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
