"""Whether the bytes of a container follow each other as it says, read without FFmpeg.

FFmpeg jumps over broken parts and stops at an early end without a word, so the chain of elements, boxes, pages, chunks
or blocks is walked here from the first to the last. A file that ends inside one of them was cut off; one whose chain
breaks, or whose checksums are wrong, is damaged inside.
"""

from __future__ import annotations

import mmap
import re
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Bytes = bytes | mmap.mmap

WINDOW_BYTES = 64 << 20
"""So much of a file is in memory at a time, a multiple of a page."""

TRANSPORT_PACKET = 188
"""The length of a packet of a transport stream, in bytes."""
TRANSPORT_MARK = b"G"
"""The byte with which each packet of a transport stream begins."""
TIMECODED_TRANSPORT_PACKET = 192
"""Bytes of a packet in .m2ts files: four more, in front."""

SEGMENT, CLUSTER, CHECKSUM = 0x18538067, 0x1F43B675, 0xBF
TOP_LEVEL = {CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF}
"""Matroska's children of the segment: cluster, seeks, info, tracks, cues, attachments, chapters, tags, void, CRC."""
IN_CLUSTER = {0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0xAF, 0x5854, 0xEC, 0xBF}
"""Matroska's children of a cluster: time, simple block, block group, position, sizes, encrypted, silent, void, CRC."""

LONGEST_EBML_HEAD = 12
"""Bytes of an id and a length at most."""

FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx", b"uuid")
"""The kinds of box with which MP4 and QuickTime files begin."""

IN_FRAGMENT = frozenset(
    b"mfhd traf tfhd tfdt trun sdtp sbgp sgpd subs saiz saio senc tfxd tfrf pssh meta udta uuid free skip".split()
)
"""The boxes that an MP4's fragment is described by."""

OGG_HEADER = 27
"""Bytes of an Ogg page before its table of segments."""
OGG_LAST_PAGE = 4
"""The flag of the last page of a stream."""
REVERSED_BITS = bytes(int(f"{number:08b}"[::-1], 2) for number in range(256))

FLV_TAGS = (8, 9, 18)
"""Sound, video and script data."""

RIFF_CHUNK = re.compile(rb"\d\d[a-zA-Z]{2}|ix\d\d|JUNK|idx1|LIST|RIFF|strn|vprp|[A-Z][A-Za-z0-9 ]{3}")


class CutOff(Exception):  # noqa: N818 - says what happened to the file
    """The file ends inside a part of its container."""


class Broken(Exception):  # noqa: N818 - likewise
    """The parts of the container do not follow each other, or a checksum is wrong."""


def flaw(path: Path, container: str) -> str | None:
    """What is wrong with the structure of the file, as the end of a sentence; None when nothing is or nobody can tell.

    `container` is FFmpeg's name of its format.
    """
    walk = walker(container)
    if walk is None:
        return None

    try:
        with path.open("rb") as file, Mapped(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            walk(data)
    except CutOff as end:
        return f"was cut off in the middle of {end}"
    except (Broken, IndexError) as error:
        return f"is damaged inside: {error}"
    except FileNotFoundError:  # deleted while it was read, which an open file outlives
        return None
    return None


class Mapped(mmap.mmap):
    """The bytes of a file that is read forwards; what lies behind is let go, so that a long one takes no more memory.
    What was let go can be read again."""

    passed = 0
    """Before it everything was let go."""

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - an index gives a number, a slice gives bytes
        position = (key.start or 0) if isinstance(key, slice) else key
        if position - self.passed > 2 * WINDOW_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            behind = (position - WINDOW_BYTES) // WINDOW_BYTES * WINDOW_BYTES
            self.madvise(mmap.MADV_DONTNEED, self.passed, behind - self.passed)
            self.passed = behind
        return super().__getitem__(key)


def walker(container: str) -> Callable[[Bytes], None] | None:
    """The function that walks a container; None for one whose structure says nothing of its end."""
    walkers = {
        "matroska": walk_matroska,
        "mov": walk_boxes,
        "mpegts": walk_transport_stream,
        "gif": walk_gif,
        "apng": walk_png,
        "ogg": walk_ogg,
        "flv": walk_flv,
        "avi": walk_avi,
        "yuv4mpegpipe": walk_y4m,
        "ivf": walk_ivf,
    }
    return walkers.get(container.split(",")[0])


def walk_transport_stream(data: Bytes) -> None:
    """MPEG-TS: whole packets, each with its first byte, unless the recording begins inside one."""
    if len(data) % TRANSPORT_PACKET and len(data) % TIMECODED_TRANSPORT_PACKET:
        raise CutOff("a packet")
    for first, length in ((0, TRANSPORT_PACKET), (4, TIMECODED_TRANSPORT_PACKET)):
        if data[first : first + 1] == TRANSPORT_MARK and data[first + length : first + length + 1] == TRANSPORT_MARK:
            window = WINDOW_BYTES // length * length
            parts = (data[begin : begin + window : length] for begin in range(first, len(data), window))
            if (wrong := sum(len(marks) - marks.count(TRANSPORT_MARK) for marks in parts)) > 0:
                raise Broken(f"{wrong} packets do not begin as packets do")
            return


def walk_matroska(data: Bytes) -> None:
    """Matroska and WebM: elements of a known or, in live recordings, an unknown size."""
    position = 0
    while position < len(data):
        element, start, length = ebml_element(data, position)
        if element == SEGMENT:
            walk_segment(data, start, len(data) if length is None else start + length)
            return
        if length is None:
            raise Broken(f"there is no element at byte {position}")
        position = start + length


def walk_segment(data: Bytes, position: int, end: int) -> None:
    """The children of Matroska's segment up to `end`, or to the end of the file."""
    while position < min(end, len(data)):
        element, start, length = ebml_element(data, position)
        if element not in TOP_LEVEL:
            raise Broken(f"there is no element at byte {position}")

        if element == CLUSTER:
            position = walk_cluster(data, start, None if length is None else start + length)
        elif length is None:
            raise Broken(f"the element at byte {position} has no length")
        else:
            position = start + length
            if position > len(data):
                raise CutOff("an element")
    if position < end:
        raise CutOff("a segment")


def walk_cluster(data: Bytes, position: int, end: int | None) -> int:
    """The children of a cluster up to `end`; one of unknown size ends where the next begins. Gives where it ends."""
    while position < (len(data) if end is None else min(end, len(data))):
        element, start, length = ebml_element(data, position)
        if end is None and element in TOP_LEVEL and element not in IN_CLUSTER:
            return position
        if element not in IN_CLUSTER or length is None:
            raise Broken(f"there is no element at byte {position}")

        if element == CHECKSUM and length == 4 and end is not None and end <= len(data):
            expected = int.from_bytes(data[start : start + 4], "little")
            if zlib.crc32(memoryview(data)[start + 4 : end]) != expected:
                raise Broken(f"the checksum of the cluster before byte {end} is wrong")
        position = start + length
        if position > len(data):
            raise CutOff("a block")
    if end is not None and position < end:
        raise CutOff("a cluster")
    if end is not None and position > end:
        raise Broken(f"a block reaches beyond its cluster at byte {end}")
    return position


def ebml_element(data: Bytes, position: int) -> tuple[int, int, int | None]:
    """Id (0 when it is none), where the payload starts, and its length (None when it is unknown)."""
    head = data[position : position + LONGEST_EBML_HEAD]
    # An EBML number tells its own length: by the zero bits before the first one.
    id_bytes = 9 - head[0].bit_length()
    if id_bytes > 4:
        return 0, position, None
    if id_bytes >= len(head):
        raise CutOff("an element")

    length_bytes = 9 - head[id_bytes].bit_length()
    if length_bytes > 8:
        return 0, position + id_bytes, None
    start = id_bytes + length_bytes
    if start > len(head):
        raise CutOff("an element")
    # A length of ones alone means that whoever wrote it, live, did not know it yet.
    unknown = (1 << 7 * length_bytes) - 1
    length = int.from_bytes(head[id_bytes:start], "big") & unknown
    return int.from_bytes(head[:id_bytes], "big"), position + start, None if length == unknown else length


def walk_boxes(data: Bytes) -> None:
    """MP4 and QuickTime: boxes. What follows them is looked at only in fragmented files, where no index says more."""
    position, fragmented = 0, False
    if data[4:8] not in FIRST_BOXES:
        return
    while position < len(data):
        header = data[position : position + 16]
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        # 1 stands for a length of 64 bits behind the name, 0 for all the rest of the file.
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length == 0 and name == b"mdat":
            return
        if length < 8 or not name.isascii() or not name.strip().isalnum():
            if fragmented and data[position:].strip(b"\x00"):
                raise Broken(f"there is no box at byte {position}")
            return

        if position + length > len(data):
            raise CutOff(f"a box ({name.decode()})")
        if name == b"moof":
            fragmented = True
            walk_fragment(data, position + 8, position + length)
        position += length


def walk_fragment(data: Bytes, position: int, end: int) -> None:
    """The boxes inside the description of a fragment of an MP4."""
    while position < end:
        length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if length < 8 or position + length > end or name not in IN_FRAGMENT:
            raise Broken(f"there is no box at byte {position}")
        if name == b"traf":
            walk_fragment(data, position + 8, position + length)
        position += length


def walk_gif(data: Bytes) -> None:
    """GIF: blocks of sub-blocks, closed by a trailer."""
    # A GIF's header has 13 bytes, of which the eleventh says whether colours follow.
    position = 13 + color_table_bytes(data[10])
    while True:
        if position >= len(data):
            raise CutOff("a picture")
        introducer = data[position]
        # 0x3B closes the file, 0x2C begins a picture, 0x21 an extension such as a comment or a delay.
        if introducer == 0x3B:
            return

        if introducer == 0x2C:
            flags = data[position + 9 : position + 10]
            position += 11 + color_table_bytes(flags[0] if flags else 0)
        elif introducer == 0x21:
            position += 2
        else:
            raise Broken(f"there is no block at byte {position}")
        position = after_sub_blocks(data, position)


def color_table_bytes(flags: int) -> int:
    """Length of the colour table that a GIF's flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def after_sub_blocks(data: Bytes, position: int) -> int:
    """Where a chain of a GIF's sub-blocks ends."""
    while position < len(data):
        length = data[position]
        position += 1 + length
        if length == 0:
            return position
    raise CutOff("a picture")


def walk_ogg(data: Bytes) -> None:
    """Ogg: pages with checksums, numbered for each stream, the last one of each marked."""
    position = 0
    open_streams: dict[bytes, int] = {}
    while position < len(data):
        header = data[position : position + OGG_HEADER]
        if header[:4] != b"OggS":
            if b"OggS".startswith(header[:4]):
                raise CutOff("a page")
            raise Broken(f"there is no page at byte {position}")
        segments = header[26] if len(header) == OGG_HEADER else 0
        table = data[position + OGG_HEADER : position + OGG_HEADER + segments]
        end = position + OGG_HEADER + segments + sum(table)
        if len(header) < OGG_HEADER or end > len(data):
            raise CutOff("a page")

        page = header[:22] + bytes(4) + data[position + 26 : end]
        if ogg_checksum(page) != int.from_bytes(header[22:26], "little"):
            raise Broken(f"the checksum of the page at byte {position} is wrong")
        serial, number = header[14:18], int.from_bytes(header[18:22], "little")
        if number != open_streams.get(serial, number):
            raise Broken(f"pages are missing before byte {position}")
        open_streams[serial] = number + 1
        if header[5] & OGG_LAST_PAGE:
            del open_streams[serial]
        position = end
    if open_streams:
        raise CutOff("a stream, whose last page is missing")


def ogg_checksum(page: bytes) -> int:
    """Ogg's CRC: zlib's polynomial with the bits the other way round, from 0 and not inverted."""
    reflected = zlib.crc32(page.translate(REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(reflected.to_bytes(4, "little").translate(REVERSED_BITS), "big")


def walk_flv(data: Bytes) -> None:
    """FLV: tags, each followed by its length."""
    position = int.from_bytes(data[5:9], "big") + 4
    while position < len(data):
        header = data[position : position + 11]
        if len(header) < 11:
            raise CutOff("a tag")
        length = 11 + int.from_bytes(header[1:4], "big")
        if header[0] & 0x1F not in FLV_TAGS or any(header[8:11]):
            raise Broken(f"there is no tag at byte {position}")

        position += length
        if position + 4 > len(data):
            raise CutOff("a tag")
        # Some writers leave the tag's own 11 bytes out of this length, and some write 0.
        if int.from_bytes(data[position : position + 4], "big") not in (length, length - 11, 0):
            raise Broken(f"the tag before byte {position} has another length than it says")
        position += 4


def walk_avi(data: Bytes) -> None:
    """AVI: chunks in lists in one or more RIFF chunks."""
    position = 0
    while position + 12 <= len(data) and data[position : position + 4] == b"RIFF":
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        end = position + 8 + length
        walk_chunks(data, position + 12, end if length else len(data))
        # RIFF pads chunks of an odd length with a byte that no length counts.
        position = end + length % 2
        if not length:
            raise CutOff("a recording, whose index is missing")


def walk_chunks(data: Bytes, position: int, end: int) -> None:
    """The chunks of an AVI between two places, and those in its list of pictures and sound."""
    while position + 8 <= min(end, len(data)):
        name, length = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        if not RIFF_CHUNK.fullmatch(name):
            raise Broken(f"there is no chunk at byte {position}")
        inside = position + 8
        position = inside + length + length % 2
        if position > len(data) + 1:
            raise CutOff("a chunk")
        if name == b"LIST" and data[inside : inside + 4] in (b"movi", b"rec "):
            walk_chunks(data, inside + 4, inside + length)
    if end > len(data) + 1:
        raise CutOff("a chunk")


def walk_y4m(data: Bytes) -> None:
    """YUV4MPEG: a line that says the size, then pictures of that many bytes."""
    first_line = data[: data.find(b"\n")]
    position = len(first_line) + 1
    fields = {field[:1]: field[1:] for field in first_line.split(b" ")[1:]}
    picture = y4m_picture_bytes(int(fields[b"W"]), int(fields[b"H"]), fields.get(b"C", b"420").decode())

    while position < len(data):
        if data[position : position + 5] != b"FRAME"[: len(data) - position]:
            raise Broken(f"there is no picture at byte {position}")
        line_end = data.find(b"\n", position)
        position = line_end + 1 + picture
        if line_end < 0 or position > len(data):
            raise CutOff("a picture")


def y4m_picture_bytes(width: int, height: int, colour: str) -> int:
    """Bytes of a picture in a YUV4MPEG file whose colour space has that name, such as `420p10`."""
    coarse_x, coarse_y = {"420": (2, 2), "422": (2, 1), "411": (4, 1), "410": (4, 4)}.get(colour[:3], (1, 1))
    chroma = 0 if colour.startswith("mono") else 2 * -(-width // coarse_x) * -(-height // coarse_y)
    alpha = width * height if colour.endswith("alpha") else 0
    deep = re.search(r"(?:p|mono)(9|1\d)", colour) is not None
    return (width * height + chroma + alpha) * (2 if deep else 1)


def walk_png(data: Bytes) -> None:
    """PNG: chunks with checksums, the last of which marks the end."""
    position = 8
    while position < len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            raise CutOff("a chunk")
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise Broken(f"the checksum of the chunk at byte {position} is wrong")
        if data[position + 4 : position + 8] == b"IEND":
            return
        position = end
    raise CutOff("an animation")


def walk_ivf(data: Bytes) -> None:
    """IVF: a header of 32 bytes, then pictures behind their lengths."""
    position = 32
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "little")
        position += 12 + length
        if position > len(data):
            raise CutOff("a picture")
