"""Spreads the chunks of recordings over a Ray cluster: the same packets as on one machine.

The driver cuts the inputs, sends each worker the packets of one chunk, keeps what comes back in the same directories as
a run on one machine does, and joins each file when all its chunks are there. A worker loads its networks once. What a
worker or a node takes with it when it dies is given to another; a chunk that kills three workers is left out and
reported. With `shared` paths are sent instead of packets.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import EngineError
from pipeline.run import chunks
from pipeline.run.nodes import ChunkWorker, check_alike, last_line, room
from pipeline.run.process import Ended, reported
from pipeline.run.resume import ChunkedJob, ChunkedRun, Identity, chunk_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.run.batch import Job
    from pipeline.run.chunks import Chunk
    from pipeline.run.process import Stoppable
    from pipeline.run.resume import ChunkFolder
    from pipeline.settings.config import Config

DEADLY = 3
"""How many workers a chunk may kill before it counts as damaged."""

LOADER = "pipeline.run.load:networks"
"""The `module:function` by which a worker loads its networks."""

POLL_SECONDS = 1.0
"""How often the driver looks for new nodes while nothing comes back."""

FILES_OPEN = 4
"""How many inputs are open at least. More are where their chunks are too few for all workers."""


class Gauge(Protocol):
    """Is told how a run over many files at once gets on."""

    def spread(self, run: Stoppable) -> None:
        """Chunks of all files are about to be computed."""
        ...

    def expect(self, job: Job, frames: int) -> None:
        """A file was opened: so many of its frames are to be computed."""
        ...

    def came(self, frames: int) -> None:
        """So many frames came back."""
        ...

    def ended(self) -> None:
        """The run is over, well or not."""
        ...


@dataclass(eq=False)
class _Seat:
    """A worker as the driver knows it."""

    actor: Any
    ready: Any
    """The reference of its facts until they came."""
    facts: Mapping[str, Any] | None = None
    task: tuple[_Recording, Chunk] | None = None
    since: float = 0.0
    """When it was given its task."""


@dataclass
class _Share:
    """What a node has done."""

    chunks: int = 0
    frames: int = 0
    busy_seconds: float = 0.0
    """Summed over its workers, with the way of a chunk there and back."""


@dataclass(eq=False)
class _Recording(ChunkedJob):
    """An input whose chunks are computed elsewhere."""

    began: float = field(default_factory=perf_counter)
    folder: ChunkFolder | None = None
    left: int = 0
    """How many chunks are not back yet."""
    by_node: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    error: BaseException | None = None

    def open(self, stack: ExitStack, identity: Identity) -> list[Chunk]:
        """Cut the input, and give the chunks that are not finished. Raises what a run raises."""
        self.check()
        self.folder = stack.enter_context(
            chunk_folder(self.job, identity, self.plan, fresh=self.config.chunks.fresh, warnings=self.warnings)
        )
        missing_chunks = [chunk for chunk in self.plan.chunks if not self.folder.has(chunk)]
        self.left = len(missing_chunks)
        return missing_chunks

    def take(self, chunk: Chunk, data: bytes, node: str) -> None:
        """Keep a chunk that came back. Raises `SinkError`."""
        assert self.folder is not None  # noqa: S101 - chunks come back of recordings that are open
        self.folder.keep_bytes(chunk, data)
        self.by_node[node] += 1
        self.left -= 1

    def give_up(self, chunk: Chunk) -> None:
        """Leave a chunk out that kills its workers."""
        begin, end = (float(time) for time in (chunk.begin or 0, chunk.end or self.source.info.duration or 0))
        self.damaged[chunk.index] = (
            f"{begin:.2f} s to {end:.2f} s ended {DEADLY} workers that computed it; it is not in the output"
        )
        self.left -= 1

    def join(self) -> None:
        """Join the chunks, and remove them. Raises `SinkError`."""
        assert self.folder is not None  # noqa: S101 - as above
        there = tuple(chunk for chunk in self.plan.chunks if chunk.index not in self.damaged)
        self.sink.join(self.pieces(there, self.folder))
        self.folder.remove()

    def ended(self, identity: Identity) -> Ended:
        """Report how it ended."""
        self.source.outcome.problems += self.damaged.values()
        return reported(
            self.job,
            self.account(),
            self.total.tally,
            tuple(self.total.stages.values()),
            engine=identity.engine,
            hashes=identity.hashes,
            wall_seconds=perf_counter() - self.began,
            error=self.error,
            stopped=self.run.stopped,
            cluster={"chunks_by_node": dict(self.by_node), "retries": self.retries},
        )


@dataclass
class Driver:
    """Hands chunks out to workers and joins what comes back."""

    ray: Any
    config: Config
    gauge: Gauge
    loader: str = LOADER
    run: ChunkedRun = field(default_factory=ChunkedRun)
    seats: list[_Seat] = field(default_factory=list)
    waiting: deque[tuple[_Recording, Chunk]] = field(default_factory=deque)
    deaths: Counter[tuple[Path, int]] = field(default_factory=Counter)
    """Input and number of a chunk to how many workers it has killed."""
    identity: Identity | None = None
    shares: dict[str, _Share] = field(default_factory=dict)
    """What each node has done, by its name."""
    retries: int = 0
    began: float = field(default_factory=perf_counter)

    def process(self, jobs: Sequence[Job]) -> Iterator[Ended]:
        """Process the jobs, and report each one when it ends. Raises `ConfigError` where workers do not agree."""
        todo, recordings = deque(jobs), list[_Recording]()
        self.gauge.spread(self.run)
        with ExitStack() as stack:
            stack.callback(self.gauge.ended)
            stack.callback(self._dismiss)
            while todo or recordings:
                self._hire()
                self._hear()
                while self.identity is not None and todo and self._wants_more(recordings):
                    recordings.append(self._open(todo.popleft(), stack))
                self._hand_out()
                self._collect()
                if self.run.stopped:
                    self.waiting.clear()
                    yield from (self._end(recording) for recording in recordings)
                    return

                for recording in [one for one in recordings if one.left == 0 or one.error is not None]:
                    recordings.remove(recording)
                    yield self._end(recording)

    def as_json(self) -> dict[str, object]:
        """What the cluster has done so far, as the report holds it."""
        frames, seconds = sum(share.frames for share in self.shares.values()), perf_counter() - self.began
        return {
            "frames": frames,
            "wall_seconds": round(seconds, 3),
            "fps": round(frames / seconds, 2),
            "retries": self.retries,
            "nodes": {
                node: asdict(share) | {"busy_seconds": round(share.busy_seconds, 3)}
                for node, share in self.shares.items()
            },
        }

    def _wants_more(self, recordings: Sequence[_Recording]) -> bool:
        """Whether another input is to be opened."""
        return not self.run.stopped and (len(recordings) < FILES_OPEN or len(self.waiting) < len(self.seats))

    def _hire(self) -> None:
        """Ask for as many workers as the cluster has room for."""
        most, asked = room(self.ray.cluster_resources())
        while len(self.seats) < most:
            actor = self.ray.remote(**asked)(ChunkWorker).remote(self.config, self.loader)
            self.seats.append(_Seat(actor, actor.facts.remote()))

    def _hear(self) -> None:
        """Take the facts of workers that are ready. Raises `ConfigError` where one differs from the others."""
        new = {seat.ready: seat for seat in self.seats if seat.facts is None}
        done, _ = self.ray.wait(list(new), num_returns=len(new), timeout=0) if new else ([], [])

        for reference in done:
            seat = new[reference]
            try:
                facts = self.ray.get(reference)
            except self.ray.exceptions.RayActorError as error:
                self.seats.remove(seat)
                if isinstance(error, self.ray.exceptions.ActorDiedError) and "creation task" in str(error):
                    raise EngineError(f"a worker can't load its networks: {last_line(error)}") from error
                continue
            self._check(facts)
            seat.facts = facts

    def _check(self, facts: Mapping[str, Any]) -> None:
        """Compare a worker with the first one. Raises `ConfigError`."""
        if self.identity is None:
            self.identity = Identity(facts["common"], facts["hashes"], facts["engine"])
        check_alike(facts["common"], self.identity.programs, facts["node"])

    def _open(self, job: Job, stack: ExitStack) -> _Recording:
        """Cut an input, and queue its chunks; what goes wrong is kept in the recording."""
        recording = _Recording(job, self.config, run=self.run)
        assert self.identity is not None  # noqa: S101 - files are opened once a worker is there
        try:
            todo = recording.open(stack, self.identity.of_job(job, self.config))
            self.waiting += [(recording, chunk) for chunk in todo]
            self.gauge.expect(job, sum(chunk.frames for chunk in todo))
        except Exception as error:  # it ends in the report
            recording.error = error
        return recording

    def _hand_out(self) -> None:
        """Give every idle worker a chunk: one at a time, so that it is known which chunk ended a worker."""
        for seat in self.seats:
            if seat.facts is None or seat.task is not None or not self.waiting:
                continue
            recording, chunk = self.waiting.popleft()
            job, part = recording.job, None
            if not self.config.chunks.shared:
                part = chunks.cut(job.source, chunk, self.config)
            seat.task, seat.since = (recording, chunk), perf_counter()
            seat.ready = seat.actor.compute.remote(str(job.source), str(job.target), chunk, part)

    def _collect(self) -> None:
        """Take what came back; give the chunks of workers that died to others."""
        busy = {seat.ready: seat for seat in self.seats if seat.task is not None}
        starting = [seat.ready for seat in self.seats if seat.facts is None]
        done, _ = self.ray.wait([*busy, *starting], num_returns=1, timeout=POLL_SECONDS) if self.seats else ([], [])

        for reference in [one for one in done if one in busy]:
            seat = busy[reference]
            assert seat.task is not None  # noqa: S101 - it is busy
            assert seat.facts is not None  # noqa: S101 - as above
            (recording, chunk), seat.task = seat.task, None
            node = str(seat.facts["node"])
            try:
                recording.take(chunk, self.ray.get(reference), node)
                share = self.shares.setdefault(node, _Share())
                share.chunks, share.frames = share.chunks + 1, share.frames + chunk.frames
                share.busy_seconds += perf_counter() - seat.since
                self.gauge.came(chunk.frames)
            except (self.ray.exceptions.RayActorError, self.ray.exceptions.ObjectLostError) as error:
                self.seats.remove(seat)
                self._again(recording, chunk, its_own=self._node_lives(seat, error))
            except self.ray.exceptions.RayTaskError as error:
                recording.error = error.cause if isinstance(error.cause, Exception) else error
            except Exception as error:
                recording.error = error

    def _node_lives(self, seat: _Seat, error: Exception) -> bool:
        """Whether a worker died alone: with its node it says nothing of the chunk."""
        assert seat.facts is not None  # noqa: S101 - it was at work
        living = {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}
        return seat.facts["node id"] in living and "node has died" not in str(error)

    def _again(self, recording: _Recording, chunk: Chunk, *, its_own: bool) -> None:
        """Queue a chunk whose worker died once more, or give it up where it killed too many itself."""
        recording.retries += 1
        self.retries += 1
        self.deaths[recording.job.source, chunk.index] += its_own
        if self.deaths[recording.job.source, chunk.index] >= DEADLY:
            recording.give_up(chunk)
        else:
            self.waiting.appendleft((recording, chunk))

    def _end(self, recording: _Recording) -> Ended:
        """Join a recording whose chunks are all there, and report it."""
        assert self.identity is not None  # noqa: S101 - it was opened
        self.waiting = deque(one for one in self.waiting if one[0] is not recording)
        try:
            if recording.error is None and not self.run.stopped:
                recording.join()
        except Exception as error:  # it ends in the report
            recording.error = error
        if recording.error is None and self.run.stopped:
            recording.error = KeyboardInterrupt()
        if recording.error is not None and recording.folder is not None:
            recording.note_kept(recording.plan, recording.folder)
        return recording.ended(self.identity)

    def _dismiss(self) -> None:
        """End all workers."""
        for seat in self.seats:
            self.ray.kill(seat.actor)
