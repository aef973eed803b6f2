"""Which files are pictures, told by what is in them, and how they are opened.

Names say little: telephones write HEIC, browsers write .jfif, and a picture may have no suffix at all. A file that
moves (an animated WebP, PNG or GIF) is a video whatever its name.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import pi_heif
from PIL import Image, UnidentifiedImageError

from pipeline.errors import SourceError
from pipeline.video.animation import DAMAGE, LARGEST_MEGAPIXELS, no_limit_of_pillow, what_is_wrong
from pipeline.video.opening import check_is_file, opened

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

ANIMATED = ("PNG", "WEBP", "AVIF", "GIF")
"""Those in which several pictures are an animation."""

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
