"""What each container holds: which streams, asked of FFmpeg's muxers themselves, and which tags."""

from __future__ import annotations

import io
import mmap
import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import av

from pipeline.errors import SinkError
from pipeline.video.codecs import Codec
from pipeline.video.labels import labelled
from pipeline.video.pictures import FORMATS

if TYPE_CHECKING:
    from pathlib import Path

    from av.stream import Stream


PNG_HEADER = 33
"""Bytes of a PNG's signature and first chunk."""

WEBP_FLAGS, WEBP_XMP, WEBP_ALPHA = 20, 0x04, 0x10
"""Where a WebP's header has its flags, and some of them."""


@dataclass(frozen=True)
class Container:
    """A kind of output file."""

    muxer: str
    """The muxer by FFmpeg's name."""
    codecs: tuple[Codec, ...]
    """Codecs that it may hold the processed video in; the first is the usual one."""
    before_zero: bool
    """True when sound may begin before time 0, as the priming of AAC does: the file says what to skip."""

    @property
    def animation(self) -> bool:
        """True for a picture that moves."""
        return self.codecs[0] in (Codec.WEBP, Codec.APNG)


CONTAINERS = {
    ".mp4": Container("mp4", (Codec.H264, Codec.HEVC, Codec.VP9, Codec.AV1), before_zero=True),
    ".m4v": Container("mp4", (Codec.H264, Codec.HEVC, Codec.VP9, Codec.AV1), before_zero=True),
    ".mkv": Container("matroska", (Codec.H264, Codec.HEVC, Codec.VP9, Codec.AV1, Codec.FFV1), before_zero=False),
    ".mov": Container("mov", (Codec.H264, Codec.HEVC), before_zero=True),
    ".webm": Container("webm", (Codec.VP9, Codec.AV1), before_zero=False),
    ".ts": Container("mpegts", (Codec.H264, Codec.HEVC), before_zero=True),
    ".m2ts": Container("mpegts", (Codec.H264, Codec.HEVC), before_zero=True),
    ".mts": Container("mpegts", (Codec.H264, Codec.HEVC), before_zero=True),
    ".webp": Container("webp", (Codec.WEBP,), before_zero=False),
    ".png": Container("apng", (Codec.APNG,), before_zero=False),
    ".apng": Container("apng", (Codec.APNG,), before_zero=False),
}
"""Each container by its suffix. AVI, FLV and the like are not here: they can't hold the exact times of every video."""

SUGGESTED = (".mp4", ".mkv", ".mov", ".webm", ".ts")
"""Containers in the order in which they are recommended where another can't hold a stream."""

TRANSPORT_STREAM_CODECS = frozenset(
    [
        "h264",
        "hevc",
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
        "av1",
        "aac",
        "aac_latm",
        "ac3",
        "eac3",
        "mp1",
        "mp1float",
        "mp2",
        "mp2float",
        "mp3",
        "mp3float",
        "dts",
        "dca",
        "truehd",
        "opus",
        "libopus",
        "s302m",
        "dvbsub",
        "dvb_subtitle",
        "dvb_teletext",
        "libzvbi_teletextdec",
        "klv",
        "timed_id3",
        "bin_data",
    ]
)
"""FFmpeg writes anything into MPEG-TS, but what is not here comes out as data that nobody can read."""


def container_for(path: Path) -> Container:
    """The container that the suffix of `path` names. Raises `SinkError` for one that we can't write."""
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        known = ", ".join(CONTAINERS)
        what = f"{suffix} is no kind of video that is written here"
        if suffix in FORMATS:
            what = f"{suffix} is a picture, and the input is a video"
        elif not suffix:
            what = f"{path.name} has no suffix that names a container"
        raise SinkError(f"{what}; use one of {known}")
    return CONTAINERS[suffix]


def is_animation(path: Path) -> bool:
    """True when a video that is written to `path` becomes a picture that moves."""
    return path.suffix.lower() in CONTAINERS and CONTAINERS[path.suffix.lower()].animation


def codec_for(path: Path, codec: Codec, *, bits: int = 8) -> Codec:
    """The codec to encode samples of `bits` bits in, `AUTO` decided.

    Raises `SinkError` when the container can't hold it.
    """
    container = container_for(path)
    if codec is Codec.AUTO:
        deep = bits > 8 and Codec.HEVC in container.codecs
        return Codec.HEVC if deep else container.codecs[0]
    if codec not in container.codecs:
        others = [suffix for suffix in (*SUGGESTED, ".webp", ".png") if codec in CONTAINERS[suffix].codecs]
        raise SinkError(f"{path.suffix} can't hold {codec} video; write to {' or '.join(others)} instead")
    return codec


def holds(suffix: str, stream: Stream) -> bool:
    """True when the container can take a copy of the stream, which its own muxer decides on a header in memory."""
    container = CONTAINERS[suffix]
    name = stream.codec_context.name if stream.codec_context is not None else None
    if container.muxer == "mpegts" and name not in TRANSPORT_STREAM_CODECS:
        return False
    try:
        with av.open(io.BytesIO(), "w", format=container.muxer) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def refuse(path: Path, refused: list[Stream], others: list[Stream], codec: Codec) -> SinkError:
    """The error for streams that the container of `path` can't hold, naming one that can."""
    named = ", ".join(f"stream {stream.index} ({stream.type}, {name_of(stream)})" for stream in refused)

    others = [stream for stream in others if any(holds(suffix, stream) for suffix in SUGGESTED)]
    able = [suffix for suffix in SUGGESTED if others and all(holds(suffix, stream) for stream in others)]
    able = [suffix for suffix in able if codec in CONTAINERS[suffix].codecs] or able
    cure = (
        f"write to {' or '.join(able[:2])} instead, which can"
        if able
        else "no container that we write can; convert it first, or leave it out with --other-streams leave-out"
    )
    return SinkError(f"{path.suffix} can't hold {named} of the input; {cure}")


def name_of(stream: Stream) -> str:
    """The codec's name, `unknown` when FFmpeg has no decoder for it."""
    return stream.codec_context.name if stream.codec_context is not None else getattr(stream, "name", None) or "unknown"


SYNTHETIC = "Face regions in this video were generated by barefaced; they are invented, not recovered."
"""What the metadata of every output says."""

SYNTHETIC_KEY = "SYNTHETIC_CONTENT"
"""The tag of its own that says so where a container takes any tag; everywhere it is in the comment."""

STORAGE = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
"""Tags of a file that describe how it was stored, not what is in it."""

STREAM_STORAGE = (
    "rotate",
    "duration",
    "number_of_",
    "bps",
    "encoder",
    "_statistics",
    "vendor_id",
    "handler_name",
    "alpha_mode",
)
"""Beginnings of the tags of a stream that do."""

USUAL_IN_MP4 = frozenset(
    [
        "title",
        "artist",
        "album_artist",
        "album",
        "composer",
        "comment",
        "copyright",
        "genre",
        "date",
        "encoder",
        "lyrics",
        "description",
        "synopsis",
        "show",
        "episode_id",
        "network",
        "grouping",
        "keywords",
        "disc",
        "track",
        "compilation",
        "season_number",
        "episode_sort",
        "media_type",
        "hd_video",
        "gapless_playback",
        "creation_time",
        "timecode",
        "location",
    ]
)
"""Tags for which MP4 has a place that every player knows."""

QUICKTIME_LANGUAGES = {"deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb"}
"""QuickTime files know some languages only by their other ISO 639-2 code."""


def file_tags(source: dict[str, str], container: Container) -> dict[str, str]:
    """The input's own tags, and the sentence that the faces are invented."""
    kept = {key: value for key, value in source.items() if key.lower() not in STORAGE and key != SYNTHETIC_KEY}
    comment = next((key for key in kept if key.lower() == "comment"), "comment")
    before = kept.get(comment, "")
    if SYNTHETIC not in before:
        kept[comment] = f"{before}\n{SYNTHETIC}" if before else SYNTHETIC
    if container.muxer in ("matroska", "webm"):
        kept[SYNTHETIC_KEY] = SYNTHETIC
    return kept


def stream_tags(source: dict[str, str], container: Container) -> dict[str, str]:
    """A stream's own tags: language, title and whatever else describes its content."""
    kept = {key: value for key, value in source.items() if not key.lower().startswith(STREAM_STORAGE)}
    if "name" in kept:  # how FFmpeg reads the title of a track in MP4, and does not write it
        kept.setdefault("title", kept.pop("name"))
    language = kept.get("language")
    if container.muxer == "mov" and language in QUICKTIME_LANGUAGES:
        kept["language"] = QUICKTIME_LANGUAGES[language]
    return kept


def unusual_in_mp4(tags: dict[str, str]) -> list[str]:
    """The tags that MP4 holds only in its table of free keys, such as a phone's make and model."""
    return [key for key in tags if key.lower() not in USUAL_IN_MP4]


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

    # Both numbers have 16 bits; of a fraction that does not fit the nearest one that does is taken.
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
