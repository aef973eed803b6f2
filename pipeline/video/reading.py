"""One pass over a video file: packets to pictures with exact times, surviving what can be survived and counting it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from pipeline.video.clock import unbroken
from pipeline.video.damage import broken_matroska, missing_end
from pipeline.video.opening import clock_is_arbitrary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer

    from pipeline.video.info import SourceInfo

    Packet = av.Packet[Any]

BAD_PACKETS_IN_A_ROW = 300
"""Packets that fail one after the other before the rest of the file is given up: ten seconds of most video."""

READ_FAILURES_IN_A_ROW = 20
"""How often reading on may fail without a packet in between before the file counts as ended."""

SEEKABLE = ("mov", "matroska", "mpegts", "mpeg", "flv", "avi", "asf", "ogg", "mxf", "nut", "gif")
"""Containers that know where a time is; FFmpeg only guesses in bare streams."""

SUSPICIOUS_GAP_SECONDS = Fraction(1, 5)
"""A pause between pictures that may be a part of the file that was skipped; looked into, not an error in itself."""


@dataclass
class Outcome:
    """What became of the input, filled in while it is read; final once `ended` or the stage has stopped."""

    frames: int = 0
    """Frames handed downstream."""
    bad_packets: int = 0
    """Packets that were damaged: skipped, or decoded to a picture with visible damage."""
    problems: list[str] = field(default_factory=list)
    """What is missing or broken, in sentences. Any makes the video incomplete."""
    warnings: list[str] = field(default_factory=list)
    """What was changed on arrival, in sentences; nothing is lost by it."""
    ended: bool = False
    """True when the file was read to its end (or to the asked end), False when the run was stopped before."""
    end_time: Fraction | None = None
    """Seconds: when the last frame stops being shown, as the input counts."""

    def problem(self, sentence: str) -> None:
        """Note that something is missing or broken."""
        self.problems.append(sentence)

    def warn(self, sentence: str) -> None:
        """Note a warning, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    @property
    def complete(self) -> bool:
        """True when everything that the file declares, between start and end, was read without damage."""
        return self.ended and not self.problems and not self.bad_packets


class Reading:
    """One pass over an opened file."""

    def __init__(self, info: SourceInfo, outcome: Outcome, container: InputContainer, start: Fraction | None) -> None:
        self.info, self.outcome, self.container, self.start = info, outcome, container, start
        stream = self.stream = next(video for video in container.streams.video if video.index == info.video_index)
        # Threads over slices, not over frames: with frame threads an error comes up with another packet's frames, which
        # are then lost without a trace, and the first frame comes late. Decoding is not what takes the time here.
        stream.thread_type = "SLICE"
        self.video_packets = 0
        self.latest = info.origin
        """When the last packet of any stream ends, in seconds as the input counts."""
        self.gaps: list[tuple[Fraction, Fraction]] = []
        if start is not None:
            seek(container, stream, start, tick=info.time_base)

    def packets(self) -> Iterator[Packet]:
        """Every packet of the file in its order; reading goes on behind damage."""
        failures = 0
        while True:
            try:
                for packet in self.container.demux():
                    failures = 0
                    yield packet
            except av.error.FFmpegError as error:
                failures += 1
                if failures == READ_FAILURES_IN_A_ROW:
                    self.outcome.problem(f"the file can't be read beyond {self.where()}: {error.strerror}")
                    yield from self.flush()
                    return

            else:
                return

    def flush(self) -> Iterator[Packet]:
        """The empty packet that makes the decoder give what it holds back."""
        packet: Packet = av.Packet()
        packet.stream = self.stream
        yield packet

    def video(self) -> Iterator[Packet]:
        """Packets of the processed video; of the others only their times are looked at."""
        packets = self.packets()
        for packet in unbroken(packets) if clock_is_arbitrary(self.container) else packets:
            ticks = packet.pts if packet.pts is not None else packet.dts
            if packet.size and ticks is not None and packet.time_base:
                self.latest = max(self.latest, (ticks + (packet.duration or 0)) * packet.time_base)
            if packet.stream.index == self.info.video_index:
                self.video_packets += bool(packet.size)
                yield packet

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Every picture that decodes; damaged packets are counted and skipped."""
        in_a_row = 0
        for packet in self.video():
            try:
                pictures = self.stream.decode(packet if packet.size else None)
            except av.error.FFmpegError:
                in_a_row += 1
                self.outcome.bad_packets += self.wanted(packet)
                if in_a_row == BAD_PACKETS_IN_A_ROW:
                    self.outcome.problem(f"{in_a_row} packets in a row can't be decoded after {self.where()}; gave up")
                    return
                continue

            in_a_row = 0
            damaged = sum(picture.is_corrupt for picture in pictures)
            if self.wanted(packet):
                self.outcome.bad_packets += max(damaged, int(packet.is_corrupt))
            yield from pictures

    def wanted(self, packet: Packet) -> bool:
        """False for what is decoded only to get to the start that was asked for."""
        if self.start is None or packet.pts is None or packet.time_base is None:
            return True
        return packet.pts * packet.time_base >= self.start

    def timed(self, pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Pictures with times that grow, in ticks of the stream's time base; those of the file wherever they do."""
        tick = self.info.time_base
        step = max(1, round(self.info.frame_seconds / tick))
        usual_gap = max(SUSPICIOUS_GAP_SECONDS, Fraction(5, 2) * step * tick)
        last: int | None = None

        for picture in pictures:
            picture.time_base = tick
            if picture.pts is None:
                self.outcome.warn("some pictures have no time; theirs was made from the frame rate")
                picture.pts = step + last if last is not None else picture.dts or 0
            if last is not None and picture.pts <= last:
                self.outcome.warn("some pictures are not later than the one before; they were moved up by one tick")
                picture.pts = last + 1

            if last is not None and (picture.pts - last) * tick > usual_gap:
                self.gaps.append((last * tick, picture.pts * tick))
            last = picture.pts
            yield picture

    def where(self) -> str:
        """How far the output has come, in words."""
        end = self.outcome.end_time
        return "the beginning" if end is None else f"{float(end - self.info.origin):.2f} s"

    def compare_end(self, end: Fraction | None) -> None:
        """Note a problem when the file declares more than could be read, up to `end` where one was asked for."""
        if self.gaps and self.info.container.startswith("matroska") and broken_matroska(self.info.path):
            first, then = self.gaps[0]
            at, length = float(first - self.info.origin), float(then - first)
            self.outcome.problem(
                f"the file is damaged inside: pictures are missing for {length:.2f} s after {at:.2f} s"
            )
        reached = self.outcome.end_time or self.info.origin
        packets = self.video_packets if self.start is None else None
        sentence = missing_end(self.info, packets=packets, video_end=reached, latest=self.latest, end=end)
        if sentence:
            self.outcome.problem(sentence)


def seek(container: InputContainer, stream: av.VideoStream, start: Fraction, *, tick: Fraction) -> None:
    """Go to a keyframe at or before `start`; where the format can't find one, stay at the beginning."""
    if not container.format.name.startswith(SEEKABLE):
        return

    for earlier in (0, 10, 60):
        target = int((start - earlier) / tick)
        try:
            container.seek(target, stream=stream)
            key = next((packet for packet in container.demux(stream) if packet.is_keyframe), None)
            container.seek(target, stream=stream)
        except av.error.FFmpegError:
            return
        if key is not None and key.pts is not None and key.pts * tick <= start:
            return
    container.seek(stream.start_time or 0, stream=stream)
