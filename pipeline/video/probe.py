"""What a video file holds: its header, its first picture, how long it says that it is, and whether that could be read.

A length is compared only with what counts the same things on the same clock. Containers do not agree whether a length
counts from 0 or from where the streams begin, tags survive the cutting of a file, and counters count empty pictures,
so where a number can mean two things the smaller one is believed.
"""

from __future__ import annotations

import contextlib
import re
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
from av.sidedata.sidedata import Type as SideDataType

from pipeline.errors import SourceError
from pipeline.picture.formats import traits, working_format
from pipeline.picture.planes import Rotation, turn_from_matrix
from pipeline.video.animation import LARGEST_FRAME_MEGAPIXELS, check_frame_size
from pipeline.video.info import Colour, ContentLight, Crop, MasteringDisplay, SourceInfo, StreamInfo, stamp_of
from pipeline.video.opening import clock_is_arbitrary, hear_errors, opened, packets_of, video_stream
from pipeline.video.structure import flaw, walker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.buffer import Buffer
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream


DECLARE_DURATION = ("mov", "matroska", "flv", "asf", "avi", "nut", "ogg", "mpegts", "mxf")
"""Containers whose duration is written in them or measured at their end."""


def origin(container: InputContainer) -> Fraction:
    """Seconds on the file's clock that become time 0: the earliest start of picture and sound.

    Sound that begins before 0 where the picture does not is the priming of its codec, which the file says to skip.
    """
    pictures = starts(container.streams.video)
    earliest = min(pictures + starts(container.streams.audio), default=Fraction(0))
    # A decoder needs a moment of sound to warm up: it lies before 0 and is not heard.
    primed = earliest < 0 <= min(pictures, default=Fraction(-1))
    return Fraction(0) if primed and not clock_is_arbitrary(container) else earliest


def starts(streams: Iterable[VideoStream | AudioStream]) -> list[Fraction]:
    """When each stream that says so begins, in seconds; covers are not of the film."""
    return [
        stream.start_time * stream.time_base
        for stream in streams
        if stream.start_time is not None
        and stream.time_base
        and not stream.disposition & av.stream.Disposition.attached_pic
    ]


def declared_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """How many pictures the file says it stores, None when it doesn't say."""
    name, entries = container.format.name, stream.index_entries
    if name.startswith("mov"):
        # An edit list may leave out pictures that the file still holds; the index knows.
        return min(stream.frames, sum(entry.size > 0 for entry in entries)) or None
    if name == "avi":
        # The header counts the moments at which a capture had no picture too; the index has only what is stored.
        return sum(entry.size > 0 for entry in entries) or None
    if name.startswith("matroska") and not statistics_are_current(container, stream):
        return None
    counted = (int(value) for key, value in stream.metadata.items() if counts_frames(key, value))
    return stream.frames or next(counted, 0) or None


def statistics_are_current(container: InputContainer, stream: VideoStream) -> bool:
    """True when mkvmerge's statistics of a stream were written together with the file, not before it was cut.

    They carry the date of the file that they were counted in.
    """
    tags = {key.upper(): value for key, value in (container.metadata | stream.metadata).items()}
    written = next((value for key, value in tags.items() if key.startswith("_STATISTICS_WRITING_DATE_UTC")), None)
    created = tags.get("CREATION_TIME", "").replace("T", " ")
    return written is not None and created.startswith(written) and not tags.get("ENCODER", "").startswith("Lav")


def counts_frames(key: str, value: str) -> bool:
    """True for the tag in which Matroska tools other than FFmpeg's count pictures."""
    return key.upper().startswith("NUMBER_OF_FRAMES") and value.isdigit()


def video_until(container: InputContainer, stream: VideoStream, time_base: Fraction) -> Fraction | None:
    """When the video ends as the file declares, in seconds on its clock; None when it doesn't say."""
    start = (stream.start_time or 0) * time_base
    length = stream.duration * time_base if stream.duration else tagged_duration(container, stream)
    return None if length is None else end_of(container, start, length)


def until(container: InputContainer) -> Fraction | None:
    """When the longest stream ends as the file declares, None where FFmpeg guesses it from the bit rate."""
    if container.duration is None or not container.format.name.startswith(DECLARE_DURATION):
        return None
    start = Fraction(container.start_time or 0, av.time_base)
    return end_of(container, start, Fraction(container.duration, av.time_base))


def end_of(container: InputContainer, start: Fraction, length: Fraction) -> Fraction:
    """The end that a declared length means: the length itself where it may have been counted from 0."""
    # Some muxers write the time of the last picture as the length, whenever the first one comes.
    from_zero = not clock_is_arbitrary(container) and length > start
    return length if from_zero and start > 0 else start + length


def tagged_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds in a Matroska stream's tag (`00:01:02.345000000`), None without one or with one of an older file.

    FFmpeg writes `DURATION` anew and copies the tags of others, which may be called `DURATION-eng`.
    """
    ours = any(value.startswith("Lav") for key, value in container.metadata.items() if key.upper() == "ENCODER")
    # Tools that cut a file copy its tags, which then tell the length of what was there before.
    current = statistics_are_current(container, stream)
    for key, value in stream.metadata.items():
        if (ours and key.upper() == "DURATION") or (current and key.upper().startswith("DURATION")):
            with contextlib.suppress(ValueError):
                hours, minutes, seconds = value.strip().split(":")
                return Fraction(int(hours) * 3600 + int(minutes) * 60) + Fraction(seconds.rstrip("\x00"))
    return None


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

    if wrong := flaw(info.path, info.container):
        return f"the file {wrong}; {reached}"
    if walker(info.container) is not None and info.container != "mpegts":
        return None  # whole from the first part to the last: a longer time is that for which the last picture stays

    tolerance = max(Fraction(1, 2), 3 * info.frame_seconds)
    for declared, found in ((info.video_until, video_end), (info.until, latest)):
        if declared is not None and found < min(declared, end or declared) - tolerance:
            return f"the file was cut off: {reached} of {float(declared - info.origin):.2f} s"
    return None


NOT_STORED = {
    "SPHERICAL": "the marks of a 360-degree film",
    "DOVI_METADATA": "the data of Dolby Vision",
    "DYNAMIC_HDR_PLUS": "the data of HDR10+",
}
"""FFmpeg's names of side data, and what they are."""

FRAME_CROPPING = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)
"""How FFmpeg writes it: columns left and right, rows above and below."""

FIRST_PICTURE_WITHIN = 1000
"""Packets that are read in search of the first picture before a file is given up."""


def probe(
    path: Path, *, hardware: str | None = None, largest_megapixels: Fraction = LARGEST_FRAME_MEGAPIXELS
) -> SourceInfo:
    """Open the file, decode its first picture, and say what it holds. Raises `SourceError`."""
    stamp = stamp_of(path)
    with opened(path, hardware=hardware, largest_megapixels=largest_megapixels) as container:
        stream = video_stream(container, path)
        first = first_picture(container, stream, path)
        check_frame_size(path, first.width, first.height, largest_megapixels=largest_megapixels)
        return describe(path, container, stream, first, stamp=stamp)


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


def describe(
    path: Path, container: InputContainer, stream: VideoStream, first: av.VideoFrame, *, stamp: tuple[int, ...]
) -> SourceInfo:
    """All that is known of the file once its first picture is there."""
    matrix = side_data(first, "DISPLAYMATRIX")
    turn = turn_from_matrix(matrix) if matrix else Rotation()
    crop = crop_of(container, stream, first)
    width, height = (turn or Rotation()).size(*crop.size(first.width, first.height))
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
        pixel_aspect=(turn or Rotation()).pixel_aspect(aspect if aspect > 0 else Fraction(1)),
        average_rate=stream.average_rate or None,
        base_rate=stream.base_rate or None,
        time_base=time_base,
        origin=origin(container),
        frames=declared_frames(container, stream),
        video_until=video_until(container, stream, time_base),
        until=until(container),
        stored_format=first.format.name,
        working_format=working_format(first.format.name),
        pixel_format=(turn or Rotation()).pixel_format(working_format(first.format.name)),
        colour=colour_of(first),
        crop=crop,
        turn=turn or Rotation(),
        tilt=struct.unpack("=9i", matrix[:36]) if matrix and turn is None else None,
        interlaced=first.interlaced_frame,
        mastering_display=mastering_display(side_data(first, "MASTERING_DISPLAY_METADATA")),
        content_light=content_light(side_data(first, "CONTENT_LIGHT_LEVEL")),
        captions=has_captions(first),
        stereoscopic=is_stereoscopic(first),
        beside_pictures=beside_pictures(first),
        streams=tuple(stream_info(stream) for stream in container.streams),
        stamp=stamp,
    )


def crop_of(container: InputContainer, stream: VideoStream, first: av.VideoFrame) -> Crop:
    """What the container says not to show of the pictures, rounded down to whole chroma samples.

    FFmpeg leaves that to players, and PyAV has it only in FFmpeg's description of the file.
    """
    with told_everything():
        described = str(cast("Any", container).dumps_format())
    ours = described.partition(f"Stream #0:{stream.index}")[2].partition("  Stream #")[0]

    if (found := FRAME_CROPPING.search(ours)) is None:
        return Crop()
    left, right, top, bottom = map(int, found.groups())

    coarse = traits(first.format.name)
    return Crop(
        top - top % coarse.coarse_y,
        bottom - bottom % coarse.coarse_y,
        left - left % coarse.coarse_x,
        right - right % coarse.coarse_x,
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


def is_stereoscopic(picture: av.VideoFrame) -> bool:
    """True when the picture is marked to hold the views of both eyes, or that of one of them.

    FFmpeg's AVStereo3D begins with the way in which it holds them, 0 for a flat picture.
    """
    return any((side_data(picture, "STEREO3D") or bytes(4))[:4])


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


@contextlib.contextmanager
def told_everything() -> Iterator[None]:
    """Let FFmpeg say what it otherwise keeps to itself, inside a `with` block."""
    hear_errors()
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        yield
    finally:
        av.logging.set_level(level)


def decoder_of(stream: VideoStream) -> VideoStream | VideoCodecContext:
    """What decodes the packets of a stream: the stream itself, but for VP8 and VP9 with transparency.

    FFmpeg's own decoders pass over their transparency; libvpx's read it.
    """
    alpha = next((value for key, value in stream.metadata.items() if key.lower() == "alpha_mode"), "0")
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if name and alpha == "1":
        return cast("VideoCodecContext", av.CodecContext.create(name, "r"))
    return stream
