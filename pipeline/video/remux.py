"""The streams of the input that are not the processed video, copied as they are: sound, subtitles, data, attachments.

The input is opened a second time for this, so that nothing but pictures has to travel through the pipeline.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from pipeline.video.clock import SteadyClock
from pipeline.video.codecs import OtherStreams
from pipeline.video.containers import SUGGESTED, container_for, holds, name_of, refuse, stream_tags
from pipeline.video.opening import clock_is_arbitrary, packets_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer, OutputContainer
    from av.container.core import Chapter
    from av.stream import Stream

    from pipeline.video.codecs import Codec

    Packet = av.Packet[Any]

BEFORE_START_SECONDS = 30
"""How long before the start of a cut a subtitle may have begun and still be shown in it."""

READ_FAILURES_IN_A_ROW = 20
"""How often reading on may fail without a packet in between before the file counts as ended."""


@dataclass(frozen=True)
class StreamSelection:
    """Which streams are copied and which can't be."""

    copied: tuple[Stream, ...]
    left_out: tuple[Stream, ...]
    """What the output can't hold."""


def select(
    source: InputContainer, video_index: int, path: Path, codec: Codec, *, rule: OtherStreams = OtherStreams.AUTO
) -> StreamSelection:
    """Every stream but the processed one, sorted into what the container of `path` holds and what it doesn't.

    Raises `SinkError` that names a better container when `rule` does not let sound, subtitles, pictures or attachments
    be lost. Data streams (telemetry, timecode tracks, chapter text) mostly have no muxer at all, so they never stop a
    run.
    """
    suffix = path.suffix.lower()
    others = [stream for stream in source.streams if stream.index != video_index and not written_anew(stream)]
    refused = [stream for stream in others if not holds(suffix, stream)]

    required = [stream for stream in refused if stream.type != "data"]
    if rule is OtherStreams.AUTO:
        required = [stream for stream in required if any(holds(container, stream) for container in SUGGESTED)]
    if required and rule is not OtherStreams.LEAVE_OUT:
        raise refuse(path, required, [stream for stream in others if stream.type != "data"], codec)
    return StreamSelection(copied=tuple(stream for stream in others if stream not in refused), left_out=tuple(refused))


def written_anew(stream: Stream) -> bool:
    """True for what the muxer makes again from chapters and tags: an MP4's chapter text and its timecode track."""
    if stream.type != "data":
        return False
    return "timecode" in stream.metadata or (
        getattr(stream, "name", None) == "bin_data"
        and "mov" in stream.container.format.name
        and bool(stream.container.chapters())
    )


@dataclass(frozen=True)
class Span:
    """Which part of the input becomes the output, in seconds as the input counts."""

    zero: Fraction
    """Seconds on the file's clock that become time 0."""
    trimmed: bool = False
    """True when `zero` was asked for, so that what lies before it must go."""
    cut: Fraction | None = None
    """What begins at or after it is left out; None copies to the end."""


class Remux:
    """Copies packets of the other streams, up to the time that the video has reached."""

    def __init__(self, source: InputContainer, output: OutputContainer, selection: StreamSelection, path: Path) -> None:
        self.output = output
        self.container = container_for(path)

        covers = [stream for stream in selection.copied if is_cover(stream) and self.container.muxer == "matroska"]
        for stream in covers:
            attach_cover(output, stream)
        self.targets = {stream.index: self.target(stream) for stream in selection.copied if stream not in covers}
        for stream in source.streams:
            if stream.index not in self.targets and not clock_is_arbitrary(source):
                # The demuxer then skips their bytes, most of which are the video that is read elsewhere.
                stream.discard = av.stream.Discard.all

        self.delay_travels = source.format.name.startswith("matroska") and self.container.muxer in ("matroska", "webm")
        self.waiting: Packet | None = None
        self.last_dts: dict[int, int] = {}
        self.repaired = 0
        """Packets whose decoding time did not grow; it was moved up by the least that is needed."""
        self.problems: list[str] = []
        self.source = source
        self.packets = self.demuxed(source)

    def target(self, stream: Stream) -> Stream:
        """The output's copy of a stream, with its tags and its role."""
        target = self.output.add_stream_from_template(stream, opaque=True)
        target.metadata.update(stream_tags(stream.metadata, self.container))
        target.disposition = stream.disposition
        return target

    def demuxed(self, source: InputContainer) -> Iterator[Packet]:
        """Packets of the copied streams in file order, to the end or to where the file can't be read any further."""
        streams = [source.streams[index] for index in self.targets if source.streams[index].type != "attachment"]
        if not streams:
            return

        failures = 0
        while failures < READ_FAILURES_IN_A_ROW:
            try:
                for packet in self.steady(source, streams):
                    failures = 0
                    if packet.stream.index in self.targets and not is_filler(packet):
                        yield packet
            except av.error.FFmpegError as error:
                failures += 1
                if failures == READ_FAILURES_IN_A_ROW:
                    self.problems.append(f"sound and other streams can't be read to their end: {error.strerror}")
            else:
                return

    def steady(self, source: InputContainer, streams: list[Stream]) -> Iterator[Packet]:
        """What the demuxer gives; where the clock may restart, all streams, so that it is mended as for the video."""
        return SteadyClock()(packets_of(source)) if clock_is_arbitrary(source) else packets_of(source, *streams)

    def skip_to(self, time: Fraction) -> None:
        """Don't read what lies well before `time`, which will be left out anyway."""
        early = time - BEFORE_START_SECONDS
        if early > 0 and not clock_is_arbitrary(self.source):
            # Where a format can't seek, everything is read from the beginning.
            with contextlib.suppress(av.error.FFmpegError):
                self.source.seek(int(early * av.time_base))

    def copy_until(self, time: Fraction | None, span: Span) -> None:
        """Copy what begins before `time`, in seconds as the input counts; None copies all that is left."""
        while (packet := self.waiting or next(self.packets, None)) is not None:
            self.waiting = None
            seconds = begins(packet)
            if time is not None and seconds >= time:
                self.waiting = packet
                return
            if span.cut is None or seconds < span.cut:
                self.copy(packet, span)

    def copy(self, packet: Packet, span: Span) -> None:
        """Shift one packet to the output's clock and mux it, unless it lies before the output begins."""
        target = self.targets[packet.stream.index]
        if is_cover(packet.stream):
            packet.pts = packet.dts = 0
        else:
            shift = round(span.zero / tick_of(packet))
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
            if packet.stream.type == "subtitle":
                clip_subtitle(packet, span)
            elif not self.heard(packet, span):
                return
            self.repair(packet)

        packet = without_new_header(packet)
        packet.stream = target
        self.output.mux(packet)

    def heard(self, packet: Packet, span: Span) -> bool:
        """True unless the packet lies before time 0 and the container has no way to say that it is skipped."""
        start, length = packet.pts if packet.pts is not None else packet.dts, packet.duration or 0
        if start is None or start >= 0:
            return True
        if self.container.before_zero:
            # What a decoder needs to warm up for the first sample that is heard.
            return not span.trimmed or start + 2 * length > 0
        name = name_of(packet.stream)
        if span.trimmed:
            return self.delay_travels and name == "aac" and start + length >= 0
        # Matroska stores how much to skip, but only where FFmpeg knew it: from Matroska, and for Opus.
        return self.delay_travels or (name in ("opus", "libopus") and start + length > 0)

    def repair(self, packet: Packet) -> None:
        """Make the decoding time known, larger than the last one and not after the time of showing."""
        index = packet.stream.index
        last = self.last_dts.get(index)
        dts = packet.dts
        if dts is None:
            # Nothing tells when it is decoded: early enough for any order of pictures.
            dts = last + 1 if last is not None else (packet.pts or 0) - 2 * (packet.duration or 1)
        if last is not None and dts <= last:
            dts = last + 1
            self.repaired += 1
        packet.dts = self.last_dts[index] = dts
        if packet.pts is None or packet.pts < dts:
            packet.pts = dts


def without_new_header(packet: Packet) -> Packet:
    """The packet without a decoder's configuration that FLV may send again in mid-stream.

    The output has the one that the stream began with. Matroska's muxer writes another in its place, and over the
    beginning of the file where there was none.
    """
    if not packet.has_sidedata("new_extradata"):
        return packet
    bare: Packet = av.Packet(bytes(packet))
    bare.stream, bare.time_base, bare.duration = packet.stream, packet.time_base, packet.duration
    bare.pts, bare.dts, bare.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
    return bare


def is_cover(stream: Stream) -> bool:
    """True for the picture that a player shows beside the file, which FFmpeg takes for a video of one frame."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def attach_cover(output: OutputContainer, stream: Stream) -> None:
    """Write a cover as Matroska has it: an attached file."""
    kind = "png" if name_of(stream) == "png" else "jpeg"
    name = stream.metadata.get("filename", "cover.png" if kind == "png" else "cover.jpg")
    with av.open(str(stream.container.name), metadata_errors="replace") as source:
        for packet in packets_of(source, source.streams[stream.index]):
            if packet.size:
                output.add_attachment(name, stream.metadata.get("mimetype", f"image/{kind}"), bytes(packet))
                return


def is_filler(packet: Packet) -> bool:
    """True for a packet that holds nothing: the end of a stream, or MP4's empty text between subtitles."""
    return packet.size == 0 or (packet.size == 2 and name_of(packet.stream) == "mov_text")


def clip_subtitle(packet: Packet, span: Span) -> None:
    """Let a subtitle that is on screen when the output begins appear at once, and end when the output ends."""
    start, length = packet.pts, packet.duration or 0
    if start is None:
        return
    end = start + length
    if span.cut is not None:
        end = min(end, round((span.cut - span.zero) / tick_of(packet)))
    packet.pts = packet.dts = max(start, 0)
    packet.duration = max(end - packet.pts, 0)


def tick_of(packet: Packet) -> Fraction:
    """The unit of the packet's times in seconds; every stream that a demuxer gives has one."""
    return packet.time_base or Fraction(1, av.time_base)


def begins(packet: Packet) -> Fraction:
    """When the packet is shown or heard, in seconds as the input counts."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    return Fraction(0) if ticks is None else ticks * tick_of(packet)


def chapters(source: InputContainer, span: Span) -> list[Chapter]:
    """The input's chapters on the output's clock; those outside it are gone."""
    moved: list[Chapter] = []
    for chapter in source.chapters():
        tick = chapter["time_base"] or Fraction(1)
        start, end = max(chapter["start"] * tick, span.zero), chapter["end"] * tick
        if span.cut is not None:
            end = min(end, span.cut)
        if end > start:
            chapter["start"], chapter["end"] = round((start - span.zero) / tick), round((end - span.zero) / tick)
            moved.append(chapter)
    return moved
