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
from pipeline.video.declared import declared_frames, origin, until, video_until
from pipeline.video.info import Colour, ContentLight, MasteringDisplay, SourceInfo, StreamInfo
from pipeline.video.opening import decoder_of, opened, packets_of, video_stream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from av.buffer import Buffer
    from av.container import InputContainer
    from av.video.stream import VideoStream

NOT_STORED = {
    "SPHERICAL": "the marks of a 360-degree film",
    "STEREO3D": "the marks of a stereoscopic film",
    "DOVI_METADATA": "the data of Dolby Vision",
    "DYNAMIC_HDR_PLUS": "the data of HDR10+",
}
"""FFmpeg's names of side data, and what they are."""

FIRST_PICTURE_WITHIN = 1000
"""Packets that are read in search of the first picture before a file is given up."""


def probe(path: Path, *, hardware: str | None = None) -> SourceInfo:
    """Open the file, decode its first picture, and say what it holds. Raises `SourceError`."""
    with opened(path, hardware=hardware) as container:
        stream = video_stream(container, path)
        first = first_picture(container, stream, path)
        return describe(path, container, stream, first)


def first_picture(container: InputContainer, stream: VideoStream, path: Path) -> av.VideoFrame:
    """The first picture that decodes. Raises `SourceError` when there is none near the beginning."""
    decoder = decoder_of(stream)
    try:
        for number, packet in enumerate(packets_of(container, stream)):
            with contextlib.suppress(av.error.InvalidDataError):
                for frame in decoder.decode(packet if packet.size else None):
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
        video_until=video_until(container, stream, time_base),
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
        captions=has_captions(first),
        beside_pictures=beside_pictures(first),
        streams=tuple(stream_info(stream) for stream in container.streams),
    )


def stream_info(stream: av.stream.Stream) -> StreamInfo:
    """Kind, codec and names of a stream."""
    codec = stream.codec_context.name if stream.codec_context is not None else getattr(stream, "name", None)
    return StreamInfo(stream.index, stream.type, codec or "unknown", stream.language, stream.metadata.get("title"))


def colour_of(frame: av.VideoFrame) -> Colour:
    """The colour tags of a picture."""
    return Colour(frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)


def side_data(frame: av.VideoFrame, name: str) -> bytes | None:
    """The bytes of the first side data of that kind, None without one."""
    found = cast("Mapping[object, Buffer]", frame.side_data).get(SideDataType[name])
    return None if found is None else bytes(found)


def beside_pictures(frame: av.VideoFrame) -> tuple[str, ...]:
    """What the picture carries beside its samples that no output of ours can store, in words."""
    return tuple(words for name, words in NOT_STORED.items() if side_data(frame, name) is not None)


def has_captions(picture: av.VideoFrame) -> bool:
    """True when the picture carries closed captions (CTA-708).

    Asked once for a film: PyAV ties a picture to its side data in a circle, so that its memory is freed late.
    """
    return side_data(picture, "A53_CC") is not None


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
