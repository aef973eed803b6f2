"""Frames per second file to file, beside decoding and encoding alone as the ceiling."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import blending
from benchmarks.child import run_child
from benchmarks.clips import CYCLE_FRAMES, SIZES, make_clip, verify
from benchmarks.drawing import Bar, Bars, Figure, Waterfall
from benchmarks.machine import Noise
from benchmarks.parts import Part, Plan, count, option
from benchmarks.profile import Profile
from benchmarks.record import BenchmarkError, Better, LeftOut, Series, UnmeasurableError, document
from benchmarks.tables import Table, left_out, share, shown
from pipeline.settings.config import as_json, build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.parts import Say
    from benchmarks.record import Document

WARM_UP_FRAMES = 30

METHOD = (
    "The demo's clip (one masked face, moved, turned and zoomed), file to file, each run in a process of its own. "
    f"Process start, compiling the networks and a warm-up run of {WARM_UP_FRAMES} frames come first and are not in the "
    "time; opening the files and finalising the output are. The ceiling is decode and encode alone, same codec and "
    "preset. Runs of both kinds alternate; figures are medians, and the ratio is the median over turns of each run's "
    "frames a second over its own turn's ceiling. added_ms is 1000/fps - 1000/ceiling_fps. Before a time counts, the "
    "output's frames, times, mask region and surroundings are checked. The profile is that of the middle run: busy "
    "seconds of each stage, with the time in networks apart; overhead_share is what is neither codec nor network. "
    "Blending one face is timed beside copying its frame, in turns."
)


@dataclass(frozen=True, kw_only=True)
class PipelinePlan(Plan):
    """Which clips are run, and how often."""

    sizes: Sequence[str] = option(
        "--size", SIZES, action="append", metavar="WxH", help="only this size; may be given again"
    )
    frames: int = count("--frames", CYCLE_FRAMES, "length (default: 180; 10000 shows that memory stays flat)")
    repeats: int = count("--repeats", 3, "runs of each kind (default: 3)")


def measure(plan: PipelinePlan, say: Say) -> Document:
    """Measure every size. Raises `BenchmarkError` when a run did not do its work, and what the runs raise."""
    series: list[Series] = []
    sizes: dict[str, Document] = {}
    absent = LeftOut(say)
    with Noise() as noise, tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name:
        for size in plan.sizes:
            with absent.attempt(size):
                sizes[size] = _measure_size(plan, size, Path(name), series, say)
    if not sizes:
        raise UnmeasurableError("; ".join(absent.reasons.values()))

    return document(
        "pipeline",
        method=METHOD,
        settings=as_json(build(plan.settings)),
        noise=noise,
        series=series,
        figures={"frames": plan.frames, "repeats": plan.repeats, "sizes": sizes, "left_out": absent.reasons},
    )


def _measure_size(plan: PipelinePlan, size: str, folder: Path, series: list[Series], say: Say) -> Document:
    clip, warm_up = make_clip(folder, size, plan.frames), make_clip(folder, size, WARM_UP_FRAMES)
    target = folder / "out.mp4"
    ceilings, runs = [], []
    for _ in range(plan.repeats):
        ceilings.append(run_child("ceiling", clip, warm_up, target, plan.settings))
        runs.append(run_child("pipeline", clip, warm_up, target, plan.settings))
        seen = verify(clip, target, size, every=max(10, plan.frames // 100))
        if seen.frames != runs[-1]["frames"]:
            raise BenchmarkError(f"{runs[-1]['frames']} frames were reported, {seen.frames} are there")

    blended = blending.measure(size)
    series += [*_series(size, runs, ceilings), *blended.series(size)]
    result = {
        **_figures(runs, ceilings),
        "mask_gone_share": round(seen.gone_share, 4),
        "outside_levels": round(seen.kept_levels, 3),
        "blending": blended.as_json(),
    }
    say(
        f"{size}: {result['fps']:.1f} fps, ceiling {result['ceiling_fps']:.1f} fps, {result['added_ms']} ms a frame "
        f"added, {result['profile']['overhead_share']:.0%} of the busy seconds neither codec nor network, "
        f"peak memory {result['peak_rss_mb']:.0f} MB"
    )
    return result


def _series(size: str, runs: Sequence[Document], ceilings: Sequence[Document]) -> list[Series]:
    fps, ceiling_fps = ([run["fps"] for run in kind] for kind in (runs, ceilings))
    ratios = [ours / most for ours, most in zip(fps, ceiling_fps, strict=True)]
    return [
        Series(f"pipeline/{size}/fps", "fps", Better.MORE, fps),
        Series(f"pipeline/{size}/ceiling", "fps", Better.MORE, ceiling_fps),
        Series(f"pipeline/{size}/fps over ceiling", "ratio", Better.MORE, ratios),
        Series(f"pipeline/{size}/memory", "MB", Better.LESS, [run["peak_rss_mb"] for run in runs]),
    ]


def _figures(runs: Sequence[Document], ceilings: Sequence[Document]) -> Document:
    """The medians of the runs of a size and of their ceilings, and the profile of the run in the middle."""
    fps, ceiling_fps = (median(run["fps"] for run in kind) for kind in (runs, ceilings))
    middle = min(runs, key=lambda run: abs(run["fps"] - fps))
    profile = Profile.of(middle["stages"], middle["network_seconds"], middle["frames"])

    return {
        "fps": round(fps, 2),
        "ceiling_fps": round(ceiling_fps, 2),
        "ratio": round(median(ours["fps"] / most["fps"] for ours, most in zip(runs, ceilings, strict=True)), 4),
        "added_ms": round(1000 / fps - 1000 / ceiling_fps, 2),
        "peak_rss_mb": round(max(run["peak_rss_mb"] for run in runs), 1),
        "ceiling_peak_rss_mb": round(max(run["peak_rss_mb"] for run in ceilings), 1),
        "start_seconds": round(median(run["start_seconds"] for run in runs), 2),
        "all_fps": [round(run["fps"], 2) for run in runs],
        "all_ceiling_fps": [round(run["fps"], 2) for run in ceilings],
        "profile": profile.as_json(),
        **{key: middle[key] for key in ("masked_faces", "engine", "networks", "stages", "memory_mb")},
    }


def tables(part: Document) -> list[Table]:
    """Speed and memory at every size, and what painting one face costs."""
    rows, blends = [], []
    for size, figures in part["sizes"].items():
        rows.append((
            size, shown(figures["fps"]), shown(figures["ceiling_fps"]), f"{figures['ratio']:.2f}",
            shown(figures["added_ms"]), shown(figures["peak_rss_mb"]), figures["profile"]["slowest_stage"],
            share(figures["profile"]["overhead_share"]),
        ))  # fmt: skip
        blend = figures["blending"]
        blends.append((size, shown(blend["blend_ms"]), shown(blend["copy_ms"]), shown(blend["copies"])))

    headers = ("size", "fps", "ceiling, fps", "of ceiling", "ms added", "peak MB", "slowest stage", "overhead")
    return [
        Table("File to file, one masked face", headers, tuple(rows)),
        Table("Painting one face", ("size", "ms", "copying the frame, ms", "times as long"), tuple(blends)),
        *left_out(part.get("left_out", {})),
    ]


def figures(part: Document) -> Iterator[Figure]:
    """Frames a second at every size, and where a frame's time goes at the first."""
    bars = []
    for size, found in part["sizes"].items():
        bars.append(Bar(size, found["fps"], "orange", tuple(found["all_fps"])))
        bars.append(Bar(f"{size}, ceiling", found["ceiling_fps"], "grey", tuple(found["all_ceiling_fps"])))
    label = "Frames a second at each size, beside decoding and encoding alone"
    yield Figure("pipeline", f"{label}. Dots are single runs.", label, Bars(bars, "frames a second"))

    size, found = next(iter(part["sizes"].items()))
    profile = found["profile"]
    label = f"Where a frame's time goes at {size}, stage by stage"
    caption = (
        f"{label}: {profile['slowest_stage']} is the slowest; {profile['overhead_share']:.0%} is neither codec nor "
        "network."
    )
    yield Figure("stages", caption, label, Waterfall(profile["ms_per_frame"], profile["slowest_stage"]))


PART = Part("File to file", 1, PipelinePlan, measure, tables, figures, short={"frames": 90})
