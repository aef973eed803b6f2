"""What a video file holds: its header read and its first picture looked at."""

from __future__ import annotations

import contextlib
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.sidedata.sidedata import Type as SideDataType

from pipeline.errors import SourceError
from pipeline.picture.formats import working_format
from pipeline.picture.planes import Turn, turn_from_matrix
from pipeline.video.info import Colour, ContentLight, MasteringDisplay, SourceInfo, StreamInfo
from pipeline.video.opening import clock_is_arbitrary, opened, video_stream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from av.buffer import Buffer
    from av.container import InputContainer
    from av.video.stream import VideoStream

FIRST_PICTURE_WITHIN = 1000
"""Packets that are read in search of the first picture before a file is given up."""

DECLARE_DURATION = ("mov", "matroska", "flv", "asf", "avi", "nut", "ogg", "mpegts", "mxf")
"""Containers whose duration is written in them or measured at their end."""


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
        streams=tuple(stream_info(stream) for stream in container.streams),
    )


def stream_info(stream: av.stream.Stream) -> StreamInfo:
    """Kind, codec and names of a stream."""
    codec = stream.codec_context.name if stream.codec_context is not None else getattr(stream, "name", None)
    return StreamInfo(stream.index, stream.type, codec or "unknown", stream.language, stream.metadata.get("title"))


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
