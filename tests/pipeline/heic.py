"""HEIC pictures of our own: HEVC stills in the boxes of ISO 23008-12, whole or in tiles as telephones write them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


def write_heic(path: Path, image: NDArray[np.uint8], *, tile: int | None = None) -> Path:
    """Write (height, width, 3) uint8 RGB, in tiles of `tile` pixels a side where that is given."""
    height, width = image.shape[:2]
    side_x, side_y = (tile, tile) if tile else (width, height)
    tiles = [
        encoded(image[top : top + side_y, left : left + side_x])
        for top in range(0, height, side_y)
        for left in range(0, width, side_x)
    ]
    columns, rows = width // side_x, height // side_y
    payloads = [data for data, _ in tiles]
    if tile:
        payloads.append(bytes([0, 0, rows - 1, columns - 1]) + number(width, 2) + number(height, 2))
    path.write_bytes(file_of(payloads, tiles[0][1], (side_x, side_y), (width, height)))
    return path


def encoded(image: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """One HEVC picture, its parts behind their lengths, and the decoder's configuration."""
    context: Any = av.CodecContext.create("libx265", "w")
    context.width, context.height, context.pix_fmt = image.shape[1], image.shape[0], "yuv444p"
    context.time_base, context.thread_count = Fraction(1, 25), 1
    context.color_range, context.colorspace = 2, 6
    context.flags |= 1 << 22  # parameter sets beside the picture, not in it
    context.options = {"x265-params": "log-level=none:info=0", "crf": "4", "preset": "ultrafast"}
    frame = av.VideoFrame.from_ndarray(image.copy(), format="rgb24")
    frame = frame.reformat(format="yuv444p", dst_colorspace="ITU601", dst_color_range="JPEG")
    packets = [packet for given in (frame, None) for packet in context.encode(given)]
    sets, pictures = parts(context.extradata), parts(b"".join(map(bytes, packets)))
    data = b"".join(number(len(part), 4) + part for part in pictures if part[0] >> 1 < 32)
    return data, configuration(sets)


def parts(stream: bytes) -> list[bytes]:
    """The network abstraction layer units of a byte stream."""
    found = stream.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [part for part in found if part]


def configuration(sets: list[bytes]) -> bytes:
    """An HEVCDecoderConfigurationRecord for 4:4:4 pictures of 8 bits."""
    profile = next(part for part in sets if part[0] >> 1 == 33)
    head = bytes([1]) + profile[3:15] + b"\xf0\x00\xfc" + bytes([0xFC | 3, 0xF8, 0xF8]) + bytes([0, 0, 0x0F])
    arrays = b"".join(bytes([part[0] >> 1, 0, 1]) + number(len(part), 2) + part for part in sets if part[0] >> 1 < 35)
    return head + bytes([sum(part[0] >> 1 < 35 for part in sets)]) + arrays


def file_of(payloads: list[bytes], configured: bytes, tile: tuple[int, int], whole: tuple[int, int]) -> bytes:
    """The boxes around the tiles and, when there are several payloads, the grid, which is the last."""
    count, main = len(payloads), len(payloads)
    kinds = [b"hvc1"] * (count - 1) + [b"grid" if count > 1 else b"hvc1"]
    entries = b"".join(
        box(b"infe", number(item, 2) + bytes(2) + kind + b"\x00", version=2) for item, kind in enumerate(kinds, 1)
    )
    sizes = [box(b"ispe", number(x, 4) + number(y, 4), version=0) for x, y in (tile, whole)]
    properties = box(b"ipco", box(b"hvcC", configured) + b"".join(sizes))
    uses = b"".join(
        number(item, 2) + (bytes([2, 0x81, 2]) if kind == b"hvc1" else bytes([1, 3]))
        for item, kind in enumerate(kinds, 1)
    )
    properties = box(b"iprp", properties + box(b"ipma", number(count, 4) + uses, version=0))
    references = b""
    if count > 1:
        parts_of = number(main, 2) + number(count - 1, 2) + b"".join(number(i, 2) for i in range(1, count))
        references = box(b"iref", box(b"dimg", parts_of), version=0)

    def described(start: int) -> bytes:
        places, position = b"", start
        for item, payload in enumerate(payloads, 1):
            places += number(item, 2) + bytes(2) + number(1, 2) + number(position, 4) + number(len(payload), 4)
            position += len(payload)
        located = box(b"iloc", b"\x44\x00" + number(count, 2) + places, version=0)
        handler = box(b"hdlr", bytes(4) + b"pict" + bytes(13), version=0)
        information = box(b"iinf", number(count, 2) + entries, version=0)
        first = box(b"pitm", number(main, 2), version=0)
        return box(b"meta", handler + first + located + information + references + properties, version=0)

    brand = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    start = len(brand) + len(described(0)) + 8
    return brand + described(start) + box(b"mdat", b"".join(payloads))


def box(name: bytes, content: bytes, *, version: int | None = None) -> bytes:
    """A box, a full one where it has a version."""
    inside = content if version is None else bytes([version, 0, 0, 0]) + content
    return number(8 + len(inside), 4) + name + inside


def number(value: int, size: int) -> bytes:
    """Big-endian."""
    return value.to_bytes(size, "big")
