"""How far one driver of a cluster carries: the program's own driver, with workers that only sleep, in simulated time.

`python -m tests.scaling` prints a table. The driver is the real one, on real files: it hashes and cuts them, takes
the packets of each chunk out, pickles them, keeps what comes back on the disk, and joins it. In the place of Ray stands
a clock that adds up the processor's time of the driver's thread, and jumps to the next worker's end when the driver has
nothing to do. So the machine may be busy otherwise, and 512 workers need no processor at all. Not simulated are the
network, the waiting for the disk, and what Ray itself takes of the driver's processor.

`python -m tests.scaling --real 10` runs a clip of ten minutes instead, with the real networks: in one pass, in chunks,
and on a cluster on this machine with one worker and with two, each by `barefaced run`, one after the other. The machine
must have nothing else to do.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.child import child_environment
from benchmarks.clips import make_clip
from pipeline.run import resume
from pipeline.run.batch import Job
from pipeline.run.chunks import Chunk, FinishedChunk, source_of
from pipeline.run.cluster import Driver
from pipeline.run.process import Interrupts
from pipeline.run.progress import BatchProgress
from pipeline.run.report import Tally
from pipeline.settings.values import build
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
from pipeline.video.pieces import PieceSink
from pipeline.video.reading import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.settings.config import Config

CHUNK_SECONDS = 12
"""Two turns of the demonstration's clip, which has a key frame at the beginning of each."""
FILE_CHUNKS = 50
"""A file of ten minutes."""
WORKER_FRAMES_PER_SECOND = 78
"""Of a worker of two cores at 640x480, as docs/benchmarks.md has it."""
LEAD_FRAMES = 40
"""Frames that are computed for a chunk and not written."""


@dataclass
class Clock:
    """Simulated time: the processor's time of this thread, and the waiting that was skipped, in seconds."""

    skipped: float = 0.0
    unpaid: float = 0.0
    """The processor's time of what stands for workers."""

    @property
    def driver(self) -> float:
        """The processor's time of the driver."""
        return time.thread_time() - self.unpaid

    @property
    def now(self) -> float:
        """The simulated time."""
        return self.driver + self.skipped


@dataclass(eq=False)
class Answer:
    """What Ray calls a reference: a value that is there from `ready` on."""

    value: object
    ready: float


@dataclass
class Worker:
    """Sleeps as long as a chunk takes, and gives back an encoded stretch of the right length."""

    ray: SimulatedRay
    number: int

    def facts(self) -> Answer:
        """What a real worker says of itself."""
        node = f"node {self.number // 8}"
        facts = {"common": {}, "node": node, "node id": node, "process": 0, "hashes": {}, "engine": "asleep"}
        return Answer(facts, self.ray.clock.now)

    def compute(self, _path: str, _target: str, chunk: Chunk, part: object) -> Answer:
        """Take a chunk as Ray would, in pickled bytes."""
        self.ray.sent_bytes += len(pickle.dumps(part, protocol=5))
        begun = time.thread_time()
        data = self.ray.finished(chunk)
        self.ray.clock.unpaid += time.thread_time() - begun
        self.ray.back_bytes += len(data)
        self.ray.chunks += 1
        # A tenth more or less, so that workers do not end together.
        seconds = self.ray.seconds * (0.9 + 0.2 * float(self.ray.random.random()))
        self.ray.busy_seconds += seconds
        return Answer(data, self.ray.clock.now + seconds)


@dataclass
class SimulatedRay:
    """What the driver uses of Ray, in simulated time."""

    workers: int
    seconds: float
    """How long a worker takes for a chunk."""
    sample: FinishedChunk
    """The first chunk of every file."""
    tick: Fraction
    clock: Clock = field(default_factory=Clock)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    hired: int = 0
    chunks: int = 0
    sent_bytes: int = 0
    back_bytes: int = 0
    busy_seconds: float = 0.0
    exceptions: Any = field(
        default_factory=lambda: SimpleNamespace(
            RayActorError=_Never, ActorDiedError=_Never, ObjectLostError=_Never, RayTaskError=_Never
        )
    )

    def cluster_resources(self) -> Mapping[str, float]:
        """Two cores for each worker."""
        return {"CPU": 2.0 * self.workers}

    def remote(self, **_asked: float) -> Any:
        """Give what makes actors of a class."""

        def hire(_config: Config, _loader: str) -> Any:
            self.hired += 1
            worker = Worker(self, self.hired - 1)
            return SimpleNamespace(
                facts=SimpleNamespace(remote=worker.facts), compute=SimpleNamespace(remote=worker.compute)
            )

        return lambda _class: SimpleNamespace(remote=hire)

    def wait(self, answers: Sequence[Answer], *, num_returns: int, timeout: float) -> tuple[list[Answer], list[Answer]]:
        """Jump to the moment in which the first answer is there, at most `timeout` seconds ahead."""
        now = self.clock.now
        nearest = min((answer.ready for answer in answers), default=now + timeout)
        self.clock.skipped += min(max(0.0, nearest - now), timeout)
        done = [answer for answer in answers if answer.ready <= self.clock.now + 1e-9][:num_returns]
        return done, [answer for answer in answers if answer not in done]

    def get(self, answer: Answer) -> object:
        """The value of an answer that is there."""
        return answer.value

    def nodes(self) -> list[dict[str, object]]:
        """Nobody asks where no worker dies."""
        return []

    def kill(self, _actor: object) -> None:
        """Nothing sleeps really."""

    def finished(self, chunk: Chunk) -> bytes:
        """The sample at the times of another chunk."""
        piece, ticks = self.sample.piece, round((chunk.begin or 0) / self.tick)
        times = piece.times.copy()
        times[:, :2] += ticks
        if chunk.frames != piece.frames:
            raise ValueError(f"chunk {chunk.index} has {chunk.frames} frames, the sample {piece.frames}")
        ends = (chunk.begin or Fraction(0)) + CHUNK_SECONDS
        outcome = Outcome(frames=piece.frames, ended=True, end_time=ends)
        return replace(self.sample, piece=replace(piece, times=times), outcome=outcome).as_bytes()


class _Never(Exception):  # noqa: N818 - stands for errors that no sleeping worker raises
    pass


@dataclass(frozen=True)
class Row:
    """What one number of workers came to."""

    workers: int
    chunks: int
    seconds: float
    efficiency: float
    """Share of the workers' time in which they had a chunk."""
    driver_seconds: float
    sent_bytes: int
    back_bytes: int

    def __str__(self) -> str:
        sent, back = (size / 1e6 / self.seconds for size in (self.sent_bytes, self.back_bytes))
        return (
            f"| {self.workers} | {self.chunks} | {self.chunks / self.seconds:.2f} | {self.efficiency:.2f} | "
            f"{self.driver_seconds / self.seconds:.3f} | {1e3 * self.driver_seconds / self.chunks:.0f} ms | "
            f"{sent:.1f} | {back:.1f} |"
        )


HEADER = """\
| workers | chunks | chunks a second | efficiency | driver: cores busy | its CPU time a chunk | MB/s out | MB/s back |
|---|---|---|---|---|---|---|---|"""


def sample_of(clip: Path, config: Config) -> tuple[FinishedChunk, Fraction]:
    """The first chunk of the clip, encoded by nobody's networks; and the tick of its times."""
    source = source_of(clip, Chunk(0, None, Fraction(CHUNK_SECONDS)), config)
    sink = PieceSink(FileSink(source, clip.with_name("sample.mp4")))
    for _ in sink(iter(source)):
        pass
    assert sink.piece is not None
    nothing = np.zeros((0, 6))
    return FinishedChunk(sink.piece, source.outcome, Tally(), (), nothing, nothing, None), source.info.time_base


def simulated(clip: Path, workers: int, *, chunks_each: int, seconds: float, shared: bool) -> Row:
    """Run the driver over so many files that every worker gets `each` chunks."""
    config = build({"chunk-seconds": CHUNK_SECONDS, "shared": shared})
    sample, tick = sample_of(clip, config)
    files = math.ceil(workers * chunks_each / FILE_CHUNKS)
    with tempfile.TemporaryDirectory(dir=clip.parent) as folder:
        jobs = []
        for number in range(files):
            source = Path(folder) / f"{number}.mp4"
            os.link(clip, source)
            jobs.append(Job(source, Path(folder) / f"{number}-bare.mp4"))

        ray = SimulatedRay(workers, seconds, sample, tick)
        started, driver = ray.clock.now, ray.clock.driver
        gauge = BatchProgress(Interrupts(), quiet=True, jobs=jobs)
        for ended in Driver(ray, config, gauge).process(jobs):
            if ended.error is not None or ended.report.frames_out != FILE_CHUNKS * sample.piece.frames:
                raise ValueError(f"the simulation is wrong: {ended.report}")
        elapsed, load = ray.clock.now - started, ray.clock.driver - driver
    efficiency = ray.busy_seconds / (workers * elapsed)
    return Row(workers, ray.chunks, elapsed, efficiency, load, ray.sent_bytes, ray.back_bytes)


def real(clip: Path, turns: int) -> Iterator[str]:
    """The lines of a table of real runs over a clip. Raises `CalledProcessError` when one fails."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "include_dashboard": False})
    ways: dict[str, list[str]] = {
        "one pass": ["--chunk-seconds", "0"],
        "chunks, as long as by default": ["--chunk-seconds", str(resume.CHUNK_SECONDS)],
        "chunks, as long as on a cluster": ["--chunk-seconds", str(resume.CLUSTER_CHUNK_SECONDS)],
        "--cluster auto": ["--cluster", "auto"],
        "--cluster, two workers": ["--cluster", cluster.address],
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    try:
        for _ in range(turns):
            for way, flags in ways.items():
                target = clip.with_name("bare.mp4")
                command = [sys.executable, "-m", "barefaced", "run", str(clip), "-o", str(target), "--overwrite", "-q"]
                began = time.perf_counter()
                subprocess.run([*command, *flags], check=True, env=child_environment())
                seconds[way].append(time.perf_counter() - began)
                if FileSource(target).info.frames != FileSource(clip).info.frames:
                    raise ValueError(f"{way}: frames are missing")
    finally:
        cluster.shutdown()

    frames, first = FileSource(clip).info.frames or 0, statistics.median(seconds["one pass"])
    yield "| run | seconds | frames a second | over one pass |"
    yield "|---|---|---|---|"
    for way, took in seconds.items():
        middle = statistics.median(took)
        yield f"| {way} | {middle:.1f} | {frames / middle:.1f} | {middle / first - 1:+.1%} |"


def main(arguments: Sequence[str] | None = None) -> Iterator[str]:
    """The lines of the table, each as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m tests.scaling", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64, 512], metavar="N")
    parser.add_argument("--each", type=int, default=3, help="chunks for each worker (default: 3)", metavar="N")
    parser.add_argument("--size", default="640x480", metavar="WxH")
    parser.add_argument("--fps", type=float, default=WORKER_FRAMES_PER_SECOND, help="of a worker", metavar="N")
    parser.add_argument("--shared", action="store_true", help="workers read the files themselves")
    parser.add_argument("--real", type=float, help="run a clip of so many minutes really instead", metavar="MINUTES")
    parser.add_argument("--turns", type=int, default=1, help="of real runs, of which the median counts", metavar="N")
    options = parser.parse_args(arguments)
    if options.real is not None:
        with tempfile.TemporaryDirectory(prefix="barefaced-") as folder:
            yield from real(make_clip(Path(folder), options.size, round(options.real * 60 * 30)), options.turns)
        return
    with tempfile.TemporaryDirectory(prefix="barefaced-") as folder:
        clip = make_clip(Path(folder), options.size, FILE_CHUNKS * CHUNK_SECONDS * 30)
        frames = FileSource(clip).info.frames or 0
        seconds = (frames / FILE_CHUNKS + LEAD_FRAMES) / options.fps
        megabytes = clip.stat().st_size / FILE_CHUNKS / 1e6
        yield f"{options.size}, {megabytes:.2f} MB and {seconds:.1f} s of a worker for each chunk\n"
        yield HEADER
        for workers in options.workers:
            with redirect_stderr(io.StringIO()):
                row = simulated(clip, workers, chunks_each=options.each, seconds=seconds, shared=options.shared)
            yield str(row)


if __name__ == "__main__":
    for line in main():
        print(line, flush=True)  # noqa: T201 - a command
