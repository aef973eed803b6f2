"""What is assembled for a run: the pipeline, and the parts that are asked afterwards what they read and wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.frames import Frame
    from pipeline.run.ledger import Ledger, Shown
    from pipeline.run.report import Tally
    from pipeline.threads.runner import Pipeline
    from pipeline.video.decode import FileSource
    from pipeline.video.encode import FileSink
    from pipeline.video.pieces import PieceSink
    from pipeline.video.stills import StillSink


@dataclass(frozen=True)
class Account:
    """What was read and written."""

    frames_in: int
    frames_out: int
    bad_packets: int
    complete: bool
    """Whether all that the input holds, between start and end, was read without damage and written."""
    missing: tuple[str, ...]
    """What of the input is not in the output or is damaged there, in sentences."""
    warnings: tuple[str, ...]
    """What was changed without loss, in sentences."""

    @classmethod
    def of(cls, source: FileSource, sink: FileSink, *, warnings: Sequence[str] = ()) -> Account:
        """What a video's source read and its sink wrote so far; `warnings` stand before theirs, each once."""
        came, went = source.outcome, sink.outcome
        return cls(
            frames_in=came.frames,
            frames_out=went.frames,
            bad_packets=came.bad_packets,
            complete=came.complete and not went.problems,
            missing=(*came.problems, *went.problems),
            warnings=tuple(dict.fromkeys((*warnings, *came.warnings, *went.warnings))),
        )


@dataclass(frozen=True)
class Film:
    """A video to be processed: the parts that are asked afterwards, and the pipeline that joins them."""

    source: FileSource
    sink: FileSink
    tally: Tally
    pipeline: Pipeline[Frame]

    def expected_frames(self) -> int | None:
        """How many frames will come, as far as the file says. Raises `SourceError` when it can't be opened."""
        info, source = self.source.info, self.source
        if source.start is None and source.end is None and info.frames:
            return info.frames
        ends = [time for time in (info.duration, source.end) if time is not None]
        return max(0, round((min(ends) - (source.start or 0)) / info.frame_seconds)) if ends else None

    def account(self) -> Account:
        """What was read and written so far."""
        return Account.of(self.source, self.sink)


@dataclass(frozen=True)
class Stretch:
    """A chunk of a video to be processed: the parts that are asked afterwards, and the pipeline that joins them."""

    sink: PieceSink
    tally: Tally
    pipeline: Pipeline[Frame]


@dataclass(frozen=True)
class Photo:
    """A picture to be processed: as `Film`, with the one frame that a picture is."""

    sink: StillSink
    tally: Tally
    pipeline: Pipeline[Frame]
    idle: tuple[str, ...]
    """Settings that were given and mean nothing for a picture."""

    def expected_frames(self) -> int:
        """One."""
        return 1

    def account(self) -> Account:
        """What was read and written so far."""
        went = self.sink.outcome
        idle = (f"{', '.join(self.idle)}: without effect on a picture",) if self.idle else ()
        return Account(
            frames_in=went.frames,
            frames_out=went.frames,
            bad_packets=0,
            complete=went.frames == 1,
            missing=(),
            warnings=(*went.warnings, *idle),
        )


@dataclass(frozen=True)
class Stream:
    """A live source to be processed, joined but not running."""

    ledger: Ledger
    tally: Tally
    pipeline: Pipeline[Shown]
