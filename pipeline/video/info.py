"""What is known of a video file before its frames come."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.picture.planes import Rotation

UNSPECIFIED = 2
"""FFmpeg's number for an unspecified matrix, set of primaries or transfer; an unspecified range is 0."""


@dataclass(frozen=True)
class Colour:
    """How numbers in a picture become light, in FFmpeg's (and ISO 23091-2's) numbers."""

    matrix: int = UNSPECIFIED
    range: int = 0
    """0 unspecified, 1 limited, 2 full."""
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @property
    def hdr(self) -> bool:
        """True for PQ (16) and HLG (18)."""
        return self.transfer in (16, 18)


@dataclass(frozen=True)
class MasteringDisplay:
    """The display that HDR video was graded on (SMPTE ST 2086)."""

    primaries: tuple[tuple[Fraction, Fraction], ...]
    """Red, green, blue as CIE 1931 x, y; empty when not given."""
    white: tuple[Fraction, Fraction] | None
    luminance: tuple[Fraction, Fraction] | None
    """Darkest and brightest in candela a square metre."""


@dataclass(frozen=True)
class ContentLight:
    """The brightest pixel and the brightest frame's average, in candela a square metre (CTA-861.3)."""

    maximum: int
    average: int


@dataclass(frozen=True)
class Crop:
    """How many rows and columns of the stored pictures the container says not to show, before they are turned."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of what is shown of a picture; those of the picture where nothing would be left."""
        shown = width - self.left - self.right, height - self.top - self.bottom
        return shown if min(shown) > 0 else (width, height)


@dataclass(frozen=True)
class StreamInfo:
    """One stream of the file."""

    index: int
    kind: str
    """`video`, `audio`, `subtitle`, `data` or `attachment`."""
    codec: str
    """Such as `aac`; `unknown` when FFmpeg has no decoder for it."""
    language: str | None
    title: str | None

    def __str__(self) -> str:
        named = f" {self.language}" if self.language else ""
        return f"stream {self.index} ({self.kind}, {self.codec}{named})"


@dataclass(frozen=True)
class SourceInfo:
    """A video file as the pipeline sees it: upright, in the pixel format that flows downstream."""

    path: Path
    container: str
    """FFmpeg's name, such as `mov,mp4,m4a,3gp,3g2,mj2`."""
    video_index: int
    """Which stream is processed."""
    codec: str
    width: int
    height: int
    pixel_aspect: Fraction
    average_rate: Fraction | None
    """Frames a second; None when the file does not say."""
    base_rate: Fraction | None
    """The lowest rate at which all times of constant-rate video lie."""
    time_base: Fraction
    origin: Fraction
    """Seconds on the file's clock that become time 0: the earliest start of picture and sound."""
    frames: int | None
    """How many pictures the file declares; None when it does not say."""
    video_until: Fraction | None
    """When the video ends as the file declares, in seconds as the input counts."""
    until: Fraction | None
    """When the last of all streams ends as the file declares; None where FFmpeg would only guess."""
    stored_format: str
    """The decoder's pixel format."""
    working_format: str
    """The decoder's own wherever it can be blended in, otherwise the nearest; before it is turned upright."""
    pixel_format: str
    """What flows downstream: `working_format`, or what holds it turned upright."""
    colour: Colour
    crop: Crop
    """What was cut off the stored pictures, in whole chroma samples."""
    turn: Rotation
    """What was applied so that the picture is upright."""
    tilt: tuple[int, ...] | None
    """A display matrix that is no right angle: not applied, passed on to the output as it is."""
    interlaced: bool
    mastering_display: MasteringDisplay | None
    content_light: ContentLight | None
    captions: bool
    """Whether the first picture carries closed captions."""
    stereoscopic: bool
    """Whether the first picture is marked to hold the view of an eye, or of both."""
    beside_pictures: tuple[str, ...]
    """What the pictures carry that no output can store, in words."""
    streams: tuple[StreamInfo, ...]
    stamp: tuple[int, ...]
    """What the file is known again by as long as nobody replaces it or writes to it; see `stamp_of`."""

    @property
    def duration(self) -> Fraction | None:
        """The length of the video in seconds, as the file declares; None when it does not say."""
        end = self.video_until if self.video_until is not None else self.until
        return None if end is None else end - self.origin

    @property
    def frame_seconds(self) -> Fraction:
        """How long a frame lasts on average; a guess of 1/25 where nothing is declared."""
        rate = self.average_rate or self.base_rate
        return 1 / rate if rate else Fraction(1, 25)

    @property
    def steady(self) -> bool:
        """True when all pictures last equally long, as far as the file's rates say."""
        if not self.average_rate or not self.base_rate:
            return True
        return abs(self.average_rate / self.base_rate - 1) < Fraction(1, 100)

    def __repr__(self) -> str:
        return f"SourceInfo({self.path.name}, {self.width}x{self.height}, {self.codec}, {self.pixel_format})"


def stamp_of(path: Path) -> tuple[int, ...]:
    """Device, number, bytes and time of change of a file; nothing where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
