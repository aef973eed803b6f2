"""Stretches of a video: decoded from packets in memory, encoded by themselves, and put one behind the other.

A slice holds the packets from which a stretch is decoded where the file itself is not. It begins at the key frame from
which the file, too, would be read, so that its pictures are those of the file. A piece is an encoded stretch: it begins
with a key frame and needs no picture of another piece, so that pieces may be encoded anywhere and at any time, and
`FileSink.join` puts them one behind the other. Its times count from the input's own zero.
"""

from __future__ import annotations

import io
import platform
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import av
import cv2
import numpy as np

from pipeline.errors import SourceError
from pipeline.video.clock import DecodingOrder
from pipeline.video.containers import container_for
from pipeline.video.decode import FileSource
from pipeline.video.opening import opened
from pipeline.video.reading import Outcome, Reading
from pipeline.video.writer import Losses, encodable, encoder_stream, open_encoder, translated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from numpy.typing import NDArray

    from pipeline.frames import Frame
    from pipeline.video.encode import FileSink
    from pipeline.video.encoders import Encoding

    Packet = av.Packet[Any]
    from av.container import InputContainer

    from pipeline.video.info import SourceInfo


ENCODER_THREADS = 4
"""How many threads encode a piece, on every machine, since the bytes of most encoders depend on it."""

X264_INSTRUCTIONS = "MMX2,SSE2Fast,SSSE3,SSE4.2"
"""The instructions that x264 may use on x86-64, all of which every such processor of the last fifteen years has. With
AVX-512 its macroblock tree reads memory that nobody wrote, where the width is no multiple of 256 (seen with x264 165):
the same pictures then give other bytes in one of ten runs."""

X264_AVX2 = "AVX,FMA3,AVX2"
"""The instructions that x264 may use besides where the processor has them: they give the same bytes, 7 % sooner."""

OPENCV_AVX2_AND_FMA3 = (11, 12)
"""The numbers of these features in OpenCV (CV_CPU_AVX2 and CV_CPU_FMA3), which has no names for them in Python."""


@dataclass(frozen=True)
class Piece:
    """Encoded pictures; all times are ticks of the input's time base since the input's zero."""

    configuration: bytes
    """What a decoder reads before the first packet (FFmpeg's extradata); empty where packets bring it."""
    times: NDArray[np.int64]
    """(n, 4): pts, dts, whether it is a key packet, and the number of bytes."""
    data: bytes
    """The bytes of all packets, one behind the other."""
    warnings: tuple[str, ...] = ()
    """What the encoding costs, in sentences."""

    @property
    def frames(self) -> int:
        """How many pictures there are: a packet holds one."""
        return len(self.times)

    @property
    def first(self) -> int:
        """The time of the first picture that is shown."""
        return int(self.times[:, 0].min())

    @property
    def last(self) -> int:
        """The time of the last picture that is shown."""
        return int(self.times[:, 0].max())

    def packets(self, tick: Fraction, shift: int) -> Iterator[Packet]:
        """The packets in decoding order, with times that are `shift` ticks smaller."""
        begin = 0
        for pts, dts, is_key, size in self.times.tolist():
            packet: Packet = av.Packet(self.data[begin : begin + size])
            begin += size
            packet.time_base = tick
            packet.pts, packet.dts = pts - shift, dts - shift
            packet.is_keyframe = bool(is_key)
            yield packet


@dataclass
class PieceSink:
    """Stage: encodes the frames that its source counts into a `piece`, and yields each once the encoder has it."""

    sink: FileSink
    """The output that the piece is for. It is not opened; its source is the one that counts."""
    piece: Piece | None = field(default=None, init=False)
    """What was encoded; None until the last frame was."""

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Encode every frame that counts. Raises `SinkError`."""
        source, encoding, kind = self.sink.source, reproducible(self.sink.encoding()), container_for(self.sink.path)
        info = source.info
        order = DecodingOrder(max(1, round(info.frame_seconds / info.time_base)))
        packets: list[Packet] = []
        warnings = list(encoding.warnings)
        losses = Losses(info, encoding, warnings)
        # The container decides where the decoder's configuration goes; nothing is written to it.
        with av.open(io.BytesIO(), "w", format=kind.muxer) as container:
            stream = encoder_stream(container, info, encoding, kind, ENCODER_THREADS)
            open_encoder(stream, info, encoding)
            configuration = bytes(stream.codec_context.extradata or b"")
            for frame in frames:
                if not source.counts(frame.time):
                    continue
                picture = encodable(frame, info, encoding, info.origin)
                losses.see(frame.planes, picture)
                order.feed(picture.pts or 0)
                with translated(self.sink.path):
                    packets += stream.encode(picture)
                yield frame

            # An encoder that was given nothing can't be flushed.
            if order.first is not None:
                with translated(self.sink.path):
                    packets += stream.encode(None)
        for packet in packets:
            order.mend(packet)
        self.piece = Piece(configuration, _times(packets), b"".join(map(bytes, packets)), tuple(warnings))


def reproducible(encoding: Encoding) -> Encoding:
    """The same encoder, set up so that the same pictures give the same bytes."""
    if encoding.encoder != "libx264" or platform.machine().lower() not in ("x86_64", "amd64"):
        return encoding
    newer = all(map(cv2.checkHardwareSupport, OPENCV_AVX2_AND_FMA3))
    instructions = f"asm={X264_INSTRUCTIONS},{X264_AVX2}" if newer else f"asm={X264_INSTRUCTIONS}"
    parameters = ":".join(filter(None, [encoding.options.get("x264-params"), instructions]))
    return replace(encoding, options=encoding.options | {"x264-params": parameters})


def _times(packets: list[Packet]) -> NDArray[np.int64]:
    """(n, 4) as a piece has them."""
    rows = [(packet.pts, packet.dts, bool(packet.is_keyframe), packet.size) for packet in packets]
    return np.array(rows, np.int64).reshape(-1, 4)


@dataclass(frozen=True)
class Slice:
    """What a worker gets of a video: what is known of the file, and the packets of one stretch."""

    info: SourceInfo
    decoder: str
    configuration: bytes
    """What the decoder reads before the first packet (FFmpeg's extradata)."""
    shape: tuple[int, int, str | None]
    """Width, height and pixel format as stored, which some decoders take from the container."""
    packets: tuple[tuple[int | None, int | None, int, bool, bool, bytes], ...]
    """pts, dts and duration in ticks of the stream's time base, whether it is marked as damaged, whether it is a key
    packet, and its bytes."""
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
            times = packet.pts, packet.dts, packet.duration or 0
            packets.append((*times, packet.is_corrupt, packet.is_keyframe, bytes(packet)))
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
        yield SliceReading(self.slice, self.outcome, start, end=end, lead=self.lead)


class SliceReading(Reading):
    """One pass over the packets of a slice."""

    def __init__(
        self, part: Slice, outcome: Outcome, start: Fraction | None, *, end: Fraction | None, lead: Fraction
    ) -> None:
        """Go to the last key packet that is at least `lead` seconds before `start`."""
        super().__init__(part.info, outcome, cast("InputContainer", _Decoding(part)), None, end=end)

        self.start = start
        keys = [
            place
            for place, (pts, _, _, _, is_key, _) in enumerate(part.packets)
            if is_key and pts is not None and start is not None and pts * part.info.time_base <= start - lead
        ]
        self.first = max(keys, default=0)
        """The packet from which it is decoded."""
        self.slice = part
        self.latest = part.latest

    def video(self) -> Iterator[Packet]:
        """The packets of the slice."""
        for pts, dts, duration, _damaged, _is_key, data in self.slice.packets[self.first :]:
            packet: Packet = av.Packet(data)
            packet.time_base, packet.pts, packet.dts, packet.duration = self.info.time_base, pts, dts, duration
            self.video_packets += 1
            yield packet

    def compare_end(self, end: Fraction | None) -> None:
        """Compare the end as for the file, where the slice reaches the file's end."""
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
