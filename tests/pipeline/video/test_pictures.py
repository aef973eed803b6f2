"""Pictures are told by what is in them, opened within our own limit, and what lies beside them is said."""

from __future__ import annotations

import resource
import shutil
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import SinkError, SourceError
from pipeline.video.pictures import format_of, is_still, still_name
from pipeline.video.stills import StillSink, StillSource
from tests.pipeline.clips import Clip, picture
from tests.pipeline.heic import box, write_heic

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = picture(7, 256, 192, flash=False)


def through(source: Path, target: Path) -> StillSink:
    reading = StillSource(source)
    sink = StillSink(reading, target)
    sink.check()
    for _ in sink(iter(reading)):
        pass
    return sink


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.jfif", "JPEG"), ("a.ppm", "PPM"), ("photo", "PNG"), ("a.mp4", "JPEG"), ("a.jpg", "WEBP"), ("a.HEIC", "AVIF")],
)
def test_a_picture_is_one_whatever_its_name(name: str, kind: str, tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / name, format=kind)
    assert is_still(tmp_path / name)
    assert format_of(tmp_path / name) == kind
    through(tmp_path / name, tmp_path / "out.png")
    assert np.abs(pixels_of(tmp_path / "out.png").astype(int) - IMAGE).mean() < 4


@pytest.mark.parametrize("tile", [None, 64])
def test_heic_is_one_picture_however_it_is_tiled(tile: int | None, tmp_path: Path) -> None:
    source = write_heic(tmp_path / "a.heic", IMAGE, tile=tile)
    assert is_still(source)
    assert still_name(source) == "a.jpg"
    through(source, tmp_path / "out.png")
    written = pixels_of(tmp_path / "out.png")
    assert written.shape == IMAGE.shape
    assert np.abs(written.astype(int) - IMAGE).mean() < 3


def test_a_damaged_heic_is_an_error_and_no_half_picture(tmp_path: Path) -> None:
    data = write_heic(tmp_path / "a.heic", IMAGE).read_bytes()
    (tmp_path / "a.heic").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"a\.heic"):
        through(tmp_path / "a.heic", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF"])
def test_an_animation_is_no_still(kind: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(number, 64, 48, flash=False)) for number in range(3)]
    path = tmp_path / f"a.{kind.lower()}"
    frames[0].save(path, format=kind, save_all=True, append_images=frames[1:], duration=80)
    assert not is_still(path)
    frames[0].save(path, format=kind)
    assert is_still(path)


@pytest.mark.parametrize("name", ["film.jpg", "film.png", "film"])
def test_a_film_is_one_whatever_its_name(name: str, tmp_path: Path) -> None:
    shutil.copy(Clip(frames=5).write(tmp_path / "in.mp4"), tmp_path / name)
    assert not is_still(tmp_path / name)


def test_what_is_not_there_is_told_by_its_suffix(tmp_path: Path) -> None:
    assert is_still(tmp_path / "a.heic")
    assert not is_still(tmp_path / "a.mkv")


@pytest.mark.parametrize(("name", "expected"), [("a.jpe", "a.jpe"), ("photo", "photo.png"), ("a.gif", "a.png")])
def test_an_output_is_called_like_what_is_written(name: str, expected: str, tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / name, format={"a.jpe": "JPEG", "a.gif": "GIF"}.get(name, "PNG"))
    assert still_name(tmp_path / name) == expected


def test_a_large_picture_is_refused_in_our_words_before_its_pixels_are_read(tmp_path: Path) -> None:
    Image.new("1", (20_000, 15_000)).save(tmp_path / "a.png")
    with pytest.raises(SourceError, match=r"300 megapixels, more than the 250 .*--largest-picture 300"):
        through(tmp_path / "a.png", tmp_path / "out.png")


def png_chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


BOMB = zlib.compress(bytes(200_000_000), 9)
BOMBS = {
    "text": png_chunk(b"zTXt", b"a\x00\x00" + BOMB),
    "texts": png_chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(1_000_000), 9)) * 100,
    "international text": png_chunk(b"iTXt", b"a\x00\x01\x00\x00\x00" + BOMB),
    "colour profile": png_chunk(b"iCCP", b"a\x00\x00" + BOMB),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_what_inflates_beside_the_pixels_is_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:33] + BOMBS[kind] + data[33:])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SourceError, match="its texts or its colour profile inflate"):
        through(tmp_path / "a.png", tmp_path / "out.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def claiming(path: Path, side: int) -> Path:
    """A small picture whose header says that it is `side` pixels wide and high."""
    Image.fromarray(IMAGE).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    data = bytearray(path.read_bytes())
    if path.suffix == ".jpg":
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, side, side)
    elif path.suffix == ".png":
        struct.pack_into(">II", data, 16, side, side)
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    elif path.suffix == ".webp":
        struct.pack_into("<I", data, 21, side - 1 | side - 1 << 14)
    elif path.suffix == ".gif":
        struct.pack_into("<HH", data, 6, side, side)
    else:
        struct.pack_into("<ii", data, 18, side, side)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "side"), [("a.jpg", 60_000), ("a.png", 60_000), ("a.webp", 16_384), ("a.gif", 60_000), ("a.bmp", 60_000)]
)
def test_a_header_that_claims_more_than_is_allowed_is_refused(name: str, side: int, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="megapixels, more than the 250"):
        through(claiming(tmp_path / name, side), tmp_path / "out.png")


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "RGB"), ("a.png", "RGBA"), ("a.tif", "L")])
def test_a_large_picture_is_in_memory_twice_at_most(name: str, mode: str, tmp_path: Path) -> None:
    """The orientation asks for a turn, which once made a third and a fourth copy."""
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new(mode, (6000, 5000), 90 if mode == "L" else "teal").save(tmp_path / name, exif=turned)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from pipeline.video.stills import StillSource, StillSink\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "source = StillSource(Path(sys.argv[1])); sink = StillSink(source, Path(sys.argv[2])); sink.check()\n"
        "assert [(frame.width, frame.height) for frame in sink(iter(source))] == [(5000, 6000)]\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / name), str(tmp_path / f"out{name}")]
    kilobytes = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    bytes_a_pixel = {"RGB": 7, "RGBA": 9, "L": 3}[mode] + 2  # besides, an encoder's own
    assert kilobytes * 1024 < 30_000_000 * bytes_a_pixel


def test_pillows_own_limit_neither_warns_nor_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    source = StillSource(tmp_path / "a.png")
    assert source.still.pixels[0].shape == (192, 256, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000
    with pytest.raises(SourceError, match="--largest-picture 1"):
        _ = StillSource(tmp_path / "a.png", largest_megapixels=0).still


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" %s/></rdf:RDF></x:xmpmeta>'
)


def ultra_hdr(path: Path) -> Path:
    """A JPEG with a second picture behind it, and XMP data that say it is a gain map."""
    gain = Image.fromarray(IMAGE).resize((64, 48))
    xmp = XMP % b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
    Image.fromarray(IMAGE).save(path, format="MPO", save_all=True, append_images=[gain], xmp=xmp)
    return path


def motion_photo(path: Path) -> Path:
    """A JPEG with an MP4 behind it, and XMP data that say so."""
    film = Clip(frames=3, width=64, height=48).write(path.with_suffix(".mp4")).read_bytes()
    Image.fromarray(IMAGE).save(path, format="JPEG", xmp=XMP % b'GCamera:MotionPhoto="1"')
    path.write_bytes(path.read_bytes() + film)
    return path


def motion_heic(path: Path) -> Path:
    """A HEIC with a film in a box of its own, as Google's and Samsung's telephones write it."""
    film = Clip(frames=3, width=64, height=48).write(path.with_suffix(".mp4")).read_bytes()
    write_heic(path, IMAGE)
    path.write_bytes(path.read_bytes() + box(b"mpvd", film))
    return path


def film_without_pointer(path: Path) -> Path:
    """A JPEG with an MP4 behind it that nothing names."""
    film = Clip(frames=3, width=64, height=48).write(path.with_suffix(".mp4")).read_bytes()
    Image.fromarray(IMAGE).save(path, format="JPEG")
    path.write_bytes(path.read_bytes() + film)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (ultra_hdr, "another picture"),
        (motion_photo, "film"),
        (film_without_pointer, "film"),
        (motion_heic, "film"),
    ],
)
@pytest.mark.parametrize("target", ["out.jpg", "out.png", "out.webp"])
def test_what_lies_beside_a_picture_goes_with_its_pointer_and_is_said(
    make: object, words: str, target: str, tmp_path: Path
) -> None:
    source = make(tmp_path / "in.jpg")  # type: ignore[operator]
    sink = through(source, tmp_path / target)
    assert any(words in warning for warning in sink.outcome.warnings), sink.outcome
    written = (tmp_path / target).read_bytes()
    assert b"hdrgm" not in written
    assert b"MotionPhoto" not in written
    assert b"ftypisom" not in written
    with Image.open(tmp_path / target) as opened:
        assert getattr(opened, "n_frames", 1) == 1
        assert "mp" not in opened.info


def test_xmp_data_that_point_nowhere_else_stay(tmp_path: Path) -> None:
    xmp = XMP % b'xmp:Rating="5"'
    Image.fromarray(IMAGE).save(tmp_path / "in.jpg", xmp=xmp)
    sink = through(tmp_path / "in.jpg", tmp_path / "out.jpg")
    assert sink.outcome.warnings == []
    assert b'Rating="5"' in (tmp_path / "out.jpg").read_bytes()


CAPTION = b"\x1c\x02\x78\x00\x0bAt the lake"
"""IPTC's record for a caption."""


def with_iptc(path: Path) -> Path:
    """A picture with a caption and, in a JPEG, with a small picture of what it showed beside it."""
    if path.suffix == ".tif":
        Image.fromarray(IMAGE).save(path, tiffinfo={33723: CAPTION})
        return path
    thumbnail = b"8BIM\x04\x0c\x00\x00\x00\x00\x00\x04\xff\xd8\xff\xd9"
    resources = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + len(CAPTION).to_bytes(4, "big") + CAPTION + thumbnail
    segment = b"\xff\xed" + (len(resources) + 2).to_bytes(2, "big") + resources
    Image.fromarray(IMAGE).save(path, extra=segment, comment=b"by hand")
    return path


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ("in.jpg", "out.jpg", True),
        ("in.tif", "out.jpg", True),
        ("in.jpg", "out.tif", True),
        ("in.jpg", "out.webp", False),
    ],
)
def test_captions_of_the_press_are_kept_or_said(source: str, target: str, kept: bool, tmp_path: Path) -> None:
    sink = through(with_iptc(tmp_path / source), tmp_path / target)
    written = (tmp_path / target).read_bytes()
    assert (CAPTION in written) == kept
    assert any("IPTC" in warning for warning in sink.outcome.warnings) != kept
    assert b"8BIM\x04\x0c" not in written


@pytest.mark.parametrize(("target", "kept"), [("out.jpg", True), ("out.png", True), ("out.webp", False)])
def test_a_comment_is_kept_or_said(target: str, kept: bool, tmp_path: Path) -> None:
    sink = through(with_iptc(tmp_path / "in.jpg"), tmp_path / target)
    assert (b"by hand" in (tmp_path / target).read_bytes()) == kept
    assert any("no comment" in warning for warning in sink.outcome.warnings) != kept


def test_ppm_holds_no_transparency(tmp_path: Path) -> None:
    Image.fromarray(IMAGE).convert("RGBA").save(tmp_path / "in.png")
    with pytest.raises(SinkError, match="transparency"):
        through(tmp_path / "in.png", tmp_path / "out.ppm")


FORMATS_LOADED = """
import sys
from pathlib import Path
from pipeline.video.animation import plays_of
from pipeline.video.pictures import is_still
print(is_still(Path(sys.argv[1])), plays_of(Path(sys.argv[1])), "PIL.DdsImagePlugin" in sys.modules)
"""


@pytest.mark.parametrize("head", [b"\0\0\0\x18ftypisom", b"\x1aE\xdf\xa3", b"RIFF\0\0\1\0AVI LIST"])
def test_to_tell_a_video_from_a_picture_not_all_of_pillow_is_loaded(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "talk"
    path.write_bytes(head + bytes(4000))
    asked = [sys.executable, "-c", FORMATS_LOADED, str(path)]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split() == ["False", "0", "False"]
