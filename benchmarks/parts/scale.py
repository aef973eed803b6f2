"""`barefaced bench scale`: what a frame costs as faces, pixels, length and threads change, beside what is expected."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import crowd, expectations, turns
from benchmarks.clips import demo_masks, make_clip, parsed, verify
from benchmarks.faces import moments
from benchmarks.noise import Noise
from benchmarks.parts.pipeline import run_child
from benchmarks.record import BenchmarkError, Better, Document, Series, document
from engine import models
from engine.cost import multiply_adds
from engine.spec import Precision
from pipeline.settings.config import as_json, build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.clips import MasksOf

WARM_UP_FRAMES = 20

METHOD = (
    "Each point is a run file to file in a process of its own, after a warm-up of "
    f"{WARM_UP_FRAMES} frames; ceilings (decode and encode alone) and runs alternate, figures are medians. Outputs are "
    f"checked before a time counts. Faces: a picture of {crowd.SIZE} with a grid of eight, in which 0 to 8 places hold "
    "a masked face and the others as much texture. Resolution: the demo's clip, whose face grows with the picture. "
    "Length and threads: the demo's clip at 640x480; threads are those of each network. Batch: the generator alone, in "
    "turns with a matrix product. The expected shape of each curve is written in the program, before it runs."
)


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    faces: Sequence[int] = (0, 1, 2, 4, 8)
    sizes: Sequence[str] = ("640x360", "960x540", "1280x720", "1920x1080", "3840x2160")
    lengths: Sequence[int] = (90, 360, 1440)
    """Of clips, in frames."""
    threads: Sequence[int] = (1, 2)
    batches: Sequence[int] = (1, 2, 4, 8)
    frames: int = 48
    """Of a clip in which faces, resolution or threads change."""
    repeats: int = 2
    seconds: float = 2.0
    """For each batch size."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings other than the defaults, by key."""


@dataclass(frozen=True)
class Case:
    """A point of a curve."""

    curve: str
    at: int | str
    clip: Path
    warm_up: Path
    size: str
    masks: MasksOf
    faces: int
    settings: Mapping[str, object]
    repeats: int


@dataclass
class Bench:
    """What is measured so far."""

    folder: Path
    say: Callable[[str], None]
    series: list[Series] = field(default_factory=list)

    def point(self, case: Case) -> Document:
        """Measure one."""
        runs, ceilings = [], []
        for _ in range(case.repeats):
            target = self.folder / "out.mp4"
            ceilings.append(run_child("ceiling", case.clip, case.warm_up, target, case.settings))
            runs.append(run_child("pipeline", case.clip, case.warm_up, target, case.settings))
            verify(case.clip, target, case.size, masks_of=case.masks)
            if runs[-1]["masked_faces"] < 0.9 * case.faces * runs[-1]["frames"]:
                raise BenchmarkError(f"{case.curve} {case.at}: {runs[-1]['masked_faces']} masks were taken off only")
        times, floors = ([1000 / run["fps"] for run in kind] for kind in (runs, ceilings))
        memory = [run["peak_rss_mb"] for run in runs]
        self.series += [
            Series(f"scale/{case.curve}/{case.at}/time", "ms a frame", Better.LESS, times),
            Series(
                f"scale/{case.curve}/{case.at}/time over ceiling",
                "ratio",
                Better.LESS,
                [ours / floor for ours, floor in zip(times, floors, strict=True)],
            ),
        ]
        frame_ms, ceiling_ms = median(times), median(floors)
        self.say(
            f"{case.curve} {case.at}: {frame_ms:.1f} ms a frame, ceiling {ceiling_ms:.1f} ms, {max(memory):.0f} MB"
        )
        return {
            "at": case.at,
            "frame_ms": round(frame_ms, 3),
            "ceiling_ms": round(ceiling_ms, 3),
            "added_ms": round(frame_ms - ceiling_ms, 3),
            "peak_rss_mb": round(max(memory), 1),
        }


def measure(plan: Plan, *, say: Callable[[str], None]) -> Document:
    """Measure and give the result as JSON holds it; `say` is told what is expected, and each point when it is there.

    Raises `BenchmarkError` when a run did not do its work, and what the runs raise.
    """
    for each in expectations.ALL:
        say(f"expected of {each.curve}: {each.says} {each.figure}: at most {each.limit:g}")
    with Noise() as noise, tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name:
        bench = Bench(Path(name), say)
        curves = {
            "faces": [bench.point(case) for case in _faces(plan, bench.folder)],
            "resolution": [bench.point(case) for case in _resolution(plan, bench.folder)],
            "length": [bench.point(case) for case in _length(plan, bench.folder)],
            "threads": [bench.point(case) for case in _threads(plan, bench.folder)],
            "batch": _batch(plan, bench),
        }
    verdicts = judged(curves)
    for verdict in verdicts:
        met = "met" if verdict["met"] else "NOT MET"
        say(f"{verdict['curve']}: {verdict['measured']}, limit {verdict['limit']}: {met}")
    return document(
        "scale",
        method=METHOD,
        settings=as_json(build(plan.settings)),
        noise=noise,
        series=bench.series,
        figures={"curves": curves, "expectations": verdicts},
    )


def judged(curves: Mapping[str, Sequence[Document]]) -> list[Document]:
    """Each curve that has the points for it against what was expected."""
    found: list[Document] = []
    runs = {name: points for name, points in curves.items() if name != "batch"}
    times = {name: {each["at"]: each["frame_ms"] for each in points} for name, points in runs.items()}
    if {0, 1, 8} <= times["faces"].keys():
        found.append(expectations.FACES.judged(expectations.faces_figure(times["faces"])))
    if len(times["resolution"]) > 1:
        by_pixels = {int(np.prod(parsed(str(size)))): time for size, time in times["resolution"].items()}
        found.append(expectations.RESOLUTION.judged(expectations.exponent(by_pixels)))
    if len(times["length"]) > 1:
        memory = {each["at"]: each["peak_rss_mb"] for each in curves["length"]}
        found.append(expectations.LENGTH.judged(expectations.growth_per_thousand(memory)))
    if {1, 2} <= times["threads"].keys():
        found.append(expectations.THREADS.judged(expectations.over(times["threads"], 2, 1)))
    a_face = {each["at"]: each["ms_per_face"] for each in curves["batch"]}
    if {1, 8} <= a_face.keys():
        found.append(expectations.BATCH.judged(expectations.over(a_face, 8, 1)))
    return found


def _faces(plan: Plan, folder: Path) -> list[Case]:
    return [
        Case(
            "faces",
            count,
            crowd.make_crowd(folder, count, plan.frames),
            crowd.make_crowd(folder, count, WARM_UP_FRAMES),
            crowd.SIZE,
            crowd.masks_of(count),
            count,
            plan.settings,
            plan.repeats,
        )
        for count in plan.faces
    ]


def _resolution(plan: Plan, folder: Path) -> list[Case]:
    return [_demo(plan, folder, "resolution", size, size=size, frames=plan.frames) for size in plan.sizes]


def _length(plan: Plan, folder: Path) -> list[Case]:
    return [_demo(plan, folder, "length", frames, frames=frames) for frames in plan.lengths]


def _threads(plan: Plan, folder: Path) -> list[Case]:
    return [_demo(plan, folder, "threads", count, frames=2 * plan.frames, threads=count) for count in plan.threads]


def _demo(
    plan: Plan,
    folder: Path,
    curve: str,
    at: int | str,
    *,
    frames: int,
    size: str = "640x480",
    threads: int | None = None,
) -> Case:
    """A point with the demo's clip. A long one is run once: it is steady enough by its length."""
    settings = plan.settings if threads is None else {**plan.settings, "threads": threads}
    return Case(
        curve,
        at,
        make_clip(folder, size, frames),
        make_clip(folder, size, WARM_UP_FRAMES),
        size,
        demo_masks,
        1,
        settings,
        1 if curve == "length" else plan.repeats,
    )


def _batch(plan: Plan, bench: Bench) -> list[Document]:
    """The generator by the number of faces in a run."""
    config = build(plan.settings).engine
    network = models.shipped("generator", precision=Precision(config.precision))
    faces = moments(max(plan.batches))
    found = []
    with closing(turns.loaded(network, config)) as engine, closing(turns.Ceiling.beside(engine, config)) as ceiling:
        for batch in plan.batches:
            feeds = {engine.inputs[0].name: faces.feed("generator", batch)}
            work = multiply_adds(network, {key: value.shape for key, value in feeds.items()})
            times, shares = turns.in_turns(engine, feeds, work, ceiling, plan.seconds)
            told = turns.figures(times, batch, work, shares)
            a_face = [time / batch for time in times]
            bench.series.append(Series(f"scale/batch/{batch}/time", "ms a face", Better.LESS, a_face))
            bench.say(f"batch {batch}: {told['median_ms_per_face']} ms a face")
            found.append({"at": batch, "ms_per_face": told["median_ms_per_face"], **told})
    return found
