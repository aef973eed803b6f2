"""Which pixel formats flow as they are, and that the others arrive without loss."""

from __future__ import annotations

import numpy as np
import pytest
from av.video.format import VideoFormat, names
from av.video.reformatter import Interpolation

from pipeline.picture.formats import NATIVE, traits, working_format
from pipeline.picture.pixels import read_rgb
from pipeline.picture.planes import arrays
from tests.pipeline.picture.test_planes import noise

OTHERS = sorted(
    name
    for name in names
    if name not in NATIVE and traits(name).depth and not any(mark in name for mark in ("bayer", "xyz", "f16", "f32"))
)


@pytest.mark.parametrize("name", sorted(NATIVE))
def test_every_named_format_exists(name: str) -> None:
    assert VideoFormat(name, 16, 16).name == name


@pytest.mark.parametrize("name", sorted(NATIVE))
def test_native_formats_flow_as_they_are(name: str) -> None:
    assert working_format(name) == name


@pytest.mark.parametrize("name", sorted(NATIVE))
def test_native_formats_can_be_looked_at(name: str) -> None:
    image = read_rgb(noise(name, 16, 16), left=2, top=4, right=10, bottom=12)
    assert image.shape == (8, 8, 3)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("name", OTHERS)
def test_others_become_native_ones_that_hold_their_colours(name: str) -> None:
    target = working_format(name)
    assert target in NATIVE
    have, want = traits(name), traits(target)
    assert want.depth >= min(have.depth, 16)
    assert have.grey or (want.coarse_x <= have.coarse_x and want.coarse_y <= have.coarse_y)


def test_formats_that_nobody_named_still_become_something() -> None:
    assert working_format("yuv420p10be") == "yuv420p10le"
    assert working_format("yuva444p12be") == "yuva444p12le"
    assert working_format("bayer_bggr8") == "rgb24"


@pytest.mark.parametrize("name", ["yuyv422", "uyvy422", "yvyu422"])
def test_interleaved_422_keeps_every_value(name: str) -> None:
    frame = noise("yuv422p", 32, 16)
    interleaved = frame.reformat(format=name, interpolation=Interpolation.POINT, threads=1)
    back = interleaved.reformat(format=working_format(name), interpolation=Interpolation.POINT, threads=1)
    assert all(np.array_equal(a, b) for a, b in zip(arrays(back), arrays(frame), strict=True))


@pytest.mark.parametrize(
    "name", ["nv21", "nv16", "nv24", "yuv411p", "yuv410p", "yuva420p", "yuva444p10le", "gbrap", "rgb48le"]
)
def test_rewriting_keeps_every_value(name: str) -> None:
    frame = noise(name, 32, 16)
    target = working_format(name)
    arrived = frame.reformat(format=target, interpolation=Interpolation.POINT, threads=1)
    if name == "rgb48le":
        red_green_blue = arrays(frame)[0]
        green, blue, red = (plane[:, :, 0] for plane in arrays(arrived))
        assert np.array_equal(np.stack([red, green, blue], axis=-1), red_green_blue)
        return
    back = arrived.reformat(format=name, interpolation=Interpolation.POINT, threads=1)
    colours = 3
    for before, after in zip(arrays(frame)[:colours], arrays(back)[:colours], strict=True):
        assert np.array_equal(before, after)
