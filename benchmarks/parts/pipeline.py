"""Frames per second file to file beside decoding and encoding alone, and painting a face beside copying its frame.

The one beside is the ceiling: memory bandwidth is that of blending.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.child import run_child
from benchmarks.clips import CYCLE_FRAMES, SIZES, make_clip, parsed, verify
from benchmarks.drawing import Bar, Bars, Figure, Waterfall
from benchmarks.machine import Noise
from benchmarks.parts import Part, Plan, count, option
from benchmarks.profile import Profile
from benchmarks.record import (
    BenchmarkError,
    Better,
    LeftOut,
    Series,
    Table,
    UnmeasurableError,
    document,
    left_out,
    share,
    shown,
)
from pipeline.blend.blend import Blend
from pipeline.demo.clip import LANDMARKS, draw_frames, encodable, frame_from_portrait, mask_alpha, portrait, warped
from pipeline.frames import Cropped, Detected, Detection, FaceCrop, Frame, Inpainted, Patch, Track, Tracked
from pipeline.geometry import CROP_SIZE, Box, Landmarks
from pipeline.picture.pixels import align
from pipeline.settings.values import as_json, build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.parts import Say
    from benchmarks.record import Document


ROUNDS, WARM_UP_ROUNDS = 40, 5


@dataclass(frozen=True)
class Blended:
    """Milliseconds of painting a face and of copying the frame, which take turns."""

    blend_ms: tuple[float, ...]
    copy_ms: tuple[float, ...]

    @property
    def copies(self) -> tuple[float, ...]:
        """How many times as long as copying the frame painting takes, turn by turn."""
        return tuple(blend / copy for blend, copy in zip(self.blend_ms, self.copy_ms, strict=True))

    def series(self, size: str) -> list[Series]:
        """The samples as a document holds them."""
        return [
            Series(f"pipeline/{size}/blend", "ms a face", Better.LESS, self.blend_ms),
            Series(f"pipeline/{size}/blend over copy", "ratio", Better.LESS, self.copies),
        ]

    def as_json(self) -> dict[str, float]:
        """The medians as JSON holds them."""
        return {
            "blend_ms": round(median(self.blend_ms), 3),
            "copy_ms": round(median(self.copy_ms), 4),
            "copies": round(median(self.copies), 2),
        }


def measured_blending(size: str) -> Blended:
    """Blend the demo's first moment again and again, a copy of its frame before each time.

    The face that is pasted is the portrait's own, which costs what any other does.
    """
    item = _drawn(*parsed(size))
    planes = [np.frombuffer(memoryview(plane), np.uint8) for plane in item.frame.planes.planes]
    targets = [np.empty_like(plane) for plane in planes]
    blends, copies = [], []

    blending: Iterator[Frame] = Blend()(iter(lambda: item, None))
    for _ in range(WARM_UP_ROUNDS + ROUNDS):
        began = perf_counter()
        for plane, target in zip(planes, targets, strict=True):
            np.copyto(target, plane)
        copied = perf_counter()
        next(blending)
        copies.append(1000 * (copied - began))
        blends.append(1000 * (perf_counter() - copied))

    return Blended(tuple(blends[WARM_UP_ROUNDS:]), tuple(copies[WARM_UP_ROUNDS:]))


def _drawn(width: int, height: int) -> Inpainted:
    """The demo's first frame with its mask as the segmenter would see it, and the portrait's own face drawn for it."""
    (image,) = draw_frames(width=width, height=height, frames=1)
    place = frame_from_portrait(Fraction(0), width=width, height=height)
    frame = Frame(0, Fraction(0), 0.0, encodable(image))
    points = place.apply(LANDMARKS).astype(np.float32)
    box = Box(*(float(edge) for edge in (*points.min(axis=0), *points.max(axis=0))))
    track = Track(1, Detection(box, Landmarks(points), 1.0), age=0, unseen=0)
    picture, crop_from_frame = align(frame, track)
    square = {"width": CROP_SIZE, "height": CROP_SIZE}
    crop_from_portrait = crop_from_frame.after(place)
    alpha = warped((mask_alpha() * 255).astype(np.uint8), crop_from_portrait, **square)
    crop = FaceCrop(track, picture, alpha.astype(np.float32) / np.float32(255), crop_from_frame)
    patch = Patch(crop, warped(portrait(), crop_from_portrait, **square))
    tracked = Tracked(Detected(frame, None, cut=False), (track,))
    cv2.setNumThreads(1)  # as in a run
    return Inpainted(Cropped(tracked, (crop,), skipped=()), (patch,))


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

    blended = measured_blending(size)
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
