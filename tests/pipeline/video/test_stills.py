"""One picture in, one picture out."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from pipeline.errors import ConfigError, SinkError, SourceError
from pipeline.picture.planes import arrays
from pipeline.video.stills import SYNTHETIC_PICTURE, StillSink, StillSource

if TYPE_CHECKING:
    from pathlib import Path

MAKER, DESCRIPTION, ORIENTATION = 0x010F, 0x010E, 0x0112
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(mode: str = "RGB", *, smooth: bool = False) -> Image.Image:
    """60x40: noise, or a gradient where a lossy format is to keep it."""
    if smooth:
        y, x = np.mgrid[0:40, 0:60]
        return Image.fromarray(np.stack([x * 4, y * 6, x + y], axis=-1).astype(np.uint8)).convert(mode)
    channels = {"RGB": 3, "RGBA": 4, "L": 1, "LA": 2}[mode]
    samples = np.random.default_rng(3).integers(0, 256, (40, 60, channels), dtype=np.uint8)
    return Image.fromarray(samples[:, :, 0] if channels == 1 else samples, mode)


def exif(orientation: int = 1) -> Image.Exif:
    data = Image.Exif()
    data[ORIENTATION], data[MAKER], data[DESCRIPTION] = orientation, "Maker", "At the lake"
    return data


def through(source: Path, target: Path, **settings: Any) -> Image.Image:
    reading = StillSource(source)
    sink = StillSink(reading, target, **settings)
    sink.check()
    assert len(list(sink(iter(reading)))) == 1
    assert reading.outcome.complete
    assert sink.outcome.frames == 1
    with Image.open(target) as written:
        written.load()
        return written


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_lossless_formats_keep_every_pixel(suffix: str, tmp_path: Path) -> None:
    source = tmp_path / f"in{suffix}"
    picture().save(source, **({"lossless": True} if suffix == ".webp" else {}))
    written = through(source, tmp_path / f"out{suffix}")
    assert np.array_equal(np.asarray(written.convert("RGB")), np.asarray(picture()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright_without_the_tag(orientation: int, tmp_path: Path) -> None:
    picture().save(tmp_path / "in.png", exif=exif(orientation))
    written = through(tmp_path / "in.png", tmp_path / "out.png")
    with Image.open(tmp_path / "in.png") as source:
        expected = ImageOps.exif_transpose(source)
    assert np.array_equal(np.asarray(written), np.asarray(expected))
    assert ORIENTATION not in written.getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_tiff_that_is_stored_lying_down_comes_out_upright(mode: str, orientation: int, tmp_path: Path) -> None:
    picture(mode).save(tmp_path / "in.tif", exif=exif(orientation))
    written = through(tmp_path / "in.tif", tmp_path / "out.tif")
    stored = picture(mode)
    stored.getexif()[ORIENTATION] = orientation
    assert np.array_equal(np.asarray(written), np.asarray(ImageOps.exif_transpose(stored)))
    assert ORIENTATION not in written.getexif()


@pytest.mark.parametrize(
    ("source", "target"), [("in.jpg", "out.jpg"), ("in.png", "out.jpg"), ("in.tif", "out.tif"), ("in.webp", "out.avif")]
)
def test_profile_and_exif_are_kept(source: str, target: str, tmp_path: Path) -> None:
    picture(smooth=True).save(tmp_path / source, exif=exif(6), icc_profile=PROFILE)
    written = through(tmp_path / source, tmp_path / target)
    assert written.info["icc_profile"] == PROFILE
    assert written.getexif()[MAKER] == "Maker"
    assert written.size == (40, 60)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_metadata_says_synthetic_after_the_own_description(suffix: str, tmp_path: Path) -> None:
    picture(smooth=True).save(tmp_path / f"in{suffix}", exif=exif())
    through(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}")
    written = through(tmp_path / f"out{suffix}", tmp_path / f"again{suffix}")
    assert written.getexif()[DESCRIPTION] == f"At the lake {SYNTHETIC_PICTURE}"
    if suffix == ".png":
        assert written.text["Comment"] == SYNTHETIC_PICTURE


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_kept(mode: str, tmp_path: Path) -> None:
    picture(mode).save(tmp_path / "in.png")
    written = through(tmp_path / "in.png", tmp_path / "out.png")
    assert written.mode == mode
    assert np.array_equal(np.asarray(written), np.asarray(picture(mode)))


def test_transparency_is_not_dropped_in_silence(tmp_path: Path) -> None:
    picture("RGBA").save(tmp_path / "in.png")
    with pytest.raises(SinkError, match=r"\.jpg can't hold the input's transparency; write to \.png"):
        through(tmp_path / "in.png", tmp_path / "out.jpg")
    assert not (tmp_path / "out.jpg").exists()


def test_palette_becomes_its_colours(tmp_path: Path) -> None:
    indexed = picture(smooth=True).quantize(16)
    indexed.save(tmp_path / "in.png")
    written = through(tmp_path / "in.png", tmp_path / "out.png")
    assert np.array_equal(np.asarray(written), np.asarray(indexed.convert("RGB")))


def test_grey_stays_grey(tmp_path: Path) -> None:
    picture("L").save(tmp_path / "in.png")
    frame = next(iter(StillSource(tmp_path / "in.png")))
    assert frame.planes.format.name == "gray"
    written = through(tmp_path / "in.png", tmp_path / "out.png")
    assert written.mode == "L"
    assert np.array_equal(np.asarray(written), np.asarray(picture("L")))


def test_frame_is_the_picture_itself(tmp_path: Path) -> None:
    picture().save(tmp_path / "in.png")
    frame = next(iter(StillSource(tmp_path / "in.png")))
    assert (frame.width, frame.height, frame.index, frame.time, frame.pixel_aspect) == (60, 40, 0, 0, 1)
    assert frame.planes.format.name == "rgb24"
    assert np.array_equal(arrays(frame.planes)[0], np.asarray(picture()))


def test_what_was_drawn_is_written(tmp_path: Path) -> None:
    picture().save(tmp_path / "in.png")
    source = StillSource(tmp_path / "in.png")
    drawn = np.asarray(picture()).copy()
    drawn[10:20, 10:20] = (1, 2, 3)

    def draw():  # noqa: ANN202
        for frame in source:
            yield replace(frame, planes=av.VideoFrame.from_ndarray(drawn, format="rgb24"))

    list(StillSink(source, tmp_path / "out.png")(draw()))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), drawn)


def test_jpeg_is_compressed_as_it_was(tmp_path: Path) -> None:
    picture(smooth=True).save(tmp_path / "in.jpg", quality=73, subsampling=1)
    written = through(tmp_path / "in.jpg", tmp_path / "out.jpg")
    with Image.open(tmp_path / "in.jpg") as source:
        assert written.quantization == source.quantization
        difference = np.asarray(written).astype(int) - np.asarray(source)
    assert np.abs(difference).mean() < 0.5


def test_quality_is_refused_where_it_means_nothing(tmp_path: Path) -> None:
    picture().save(tmp_path / "in.png")
    with pytest.raises(ConfigError, match="lossless"):
        through(tmp_path / "in.png", tmp_path / "out.png", quality=80)
    with pytest.raises(ConfigError, match="1 to 100"):
        through(tmp_path / "in.png", tmp_path / "out.jpg", quality=0)


def test_kinds_that_would_lose_something_are_refused(tmp_path: Path) -> None:
    picture(smooth=True).convert("CMYK").save(tmp_path / "print.jpg")
    Image.fromarray(np.arange(81, dtype=np.uint16).reshape(9, 9) * 700).save(tmp_path / "deep.png")
    deep = av.VideoFrame(16, 16, "rgb48be")
    for plane in deep.planes:
        plane.update(bytes(plane.buffer_size))
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 16, 16, "rgb48be", Fraction(1)
    (tmp_path / "deep_colour.png").write_bytes(
        b"".join(bytes(packet) for frame in (deep, None) for packet in encoder.encode(frame))
    )
    picture().save(tmp_path / "two.tif", save_all=True, append_images=[picture()])
    for name, reason in (
        ("print.jpg", "CMYK"),
        ("deep.png", "16 bits"),
        ("deep_colour.png", "16 bits"),
        ("two.tif", "2 pictures"),
    ):
        with pytest.raises(SourceError, match=reason):
            next(iter(StillSource(tmp_path / name)))


def test_broken_and_missing_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        next(iter(StillSource(tmp_path / "no.png")))
    (tmp_path / "letter.png").write_text("not a picture")
    with pytest.raises(SourceError, match="not a picture"):
        next(iter(StillSource(tmp_path / "letter.png")))
    picture().save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match="damaged"):
        next(iter(StillSource(tmp_path / "cut.png")))


def test_existing_picture_and_input_are_left_alone(tmp_path: Path) -> None:
    picture().save(tmp_path / "in.png")
    (tmp_path / "out.png").write_text("precious")
    with pytest.raises(SinkError, match="exists"):
        through(tmp_path / "in.png", tmp_path / "out.png")
    with pytest.raises(SinkError, match="input itself"):
        through(tmp_path / "in.png", tmp_path / "in.png", overwrite=True)
    assert (tmp_path / "out.png").read_text() == "precious"
