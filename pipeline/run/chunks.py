"""Cuts a recording into chunks, and makes each chunk's part of the output by itself.

A chunk begins at a key frame of the input. What becomes of it depends on the input, the settings and the networks
alone: not on the other chunks, nor on who computes it, when, or how often. So that no seam shows, a chunk is computed
from a little before its beginning, until faces are tracked and smoothed as if they had been there all the time, and a
little beyond its end, as far as the tracker looks ahead. Neither is written.
"""

from __future__ import annotations

import io
import json
from bisect import bisect_left
from collections import Counter
from dataclasses import asdict, astuple, dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from pipeline.errors import CheckpointError
from pipeline.frames import Drawer, DrawnBy, Skipped
from pipeline.people.people import Crowd
from pipeline.run import assemble
from pipeline.run.joints import Ids, PassOver
from pipeline.run.report import Tally
from pipeline.run.stayed import MaskStretch, StayedOn
from pipeline.threads.worker import StageStats
from pipeline.video import pieces
from pipeline.video.animation import FRAME_SHARE, LARGEST_FRAME_MEGAPIXELS
from pipeline.video.decode import FileSource
from pipeline.video.opening import clock_is_arbitrary, opened
from pipeline.video.pieces import Piece, SliceSource
from pipeline.video.reading import SEEKABLE, Outcome, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from av import VideoFrame
    from numpy.typing import NDArray

    from pipeline.frames import Frame
    from pipeline.run.load import Networks
    from pipeline.run.process import Stoppable
    from pipeline.settings.config import Config
    from pipeline.video.pieces import Slice

LEAD_SECONDS = Fraction(1, 2)
"""How long before its beginning a chunk is computed: until a doubtful face has been detected often enough, and for as
long as the chunk before passes over."""

PASS_OVER_SECONDS = Fraction(1, 2)
"""How long a chunk takes, at its end, to pass over into what the next one draws."""

AHEAD_FRAMES = 2
"""How many frames the deinterlacer and a gap between two frames may need beyond what the tracker looks ahead."""


@dataclass(frozen=True)
class Chunk:
    """A stretch of a recording. Times are seconds from the start of the input."""

    index: int
    begin: Fraction | None
    """The time of a key frame; None is the start of the input."""
    end: Fraction | None
    """The time of the next chunk's beginning; None is the end of the input."""
    lead: Fraction = Fraction(0)
    """How long before `begin` computing starts."""
    tail: Fraction = Fraction(0)
    """How long after `end` computing goes on."""
    frames: int = 0
    """How many pictures lie in it, as far as their packets say."""


@dataclass(frozen=True)
class ChunkPlan:
    """How a recording is cut."""

    chunks: tuple[Chunk, ...]
    whole: str | None
    """Why the recording is one chunk, in a sentence; None when it is cut, or too short for that."""


def plan(source: FileSource, config: Config, *, seconds: Fraction) -> ChunkPlan:
    """Cut the recording at key frames into chunks of at least `seconds`. It is read once, without decoding.

    Raises `SourceError` when it can't be opened.
    """
    info, whole = source.info, uncuttable(source, config)
    times, keys, timeless = _packet_times(source)
    whole = whole or timeless
    times = sorted(time for time in times if source.counts(info.origin + time))

    bounds: list[Fraction | None] = [source.start]
    reached = source.start or Fraction(0)
    latest = max(times, default=reached)
    for key in sorted(keys) if whole is None else ():
        # A last chunk of less than half the length stays with the chunk before.
        if key - reached >= seconds and latest - key >= seconds / 2 and source.counts(info.origin + key):
            bounds.append(key)
            reached = key
    bounds.append(source.end)

    tail = (assemble.file_tracker(config).lookback_frames + AHEAD_FRAMES) * info.frame_seconds
    chunks = [
        Chunk(
            index,
            begin,
            end,
            lead=Fraction(0) if index == 0 or begin is None else min(LEAD_SECONDS, begin - (source.start or 0)),
            tail=Fraction(0) if end == source.end else tail,
            frames=bisect_left(times, inf if end is None else end) - bisect_left(times, begin or 0),
        )
        for index, (begin, end) in enumerate(pairwise(bounds))
    ]
    return ChunkPlan(tuple(chunks), whole)


def uncuttable(source: FileSource, config: Config) -> str | None:
    """Why a recording is one chunk, as far as it shows without reading it, in a sentence. Raises `SourceError`."""
    if config.identity.only or config.identity.except_ or config.identity.face:
        return "chosen people are told apart over a whole recording"
    with opened(source.path) as container:
        exact = container.format.name.startswith(SEEKABLE) and source.info.container != "avi"
        if clock_is_arbitrary(container) or not exact:
            return f"a {container.format.name} file can't be entered exactly at a time"
    return None


def _packet_times(source: FileSource) -> tuple[list[Fraction], list[Fraction], str | None]:
    """When pictures and key pictures are shown, in seconds from the start; and why they can't be found by their times.

    Raises `SourceError`.
    """
    info = source.info
    with opened(source.path) as container:
        times, keys = [], []
        for packet in Reading(info, Outcome(), container, None).video():
            if packet.size and packet.pts is None:
                return [], [], "some of its pictures have no time"
            if packet.size:
                times.append((packet.pts or 0) * info.time_base - info.origin)
                keys += times[-1:] if packet.is_keyframe else []
    return times, keys, None


@dataclass(frozen=True)
class FinishedChunk:
    """What became of a chunk."""

    piece: Piece
    outcome: Outcome
    tally: Tally
    stages: tuple[StageStats, ...]
    lead: NDArray[np.float64]
    """(n, 6) the faces seen in its lead: time in seconds, id, and the box's left, top, right and bottom."""
    last: NDArray[np.float64]
    """(n, 6) the faces seen in those of its frames that are the next chunk's lead."""
    crowd: Crowd | None
    """The people told apart in it; None when nobody asked."""

    def as_bytes(self) -> bytes:
        """Everything in one array file of numpy, which finds out itself whether it is damaged."""
        tally, outcome = self.tally, self.outcome
        facts = {
            "warnings": self.piece.warnings,
            "outcome": asdict(outcome) | {"end_time": None if outcome.end_time is None else str(outcome.end_time)},
            "faces": [tally.faces, tally.masked_faces, tally.held_faces, tally.frames_with_mask],
            "skipped": dict(tally.skipped),
            "drawn_by": [[drawn.face, drawn.why, count] for drawn, count in tally.drawn_by.items()],
            "stayed": [
                [one.track, one.reason, str(one.start), str(one.end), one.frames] for one in tally.stayed.stretches
            ],
            "dropped": tally.stayed.dropped,
            "people": None if self.crowd is None else self.crowd.as_json(),
            "stages": [asdict(stage) for stage in self.stages],
        }

        target = io.BytesIO()
        np.savez(
            target,
            times=self.piece.times,
            lead=self.lead,
            last=self.last,
            data=np.frombuffer(self.piece.data, np.uint8),
            configuration=np.frombuffer(self.piece.configuration, np.uint8),
            facts=np.frombuffer(json.dumps(facts).encode(), np.uint8),
        )
        return target.getvalue()

    @classmethod
    def of_bytes(cls, data: bytes) -> FinishedChunk:
        """Read what `as_bytes` wrote. Raises `CheckpointError` for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                facts = json.loads(arrays["facts"].tobytes())
                lead, last = arrays["lead"], arrays["last"]
                piece = Piece(
                    arrays["configuration"].tobytes(),
                    arrays["times"],
                    arrays["data"].tobytes(),
                    tuple(facts["warnings"]),
                )

            end_time = facts["outcome"].pop("end_time")
            outcome = Outcome(**facts["outcome"], end_time=None if end_time is None else Fraction(end_time))
            stages = tuple(StageStats(**stage) for stage in facts["stages"])
            crowd = None if facts["people"] is None else Crowd.of_json(facts["people"])
            return cls(piece, outcome, _tally_of(facts), stages, lead, last, crowd)
        except (BadZipFile, OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"a chunk is damaged ({error}): run again with --fresh") from error


def _tally_of(facts: Mapping[str, Any]) -> Tally:
    """The tally in the facts of a finished chunk. Raises `ValueError`, `KeyError` and `TypeError`."""
    faces, masked, held, frames = facts["faces"]
    return Tally(
        faces,
        masked,
        held,
        frames,
        Counter({Skipped(reason): count for reason, count in facts["skipped"].items()}),
        Counter({DrawnBy(face, Drawer(why)): count for face, why, count in facts["drawn_by"]}),
        stayed=StayedOn(
            [
                MaskStretch(track, reason, Fraction(start), Fraction(end), count)
                for track, reason, start, end, count in facts["stayed"]
            ],
            facts["dropped"],
        ),
    )


def together(stages: Iterable[StageStats]) -> dict[str, StageStats]:
    """What stages did, those of one name added up, by name."""
    found: dict[str, StageStats] = {}
    for stage in stages:
        found[stage.name] = found[stage.name].plus(stage) if stage.name in found else stage
    return found


@dataclass
class Total:
    """Adds up what became of the chunks of a recording."""

    outcome: Outcome
    tally: Tally = field(default_factory=Tally)
    stages: dict[str, StageStats] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    ids: Ids = field(default_factory=Ids)

    def add(self, chunk: FinishedChunk) -> None:
        """Add the next chunk, in order."""
        outcome, came = self.outcome, chunk.outcome
        outcome.frames += came.frames
        outcome.bad_packets += came.bad_packets
        outcome.ended = came.ended
        outcome.end_time = came.end_time or outcome.end_time
        outcome.problems += [problem for problem in came.problems if problem not in outcome.problems]
        for warning in came.warnings:
            outcome.warn(warning)
        self.warnings += [warning for warning in chunk.piece.warnings if warning not in self.warnings]

        names = self.ids.join({one.track for one in chunk.tally.stayed.stretches}, chunk.lead, chunk.last, chunk.crowd)
        self.tally.add(chunk.tally, names)
        if chunk.crowd is not None:
            self.tally.people = {person.id: person for person in self.ids.crowd}
        self.stages = together((*self.stages.values(), *chunk.stages))


def source_of(path: Path, chunk: Chunk, config: Config) -> FileSource:
    """The frames of a chunk, from the recording."""
    return FileSource(
        path,
        start=chunk.begin,
        end=chunk.end,
        hardware=config.input.hardware_decoder,
        lead=chunk.lead,
        tail=chunk.tail,
        largest_megapixels=config.input.largest_picture * FRAME_SHARE,
        may_be_empty=True,
    )


def cut(path: Path, chunk: Chunk, config: Config) -> Slice:
    """Take from the recording the packets that a chunk needs. Raises `SourceError`."""
    return pieces.cut(source_of(path, chunk, config))


def sliced(path: Path, chunk: Chunk, part: Slice) -> FileSource:
    """The frames of a chunk, from the packets of the recording that it needs."""
    allowed = max(LARGEST_FRAME_MEGAPIXELS, Fraction(part.info.width * part.info.height, 1_000_000))
    return SliceSource(
        path,
        start=chunk.begin,
        end=chunk.end,
        lead=chunk.lead,
        tail=chunk.tail,
        largest_megapixels=allowed,
        may_be_empty=True,
        slice=part,
    )


def _next_draws(
    path: Path,
    chunk: Chunk,
    config: Config,
    networks: Networks,
    part: Slice | None,
    watch: Callable[[Stoppable], None],
) -> tuple[Mapping[Fraction, VideoFrame], tuple[StageStats, ...]]:
    """The last frames of a chunk as the next one would draw them, by their times, and what the stages did for it."""
    if not chunk.tail or chunk.end is None:
        return {}, ()

    begin = max(chunk.end - LEAD_SECONDS, (chunk.begin or 0) - chunk.lead)
    lead = replace(chunk, begin=begin, lead=Fraction(0))
    source = source_of(path, lead, config) if part is None else sliced(path, lead, part)
    run = assemble.stretch(source, config, networks, Tally()).run()
    watch(run)

    passing = source.info.origin + max(chunk.end - PASS_OVER_SECONDS, chunk.begin or 0)
    with run:
        drawn = {frame.time: frame.planes for frame in run if frame.time >= passing}
    return drawn, run.stats()


def compute(
    path: Path,
    target: Path,
    chunk: Chunk,
    config: Config,
    networks: Networks,
    *,
    part: Slice | None = None,
    wrote: Callable[[Frame], None] = lambda _frame: None,
    watch: Callable[[Stoppable], None] = lambda _run: None,
) -> FinishedChunk:
    """Compute one chunk of the recording `path`, or of the `part` of it that is given; only `target`'s suffix counts.

    `wrote` gets every frame that was encoded, `watch` what can be stopped. Raises what a run raises.
    """
    drawn, before = _next_draws(path, chunk, config, networks, part, watch)
    source = source_of(path, chunk, config) if part is None else sliced(path, chunk, part)
    work = assemble.piece(source, target, config, networks, PassOver(drawn))
    run = work.pipeline.run()
    watch(run)
    with run:
        for frame in run:
            wrote(frame)
    assert work.sink.piece is not None  # noqa: S101 - the stage ended well

    seen = np.array([(time, track, *astuple(box)) for time, track, box in work.tally.seen], float).reshape(-1, 6)
    # Faces in the lead and at the end are what joins the ids of this chunk to its neighbours'.
    origin, times = source.info.origin, seen[:, 0]
    lead = seen[times < float(origin + (chunk.begin or 0))]
    last = seen[:0] if chunk.end is None else seen[times >= float(origin + chunk.end - LEAD_SECONDS)]
    people = work.tally.people
    crowd = None if people is None or networks.who is None else Crowd((*people.values(),), networks.who.embedder.least)
    stages = tuple(together((*run.stats(), *before)).values())
    return FinishedChunk(work.sink.piece, source.outcome, work.tally, stages, lead, last, crowd)
