"""A video file as a source of frames: upright, in time order, each with its exact time.

Damage is survived where it can be: a packet that does not decode is counted and skipped. What is missing is never
passed over: after the last frame `FileSource.outcome` says what was wrong and whether the video was complete.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, DecodeError
from pipeline.frames import Frame
from pipeline.picture.planes import copy_tags, moment
from pipeline.video.animation import LARGEST_FRAME_MEGAPIXELS
from pipeline.video.clock import HOLE, MPEG_HOLE, STORES_DURATIONS, Gaps
from pipeline.video.conform import TICK, conform, graph_for, shape_of
from pipeline.video.info import stamp_of
from pipeline.video.opening import opened
from pipeline.video.probe import probe
from pipeline.video.reading import Outcome, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import av
    from av.filter import Graph

    from pipeline.video.conform import Picture, Shape, Warn
    from pipeline.video.info import Crop, SourceInfo


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
    lead: Fraction = Fraction(0)
    """Seconds before `start` whose frames are given too and not counted, so that stages settle on them."""
    tail: Fraction = Fraction(0)
    """Seconds after `end` whose frames are given too and not counted, so that stages can look ahead."""
    largest_megapixels: Fraction = LARGEST_FRAME_MEGAPIXELS
    """Larger frames are refused, or end the reading where they come in the middle."""
    may_be_empty: bool = False
    """Whether a span without any readable frame is fine, as it is in one chunk of a longer run."""
    outcome: Outcome = field(default_factory=Outcome, init=False, compare=False)

    def __post_init__(self) -> None:
        if self.start is not None and self.start < 0:
            raise ConfigError(f"start is {float(self.start)} s; it counts from the start of the input, from 0 up")
        if self.end is not None and self.end <= (self.start or 0):
            raise ConfigError(f"end is {float(self.end)} s; it must be after start ({float(self.start or 0)} s)")

    @cached_property
    def info(self) -> SourceInfo:
        """What the file holds. Raises `SourceError`."""
        return probe(self.path, hardware=self.hardware, largest_megapixels=self.largest_megapixels)

    def __iter__(self) -> Iterator[Frame]:
        info, outcome = self.info, self.outcome
        start = None if self.start is None else info.origin + self.start
        end = None if self.end is None else info.origin + self.end

        shown, gaps = Cropper(info.crop, outcome.warn), Gaps(MPEG_HOLE if info.container == "mpeg" else HOLE)
        with self.reading(start, end) as reading:
            pictures = conform(map(shown, reading.timed(reading.pictures())), info, outcome.warn)
            first = None if start is None else start - self.lead
            behind = None if end is None else end + self.tail
            for picture, seconds, gone in self.within(pictures, first, behind):
                gaps.see(round(seconds / info.time_base), counts=self.counts(seconds))
                if self.counts(seconds):
                    outcome.end_time = gone if end is None else min(gone, end)
                yield self.frame(picture, seconds)
            if reading.ended:
                reading.compare_end(end)

        outcome.ended = True
        if outcome.bad_packets:
            packets = "1 packet is" if outcome.bad_packets == 1 else f"{outcome.bad_packets} packets are"
            outcome.problem(f"{packets} damaged: pictures are missing or show damage")
        if not (outcome.problems or info.container.startswith(STORES_DURATIONS)):
            self.tell_of_holes(gaps, repeats=reading.repeats)
        if outcome.frames == 0 and not self.may_be_empty:
            raise DecodeError(f"{self.path}: {self.nothing()}")

    def tell_of_holes(self, gaps: Gaps, *, repeats: int) -> None:
        """Warn where times leave room for more pictures than the last one was said to stay."""
        found = gaps.holes()
        if found is not None and found[0] > repeats:
            room, ticks = found[0] - repeats, found[1]
            pictures = "1 picture" if room == 1 else f"{room} pictures"
            self.outcome.warn(
                f"the times of the pictures leave room for {pictures} more, first after "
                f"{float(ticks * self.info.time_base - self.info.origin):.2f} s: they may have been lost before"
            )

    def within(
        self, pictures: Iterator[av.VideoFrame], start: Fraction | None, end: Fraction | None
    ) -> Iterator[tuple[av.VideoFrame, Fraction, Fraction]]:
        """The pictures between `start` and `end`, each with the time when it comes and when it is gone.

        The first is the one that is on screen at `start`, except where the next follows as soon as pictures usually do.
        """
        usual = self.info.frame_seconds
        standing: av.VideoFrame | None = None
        for picture in pictures:
            seconds = moment(picture)
            if start is not None and seconds < start:
                # Not thrown away at once: it stays on screen until the next one, which may be after `start`.
                standing = picture
                continue

            beyond = end is not None and seconds >= end
            if standing is not None and start is not None and (beyond or seconds - start > usual):
                yield standing, start, seconds
            standing = None
            if beyond:
                return
            yield picture, seconds, self.gone(picture)

        if standing is not None and start is not None and start < self.gone(standing):
            yield standing, start, self.gone(standing)

    def gone(self, picture: av.VideoFrame) -> Fraction:
        """When the picture stops being shown, as far as it says so itself."""
        info = self.info
        return moment(picture) + (picture.duration * info.time_base if picture.duration else info.frame_seconds)

    @contextmanager
    def reading(self, start: Fraction | None, end: Fraction | None) -> Iterator[Reading]:
        """Open the file and begin to read it, `lead` seconds before `start`. Raises `SourceError`."""
        with opened(self.path, hardware=self.hardware, largest_megapixels=self.largest_megapixels) as container:
            yield Reading(
                self.info,
                self.outcome,
                container,
                start,
                end=end,
                lead=self.lead,
                largest_megapixels=self.largest_megapixels,
            )

    def counts(self, seconds: Fraction) -> bool:
        """True for a time between `start` and `end`, as the input counts; False in the lead and in the tail."""
        since = seconds - self.info.origin
        return (self.start is None or since >= self.start) and (self.end is None or since < self.end)

    def changed(self) -> bool:
        """Whether another file lies under the input's name than the one that `info` is of, or it was written to."""
        return stamp_of(self.path) not in ((), self.info.stamp)  # what was only deleted is read to its end

    def nothing(self) -> str:
        """Why there was no frame."""
        duration = self.info.duration
        if self.start is not None and duration is not None and self.start >= duration:
            return f"start is {float(self.start):.2f} s, but the video lasts {float(duration):.2f} s"
        return "no picture could be decoded" if self.start is None else "there is no picture between start and end"

    def frame(self, picture: av.VideoFrame, seconds: Fraction) -> Frame:
        """The picture as it flows downstream, shown from `seconds` on."""
        index = self.outcome.frames
        self.outcome.frames += self.counts(seconds)
        return Frame(index, seconds, time.perf_counter(), picture, self.info.pixel_aspect)


class Cropper:
    """Cuts off what the container says not to show. Used by one thread."""

    def __init__(self, crop: Crop, warn: Warn) -> None:
        self._crop, self._warn = crop, warn
        self._graphs: dict[Shape, Graph] = {}

    def __call__(self, picture: Picture) -> Picture:
        """The picture itself when it is shown whole."""
        width, height = self._crop.size(picture.width, picture.height)
        if (width, height) == (picture.width, picture.height):
            return picture

        stored = shape_of(picture)
        if stored not in self._graphs:
            self._warn(
                f"the container shows {width}x{height} of the stored {picture.width}x{picture.height}; "
                "the pictures are cropped to that"
            )
            picture.time_base = picture.time_base or TICK
            place = f"{width}:{height}:{self._crop.left}:{self._crop.top}:exact=1"
            self._graphs[stored] = graph_for(picture, ("crop", place))
        graph = self._graphs[stored]
        graph.vpush(picture)
        cropped = graph.vpull()
        copy_tags(picture, cropped)
        return cropped
