"""A video file as a source of frames: upright, in time order, each with its exact time.

Damage is survived where it can be: a packet that does not decode is counted and skipped. What is missing is never
passed over: after the last frame `FileSource.outcome` says what was wrong and whether the video was complete.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import av

from pipeline.conform import conform
from pipeline.errors import ConfigError, DecodeError, SourceError
from pipeline.frames import Frame
from pipeline.probe import SourceInfo, opened, probe

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

BAD_PACKETS_IN_A_ROW = 300
"""Packets that fail one after the other before the rest of the file is given up: ten seconds of most video."""

READ_FAILURES_IN_A_ROW = 20
"""How often reading on may fail without a packet in between before the file counts as ended."""


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

    def warn(self, sentence: str) -> None:
        """Note a warning, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    @property
    def complete(self) -> bool:
        """True when everything that the file declares, between start and end, was read without damage."""
        return self.ended and not self.problems and not self.bad_packets


@dataclass(frozen=True)
class FileSource:
    """The frames of a video file.

    Iterating raises `SourceError` when the file can't be opened and `DecodeError` when no frame at all can be read;
    damage after the first frame ends up in `outcome`. Iterate once.
    """

    path: Path
    start: Fraction | None = None
    """Seconds from the start of the input; frames before it are not given."""
    end: Fraction | None = None
    """Seconds from the start of the input; frames at or after it are not given."""
    hardware: str | None = None
    """FFmpeg's name of a hardware decoder, such as `cuda` or `qsv`; None decodes in software."""
    outcome: Outcome = field(default_factory=Outcome, init=False, compare=False)

    def __post_init__(self) -> None:
        if self.start is not None and self.start < 0:
            raise ConfigError(f"start is {float(self.start)} s; it counts from the start of the input, from 0 up")
        if self.end is not None and self.end <= (self.start or 0):
            raise ConfigError(f"end is {float(self.end)} s; it must be after start ({float(self.start or 0)} s)")

    @cached_property
    def info(self) -> SourceInfo:
        """What the file holds. Raises `SourceError`."""
        return probe(self.path, hardware=self.hardware)

    def __iter__(self) -> Iterator[Frame]:
        info, outcome = self.info, self.outcome
        start = None if self.start is None else info.origin + self.start
        end = None if self.end is None else info.origin + self.end
        with opened(self.path, hardware=self.hardware) as container:
            stream = container.streams[info.video_index]
            assert isinstance(stream, av.VideoStream)
            # Threads over slices, not over frames: with frame threads an error comes up with another packet's frames,
            # which FFmpeg then drops, and the first frame comes late. Decoding is not what takes the time here.
            stream.thread_type = "SLICE"
            if start is not None:
                seek(container, stream, start)
            reading = Reading(info, outcome, start)
            pictures = conform(reading.timed(reading.pictures(container, stream)), info, outcome.warn)
            for picture in pictures:
                seconds = moment(picture)
                if end is not None and seconds >= end:
                    outcome.ended = True
                    return
                if start is None or seconds >= start:
                    yield self.frame(picture, seconds)
            outcome.ended = True
            if outcome.frames == 0 and start is None:
                raise DecodeError(f"{self.path}: no frame could be decoded")
            reading.compare(container, stream)

    def frame(self, picture: av.VideoFrame, seconds: Fraction) -> Frame:
        """The picture as it flows downstream."""
        info, outcome = self.info, self.outcome
        index = outcome.frames
        outcome.frames += 1
        shown = picture.duration * info.time_base if picture.duration else info.frame_seconds
        outcome.end_time = seconds + shown
        return Frame(index, seconds, time.perf_counter(), picture, info.pixel_aspect)


def moment(picture: av.VideoFrame) -> Fraction:
    """When the picture is shown, in seconds as the input counts, exact."""
    if picture.pts is None or picture.time_base is None:
        raise DecodeError("a picture has no time")
    return picture.pts * picture.time_base


def seek(container: InputContainer, stream: VideoStream, start: Fraction) -> None:
    """Go to a keyframe at or before `start`, or to the beginning where the format can't say where one is."""
    assert stream.time_base is not None
    target = int(start / stream.time_base)
    try:
        container.seek(target, stream=stream, backward=True)
    except av.error.FFmpegError:
        container.seek(0)


@dataclass
class Reading:
    """What one pass over a file remembers."""

    info: SourceInfo
    outcome: Outcome
    start: Fraction | None
    packets: int = 0

    def pictures(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        for packet in container.demux(stream):
            yield from packet.decode()

    def timed(self, pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for picture in pictures:
            picture.time_base = self.info.time_base
            yield picture

    def compare(self, container, stream) -> None: ...
