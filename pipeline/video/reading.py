"""One pass over a video file: packets to pictures with exact times, surviving what can be survived and counting it."""

from __future__ import annotations

import contextlib
import heapq
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from pipeline.video.animation import LARGEST_FRAME_MEGAPIXELS
from pipeline.video.clock import SteadyClock
from pipeline.video.opening import clock_is_arbitrary, packets_of
from pipeline.video.probe import decoder_of, missing_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer

    from pipeline.video.info import SourceInfo

    Packet = av.Packet[Any]

BAD_PACKETS_IN_A_ROW = 300
"""Packets that fail one after the other before the rest of the file is given up: ten seconds of most video."""

JOINT_PACKETS = 3
"""How many packets before and after a restarted clock may be marked as damaged because of it."""

STREAMS_DECLARE = ("matroska", "mov")
"""Containers that say how long the video is, whatever the length of the sound."""

READ_FAILURES_IN_A_ROW = 20
"""How often reading on may fail without a packet in between before the file counts as ended."""

SEEKABLE = ("mov", "matroska", "mpegts", "mpeg", "flv", "avi", "asf", "ogg", "mxf", "nut", "gif")
"""Containers that know where a time is; FFmpeg only guesses in bare streams."""


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

    def __init__(
        self,
        info: SourceInfo,
        outcome: Outcome,
        container: InputContainer,
        start: Fraction | None,
        *,
        end: Fraction | None = None,
        lead: Fraction = Fraction(0),
        largest_megapixels: Fraction = LARGEST_FRAME_MEGAPIXELS,
    ) -> None:
        """Go to `lead` seconds before `start`. Only damage from `start` to `end` is counted.

        Reading ends before a picture of more than `largest_megapixels`.
        """
        self.largest_pixels = largest_megapixels * 1_000_000
        self.info, self.outcome, self.container, self.start, self.end = info, outcome, container, start, end
        stream = self.stream = next(video for video in container.streams.video if video.index == info.video_index)
        # One thread: frame threads bring an error up with another packet's frames, which are then lost without a trace,
        # and what a decoder says of damage can only be heard in our own. Decoding is not what takes the time here.
        stream.codec_context.thread_count = 1
        self.decoder = decoder_of(stream)
        self.clock = SteadyClock()
        self.slots: list[int] | None = [] if info.container == "avi" else None
        """Times of packets whose picture is still to come, smallest first, where packets have no time of showing."""
        self.jumps_seen, self.joint = 0, -JOINT_PACKETS
        self.doubts: list[int] = []
        """Numbers of the packets that count as damaged on the word of the container alone."""
        self.video_packets = 0
        self.latest = info.origin
        """When the last packet of any stream ends, in seconds as the input counts."""
        self.repeats = 0
        """How many packets of the video say that the last picture stays."""
        self.ended = False
        """True once every picture was given."""
        if start is not None:
            seek(container, stream, start - lead, tick=info.time_base)

    def packets(self) -> Iterator[Packet]:
        """Every packet of the file in its order; reading goes on behind damage.

        Packets without content are left out: they say that the last picture stays, or are how PyAV marks the end.
        """
        failures = 0
        while True:
            try:
                for packet in self.container.demux():
                    failures = 0
                    if packet.size:
                        yield packet
                    elif packet.pts is not None and packet.stream.index == self.info.video_index:
                        self.repeats += 1
            except av.error.FFmpegError as error:
                failures += 1
                # FFmpeg may fail at the same place for ever.
                if failures == READ_FAILURES_IN_A_ROW:
                    self.outcome.problem(f"the file can't be read beyond {self.where()}: {error.strerror}")
                    return

            except IndexError:  # PyAV's at the end, of a stream that FFmpeg has found in the middle of the file
                self.outcome.warn("a stream begins in the middle of the file; it is left out")
                return
            else:
                return

    def video(self) -> Iterator[Packet]:
        """Packets of the processed video; of the others only their times are looked at."""
        packets = self.packets()
        for packet in self.clock(packets) if clock_is_arbitrary(self.container) else packets:
            ticks = packet.pts if packet.pts is not None else packet.dts
            if ticks is not None and packet.time_base:
                self.latest = max(self.latest, (ticks + (packet.duration or 0)) * packet.time_base)
            if packet.stream.index == self.info.video_index:
                self.video_packets += 1
                yield packet

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Every picture that decodes; damaged packets are counted and skipped."""
        in_a_row = 0
        for packet in self.video():
            if self.slots is not None and packet.dts is not None:
                # AVI stores no times of showing. Those of decoding are the right ones, in the wrong order.
                heapq.heappush(self.slots, packet.dts)
            try:
                with complaints() as said:
                    pictures = self.decoder.decode(packet)
            except av.error.FFmpegError:
                in_a_row += 1
                self.outcome.bad_packets += self.wanted(packet)
                if self.slots is not None and packet.dts in self.slots:
                    self.slots.remove(packet.dts)
                # A file that is noise from here on would be decoded in vain for hours.
                if in_a_row == BAD_PACKETS_IN_A_ROW:
                    self.outcome.problem(f"{in_a_row} packets in a row can't be decoded after {self.where()}; gave up")
                    return
                continue

            if any(picture.width * picture.height > self.largest_pixels for picture in pictures):
                size = f"{pictures[0].width}x{pictures[0].height}"
                self.outcome.problem(f"after {self.where()} the frames have {size}, more than is allowed; gave up")
                return
            in_a_row = 0
            damaged = sum(picture.is_corrupt for picture in pictures) or int(bool(said))
            doubted = self.doubt(packet)
            if self.wanted(packet):
                self.outcome.bad_packets += damaged or doubted
            yield from map(self.placed, pictures)

        try:
            yield from map(self.placed, self.decoder.decode(None))
        except av.error.FFmpegError:
            self.outcome.bad_packets += 1
        self.ended = True

    def doubt(self, packet: Packet) -> int:
        """1 for a packet that the container marks as damaged and that decoded well, 0 for others.

        Where recordings were joined, the packets at the joint are marked because the numbering of their parts starts
        anew, so these are forgiven, whether the clock's jump was seen before them or comes after.
        """
        if self.clock.jumps > self.jumps_seen:
            self.jumps_seen, self.joint = self.clock.jumps, self.video_packets
            self.outcome.bad_packets -= sum(number >= self.joint - JOINT_PACKETS for number in self.doubts)
            self.doubts.clear()
        if not packet.is_corrupt or self.video_packets <= self.joint + JOINT_PACKETS:
            return 0
        self.doubts.append(self.video_packets)
        return 1

    def placed(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture, in AVI at the earliest time that no other picture has taken.

        AVI stores the order of decoding alone. The order of showing differs with B-frames, and XviD stores two pictures
        in one packet and none in the next, so that what FFmpeg makes of the times is late or not in order.
        """
        if self.slots:
            picture.pts = heapq.heappop(self.slots)
        return picture

    def wanted(self, packet: Packet) -> bool:
        """False for what lies outside the span that was asked for."""
        if packet.pts is None or packet.time_base is None:
            return True
        seconds = packet.pts * packet.time_base
        return (self.start is None or seconds >= self.start) and (self.end is None or seconds < self.end)

    def timed(self, pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Pictures with times that grow, in ticks of the stream's time base; those of the file wherever they do."""
        tick = self.info.time_base
        step = max(1, round(self.info.frame_seconds / tick))
        last: int | None = None
        for picture in pictures:
            picture.time_base = tick
            if picture.pts is None:
                self.outcome.warn("some pictures have no time; theirs was made from the frame rate")
                picture.pts = step + last if last is not None else picture.dts or 0

            if last is not None and picture.pts <= last:
                self.outcome.warn("some pictures are not later than the one before; they were moved up by one tick")
                picture.pts = last + 1
            last = picture.pts
            yield picture

    def where(self) -> str:
        """How far the output has come, in words."""
        end = self.outcome.end_time
        return "the beginning" if end is None else f"{float(end - self.info.origin):.2f} s"

    def compare_end(self, end: Fraction | None) -> None:
        """Note a problem when the file holds more than could be read, up to `end` where one was asked for."""
        info, outcome = self.info, self.outcome
        packets = self.video_packets if self.start is None else None
        reached = outcome.end_time or info.origin
        if self.clock.jumps:  # what it declares is the difference of times on two clocks
            info = replace(info, video_until=None, until=None)
        elif info.container.startswith(STREAMS_DECLARE) and info.video_until is not None and reached < info.video_until:
            # A last picture may have no duration of its own, or that of the one decoded last.
            outcome.end_time = info.video_until if end is None else min(info.video_until, end)
        if sentence := missing_end(info, packets=packets, video_end=reached, latest=self.latest, end=end):
            outcome.problem(sentence)


@contextlib.contextmanager
def complaints() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg says of errors in this thread meanwhile: level, name of the part that says it, and message."""
    heard: list[tuple[int, str, str]] = []
    with av.logging.Capture() as said:
        yield heard
    heard += [line for line in said if line[0] <= av.logging.ERROR]


def seek(container: InputContainer, stream: av.VideoStream, start: Fraction, *, tick: Fraction) -> None:
    """Go to a keyframe at or before `start`; where the format can't find one, stay at the beginning."""
    if not container.format.name.startswith(SEEKABLE):
        return

    for earlier in (0, 10, 60):
        target = int((start - earlier) / tick)
        try:
            container.seek(target, stream=stream)
            key = next((packet for packet in packets_of(container, stream) if packet.is_keyframe), None)
            container.seek(target, stream=stream)
        except av.error.FFmpegError:
            return
        if key is not None and key.pts is not None and key.pts * tick <= start:
            return
    container.seek(stream.start_time or 0, stream=stream)
