"""What each container holds: which streams, asked of FFmpeg's muxers themselves, and which tags."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from pipeline.errors import SinkError
from pipeline.video.codecs import Codec
from pipeline.video.pictures import FORMATS

if TYPE_CHECKING:
    from pathlib import Path

    from av.stream import Stream


@dataclass(frozen=True)
class Container:
    """A kind of output file."""

    muxer: str
    """The muxer by FFmpeg's name."""
    codecs: tuple[Codec, ...]
    """For the processed video; the first is the usual one."""
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
"""In the order in which another container is recommended."""

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
