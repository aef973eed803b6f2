from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.picture.luma import read_luma, read_thumbnail

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
