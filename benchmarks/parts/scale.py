"""What a frame costs as faces, pixels, length and threads change, beside what is expected.

What shape each curve should have, and the figure that says so, is in `EXPECTATIONS` and is said before anything is
measured.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import clips, turns
from benchmarks.child import run_child
from benchmarks.clips import CROWD_SIZE, demo_masks, make_clip, make_crowd, moments, parsed, verify
from benchmarks.drawing import HALF, Curve, Curves, Figure
from benchmarks.machine import Noise
from benchmarks.parts import Part, Plan, count, option
from benchmarks.record import BenchmarkError, Better, Document, LeftOut, Series, Table, document, left_out, shown
from engine.onnx_file import multiply_adds
from pipeline.settings.values import as_json, build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.clips import MasksOf
    from benchmarks.parts import Say

WARM_UP_FRAMES = 20
CURVES = ("faces", "resolution", "length", "threads", "batch")
MOST_FACES_COST = 5.6
"""How many times the cost of the first face eight may cost."""

METHOD = (
    "Each point is a run file to file in a process of its own, after a warm-up of "
    f"{WARM_UP_FRAMES} frames; ceilings (decode and encode alone) and runs alternate, figures are medians. Outputs are "
    f"checked before a time counts. Faces: a picture of {CROWD_SIZE} with a grid of eight, in which 0 to 8 places hold "
    "a masked face and the others as much texture. Resolution: the demo's clip, whose face grows with the picture. "
    "Length and threads: the demo's clip at 640x480; threads are those of each network. Batch: the generator alone, in "
    "turns with a matrix product. The expected shape of each curve is written in the program, before it runs."
)

CurvePoints = Mapping[str, Sequence[Document]]
"""The measured points of each curve."""


@dataclass(frozen=True, kw_only=True)
class ScalePlan(Plan):
    """Which points each curve has, and how often each is measured."""

    curves: Sequence[str] = option(
        "--curve", CURVES, action="append", choices=CURVES, help="only this curve; may be given again"
    )
    faces: Sequence[int] = (0, 1, 2, 4, 8)
    sizes: Sequence[str] = ("640x360", "960x540", "1280x720", "1920x1080", "3840x2160")
    lengths: Sequence[int] = (90, 360, 1440)
    """The lengths of clips, in frames."""
    threads: Sequence[int] = (1, 2)
    batches: Sequence[int] = (1, 2, 4, 8)
    frames: int = 48
    """The length of a clip in which faces, resolution or threads change."""
    repeats: int = count("--repeats", 2, "runs of each kind (default: 2)")
    seconds: float = 2.0
    """How long each batch size runs."""


@dataclass(frozen=True)
class Expectation:
    """A figure of a curve and what it may be at most."""

    curve: str
    says: str
    """What is expected, in a sentence."""
    figure: str
    """What is held against the limit, in words."""
    limit: float
    measured: Callable[[Sequence[Document]], float | None]
    """The figure of a curve's points; None where the points for it are missing."""

    def judged(self, measured: float) -> Document:
        """The expectation with what was measured, and whether it is met."""
        return {
            "curve": self.curve,
            "expected": self.says,
            "figure": self.figure,
            "limit": self.limit,
            "measured": round(measured, 4),
            "met": bool(measured <= self.limit),
        }


def _by_place(points: Sequence[Document], key: str) -> dict[int | str, float]:
    return {point["at"]: point[key] for point in points}


def faces_figure(points: Sequence[Document]) -> float | None:
    """How many times what the first face costs eight cost; infinite where the first costs nothing measurable."""
    times = _by_place(points, "frame_ms")
    if not {0, 1, 8} <= times.keys():
        return None
    first = times[1] - times[0]
    return (times[8] - times[0]) / first if first > 0 else float("inf")


def exponent(points: Sequence[Document]) -> float | None:
    """The exponent of the power law that fits a frame's time over its pixels best: 1 is proportional."""
    if len(points) < 2:
        return None
    pixels = [math.prod(parsed(point["at"])) for point in points]
    times = [point["frame_ms"] for point in points]
    return float(np.polyfit(np.log(pixels), np.log(times), 1)[0])


def growth_per_thousand(points: Sequence[Document]) -> float | None:
    """MB of peak memory for each 1000 frames more, from the shortest clip to the longest."""
    memory = {int(at): peak for at, peak in _by_place(points, "peak_rss_mb").items()}
    if len(memory) < 2:
        return None
    shortest, longest = min(memory), max(memory)
    return 1000 * (memory[longest] - memory[shortest]) / (longest - shortest)


def ratio(key: str, more: int, fewer: int) -> Callable[[Sequence[Document]], float | None]:
    """The figure `key` at `more` over that at `fewer`."""

    def figure(points: Sequence[Document]) -> float | None:
        values = _by_place(points, key)
        return values[more] / values[fewer] if {more, fewer} <= values.keys() else None

    return figure


EXPECTATIONS = (
    Expectation(
        "faces",
        "A line from no face on that bends down: faces of a frame go through the networks together.",
        "(T(8) - T(0)) / (T(1) - T(0)), T(n) the milliseconds of a frame with n faces",
        MOST_FACES_COST,
        faces_figure,
    ),
    Expectation(
        "resolution",
        "Codec and painting cost by the pixel, networks by the face: a frame's time grows no faster than its pixels.",
        "exponent of a frame's time over its pixels",
        1.05,
        exponent,
    ),
    Expectation(
        "length",
        "Flat: what is remembered of a run does not grow with the clip.",
        "MB of peak memory for each 1000 frames more",
        5.0,
        growth_per_thousand,
    ),
    Expectation(
        "threads",
        "Down, or flat where the stages keep the cores busy already: a second thread never costs.",
        "a frame's time with two threads for each network over its time with one",
        1.05,
        ratio("frame_ms", 2, 1),
    ),
    Expectation(
        "batch",
        "Flat or down: a face in a batch of eight costs no more than a face alone.",
        "the generator's milliseconds a face in a batch of eight over those alone",
        1.0,
        ratio("ms_per_face", 8, 1),
    ),
)


def judged(curves: CurvePoints) -> list[Document]:
    """Each curve that has the points for it against what was expected."""
    found = [(expectation, expectation.measured(curves[expectation.curve])) for expectation in EXPECTATIONS]
    return [expectation.judged(measured) for expectation, measured in found if measured is not None]


@dataclass(frozen=True)
class Case:
    """A point of a curve."""

    curve: str
    at: int | str
    clip: Path
    warm_up: Path
    size: str
    settings: Mapping[str, object]
    repeats: int
    masks: MasksOf = demo_masks
    faces: int = 1


@dataclass
class Bench:
    """Measures points, and holds the samples so far."""

    plan: ScalePlan
    folder: Path
    absent: LeftOut
    series: list[Series] = field(default_factory=list)

    def points(self, cases: Iterable[Case]) -> list[Document]:
        """Measure the points of a curve, those that can be measured here."""
        found = []
        for case in cases:
            with self.absent.attempt(f"{case.curve} {case.at}"):
                found.append(self.point(case))
        return found

    def point(self, case: Case) -> Document:
        """Measure one point."""
        runs, ceilings = [], []
        target = self.folder / "out.mp4"
        for _ in range(case.repeats):
            ceilings.append(run_child("ceiling", case.clip, case.warm_up, target, case.settings))
            runs.append(run_child("pipeline", case.clip, case.warm_up, target, case.settings))
            verify(case.clip, target, case.size, masks_of=case.masks)
            if runs[-1]["masked_faces"] < 0.9 * case.faces * runs[-1]["frames"]:
                raise BenchmarkError(f"{case.curve} {case.at}: {runs[-1]['masked_faces']} masks were taken off only")

        times, floors = ([1000 / run["fps"] for run in kind] for kind in (runs, ceilings))
        ratios = [ours / floor for ours, floor in zip(times, floors, strict=True)]
        name = f"scale/{case.curve}/{case.at}"
        self.series.append(Series(f"{name}/time", "ms a frame", Better.LESS, times))
        self.series.append(Series(f"{name}/time over ceiling", "ratio", Better.LESS, ratios))

        frame_ms, ceiling_ms, peak_mb = median(times), median(floors), max(run["peak_rss_mb"] for run in runs)
        self.absent.say(
            f"{case.curve} {case.at}: {frame_ms:.1f} ms a frame, ceiling {ceiling_ms:.1f} ms, {peak_mb:.0f} MB"
        )
        return {
            "at": case.at,
            "frame_ms": round(frame_ms, 3),
            "ceiling_ms": round(ceiling_ms, 3),
            "added_ms": round(frame_ms - ceiling_ms, 3),
            "peak_rss_mb": round(peak_mb, 1),
        }

    def cases(self, curve: str) -> Iterator[Case]:
        """The points of a curve; their clips are made one by one."""
        plan = self.plan
        if curve == "faces":
            yield from self.faces()
        elif curve == "resolution":
            yield from (self.demo(curve, size, size=size, frames=plan.frames) for size in plan.sizes)
        elif curve == "length":
            yield from (self.demo(curve, frames, frames=frames) for frames in plan.lengths)
        else:
            yield from (self.demo(curve, count, frames=2 * plan.frames, threads=count) for count in plan.threads)

    def faces(self) -> Iterator[Case]:
        """The points of the curve over the number of faces."""
        for faces in self.plan.faces:
            clip, warm_up = (make_crowd(self.folder, faces, frames) for frames in (self.plan.frames, WARM_UP_FRAMES))
            masks = clips.crowd_masks(faces)
            yield Case("faces", faces, clip, warm_up, CROWD_SIZE, self.plan.settings, self.plan.repeats, masks, faces)

    def demo(self, curve: str, at: int | str, *, frames: int, size: str = "640x480", **settings: object) -> Case:
        """A point with the demo's clip. A long one is run once: it is steady enough by its length."""
        clip, warm_up = (make_clip(self.folder, size, count) for count in (frames, WARM_UP_FRAMES))
        repeats = 1 if curve == "length" else self.plan.repeats
        return Case(curve, at, clip, warm_up, size, {**self.plan.settings, **settings}, repeats)

    def batch(self) -> list[Document]:
        """The curve of the generator alone over the number of faces in a run; empty where it can't run alone here."""
        config = build(self.plan.settings).engine
        network = turns.ours("generator", config)
        faces = moments(max(self.plan.batches))
        found = []
        with closing(turns.loaded(network, config)) as engine, closing(turns.Ceiling.beside(engine, config)) as ceiling:
            for batch in self.plan.batches:
                feeds = {engine.inputs[0].name: faces.feed("generator", batch)}
                work = multiply_adds(network, {key: value.shape for key, value in feeds.items()})
                times, shares = turns.in_turns(engine, feeds, work, ceiling, self.plan.seconds)

                figures = turns.figures(times, batch, work, shares)
                a_face = [time / batch for time in times]
                self.series.append(Series(f"scale/batch/{batch}/time", "ms a face", Better.LESS, a_face))
                self.absent.say(f"batch {batch}: {figures['median_ms_per_face']} ms a face")
                found.append({"at": batch, "ms_per_face": figures["median_ms_per_face"], **figures})
        return found


def measure(plan: ScalePlan, say: Say) -> Document:
    """Measure every curve. Raises `BenchmarkError` when a run did not do its work, and what the runs raise."""
    for expected in EXPECTATIONS:
        if expected.curve in plan.curves:
            say(f"expected of {expected.curve}: {expected.says} {expected.figure}: at most {expected.limit:g}")

    with Noise() as noise, tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name:
        absent = LeftOut(say)
        bench = Bench(plan, Path(name), absent)
        curves: dict[str, list[Document]] = {curve: [] for curve in CURVES}
        for curve in plan.curves:
            if curve != "batch":
                curves[curve] = bench.points(bench.cases(curve))
                continue
            with absent.attempt(curve):
                curves[curve] = bench.batch()

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
        figures={"curves": curves, "expectations": verdicts, "left_out": absent.reasons},
    )


def tables(part: Document) -> list[Table]:
    """What was expected, and every point."""
    verdicts = tuple(
        (verdict["curve"], verdict["expected"], verdict["figure"], shown(verdict["measured"]), shown(verdict["limit"]),
         "met" if verdict["met"] else "not met")
        for verdict in part["expectations"]
    )  # fmt: skip
    points = tuple(
        (name, str(point["at"]), *(shown(point[key]) for key in ("frame_ms", "ceiling_ms", "added_ms", "peak_rss_mb")))
        for name, curve in part["curves"].items()
        if name != "batch"
        for point in curve
    )
    batch = tuple(
        (str(point["at"]), shown(point["ms_per_face"]), shown(point["p95_ms"])) for point in part["curves"]["batch"]
    )

    headers = ("curve", "shape", "figure", "measured", "at most", "verdict")
    return [
        Table("Expected beforehand", headers, verdicts),
        Table("A frame", ("curve", "at", "ms", "ceiling, ms", "ms added", "peak MB"), points),
        Table("The generator", ("faces in a run", "ms a face", "p95 of a run, ms"), batch),
        *left_out(part.get("left_out", {})),
    ]


def figures(part: Document) -> Iterator[Figure]:
    """Every curve, small, side by side."""
    verdicts = {verdict["curve"]: "met" if verdict["met"] else "not met" for verdict in part["expectations"]}
    points: CurvePoints = part["curves"]

    def line(label: str, curve: str, key: str, colour: str) -> Curve:
        places = [(_place(curve, point["at"]), point[key]) for point in points[curve]]
        return Curve(label, tuple(places), colour)

    def figure(curve: str, lines: Sequence[Curve], across: str, upward: str) -> Figure:
        ticks = (
            None if curve == "length" else {_place(curve, point["at"]): _tick(point["at"]) for point in points[curve]}
        )
        drawing = Curves(lines, across, upward, curve == "resolution", ticks, (HALF, 2.5))
        label = f"Cost against {across}"
        caption = f"{label}: what was expected is {verdicts.get(curve, 'not judged')}."
        return Figure(f"scale-{curve}", caption, label, drawing)

    for curve, across in (("faces", "masked faces in a frame"), ("resolution", "frame height")):
        lines = [line("a frame", curve, "frame_ms", "orange"), line("ceiling", curve, "ceiling_ms", "grey")]
        yield figure(curve, lines + (_most_faces(points[curve]) if curve == "faces" else []), across, "ms")
    yield figure("length", [line("peak memory", "length", "peak_rss_mb", "orange")], "frames in the clip", "MB")
    yield figure("threads", [line("a frame", "threads", "frame_ms", "orange")], "threads of each network", "ms")
    yield figure("batch", [line("a face", "batch", "ms_per_face", "orange")], "faces in a run", "ms")


def _place(curve: str, at: int | str) -> float:
    """Where a point stands on the axis: resolutions by their megapixels."""
    return math.prod(parsed(str(at))) / 1e6 if curve == "resolution" else float(at)


def _tick(at: int | str) -> str:
    return f"{parsed(at)[1]}p" if isinstance(at, str) else str(at)


def _most_faces(points: Sequence[Document]) -> list[Curve]:
    """The line under which eight faces are to stay."""
    times = _by_place(points, "frame_ms")
    if not {0, 1, 8} <= times.keys():
        return []
    first = max(0.0, times[1] - times[0])
    return [Curve("limit", ((0.0, times[0]), (8.0, times[0] + MOST_FACES_COST * first)), "teal", dashed=True)]


PART = Part(
    "Scale", 5, ScalePlan, measure, tables, figures,
    short={"frames": 30, "lengths": (90, 900), "repeats": 1, "seconds": 1.0}, packages=turns.PACKAGES,
)  # fmt: skip
