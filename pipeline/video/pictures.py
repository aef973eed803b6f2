"""Which files are pictures, told by what is in them, how they are opened, and what lies in them beside the pixels.

Names say little: telephones write HEIC, browsers write .jfif, and a picture may have no suffix at all. A file that
moves (an animated WebP, PNG or GIF) is a video whatever its name.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import pi_heif
from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from pipeline.errors import SourceError
from pipeline.video.animation import ANIMATED, DAMAGE, LARGEST_MEGAPIXELS, no_limit_of_pillow, what_is_wrong
from pipeline.video.opening import check_is_file, opened, top_level_boxes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".jpe": "JPEG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".ppm": "PPM",
}
"""Pillow's name of the format by suffix, of pictures that are read and written."""

READ_SUFFIXES = frozenset(FORMATS) | {".heic", ".heif", ".hif", ".pgm", ".pnm", ".gif"}
"""What pictures are usually called that can be read."""

READ = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "HEIF", "GIF")
"""Pillow's formats that are tried."""

ORIENTATION, TIFF_BITS = 0x0112, 258
"""EXIF and TIFF tags."""

BECOMES = {"RGB": "RGB", "RGBA": "RGBA", "L": "L", "LA": "LA", "1": "L", "P": "RGB", "PA": "RGBA"}
"""How a picture of each of Pillow's modes is processed; other modes are refused."""

REFUSED = {
    "CMYK": "it is CMYK, for print; convert it to RGB first",
    "YCbCr": "it is stored as YCbCr; convert it to RGB first",
    "LAB": "it is stored as Lab; convert it to RGB first",
    "HSV": "it is stored as HSV; convert it to RGB first",
}

BESIDE_ANOTHER = ("MPO", "HEIF")
"""Formats in which the first of several pictures is the one that is meant."""

POINTERS = (b"hdrgm", b"hdr-gain-map", b"HDRGainMap", b"MotionPhoto", b"MicroVideo", b"GDepth", b"Container:Directory")
"""What XMP data hold that point to another part of the file."""

FILM_BOXES = frozenset(["mpvd", "moov"])
"""Boxes that hold a film in a file of a picture: Google's for motion photos, and MP4's index."""

PHOTOSHOP, IPTC_RESOURCE, IPTC_TAG = b"Photoshop 3.0\x00", 0x0404, 33723
"""Where JPEG and TIFF hold IPTC's captions and keywords."""


BYTES_A_PIXEL = 8
"""Memory that a picture takes while it is processed: Pillow holds four bytes a pixel, and we hold three beside them."""


@contextlib.contextmanager
def opened_picture(path: Path, *, largest_megapixels: int = LARGEST_MEGAPIXELS) -> Iterator[Image.Image]:
    """The picture in `path`, its header read. Raises `SourceError` for what can't be read or is too large."""
    check_is_file(path)
    pi_heif.register_heif_opener()
    with contextlib.ExitStack() as stack:
        try:
            # Given the name, Pillow maps some files into memory, and garbles a grey TIFF that is stored lying down.
            file = stack.enter_context(path.open("rb"))
            with no_limit_of_pillow():
                picture = stack.enter_context(Image.open(file, formats=READ))
        except UnidentifiedImageError as error:
            raise SourceError(f"{path} is not a picture, or of a kind that can't be read") from error
        except DAMAGE as error:
            raise SourceError(f"{path} is damaged: {what_is_wrong(error)}") from error

        megapixels = picture.width * picture.height / 1e6
        if megapixels > largest_megapixels:
            gigabytes = megapixels * BYTES_A_PIXEL / 1000
            raise SourceError(
                f"{path} has {megapixels:.0f} megapixels, more than the {largest_megapixels} that are allowed; "
                f"--largest-picture {math.ceil(megapixels)} allows it, and takes {gigabytes:.1f} GB of memory"
            )
        yield picture


def format_of(path: Path) -> str | None:
    """Pillow's name of the picture's format by what is in the file; None for what is no picture that stands still."""
    try:
        with opened_picture(path, largest_megapixels=1_000_000) as picture:
            animated = picture.format in ANIMATED and getattr(picture, "n_frames", 1) > 1
            return None if animated else picture.format
    except DAMAGE:
        return None


def is_still(path: Path) -> bool:
    """True for a picture that stands still, by what is in the file; by its suffix when that can't be read."""
    if format_of(path) is not None:
        return True
    named_so = path.suffix.lower() in READ_SUFFIXES - {".gif"}
    return named_so and not (path.is_file() and is_film(path))


def is_film(path: Path) -> bool:
    """True when FFmpeg finds moving pictures in the file, or Pillow an animation."""
    try:
        with opened_picture(path, largest_megapixels=1_000_000) as picture:
            return picture.format in ANIMATED and getattr(picture, "n_frames", 1) > 1
    except DAMAGE:
        pass
    try:
        with opened(path) as container:
            single = container.format.name.endswith("_pipe") or container.format.name == "image2"
            return bool(container.streams.video) and not single
    except SourceError:
        return False


def still_name(path: Path) -> str:
    """The name of an output for a picture: its own, or one of a kind that is written where its own is only read."""
    if path.suffix.lower() in FORMATS:
        return path.name
    suffix = ".jpg" if format_of(path) in ("JPEG", "MPO", "HEIF") else ".png"
    return f"{path.stem}{suffix}"


def refuse(image: Image.Image, path: Path) -> None:
    """Raise `SourceError` for a picture that can't be processed without loss."""
    pictures = getattr(image, "n_frames", 1)
    if pictures > 1 and image.format not in BESIDE_ANOTHER:
        raise SourceError(f"{path} holds {pictures} pictures; save the one you mean as a file of its own")
    if (bits := bits_a_sample(image, path)) > 8:
        raise SourceError(f"{path} has {bits} bits a sample; save it with 8 bits first")
    if image.mode not in BECOMES:
        raise SourceError(f"{path}: {REFUSED.get(image.mode, f'pictures of mode {image.mode} are not processed')}")


def bits_a_sample(image: Image.Image, path: Path) -> int:
    """How many bits a sample has; more than 8 would be cut to 8 by Pillow without a word in colour pictures."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        with path.open("rb") as file:
            return file.read(25)[24]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(TIFF_BITS, (8,))
        return int(max(bits if isinstance(bits, tuple) else (bits,)))
    return int(image.info.get("bit_depth", 16 if image.mode.startswith(("I", "F")) else 8))


def beside(image: Image.Image, path: Path) -> Iterator[str]:
    """What lies beside the picture in its file and can't be in the output, in sentences.

    It shows the mask, as a film or a map of brightness and depth does, so it can't be kept beside the new picture.
    """
    # Pillow counts one picture in a JPEG whose second is a gain map, and keeps the list of both as "mp".
    others = max(getattr(image, "n_frames", 1) - 1, int("mp" in image.info))
    if others > 0:
        pictures = "another picture" if others == 1 else f"{others} other pictures"
        yield f"{path.name} holds {pictures} behind the first, such as a map of brightness; left out"
    maps = len(image.info.get("depth_images", ())) + len(image.info.get("aux", ()))
    if maps:
        yield f"{path.name} holds {maps} maps of depth or brightness; left out"
    if has_film(image, path):
        yield f"{path.name} is a motion photo; its film is left out"
    if points_elsewhere(image.info.get("xmp")):
        yield f"the XMP data of {path.name} describe what was left out; they are left out too"


def has_film(image: Image.Image, path: Path) -> bool:
    """True when a film lies in the same file: an MP4 behind a JPEG, or a box of its own in HEIC and AVIF."""
    if image.format in ("HEIF", "AVIF"):
        return not FILM_BOXES.isdisjoint(top_level_boxes(path))
    if image.format not in ("JPEG", "MPO"):
        return False
    with path.open("rb") as file:
        data = file.read()
    place = data.rfind(b"ftyp", data.find(b"\xff\xd9"))
    return place > 4 and int.from_bytes(data[place - 4 : place], "big") < 64


def points_elsewhere(xmp: bytes | None) -> bool:
    """True when XMP data name a film, a gain map or other parts that lie behind the picture."""
    return xmp is not None and any(word in xmp for word in POINTERS)


def iptc_of(image: Image.Image) -> bytes:
    """IPTC's captions and keywords of a JPEG or TIFF; empty without any."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        data = image.tag_v2.get(IPTC_TAG, b"")
        return data if isinstance(data, bytes) else b""
    return bytes(image.info.get("photoshop", {}).get(IPTC_RESOURCE, b""))
