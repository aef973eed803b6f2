"""A stretch of a video as packets in memory, to be decoded where the file itself is not.

A slice begins at the key frame from which the file, too, would be read, so that its pictures are those of the file.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import av

from pipeline.errors import SourceError
from pipeline.video.decode import FileSource
from pipeline.video.opening import opened
from pipeline.video.reading import Outcome, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from av.container import InputContainer

    from pipeline.video.info import SourceInfo

    Packet = av.Packet[Any]


@dataclass(frozen=True)
class Slice:
    """What a worker gets of a video: what is known of the file, and the packets of one stretch."""

    info: SourceInfo
    decoder: str
    configuration: bytes
    """What the decoder reads before the first packet (FFmpeg's extradata)."""
    shape: tuple[int, int, str | None]
    """Width, height and pixel format as stored, which some decoders take from the container."""
    packets: tuple[tuple[int | None, int | None, int, bool, bytes], ...]
    """pts, dts and duration in ticks of the stream's time base, whether it is marked as damaged, and its bytes."""
    latest: Fraction
    """When the last packet of any stream ends that was read, in seconds as the input counts."""
    to_end: bool
    """Whether the file ends with it."""

    @property
    def size_bytes(self) -> int:
        """How many bytes of video it holds."""
        return sum(len(packet[-1]) for packet in self.packets)


def cut(source: FileSource) -> Slice:
    """Read the packets that decoding `source`, with its lead and its tail, would read. Raises `SourceError`."""
    info = source.info
    start = None if source.start is None else info.origin + source.start
    behind = None if source.end is None else info.origin + source.end + source.tail
    packets, to_end = [], True
    with opened(source.path) as container:
        reading = Reading(info, Outcome(), container, start, lead=source.lead)
        if reading.decoder is not reading.stream:  # its transparency lies beside the bytes of its packets
            raise SourceError(f"{source.path} has transparency, which can't be sent in packets: give --shared")
        context = reading.stream.codec_context
        for packet in reading.video():
            # What is decoded before `behind` is shown before it, too.
            if behind is not None and packet.dts is not None and packet.dts * info.time_base >= behind:
                to_end = False
                break
            packets.append((packet.pts, packet.dts, packet.duration or 0, packet.is_corrupt, bytes(packet)))
        return Slice(
            info,
            context.name,
            bytes(context.extradata or b""),
            (context.width, context.height, context.pix_fmt),
            tuple(packets),
            reading.latest,
            to_end=to_end,
        )


@dataclass(frozen=True)
class SliceSource(FileSource):
    """The frames of a slice, as `FileSource` would give them of the file."""

    slice: Slice = field(kw_only=True, repr=False)

    @property
    def info(self) -> SourceInfo:
        """What the whole file holds."""
        return self.slice.info

    @contextmanager
    def reading(self, start: Fraction | None, end: Fraction | None) -> Iterator[Reading]:
        """Begin to decode the packets of the slice."""
        yield SliceReading(self.slice, self.outcome, start, end=end)


class SliceReading(Reading):
    """One pass over the packets of a slice."""

    def __init__(self, part: Slice, outcome: Outcome, start: Fraction | None, *, end: Fraction | None) -> None:
        super().__init__(part.info, outcome, cast("InputContainer", _Decoding(part)), None, end=end)
        self.start = start
        self.slice = part
        self.latest = part.latest

    def video(self) -> Iterator[Packet]:
        """The packets of the slice."""
        for pts, dts, duration, _damaged, data in self.slice.packets:
            packet: Packet = av.Packet(data)
            packet.time_base, packet.pts, packet.dts, packet.duration = self.info.time_base, pts, dts, duration
            self.video_packets += 1
            yield packet

    def compare_end(self, end: Fraction | None) -> None:
        """As for the file, where the slice reaches the file's end."""
        if self.slice.to_end:
            super().compare_end(end)


class _Decoding:
    """What `Reading` takes for an opened file: one stream that decodes."""

    def __init__(self, part: Slice) -> None:
        self.codec_context = cast("av.VideoCodecContext", av.CodecContext.create(part.decoder, "r"))
        self.codec_context.extradata = part.configuration or None
        self.codec_context.width, self.codec_context.height, pixel_format = part.shape
        if pixel_format is not None:
            self.codec_context.pix_fmt = pixel_format
        self.index = part.info.video_index
        self.metadata: dict[str, str] = {}
        self.streams = self

    @property
    def video(self) -> list[_Decoding]:
        """The streams that hold video."""
        return [self]

    def decode(self, packet: Packet | None) -> list[av.VideoFrame]:
        """Decode a packet, or what the decoder holds back."""
        return self.codec_context.decode(packet)
