"""The codecs that a video can be written in, and what differs from one to another. It loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import ConfigError

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
"""Speed against size, in x264's words, for every codec that has a choice."""

DEFAULT_PRESET = "veryfast"
"""The encoder shares the processor with the networks; slower presets save a tenth of the size for twice the time."""


class Codec(StrEnum):
    """What the processed video is encoded as."""

    AUTO = "auto"
    """What the container is usually watched in: VP9 in WebM, elsewhere H.264, or HEVC for more than 8 bits."""
    H264 = "h264"
    HEVC = "hevc"
    VP9 = "vp9"
    AV1 = "av1"
    FFV1 = "ffv1"
    """FFV1, which loses nothing, as the two of animations."""
    WEBP = "webp"
    APNG = "apng"


class OtherStreams(StrEnum):
    """What becomes of sound, subtitles and other streams that the output can't hold."""

    AUTO = "auto"
    """The run is refused where another container holds them; what no container holds is left out."""
    LEAVE_OUT = "leave-out"
    """They are left out, and listed as missing."""
    REFUSE = "refuse"
    """The run is refused."""


@dataclass(frozen=True)
class CodecKind:
    """What differs from one codec to another."""

    software: str
    """FFmpeg's encoder on the CPU."""
    quality: int | None
    """The default constant quality, in the codec's own scale, lower is better; None where there is no choice."""
    worst: int
    """The highest number that the scale allows."""


KINDS = {
    Codec.H264: CodecKind("libx264", 18, 51),
    Codec.HEVC: CodecKind("libx265", 20, 51),
    Codec.VP9: CodecKind("libvpx-vp9", 24, 63),
    Codec.AV1: CodecKind("libsvtav1", 24, 63),
    Codec.FFV1: CodecKind("ffv1", None, 0),
    Codec.WEBP: CodecKind("libwebp_anim", None, 0),
    Codec.APNG: CodecKind("apng", None, 0),
}

HARDWARE = ("nvenc", "qsv", "amf")
"""What FFmpeg calls the hardware encoders that take pictures from memory and hold a constant quality."""

OTHER_NAMES = {
    "avc": "h264",
    "x264": "h264",
    "h.264": "h264",
    "h265": "hevc",
    "x265": "hevc",
    "h.265": "hevc",
    "vp09": "vp9",
    "av01": "av1",
}
"""What else people call a codec."""


def default_qualities() -> str:
    """The quality of each codec where none is asked for, in words: `18 for h264, 20 for hevc, 24 for vp9 and av1`."""
    codecs: dict[int, list[str]] = {}
    for codec, kind in KINDS.items():
        if kind.quality is not None:
            codecs.setdefault(kind.quality, []).append(codec.value)
    return ", ".join(f"{quality} for {' and '.join(names)}" for quality, names in codecs.items())


def check(codec: Codec, *, quality: int | None, preset: str | None) -> tuple[int | None, str]:
    """Quality and preset with their defaults filled in. Raises `ConfigError` for what the codec has not."""
    kind = KINDS[codec]
    if kind.quality is None and (quality is not None or preset is not None):
        raise ConfigError(f"{codec} is lossless and has neither quality nor preset; leave both out")
    if quality is not None and not 0 <= quality <= kind.worst:
        raise ConfigError(f"quality is {quality}; {codec} takes 0 (best) to {kind.worst}")
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"preset is {preset!r}; it is one of {', '.join(PRESETS)}")
    return kind.quality if quality is None else quality, preset or DEFAULT_PRESET
