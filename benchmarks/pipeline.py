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
from typing import TYPE_CHECKING, Any

from benchmarks import machine
from benchmarks.clips import CYCLE_FRAMES, SIZES, BenchmarkError, make_clip, verify
from pipeline.config import as_json, build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WARM_UP_FRAMES = 30

METHOD = (
    "The demo's clip (one masked face, moved, turned and zoomed), file to file, each run in a process of its own. "
    f"Process start, compiling the networks and a warm-up run of {WARM_UP_FRAMES} frames come first and are not in the "
    "time; opening the files and finalising the output are. The ceiling is decode and encode alone, same codec and "
    "preset. Runs of both kinds alternate; figures are medians. added_ms is 1000/fps - 1000/ceiling_fps. Before a time "
    "counts, the output's frames, times, mask region and surroundings are checked."
)


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    sizes: Sequence[str] = SIZES
    frames: int = CYCLE_FRAMES
    repeats: int = 3
    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings other than the defaults, by key."""


def measure(plan: Plan, *, say: Callable[[str], None]) -> dict[str, object]:
    """Measure and give the result as JSON holds it; `say` is told each figure when it is there.

    Raises `BenchmarkError` when a run did not do its work, and what the runs raise.
    """
    with tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name:
        sizes = {size: _measure_size(plan, size, Path(name), say) for size in plan.sizes}
    return {
        "bench": "pipeline",
        "method": METHOD,
        "machine": machine.described(),
        "settings": as_json(build(plan.settings)),
        "frames": plan.frames,
        "repeats": plan.repeats,
        "sizes": sizes,
    }


def _measure_size(plan: Plan, size: str, folder: Path, say: Callable[[str], None]) -> dict[str, object]:
    clip, warm_up = make_clip(folder, size, plan.frames), make_clip(folder, size, WARM_UP_FRAMES)
    ceilings, runs = [], []
    for _ in range(plan.repeats):
        target = folder / "out.mp4"
        ceilings.append(run_child("ceiling", clip, warm_up, target, plan.settings))
        runs.append(run_child("pipeline", clip, warm_up, target, plan.settings))
        seen = verify(clip, target, size, every=max(10, plan.frames // 100))
        if seen.frames != runs[-1]["frames"]:
            raise BenchmarkError(f"{runs[-1]['frames']} frames were reported, {seen.frames} are there")
    fps, ceiling_fps = (median(run["fps"] for run in kind) for kind in (runs, ceilings))
    result = {
        "fps": round(fps, 2),
        "ceiling_fps": round(ceiling_fps, 2),
        "added_ms": round(1000 / fps - 1000 / ceiling_fps, 2),
        "peak_rss_mb": round(max(run["peak_rss_mb"] for run in runs), 1),
        "ceiling_peak_rss_mb": round(max(run["peak_rss_mb"] for run in ceilings), 1),
        "start_seconds": round(median(run["start_seconds"] for run in runs), 2),
        "all_fps": [round(run["fps"], 2) for run in runs],
        "all_ceiling_fps": [round(run["fps"], 2) for run in ceilings],
        "masked_faces": runs[-1]["masked_faces"],
        "mask_gone_share": round(seen.gone_share, 4),
        "outside_levels": round(seen.kept_levels, 3),
        "engine": runs[-1]["engine"],
        "networks": runs[-1]["networks"],
        "stages": runs[-1]["stages"],
        "memory_mb": runs[-1]["memory_mb"],
    }
    say(
        f"{size}: {fps:.1f} fps, ceiling {ceiling_fps:.1f} fps, {result['added_ms']} ms a frame added, "
        f"peak memory {result['peak_rss_mb']:.0f} MB"
    )
    return result


def run_child(mode: str, clip: Path, warm_up: Path, target: Path, settings: Mapping[str, object]) -> dict[str, Any]:
    """A measured run in a process of its own. Raises `BenchmarkError` with its last words when it fails."""
    asked = {
        "mode": mode,
        "clip": str(clip),
        "warm_up": str(warm_up),
        "target": str(target),
        "settings": dict(settings),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.child"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(),
    )
    if done.returncode:
        raise BenchmarkError(f"the {mode} run failed: {done.stderr.strip() or 'it said nothing'}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def child_environment() -> dict[str, str]:
    """This process's environment, in which a child finds the same barefaced."""
    root = str(Path(__file__).resolve().parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
