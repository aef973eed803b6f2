"""`barefaced bench pipeline`: frames per second file to file, beside decoding and encoding alone as the ceiling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import blending
from benchmarks.clips import CYCLE_FRAMES, SIZES, make_clip, verify
from benchmarks.noise import Noise
from benchmarks.profile import Profile
from benchmarks.record import BenchmarkError, Better, Document, Series, document
from pipeline.settings.config import as_json, build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    sizes: Sequence[str] = SIZES
    frames: int = CYCLE_FRAMES
    repeats: int = 3
    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings other than the defaults, by key."""


def measure(plan: Plan, *, say: Callable[[str], None]) -> Document:
    """Measure and give the result as JSON holds it; `say` is told each figure when it is there.

    Raises `BenchmarkError` when a run did not do its work, and what the runs raise.
    """
    series: list[Series] = []
    with Noise() as noise, tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name:
        sizes = {size: _measure_size(plan, size, Path(name), series, say) for size in plan.sizes}
    return document(
        "pipeline",
        method=METHOD,
        settings=as_json(build(plan.settings)),
        noise=noise,
        series=series,
        figures={"frames": plan.frames, "repeats": plan.repeats, "sizes": sizes},
    )


def _measure_size(plan: Plan, size: str, folder: Path, series: list[Series], say: Callable[[str], None]) -> Document:
    clip, warm_up = make_clip(folder, size, plan.frames), make_clip(folder, size, WARM_UP_FRAMES)
    ceilings, runs = [], []
    for _ in range(plan.repeats):
        target = folder / "out.mp4"
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
    """What the runs of a size and their ceilings come to."""
    fps, ceiling_fps = (median(run["fps"] for run in kind) for kind in (runs, ceilings))
    middle = min(runs, key=lambda run: abs(run["fps"] - fps))
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
        "masked_faces": middle["masked_faces"],
        "engine": middle["engine"],
        "networks": middle["networks"],
        "stages": middle["stages"],
        "profile": Profile.of(middle["stages"], middle["network_seconds"], middle["frames"]).as_json(),
        "memory_mb": middle["memory_mb"],
    }


def run_child(mode: str, clip: Path, warm_up: Path, target: Path, settings: Mapping[str, object]) -> Document:
    """A measured run in a process of its own. Raises `BenchmarkError` with its last words when it fails."""
    asked = {
        "mode": mode,
        "clip": str(clip),
        "warm_up": str(warm_up),
        "target": str(target),
        "settings": dict(settings),
    }
    return asked_of("benchmarks.child", asked)


def asked_of(module: str, asked: Document) -> Document:
    """What a module run in a process of its own answers. Raises `BenchmarkError` with its last words when it fails."""
    done = subprocess.run(  # noqa: S603 - our own modules
        [sys.executable, "-m", module],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(),
    )
    if done.returncode:
        raise BenchmarkError(f"{module} failed: {done.stderr.strip() or 'it said nothing'}")
    measured: Document = json.loads(done.stdout)
    return measured


def child_environment() -> dict[str, str]:
    """This process's environment, in which a child finds the same barefaced."""
    root = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
