"""An animated WebP or AVIF as a stream that FFmpeg reads: Pillow's pictures, packed as they come.

FFmpeg has no decoder for animated WebP, and takes the first picture of an animated AVIF for a video of its own. The
stream is QuickTime with lossless pictures (RGBA in PNG), their durations exact, made while it is read, so that a long
animation takes no more memory than a short one.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
import threading
import zlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.errors import SourceError
from pipeline.video.labels import labelled

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

_LIMIT = threading.Lock()

MILLISECOND = Fraction(1, 1000)
WEBP_FLAGS, WEBP_ANIMATED, WEBP_XMP, WEBP_ALPHA = 20, 0x02, 0x04, 0x10
"""Where a WebP's header has its flags, and some of them."""
PNG_HEADER = 33
"""Bytes of a PNG's signature and first chunk."""
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
        with Image.open(path) as picture:
            if getattr(picture, "n_frames", 1) < 2:
                return 0
            once = 1 if picture.format == "GIF" else 0  # a GIF that does not say is shown once
            return int(picture.info.get("loop", once))
    except (*DAMAGE, UnidentifiedImageError):
        return 0


def end_animation(path: Path, last: Fraction, *, comment: str) -> None:
    """Finish an animation that FFmpeg wrote: its last picture is shown for `last` seconds, and it is labelled.

    A PNG gets the comment as well.

    FFmpeg shows the last as long as the one before or the average, and writes no metadata. Sources: the WebP container
    specification of Google, and the third edition of the PNG specification of the W3C.
    """
    with path.open("r+b") as file:
        webp = file.read(4) == b"RIFF"
        if webp:
            extend_webp(file)
        packet = labelled(None)
        added = b"XMP " + struct.pack("<I", len(packet)) + packet + bytes(len(packet) % 2)
        if not webp:
            text = png_chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + packet)
            added = text + png_chunk(b"tEXt", b"Comment\x00" + comment.encode())
        size = file.seek(0, 2)
        file.truncate(size + len(added))

        with mmap.mmap(file.fileno(), 0) as data:
            if webp:
                data[size:] = added
                data[4:8] = struct.pack("<I", len(data) - 8)
                data[WEBP_FLAGS] |= WEBP_XMP
                last_in_webp(data, last)
            else:
                data.move(PNG_HEADER + len(added), PNG_HEADER, size - PNG_HEADER)
                data[PNG_HEADER : PNG_HEADER + len(added)] = added
                last_in_png(data, last)


def extend_webp(file: BinaryIO) -> None:
    """Give a WebP the header with which it holds more than a picture; FFmpeg leaves it out for a single one."""
    file.seek(0)
    data = file.read()
    if data[12:16] != b"VP8L":
        return
    bits = int.from_bytes(data[21:25], "little")
    width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1  # both less 1
    flags = bytes([WEBP_ALPHA * alpha, 0, 0, 0])
    header = b"VP8X" + struct.pack("<I", 10) + flags + width.to_bytes(3, "little") + height.to_bytes(3, "little")
    file.seek(12)
    file.write(header + data[12:])


def last_in_webp(data: mmap.mmap, last: Fraction) -> None:
    """Set how long the last picture of a WebP is shown, in whole milliseconds."""
    position, place = 12, None
    while position + 8 <= len(data):
        if data[position : position + 4] == b"ANMF":
            place = position + 8 + 12
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
    if place is not None:
        data[place : place + 3] = min(round(last * 1000), (1 << 24) - 1).to_bytes(3, "little")


def last_in_png(data: mmap.mmap, last: Fraction) -> None:
    """Set how long the last picture of a PNG is shown, as a fraction of two numbers of 16 bits."""
    position, place = 8, None
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"fcTL":
            place = position
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    if place is None:
        return
    shown = min(last, Fraction((1 << 16) - 1)).limit_denominator((1 << 16) - 1)
    while shown.numerator >= 1 << 16:
        shown = shown.limit_denominator(shown.denominator // 2)
    control = bytearray(data[place + 8 : place + 34])
    struct.pack_into(">HH", control, 20, shown.numerator, shown.denominator)
    chunk = png_chunk(b"fcTL", bytes(control))
    data[place : place + len(chunk)] = chunk


def png_chunk(name: bytes, payload: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def needs_pillow(path: Path) -> bool:
    """True for an animated WebP or AVIF."""
    with path.open("rb") as file:
        head = file.read(21)
    if head[4:12] == b"ftypavis":
        return True
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21 and bool(head[20] & WEBP_ANIMATED)
