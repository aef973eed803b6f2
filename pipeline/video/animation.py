"""An animated WebP or AVIF as a stream that FFmpeg reads: Pillow's pictures, packed as they come.

FFmpeg has no decoder for animated WebP, and takes the first picture of an animated AVIF for a video of its own. The
stream is QuickTime with lossless pictures (RGBA in PNG), their durations exact, made while it is read, so that a long
animation takes no more memory than a short one.
"""

from __future__ import annotations

import contextlib
import math
import struct
import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import PIL.AvifImagePlugin
import PIL.WebPImagePlugin  # noqa: F401 - named, so that Pillow need not load all its formats to find these two
from PIL import Image, UnidentifiedImageError

from pipeline.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAMAGE = (
    *(OSError, EOFError, SyntaxError, ValueError, RuntimeError, LookupError, TypeError, OverflowError, struct.error),
    Image.DecompressionBombError,
)
"""What Pillow and its libraries raise for damaged pictures."""

LARGEST_MEGAPIXELS = 250
"""How large a picture may be unless more is allowed: beyond it, a run takes more than two gigabytes."""

FRAME_SHARE = Fraction(4, 25)
"""How large a frame of a video may be in shares of what a single picture may be: dozens are in memory at a time."""

LARGEST_FRAME_MEGAPIXELS = FRAME_SHARE * LARGEST_MEGAPIXELS
"""Enough for 8K."""

ANIMATED = ("PNG", "WEBP", "AVIF", "GIF")
"""Pillow's formats in which several pictures are an animation."""

_LIMIT = threading.Lock()

MILLISECOND = Fraction(1, 1000)
WEBP_ANIMATED = 0x02
"""The flag in a WebP's header."""
UNSAID_MS = 100
"""How long browsers show a picture whose duration is 0."""


class AnimationStream:
    """What `av.open` reads instead of the file."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._packed = bytearray()
        self._pieces = self._pack(path)

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at the end."""
        while len(self._packed) < size and next(self._pieces, None) is not None:
            pass
        taken = bytes(self._packed[:size])
        del self._packed[:size]
        return taken

    def write(self, data: bytes) -> int:
        """Take what the muxer writes."""
        self._packed += data
        return len(data)

    def _pack(self, path: Path) -> Iterator[bool]:
        """Pack one picture after the other. Raises `SourceError` for a damaged file."""
        fragments = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}
        with (
            opened_animation(path) as animation,
            av.open(cast("Any", self), "w", format="mov", options=fragments) as output,
        ):
            stream = output.add_stream("png", rate=25, options={"compression_level": "1"})
            stream.width, stream.height, stream.pix_fmt = *animation.size, "rgba"
            stream.codec_context.time_base = MILLISECOND

            pts = 0
            for index in range(getattr(animation, "n_frames", 1)):
                with damage_named(path):
                    animation.seek(index)
                    image = np.asarray(animation.convert("RGBA"))  # (height, width, 4)
                frame = av.VideoFrame.from_ndarray(image, format="rgba")
                frame.pts, frame.time_base = pts, MILLISECOND
                shown = int(animation.info.get("duration") or UNSAID_MS)
                for packet in stream.encode(frame):
                    packet.duration = shown
                    output.mux(packet)
                pts += shown
                yield True


@contextlib.contextmanager
def opened_animation(path: Path) -> Iterator[Image.Image]:
    """The animation, its header read. Raises `SourceError`."""
    with damage_named(path), no_limit_of_pillow():
        animation = Image.open(path)
    with animation:
        yield animation


def animation_size(path: Path) -> tuple[int, int]:
    """Width and height, of the header alone. Raises `SourceError`."""
    with opened_animation(path) as animation:
        return animation.size


@contextlib.contextmanager
def no_limit_of_pillow() -> Iterator[None]:
    """Ours takes the place of the limit that Pillow has for the whole process, which warns in words of its own."""
    with _LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Pillow's errors as `SourceError`."""
    try:
        yield
    except DAMAGE as error:
        raise SourceError(f"{path} is damaged: {what_is_wrong(error)}") from error


def what_is_wrong(error: BaseException) -> str:
    """What Pillow says of a damaged picture, in our words where its own are of its code."""
    if "MAX_TEXT" in str(error):
        return "its texts or its colour profile inflate to more than a few megabytes"
    return str(error) or type(error).__name__


def plays_of(path: Path) -> int:
    """How often an animation is to be shown, 0 endlessly, as every other video is."""
    try:
        with Image.open(path, formats=ANIMATED) as picture:
            if getattr(picture, "n_frames", 1) < 2:
                return 0
            once = 1 if picture.format == "GIF" else 0  # a GIF that does not say is shown once
            return int(picture.info.get("loop", once))
    except (*DAMAGE, UnidentifiedImageError):
        return 0


def needs_pillow(path: Path) -> bool:
    """True for an animated WebP or AVIF."""
    with path.open("rb") as file:
        head = file.read(21)
    if head[4:12] == b"ftypavis":
        return True
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21 and bool(head[20] & WEBP_ANIMATED)


def check_frame_size(path: Path, width: int, height: int, *, largest_megapixels: Fraction | None) -> None:
    """Raise `SourceError` for frames of more pixels than are allowed, in words that say how to allow them."""
    megapixels = width * height / 1_000_000
    if largest_megapixels is not None and megapixels > largest_megapixels:
        flag = math.ceil(megapixels / FRAME_SHARE)
        raise SourceError(
            f"{path} has frames of {width}x{height}, more than the {float(largest_megapixels):.0f} megapixels that are "
            f"allowed, since dozens of them are in memory at a time; --largest-picture {flag} allows them"
        )
