"""Whether a file is whole: what it declares against what could be read, and the structure of its container.

A file that was cut off often ends without any error from FFmpeg, so its end is compared with what it announced.
"""

from __future__ import annotations

import mmap
import zlib
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.video.info import SourceInfo

TRANSPORT_PACKET = 188
"""Bytes."""

TIMECODED_TRANSPORT_PACKET = 192
"""Bytes of a packet in .m2ts files: four more, in front."""

SEGMENT, CLUSTER, CHECKSUM = 0x18538067, 0x1F43B675, 0xBF
TOP_LEVEL = {CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF}
"""Matroska's children of the segment: cluster, seeks, info, tracks, cues, attachments, chapters, tags, void, CRC."""

IN_CLUSTER = {0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0xAF, 0x5854, 0xEC, 0xBF}
"""Matroska's children of a cluster: time, simple block, block group, position, sizes, encrypted, silent, void, CRC."""


def missing_end(
    info: SourceInfo, *, packets: int | None, video_end: Fraction, latest: Fraction, end: Fraction | None
) -> str | None:
    """A sentence that says how much of the end is missing, None when nothing is.

    `packets` of the video were read from its first (None after a seek); the last picture was shown until `video_end`
    and the last packet of any stream lasted until `latest`; what lies after `end` was not asked for. All in seconds as
    the input counts.
    """
    reached = f"it ends at {float(video_end - info.origin):.2f} s"
    if end is None and packets is not None and info.frames is not None and packets < info.frames:
        return f"the file was cut off: {info.frames - packets} of {info.frames} pictures are missing, {reached}"

    tolerance = max(Fraction(1, 2), 3 * info.frame_seconds)
    for declared, found in ((info.video_until, video_end), (info.until, latest)):
        if declared is not None and found < min(declared, end or declared) - tolerance:
            return f"the file was cut off: {reached} of {float(declared - info.origin):.2f} s"

    if end is None and info.container == "mpegts" and cut_transport_stream(info.path):
        return f"the file was cut off in the middle of a packet: {reached}"
    return None


def cut_transport_stream(path: Path) -> bool:
    """True when a transport stream does not consist of whole packets."""
    size = path.stat().st_size
    return bool(size % TRANSPORT_PACKET and size % TIMECODED_TRANSPORT_PACKET)


def broken_matroska(path: Path) -> bool:
    """True when the elements of a Matroska file don't follow each other as their sizes say.

    FFmpeg jumps over broken clusters without a word, so the chain of elements is walked here. Elements of unknown size,
    as live recordings have them, end the walk: nothing can be said of what follows.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position = 0
        while position < len(data):
            element, start, length = ebml_element(data, position)
            if element == 0:
                return True
            if element == SEGMENT:
                return broken_children(data, start, TOP_LEVEL)

            if length is None:
                return False
            position = start + length
    return False


def broken_children(data: mmap.mmap, position: int, known: set[int]) -> bool:
    """True when the elements from `position` to the end of the file aren't a chain of `known` ones."""
    while position < len(data):
        element, start, length = ebml_element(data, position)
        if element not in known:
            return True
        if length is None:
            return False
        if element == CLUSTER and broken_cluster(data, start, min(start + length, len(data))):
            return True
        position = start + length
    return position > len(data)


def broken_cluster(data: mmap.mmap, position: int, end: int) -> bool:
    """True when the elements between `position` and `end` don't fill a cluster exactly, or its checksum is wrong."""
    while position < end:
        element, start, length = ebml_element(data, position)
        if element not in IN_CLUSTER or length is None:
            return True
        if element == CHECKSUM and length == 4:
            expected = int.from_bytes(data[start : start + 4], "little")
            if zlib.crc32(memoryview(data)[start + 4 : end]) != expected:
                return True
        position = start + length
    return position != end


def ebml_element(data: mmap.mmap, position: int) -> tuple[int, int, int | None]:
    """Id (0 when it is none), where the payload starts, and its length (None when it is unknown)."""
    id_bytes = 9 - data[position].bit_length()
    if id_bytes > 4 or position + id_bytes >= len(data):
        return 0, position, None
    element = int.from_bytes(data[position : position + id_bytes], "big")
    position += id_bytes
    length_bytes = 9 - data[position].bit_length()
    if length_bytes > 8 or position + length_bytes > len(data):
        return 0, position, None
    unknown = (1 << 7 * length_bytes) - 1
    length = int.from_bytes(data[position : position + length_bytes], "big") & unknown
    return element, position + length_bytes, None if length == unknown else length
