"""What a video file holds: opened, its first picture looked at, every foreign error translated."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.sidedata.sidedata import Type as SideDataType

from pipeline.errors import SourceError
from pipeline.formats import working_format
from pipeline.rotate import Turn, turn_from_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from av.buffer import Buffer
    from av.container import InputContainer
    from av.video.stream import VideoStream

UNSPECIFIED = 2
"""FFmpeg's number for an unspecified matrix, set of primaries or transfer; an unspecified range is 0."""

TS_DISCONT = 0x200
"""FFmpeg's AVFMT_TS_DISCONT."""

FIRST_PICTURE_WITHIN = 1000
"""Packets that are read in search of the first picture before a file is given up."""

DECLARE_DURATION = ("mov", "matroska", "flv", "asf", "avi", "nut", "ogg", "mpegts", "mxf")
"""Containers whose duration is written in them or measured at their end."""


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
    """Seconds: where the file's clock starts. Not 0 only where the clock is arbitrary, as in MPEG-TS."""
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
    turn: Turn
    """What was applied so that the picture is upright."""
    tilt: tuple[int, ...] | None
    """A display matrix that is no right angle: not applied, passed on to the output as it is."""
    interlaced: bool
    mastering_display: MasteringDisplay | None
    content_light: ContentLight | None
    streams: tuple[StreamInfo, ...]

    @property
    def duration(self) -> Fraction | None:
        """Of the video in seconds, as the file declares; None when it does not say."""
        end = self.video_until if self.video_until is not None else self.until
        return None if end is None else end - self.origin

    @property
    def frame_seconds(self) -> Fraction:
        """How long a frame lasts on average; a guess of 1/25 where nothing is declared."""
        rate = self.average_rate or self.base_rate
        return 1 / rate if rate else Fraction(1, 25)

    def __repr__(self) -> str:
        return f"SourceInfo({self.path.name}, {self.width}x{self.height}, {self.codec}, {self.pixel_format})"


@contextlib.contextmanager
def opened(path: Path, *, hardware: str | None = None) -> Iterator[InputContainer]:
    """The container of `path`, closed at the end.

    Raises `SourceError` that says why it can't be opened and what to do.
    """
    check_is_file(path)
    try:
        container = av.open(str(path), metadata_errors="replace", hwaccel=hardware_decoder(hardware))
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise SourceError(f"{path} is not a media file or is damaged: {explain_invalid(path)}") from error
    except (av.error.FFmpegError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if hardware is not None:
            cure = "leave the hardware decoder out to decode on the CPU"
            raise SourceError(f"{path} can't be decoded by {hardware} here ({reason}); {cure}") from error
        raise SourceError(f"{path} can't be opened: {reason}") from error
    with container:
        yield container


def check_is_file(path: Path) -> None:
    """Raise `SourceError` unless `path` is a file with something in it."""
    try:
        if path.is_dir():
            raise SourceError(f"{path} is a directory; name a file in it")
        if not path.exists():
            raise SourceError(f"{path} does not exist")
        if not path.is_file():
            raise SourceError(f"{path} is not a regular file; save the stream to a file first, it is read twice")
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty")
    except PermissionError as error:
        raise SourceError(f"{path} can't be read: permission denied") from error


def hardware_decoder(name: str | None) -> av.codec.hwaccel.HWAccel | None:
    """FFmpeg's accelerator of that name, which never becomes software in silence; None for None."""
    if name is None:
        return None
    known = av.codec.hwaccel.hwdevices_available()
    if name not in known:
        raise SourceError(f"no hardware decoder is called {name!r} here; there are: {', '.join(known) or 'none'}")
    return av.codec.hwaccel.HWAccel(device_type=name, allow_software_fallback=False)


def explain_invalid(path: Path) -> str:
    """Why FFmpeg can't make sense of the file, for a person."""
    boxes = top_level_boxes(path)
    if boxes and "ftyp" in boxes and "moov" not in boxes:
        return "it is an MP4 without its index (moov), as when a recording was cut off; a repair tool may rebuild it"
    return "no known container format was found in it"


def top_level_boxes(path: Path) -> list[str]:
    """Names of the outer boxes of an MP4 file, as far as they can be read; empty for other files."""
    names: list[str] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while position + 8 <= size and len(names) < 100:
            file.seek(position)
            header = file.read(16)
            length, name = struct.unpack(">I4s", header[:8])
            if length == 1 and len(header) == 16:
                length = struct.unpack(">Q", header[8:])[0]
            if not name.isalnum():
                break
            names.append(name.decode("ascii", "replace"))
            if length < 8:
                break
            position += length
    return names


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream to process: the first video that is not a cover picture. Raises `SourceError` when there is none."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None:
                raise SourceError(f"{path} holds video that this FFmpeg has no decoder for; convert it to H.264 first")
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise SourceError(f"{path} has no video stream (it holds: {kinds})")


def probe(path: Path, *, hardware: str | None = None) -> SourceInfo:
    """Open the file, decode its first picture, and say what it holds. Raises `SourceError`."""
    with opened(path, hardware=hardware) as container:
        stream = video_stream(container, path)
        first = first_picture(container, stream, path)
        return describe(path, container, stream, first)


def first_picture(container: InputContainer, stream: VideoStream, path: Path) -> av.VideoFrame:
    """The first picture that decodes. Raises `SourceError` when there is none near the beginning."""
    try:
        for number, packet in enumerate(container.demux(stream)):
            with contextlib.suppress(av.error.InvalidDataError):
                for frame in packet.decode():
                    return frame
            if number > FIRST_PICTURE_WITHIN:
                break
    except av.error.FFmpegError as error:
        raise SourceError(f"{path}: its video can't be decoded: {error.strerror}") from error
    raise SourceError(f"{path}: no picture could be decoded from its video stream; the file is damaged or empty")


def describe(path: Path, container: InputContainer, stream: VideoStream, first: av.VideoFrame) -> SourceInfo:
    """All that is known of the file once its first picture is there."""
    matrix = side_data(first, "DISPLAYMATRIX")
    turn = turn_from_matrix(matrix) if matrix else Turn()
    width, height = (turn or Turn()).size(first.width, first.height)
    time_base = stream.time_base
    if time_base is None:
        raise SourceError(f"{path}: its video stream has no time base")
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return SourceInfo(
        path=path,
        container=container.format.name,
        video_index=stream.index,
        codec=stream.codec_context.name,
        width=width,
        height=height,
        pixel_aspect=(turn or Turn()).pixel_aspect(aspect if aspect > 0 else Fraction(1)),
        average_rate=stream.average_rate or None,
        base_rate=stream.base_rate or None,
        time_base=time_base,
        origin=origin(container),
        frames=declared_frames(container, stream),
        video_until=video_until(stream, time_base),
        until=until(container),
        stored_format=first.format.name,
        working_format=working_format(first.format.name),
        pixel_format=(turn or Turn()).pixel_format(working_format(first.format.name)),
        colour=colour_of(first),
        turn=turn or Turn(),
        tilt=struct.unpack("=9i", matrix[:36]) if matrix and turn is None else None,
        interlaced=first.interlaced_frame,
        mastering_display=mastering_display(side_data(first, "MASTERING_DISPLAY_METADATA")),
        content_light=content_light(side_data(first, "CONTENT_LIGHT_LEVEL")),
        streams=tuple(stream_info(each) for each in container.streams),
    )


def stream_info(stream: av.stream.Stream) -> StreamInfo:
    """Kind, codec and names of a stream."""
    codec = stream.codec_context.name if stream.codec_context is not None else getattr(stream, "name", None)
    return StreamInfo(stream.index, stream.type, codec or "unknown", stream.language, stream.metadata.get("title"))


def clock_is_arbitrary(container: InputContainer) -> bool:
    """True for formats whose clock starts anywhere and may restart in the middle, such as MPEG-TS."""
    return bool(int(container.format.flags) & TS_DISCONT)


def origin(container: InputContainer) -> Fraction:
    """Seconds at which the container's clock starts, where that clock is arbitrary; 0 where 0 means the beginning."""
    if not clock_is_arbitrary(container):
        return Fraction(0)
    starts = [
        stream.start_time * stream.time_base
        for stream in container.streams
        if stream.start_time is not None and stream.time_base and stream.type in ("video", "audio")
    ]
    return min(starts, default=Fraction(0))


def declared_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """How many pictures the file says it holds, None when it doesn't."""
    counted = next((int(value) for key, value in stream.metadata.items() if counts_frames(key, value)), 0)
    frames = stream.frames or counted
    if frames and container.format.name.startswith("mov"):
        # An edit list may leave out pictures that the file still holds; the index knows.
        return min(frames, len(stream.index_entries))
    return frames or None


def counts_frames(key: str, value: str) -> bool:
    """True for the tag in which Matroska tools other than FFmpeg's count pictures."""
    return key.upper().startswith("NUMBER_OF_FRAMES") and value.isdigit()


def video_until(stream: VideoStream, time_base: Fraction) -> Fraction | None:
    """When the video ends as the file declares, None when it doesn't."""
    start = (stream.start_time or 0) * time_base
    if stream.duration:
        return start + stream.duration * time_base
    return declared_duration(stream.metadata)


def until(container: InputContainer) -> Fraction | None:
    """When the longest stream ends as the file declares, None where FFmpeg guesses it from the bit rate."""
    if container.duration is None or not container.format.name.startswith(DECLARE_DURATION):
        return None
    return Fraction((container.start_time or 0) + container.duration, av.time_base)


def declared_duration(metadata: dict[str, str]) -> Fraction | None:
    """Seconds in a Matroska stream's DURATION tag (`00:01:02.345000000`), None without one."""
    for key, value in metadata.items():
        if key.upper().startswith("DURATION"):
            with contextlib.suppress(ValueError):
                hours, minutes, seconds = value.strip().split(":")
                return Fraction(int(hours) * 3600 + int(minutes) * 60) + Fraction(seconds.rstrip("\x00"))
    return None


def colour_of(frame: av.VideoFrame) -> Colour:
    """The colour tags of a picture."""
    return Colour(frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)


def side_data(frame: av.VideoFrame, name: str) -> bytes | None:
    """The bytes of the first side data of that kind, None without one."""
    found = cast("Mapping[object, Buffer]", frame.side_data).get(SideDataType[name])
    return None if found is None else bytes(found)


def mastering_display(data: bytes | None) -> MasteringDisplay | None:
    """FFmpeg's AVMasteringDisplayMetadata: ten rationals and two flags."""
    if data is None or len(data) < 88:
        return None
    numbers = struct.unpack("=22i", data[:88])
    values = [Fraction(numbers[i], numbers[i + 1] or 1) for i in range(0, 20, 2)]
    has_primaries, has_luminance = numbers[20:22]
    return MasteringDisplay(
        primaries=tuple(zip(values[0:6:2], values[1:6:2], strict=True)) if has_primaries else (),
        white=(values[6], values[7]) if has_primaries else None,
        luminance=(values[8], values[9]) if has_luminance else None,
    )


def content_light(data: bytes | None) -> ContentLight | None:
    """FFmpeg's AVContentLightMetadata: two unsigned numbers."""
    if data is None or len(data) < 8:
        return None
    return ContentLight(*struct.unpack("=2I", data[:8]))
