"""An output file while it is open: pictures encoded at their times, the other streams copied beside them."""

from __future__ import annotations

import contextlib
import errno
import math
import os
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
from av.video.frame import PictureType

from pipeline.errors import SinkError
from pipeline.picture.formats import alpha_channel, traits
from pipeline.picture.planes import arrays
from pipeline.video.clock import DecodingOrder
from pipeline.video.conform import converted
from pipeline.video.containers import (
    SYNTHETIC,
    Container,
    container_for,
    end_animation,
    file_tags,
    name_of,
    stream_tags,
    unusual_in_mp4,
)
from pipeline.video.probe import has_captions, is_stereoscopic
from pipeline.video.remux import Remux, Span, StreamSelection, chapters, is_cover

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer, OutputContainer

    from pipeline.frames import Frame
    from pipeline.video.decode import FileSource
    from pipeline.video.encoders import Encoding
    from pipeline.video.info import SourceInfo
    from pipeline.video.pieces import Piece

WRITES_CAPTIONS = ("libx264", "h264_nvenc", "hevc_nvenc")
"""Encoders that write the captions that a picture carries."""

WRITES_STEREOSCOPY = ("libx264",)
"""Encoders that write how a picture holds the views of both eyes."""

LARGEST_TIMESCALE = 2**31 - 1


@dataclass
class Written:
    """What became of the output, filled in while it is written."""

    frames: int = 0
    encoder: str = ""
    """FFmpeg's name and the pixel format, such as `libx264 yuv420p`."""
    repaired: int = 0
    """Packets of copied streams whose times had to be mended."""
    warnings: list[str] = field(default_factory=list)
    """What the output can't hold as it was, in sentences."""
    problems: list[str] = field(default_factory=list)
    """What of the input's other streams is missing, in sentences. Any makes the output incomplete."""

    def clear(self) -> None:
        """Forget a trial."""
        self.frames, self.encoder, self.repaired = 0, "", 0
        self.warnings.clear()
        self.problems.clear()


class Losses:
    """Says, once each, what pictures carry that does not reach the encoder or is not written by it."""

    def __init__(self, info: SourceInfo, encoding: Encoding, warnings: list[str]) -> None:
        """Sentences are added to `warnings`."""
        self._info, self._encoding, self._warnings = info, encoding, warnings
        self._begun = self._opaque = False

    def see(self, before: av.VideoFrame, after: av.VideoFrame) -> None:
        """Compare a picture with what the encoder gets of it."""
        if not self._opaque and traits(before.format.name).alpha and not traits(after.format.name).alpha:
            self._opaque = transparent(before)
            if self._opaque:
                self._warnings.append("the transparency is left out; VP9 in .webm and FFV1 in .mkv keep it")
        if self._begun:
            return

        self._begun = True
        encoder = self._encoding.encoder
        if self._info.captions and not (encoder in WRITES_CAPTIONS and has_captions(after)):
            self._warnings.append(
                "the closed captions in the pictures are left out; H.264 keeps them where the pixel format stays"
            )
        if self._info.stereoscopic and not (encoder in WRITES_STEREOSCOPY and is_stereoscopic(after)):
            self._warnings.append(
                "the marks of a stereoscopic film are left out; H.264 keeps them where the pixel format stays"
            )


class Writer:
    """One output file, from its header to its end. Raises `SinkError`."""

    def __init__(
        self,
        source: FileSource,
        path: Path,
        *,
        encoding: Encoding,
        selection: StreamSelection,
        container: InputContainer,
        output: OutputContainer,
        outcome: Written,
        encoder_threads: int | None = None,
    ) -> None:
        self.source, self.info, self.path, self.encoding = source, source.info, path, encoding
        self.container, self.output, self.outcome = container, output, outcome

        self.kind = container_for(path)
        self.span: Span | None = None
        with translated(path):
            self.stream = self.add_video(encoder_threads)
            self.remux = Remux(container, output, selection, path)
        self.encodes = True
        """False once pictures came that were encoded elsewhere."""
        self.newest: int | None = None
        self.durations: dict[int, int] = {}
        """How long each picture is shown, by its time; both in ticks."""
        self.held: deque[av.Packet[Any]] = deque()
        """Encoded pictures whose duration is not known yet."""
        self.order = DecodingOrder(max(1, round(self.info.frame_seconds / self.info.time_base)))

        outcome.clear()
        outcome.encoder = f"{encoding.encoder} {encoding.pixel_format}"
        outcome.warnings += encoding.warnings
        lost = unusual_in_mp4(file_tags(container.metadata, self.kind))
        if lost and self.kind.muxer in ("mp4", "mov") and any(is_cover(stream) for stream in selection.copied):
            outcome.warnings.append(
                f"{path.suffix} can't hold the tags {', '.join(lost)} beside a cover; they are left out"
            )
        self.losses = Losses(self.info, encoding, outcome.warnings)
        for words in self.info.beside_pictures:
            outcome.warnings.append(f"{words} can't be stored; they are left out")
        self.tell_of_streams(selection)

    def tell_of_streams(self, selection: StreamSelection) -> None:
        """Say which streams are not in the output, and which other videos are there as they were."""
        for stream in selection.left_out:
            named = f"stream {stream.index} ({stream.type}, {name_of(stream)})"
            sentence = f"{self.path.suffix} can't hold {named}; it is left out"
            (self.outcome.warnings if stream.type == "data" else self.outcome.problems).append(sentence)
        for stream in selection.copied:
            if stream.type == "video" and not is_cover(stream):
                self.outcome.warnings.append(
                    f"stream {stream.index} is another video; it is copied as it is, with every mask in it"
                )

    def add_video(self, encoder_threads: int | None) -> av.VideoStream:
        """The output's video stream, set up as the encoding says."""
        info = self.info
        stream = encoder_stream(self.output, info, self.encoding, self.kind, encoder_threads)
        original = self.container.streams[info.video_index]
        stream.metadata.update(stream_tags(original.metadata, self.kind))
        stream.disposition = original.disposition
        if info.tilt:
            stream.set_display_matrix(info.tilt)
        return stream

    def begin(self, first: Fraction) -> Span:
        """Fix the output's clock by the time of the first frame, open the encoder and write the header."""
        source, info = self.source, self.info
        cut = None if source.end is None else info.origin + source.end
        zero = info.origin if source.start is None else first
        span = Span(zero, trimmed=source.start is not None, cut=cut)

        # The header holds all of this and is written once, so that it waits for the first frame.
        self.output.metadata.update(file_tags(self.container.metadata, self.kind))
        self.output.set_chapters(chapters(self.container, span))
        open_encoder(self.stream, info, self.encoding)
        with translated(self.path):
            self.output.start_encoding()
        self.span = span
        if span.trimmed:
            self.remux.skip_to(span.zero)
        return span

    def write(self, frame: Frame) -> None:
        """Encode one frame at its time, and copy the other streams up to there."""
        span = self.span or self.begin(frame.time)
        picture = encodable(frame, self.info, self.encoding, span.zero)
        self.losses.see(frame.planes, picture)
        with translated(self.path):
            self.show(picture.pts or 0)
            self.order.feed(picture.pts or 0)
            self.mux(self.stream.encode(picture))
            self.remux.copy_until(frame.time, span)
        self.outcome.frames += 1

    def append(self, piece: Piece) -> None:
        """Write pictures that are encoded already, and copy the other streams up to there. Raises `SinkError`."""
        if not piece.frames:
            return
        tick = self.info.time_base
        span = self.span or self.begin(self.info.origin + piece.first * tick)
        if (self.stream.codec_context.extradata or b"") != piece.configuration:
            raise SinkError(
                f"{self.path} can't be joined: a chunk was encoded by another build of {self.encoding.encoder}; "
                "run it again with --fresh"
            )

        # A piece counts from the input's beginning, the output from its own first picture.
        shift = round((span.zero - self.info.origin) / tick)
        for pts in sorted(piece.times[:, 0].tolist()):
            self.show(pts - shift)
        self.order.feed(piece.first - shift)
        self.order.feed(piece.last - shift)
        for packet in piece.packets(tick, shift):
            packet.stream = self.stream
            with translated(self.path):
                self.mux([packet])
                self.remux.copy_until(span.zero + (packet.dts or 0) * tick, span)
        self.outcome.frames += piece.frames
        self.encodes = False

    def show(self, pts: int) -> None:
        """Note that a picture begins, or the film ends: the one before is shown until then."""
        if self.newest is not None:
            self.durations[self.newest] = max(pts - self.newest, 1)
        self.newest = pts

    def end_last_picture(self, ends: Fraction, span: Span) -> None:
        """Note that the last picture is shown until `ends`; say so where the container can't store it."""
        begins = self.newest
        self.show(round((ends - span.zero) / self.info.time_base))
        if begins is None or self.newest is None or self.kind.muxer != "mpegts":
            return
        seconds = (self.newest - begins) * self.info.time_base
        if seconds > 3 * self.info.frame_seconds:
            self.outcome.warnings.append(
                f"{self.path.suffix} stores no durations: the last picture, which stays for {float(seconds):.2f} s, "
                "is followed by nothing; .mp4 and .mkv keep it"
            )

    def mux(self, packets: list[av.Packet[Any]], *, last: bool = False) -> None:
        """Write encoded pictures, each once it is known how long it is shown and whether it is the last of all."""
        self.held.extend(packets)
        while len(self.held) > (not last) and (shown := self.durations.pop(self.held[0].pts or 0, None)) is not None:
            packet = self.held.popleft()
            packet.duration = shown
            self.order.mend(packet)
            if last and not self.held and self.kind.muxer in ("mp4", "mov"):
                # Its samples last from one decoding time to the next, and the last of them to the end of the film.
                packet.dts = packet.pts
                packet.duration = max(shown, (self.newest or 0) - (packet.pts or 0))
            self.output.mux(packet)

    def finish(self) -> None:
        """Encode what the encoder still holds, copy the other streams to their end, and close the file."""
        if self.span is None:
            raise SinkError("there is no frame to write; nothing was saved")
        came = self.source.outcome
        # A run that was stopped has sound only as far as it has pictures.
        span = self.span if came.ended else Span(self.span.zero, trimmed=self.span.trimmed, cut=came.end_time)
        ends = min(filter(None, (came.end_time, span.cut)), default=None)
        with translated(self.path):
            if ends is not None:
                self.end_last_picture(ends, span)
            last = self.durations.get(max(self.durations, default=0), 1) * self.info.time_base
            self.mux(self.stream.encode(None) if self.encodes else [], last=True)
            self.remux.copy_until(None, span)
            self.output.close()
            if self.kind.animation:
                end_animation(Path(self.output.name), last, comment=SYNTHETIC)
        if self.source.changed():
            self.outcome.problems.append("the file was replaced or written to while it was read")
        self.outcome.problems += self.remux.problems
        self.outcome.repaired = self.remux.repaired


def encoder_stream(
    output: OutputContainer, info: SourceInfo, encoding: Encoding, kind: Container, encoder_threads: int | None
) -> av.VideoStream:
    """Add the video stream to `output`, its encoder set up as the encoding says and not yet opened."""
    rate = info.average_rate or info.base_rate or Fraction(25)
    stream = cast("av.VideoStream", output.add_stream(encoding.encoder, rate=rate, options=encoding.options))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = info.width, info.height, encoding.pixel_format
    context.time_base = info.time_base
    context.sample_aspect_ratio = info.pixel_aspect
    context.colorspace, context.color_range = encoding.colour.matrix, encoding.colour.range
    context.color_primaries, context.color_trc = encoding.colour.primaries, encoding.colour.transfer

    context.thread_count = encoder_threads or threads()
    context.thread_type = "SLICE" if encoding.encoder == "ffv1" else "FRAME"
    if context.codec.name.startswith(("libx265", "hevc")) and kind.muxer in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # what QuickTime and Safari play; FFmpeg's own choice is hev1
    return stream


def threads() -> int:
    """How many threads an encoder gets: one a processor, at most 8, beyond which memory grows more than speed."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def open_encoder(stream: av.VideoStream, info: SourceInfo, encoding: Encoding) -> None:
    """Open the encoder of `stream`. Raises `SinkError`."""
    try:
        stream.codec_context.open()
    except av.error.FFmpegError as error:
        raise SinkError(
            f"the encoder {encoding.encoder} can't be opened for {info.width}x{info.height} "
            f"{encoding.pixel_format}: {error.strerror}; choose another codec or encode on the CPU"
        ) from error


def encodable(frame: Frame, info: SourceInfo, encoding: Encoding, zero: Fraction) -> av.VideoFrame:
    """The picture of `frame` as the encoder takes it, at its time since `zero`. Raises `SinkError` for another size."""
    planes = frame.planes
    if (planes.width, planes.height) != (info.width, info.height):
        size = f"{planes.width}x{planes.height}"
        raise SinkError(f"frame {frame.index} is {size} in a video of {info.width}x{info.height}")

    picture = converted(planes, encoding.pixel_format, encoding.colour)
    picture.time_base = info.time_base
    picture.pts = round((frame.time - zero) / info.time_base)
    picture.pict_type = PictureType.NONE  # what it was in the input is no wish for the output
    return picture


def transparent(picture: av.VideoFrame) -> bool:
    """True when any pixel of the picture is not opaque."""
    kind, planes = traits(picture.format.name), arrays(picture)
    alpha = planes[-1] if len(planes) == 4 else planes[0][:, :, alpha_channel(picture.format.name)]
    return int(alpha.min()) < (1 << kind.depth) - 1


def muxer_options(container: Container, time_base: Fraction, *, free_keys: bool, plays: int) -> dict[str, str]:
    """How the container is written: MP4 with its index in front, its clock fine enough for the first picture's time.

    An animation is shown `plays` times, endlessly for 0.
    """
    if container.animation:
        return {{"webp": "loop", "apng": "plays"}[container.muxer]: str(plays)}
    if container.muxer not in ("mp4", "mov"):
        return {}
    flags = "faststart+use_metadata_tags" if free_keys else "faststart"
    timescale = math.lcm(1000, time_base.denominator)
    return {"movflags": flags} | ({"movie_timescale": str(timescale)} if timescale <= LARGEST_TIMESCALE else {})


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """FFmpeg's errors on the output side as `SinkError`."""
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        number = getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise SinkError(f"the disk is full (or its quota); {path} was not written") from error
        raise SinkError(f"{path} can't be written: {getattr(error, 'strerror', None) or error}") from error
