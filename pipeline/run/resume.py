"""Runs a video chunk by chunk, so that a run that was killed goes on where it was.

Finished chunks lie in a directory beside the output, each in a file whose name says what it is a function of: the
input's content, the settings, the networks, the versions of the programs, and which stretch it is. A file is there
whole or not at all. The same command finds them again; another one finds none of its own, and begins anew.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import shutil
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import av

from pipeline.errors import BarefacedError, CheckpointError, ConfigError, SinkError, SourceError
from pipeline.run import assemble, chunks
from pipeline.run.chunks import FinishedChunk, Total
from pipeline.run.process import Ended, reported, watched
from pipeline.run.work import Account
from pipeline.settings.values import as_json, settings
from pipeline.video.containers import is_animation
from pipeline.video.pieces import ENCODER_THREADS
from pipeline.whole_file import locked, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.run.batch import Job
    from pipeline.run.chunks import Chunk, ChunkPlan
    from pipeline.run.load import Networks
    from pipeline.run.process import Stoppable, Watcher
    from pipeline.settings.config import Config
    from pipeline.video.pieces import Piece

SUFFIX = ".chunk"
LOCK = "lock"

CHUNK_SECONDS = 90
"""How long chunks are unless the settings say otherwise: what they cost is then lost in the noise."""

CLUSTER_CHUNK_SECONDS = 30
"""How long they are on a cluster: less than half a minute of work each, so that all workers end together."""

LONG_SECONDS = 180
"""A video is cut from this length on unless the settings say otherwise."""

RELEVANT = ("input", "output", "faces", "identity", "engine")
"""The groups of settings that a chunk depends on."""

IRRELEVANT = ("start", "end", "frames", "picture-quality", "overwrite", "skip-existing", "other-streams")
"""Settings in these groups that change nothing in a chunk; what start and end change is in its times."""


def program_facts(networks: Networks) -> dict[str, object]:
    """What a chunk depends on of the programs that compute it, as JSON holds it."""
    return {
        "version": importlib.metadata.version("barefaced"),
        "networks": networks.hashes,
        "engine": networks.description,
        "libraries": {name: list(version) for name, version in av.library_versions.items()},
        "encoder threads": ENCODER_THREADS,
    }


@dataclass(frozen=True)
class Identity:
    """What the chunks of a run are functions of, beside the stretch that each one is."""

    programs: Mapping[str, object]
    hashes: Mapping[str, str]
    """Each network's name to the SHA-256 of its file."""
    engine: str
    """What runs the networks."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What is known of the job."""

    def of_job(self, job: Job, config: Config) -> Identity:
        """The identity of a job: also the content of its input, and its settings. Raises `SourceError`."""
        other = {item.key for item in settings() if item.group not in RELEVANT} | set(IRRELEVANT)
        identity = config.identity
        facts = {
            "input": _hash_of(job.source),
            "container": job.target.suffix.lower(),
            "settings": {key: value for key, value in as_json(config).items() if key not in other},
            "people": [_hash_of(Path(path)) for path in (*identity.only, *identity.except_, *identity.face)],
        }
        return replace(self, facts=facts)

    def name_of(self, chunk: Chunk) -> str:
        """The name of the file that holds a finished chunk."""
        times = [None if time is None else str(time) for time in (chunk.begin, chunk.end, chunk.lead, chunk.tail)]
        facts = json.dumps({**self.programs, **self.facts, "times": times}, sort_keys=True)
        return f"{chunk.index:05d}-{hashlib.sha256(facts.encode()).hexdigest()[:32]}{SUFFIX}"


def _hash_of(path: Path) -> str:
    """The SHA-256 of a file's content. Raises `SourceError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path} can't be read: {error.strerror or error}") from error


@dataclass(frozen=True)
class ChunkFolder:
    """The finished chunks of one run, in a directory beside its output."""

    path: Path
    names: Mapping[int, str]
    """The number of each chunk to the name of its file."""

    def has(self, chunk: Chunk) -> bool:
        """Whether the chunk is finished."""
        return (self.path / self.names[chunk.index]).exists()

    def keep(self, chunk: Chunk, finished: FinishedChunk) -> None:
        """Write a finished chunk. Raises `SinkError`."""
        self.keep_bytes(chunk, finished.as_bytes())

    def keep_bytes(self, chunk: Chunk, data: bytes) -> None:
        """Write a finished chunk that is in bytes already. Raises `SinkError`."""
        path = self.path / self.names[chunk.index]
        try:
            with whole_file(path, overwrite=True) as unfinished:
                unfinished.write_bytes(data)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise SinkError(f"the disk is full (or its quota): make room for {self.path}") from error
            raise SinkError(f"{path} can't be written: {error.strerror or error}") from error

    def read(self, chunk: Chunk) -> FinishedChunk:
        """Read a finished chunk. Raises `CheckpointError` when it is damaged."""
        path = self.path / self.names[chunk.index]
        try:
            return FinishedChunk.of_bytes(path.read_bytes())
        except (OSError, CheckpointError) as error:
            raise CheckpointError(f"{path} can't be read ({error}): remove it and run again") from error

    def remove(self) -> None:
        """Remove the directory, since the output stands."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def chunk_folder(
    job: Job, identity: Identity, plan: ChunkPlan, *, fresh: bool, warnings: list[str]
) -> Iterator[ChunkFolder]:
    """Open the directory of chunks of a run, or make it; no other run may use it inside the `with` block.

    Files of other runs are removed from it, which is noted in `warnings`; without a finished chunk it does not stay.
    Raises `SinkError`.
    """
    path = folder_of(job.target)
    with ExitStack() as stack:
        try:
            path.mkdir(exist_ok=True)
            free = stack.enter_context(locked(path / LOCK))
        except OSError as error:
            raise SinkError(f"the directory {path} can't be made: {error.strerror or error}") from error
        if not free:
            raise SinkError(f"another run writes {job.target} now: wait for it, or choose another output")

        # A name is a hash of all that its chunk depends on: what another run left can't be taken for ours.
        names = {chunk.index: identity.name_of(chunk) for chunk in plan.chunks}
        there = {file.name for file in path.glob(f"*{SUFFIX}") if not file.name.startswith(".")}
        if there and not fresh and not there & set(names.values()):
            warnings.append(f"the chunks in {path} are of another input or other settings: the run begins anew")
        for file in path.iterdir():
            if file.name != LOCK and (fresh or file.name not in names.values()):
                file.unlink(missing_ok=True)
        folder = ChunkFolder(path, names)
        try:
            yield folder
        finally:
            if not any(map(folder.has, plan.chunks)):
                folder.remove()


def folder_of(target: Path) -> Path:
    """The directory in which the finished chunks of an output lie."""
    return target.with_name(f"{target.name}.chunks")


def remove_joined(target: Path) -> None:
    """Remove the chunks of an output that stands: the run was killed between giving it its name and removing them."""
    path = folder_of(target)
    with suppress(OSError), locked(path / LOCK) as free:
        ends = [file.stat().st_mtime_ns for file in path.glob(f"*{SUFFIX}")]
        if free and target.stat().st_mtime_ns > max(ends, default=0):  # chunks that are newer will replace the output
            shutil.rmtree(path, ignore_errors=True)


@dataclass
class ChunkedRun:
    """A run in chunks, as an interrupt sees it."""

    stopped: bool = False
    _present: Stoppable | None = field(default=None, repr=False)

    def stop(self) -> None:
        """End the present chunk after the frames that are on their way, and begin no other."""
        self.stopped = True
        if self._present is not None:
            self._present.stop()

    def watch(self, run: Stoppable) -> None:
        """Note what computes the present chunk."""
        self._present = run
        if self.stopped:
            run.stop()


@dataclass
class ChunkedJob:
    """A video that is made of chunks, wherever they are computed."""

    job: Job
    config: Config
    run: ChunkedRun = field(default_factory=ChunkedRun)
    warnings: list[str] = field(default_factory=list)
    """What a user should know of the chunks, in sentences."""

    def __post_init__(self) -> None:
        self.source, self.sink = assemble.ends(self.job, self.config, encoder_threads=ENCODER_THREADS)
        self.total = Total(self.source.outcome)
        self.partial: FinishedChunk | None = None
        """The chunk in which Ctrl-C ended the run."""
        self.damaged: dict[int, str] = {}
        """The numbers of chunks that are left out, each with the reason in a sentence."""

    def carry_out(self, networks: Networks, watcher: Watcher) -> None:
        """Compute the chunks that are not finished yet, and join them. Raises what a run raises."""
        self.check()
        plan = self.plan
        programs = Identity(program_facts(networks), networks.hashes, networks.description)
        identity = programs.of_job(self.job, self.config)
        fresh = self.config.chunks.fresh

        with chunk_folder(self.job, identity, plan, fresh=fresh, warnings=self.warnings) as folder:
            try:
                last = self.compute(plan, folder, networks, watcher)
                self.sink.join(self.pieces(plan.chunks[:last], folder))
            except BaseException:
                self.note_kept(plan, folder)
                raise
            folder.remove()

    def check(self) -> None:
        """Raise what the run would raise, and `ConfigError` for what a run in chunks can't do."""
        self.sink.check()
        if reason := self.refusal():
            raise ConfigError(reason)

    def refusal(self) -> str | None:
        """Why it can't be made of chunks, with the cure, or None. Raises `SourceError` and `ConfigError`."""
        if self.config.report.faces is not None:
            return "faces can't be written of a run in chunks: leave faces or chunk-seconds out"
        if self.config.output.matte is not None:
            return "a matte can't be written of a run in chunks: leave matte or chunk-seconds out"
        encoding = self.sink.encoding()
        if encoding.encoder.startswith("libvpx") and encoding.pixel_format.startswith("yuva"):
            return "vp9's transparency can't be kept in chunks: leave chunk-seconds out, or use codec ffv1"
        return None

    @cached_property
    def plan(self) -> ChunkPlan:
        """How the video is cut. Raises `SourceError`."""
        usual = CHUNK_SECONDS if self.config.chunks.cluster is None else CLUSTER_CHUNK_SECONDS
        seconds = Fraction(self.config.chunks.chunk_seconds or usual)
        found = chunks.plan(self.source, self.config, seconds=seconds)
        if found.whole is not None:
            self.warnings.append(f"{found.whole}: the video is one chunk, and a run that is killed begins anew")
        return found

    def compute(self, plan: ChunkPlan, folder: ChunkFolder, networks: Networks, watcher: Watcher) -> int:
        """Compute what is not finished yet; the number of chunks that are finished then, counted from the first."""
        missing = [chunk for chunk in plan.chunks if not folder.has(chunk)]
        watcher.began(self.job, self.run, sum(chunk.frames for chunk in missing))

        for chunk in missing:
            finished = chunks.compute(
                self.job.source,
                self.job.target,
                chunk,
                self.config,
                networks,
                wrote=watcher.wrote,
                watch=self.run.watch,
            )
            # What was drawn before Ctrl-C is written, and not kept: it is no whole chunk.
            if self.run.stopped:
                self.partial = finished
                return chunk.index
            folder.keep(chunk, finished)
        return len(plan.chunks)

    def pieces(self, finished: tuple[Chunk, ...], folder: ChunkFolder) -> Iterator[Piece]:
        """The encoded pictures of the finished chunks, which are added up meanwhile."""
        for chunk in finished:
            found = folder.read(chunk)
            self.total.add(found)
            yield found.piece
        if self.partial is not None:
            self.total.add(self.partial)
            self.total.outcome.ended = False
            yield self.partial.piece

    def note_kept(self, plan: ChunkPlan, folder: ChunkFolder) -> None:
        """Tell the user how to go on."""
        there = sum(folder.has(chunk) for chunk in plan.chunks)
        if there:
            self.warnings.append(
                f"{there} of {len(plan.chunks)} chunks are finished and lie in {folder.path}: the same command goes on"
            )

    def account(self) -> Account:
        """What was read and written."""
        return Account.of(
            self.source,
            self.sink,
            warnings=(*self.warnings, *self.total.warnings),
            tally=self.total.tally,
            searched_px=self.config.faces.detect_size,
        )


def in_chunks(job: Job, config: Config) -> bool:
    """Whether a job is done in chunks: as the settings say, and where they say nothing if it is long and can be."""
    if job.still or is_animation(job.target):
        return False
    if config.chunks.chunk_seconds is not None:
        return config.chunks.chunk_seconds != 0
    if job.piped or config.identity.wanted or config.identity.face:
        return False
    try:
        work = ChunkedJob(job, config)
        source = work.source
        ends = [time for time in (source.end, source.info.duration) if time is not None]
        long = bool(ends) and min(ends) - (source.start or 0) >= LONG_SECONDS
        return long and work.refusal() is None and chunks.uncuttable(source, config) is None
    except BarefacedError:  # one pass will say it
        return False


def process_in_chunks(job: Job, config: Config, networks: Networks, *, watcher: Watcher) -> Ended:
    """Take the masks off in one video, chunk by chunk. Raises nothing: what went wrong is in what it returns."""
    work = ChunkedJob(job, config)
    seconds, error = watched(lambda: work.carry_out(networks, watcher), watcher)
    return reported(
        job,
        work.account(),
        work.total.tally,
        tuple(work.total.stages.values()),
        engine=networks.description,
        hashes=networks.hashes,
        wall_seconds=seconds,
        error=error,
        stopped=work.run.stopped,
    )
