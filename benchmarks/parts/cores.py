"""What a machine with N cores gives: the program's own stages, simulated by stages that sleep on N cores.

How long each stage takes is measured on this machine, by the processor's time of its thread and by its networks running
alone, so that other work here does not count. The simulation is the runner and the channels of a real run; a stage
holds one of N permits while it sleeps. Not simulated are the memory that cores share, and codecs and networks that
spread one frame over several cores: with `--threads` above 1 real machines do better.
"""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import child, turns
from benchmarks.clips import make_clip, moments
from benchmarks.drawing import Bar, Bars, Figure
from benchmarks.machine import Noise
from benchmarks.parts import Part, Plan, counts, option
from benchmarks.record import Better, Series, Table, document, shown
from pipeline.detectors import detector_file
from pipeline.run import load
from pipeline.run.batch import Job
from pipeline.settings.values import as_json, build
from pipeline.threads.runner import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from benchmarks.parts import Say
    from benchmarks.record import Document
    from engine.spec import Array, Engine
    from pipeline.settings.config import Config

SIMULATED_FRAMES = 60
SLOWER = 3.0
"""Simulated stages sleep so many times as long, so that waking up late costs little beside it."""
RUNS_ALONE = 20
STAGE_OF = {"detector": "detect", "segmenter": "segment", "generator": "inpaint", "figure": "inpaint"}
"""The stage that waits for each network."""

METHOD = (
    "The demo's clip is run file to file. A stage's milliseconds a frame are the processor's time of its thread; a "
    "network adds its calls a frame times the processor's time of one run alone, in one thread; encoding is what all "
    "threads of decoding and encoding alone take, less decoding. Then the program's runner runs stages that sleep so "
    f"long, {SLOWER:g} times slower, each holding one of N cores. The limit is the slowest stage, whatever the cores."
)


@dataclass(frozen=True, kw_only=True)
class CoresPlan(Plan):
    """The sizes and the numbers of cores that are measured."""

    sizes: Sequence[str] = option(
        "--size", ("640x480", "1280x720"), action="append", metavar="WxH", help="only this size; may be given again"
    )
    cores: Sequence[int] = counts("--cores", (1, 2, 4, 8, 16), "only so many cores; may be given again")
    frames: int = 90
    """The length of the clip from which stages are measured."""


def measure(plan: CoresPlan, say: Say) -> Document:
    """Measure the stages at each size, and simulate each number of cores."""
    config = build(plan.settings, {"overwrite": True, "threads": 1})
    sizes, series = {}, []
    with Noise() as noise:
        for size in plan.sizes:
            stage_ms = measured_stages(config, size, plan.frames)
            fps = {cores: simulated_fps(stage_ms, cores) for cores in plan.cores}
            slowest = max(stage_ms, key=lambda name: stage_ms[name])
            limit = 1000 / stage_ms[slowest]

            sizes[size] = {
                "stage_ms": {name: round(taken, 3) for name, taken in stage_ms.items()},
                "fps": {str(cores): round(found, 1) for cores, found in fps.items()},
                "slowest_stage": slowest,
                "limit_fps": round(limit, 1),
            }
            series += [
                Series(f"cores/{size}/{cores}", "fps", Better.MORE, [found]) for cores, found in fps.items()
            ]  # fmt: skip
            say(f"{size}: " + ", ".join(f"{_cores(cores)} {found:.0f} fps" for cores, found in fps.items())
                + f"; {slowest} is the limit at {limit:.0f} fps")  # fmt: skip

    return document(
        "cores", method=METHOD, settings=as_json(config), noise=noise, series=series, figures={"sizes": sizes}
    )  # fmt: skip


def measured_stages(config: Config, size: str, frames: int) -> dict[str, float]:
    """Milliseconds a frame of each stage, were it alone on the machine."""
    with tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name, load.networks(config) as networks:
        target = Path(name) / "out.mp4"
        job = Job(make_clip(Path(name), size, frames), target)
        # The first frame compiles the detector for its size, unless that was kept: not what a frame costs.
        child.whole(Job(make_clip(Path(name), size, 1), target), config, networks)
        run = child.whole(job, config, networks)
        began = time.process_time()
        child.ceiling(job, config)
        codec_ms = 1000 * (time.process_time() - began) / frames

    stages: Mapping[str, Mapping[str, float]] = run["stages"]
    found = {stage: 1000 * seconds["cpu"] / frames for stage, seconds in stages.items()}
    for network, taken in _alone_ms(config).items():
        found[STAGE_OF[network]] += taken * run["network_calls"][network] / frames
    found["encode"] = max(found["encode"], codec_ms - found["decode"])  # the codec's own threads included
    return found


def _alone_ms(config: Config) -> dict[str, float]:
    """Milliseconds of one run of each network on one face, alone, by the processor's time of one thread."""
    faces = moments(1)
    files = {"detector": detector_file(config.faces.detector).network()}
    files |= {name: turns.ours(name, config.engine) for name in ("segmenter", "generator", "figure")}

    found = {}
    for name, network in files.items():
        with closing(turns.loaded(network, config.engine)) as engine:
            feeds = {engine.inputs[0].name: faces.feed(network.name, 1)}
            engine.run(feeds)  # compiles what is still to be compiled
            found[name] = min(_processor_ms(engine, feeds) for _ in range(RUNS_ALONE))
    return found


def _processor_ms(engine: Engine, feeds: Mapping[str, Array]) -> float:
    """Milliseconds that this process computes for one run."""
    began = time.process_time()
    engine.run(feeds)
    return 1000 * (time.process_time() - began)


def simulated_fps(stage_ms: Mapping[str, float], cores: int, *, sleep: Callable[[float], None] = time.sleep) -> float:
    """Frames a second of stages that take so long on so many cores, by the program's own runner."""
    permits = threading.Semaphore(cores)

    def sleeping(milliseconds: float) -> Callable[[Iterable[int]], Iterator[int]]:
        def stage(items: Iterable[int]) -> Iterator[int]:
            for item in items:
                with permits:
                    sleep(SLOWER * milliseconds / 1000)
                yield item

        return stage

    (first, taken), *rest = stage_ms.items()
    pipeline = Pipeline.from_source(first, sleeping(taken)(range(SIMULATED_FRAMES)))
    for name, milliseconds in rest:
        pipeline = pipeline.then(name, sleeping(milliseconds))

    began = time.perf_counter()
    with pipeline.run() as run:
        frames = sum(1 for _ in run)
    return SLOWER * frames / (time.perf_counter() - began)


def _cores(count: int | str) -> str:
    return "1 core" if str(count) == "1" else f"{count} cores"


def tables(part: Document) -> list[Table]:
    """Frames a second by the number of cores, and the stages."""
    cores = list(next(iter(part["sizes"].values()))["fps"])
    rows = tuple(
        (size, *(shown(found["fps"][count]) for count in cores), shown(found["limit_fps"]), found["slowest_stage"])
        for size, found in part["sizes"].items()
    )
    stages = list(next(iter(part["sizes"].values()))["stage_ms"])
    taken = tuple(
        (size, *(shown(found["stage_ms"][stage]) for stage in stages)) for size, found in part["sizes"].items()
    )

    headers = ("size", *(_cores(count) for count in cores), "limit", "slowest stage")
    return [
        Table("Frames a second by the number of cores, simulated", headers, rows),
        Table("Milliseconds a frame of each stage alone", ("size", *stages), taken),
    ]


def figures(part: Document) -> Iterator[Figure]:
    """The frames a second of every number of cores."""
    bars = []
    for size, found in part["sizes"].items():
        bars += [Bar(f"{size}, {_cores(cores)}", fps, "orange") for cores, fps in found["fps"].items()]
        bars.append(Bar(f"{size}, limit: {found['slowest_stage']}", found["limit_fps"], "grey"))
    label = "Frames a second by the number of cores"
    yield Figure("cores", f"{label}, simulated by stages that sleep.", label, Bars(bars, "frames a second"))


PART = Part("More cores", 6, CoresPlan, measure, tables, figures, short={"frames": 45})
