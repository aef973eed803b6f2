"""A stretch of a video, encoded by itself: packets with exact times, which `FileSink.join` puts one behind the other.

A piece begins with a key picture and needs no picture of another piece, so that pieces may be encoded anywhere and at
any time. Its times count from the input's own zero, so that a piece does not depend on where the output begins.
"""

from __future__ import annotations

import io
import platform
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from pipeline.video.clock import DecodingOrder
from pipeline.video.containers import container_for
from pipeline.video.writer import encodable, encoder_stream, open_encoder, translated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from numpy.typing import NDArray

    from pipeline.frames import Frame
    from pipeline.video.encode import FileSink
    from pipeline.video.encoders import Encoding

    Packet = av.Packet[Any]

ENCODER_THREADS = 4
"""How many threads encode a piece, on every machine, since the bytes of most encoders depend on it."""

X264_INSTRUCTIONS = "asm=MMX2,SSE2Fast,SSSE3,SSE4.2"
"""The instructions that x264 may use on x86-64, all of which every such processor of the last fifteen years has. With
AVX-512 its macroblock tree reads memory that nobody wrote, where the width is no multiple of 256 (seen with x264 165):
the same pictures then give other bytes in one of ten runs."""


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
    """None until the last frame was encoded."""

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Encode every frame that counts. Raises `SinkError`."""
        source, encoding, kind = self.sink.source, reproducible(self.sink.encoding()), container_for(self.sink.path)
        info = source.info
        order = DecodingOrder(max(1, round(info.frame_seconds / info.time_base)))
        packets: list[Packet] = []
        # The container decides where the decoder's configuration goes; nothing is written to it.
        with av.open(io.BytesIO(), "w", format=kind.muxer) as container:
            stream = encoder_stream(container, info, encoding, kind, ENCODER_THREADS)
            open_encoder(stream, info, encoding)
            configuration = bytes(stream.codec_context.extradata or b"")
            for frame in frames:
                if not source.counts(frame.time):
                    continue
                picture = encodable(frame, info, encoding, info.origin)
                order.feed(picture.pts or 0)
                with translated(self.sink.path):
                    packets += stream.encode(picture)
                yield frame

            if order.first is not None:
                with translated(self.sink.path):
                    packets += stream.encode(None)
        for packet in packets:
            order.mend(packet)
        self.piece = Piece(configuration, _times(packets), b"".join(map(bytes, packets)), encoding.warnings)


def reproducible(encoding: Encoding) -> Encoding:
    """The same encoder, set up so that the same pictures give the same bytes."""
    if encoding.encoder != "libx264" or platform.machine().lower() not in ("x86_64", "amd64"):
        return encoding
    parameters = ":".join(filter(None, [encoding.options.get("x264-params"), X264_INSTRUCTIONS]))
    return replace(encoding, options=encoding.options | {"x264-params": parameters})


def _times(packets: list[Packet]) -> NDArray[np.int64]:
    """(n, 4) as a piece has them."""
    rows = [(packet.pts, packet.dts, bool(packet.is_keyframe), packet.size) for packet in packets]
    return np.array(rows, np.int64).reshape(-1, 4)
