"""How old pictures are when a virtual camera shows them, and how many there are, in real time.

Frames a second file to file say nothing about this: there every frame waits for the slowest stage, and none is dropped.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.child import answer_of_child
from benchmarks.clips import CYCLE_FRAMES, make_clip
from benchmarks.drawing import Curve, Curves, Figure
from benchmarks.machine import Noise
from benchmarks.parts import Part, Plan, option
from benchmarks.record import BenchmarkError, Better, Series, Table, document, shown, spread_of
from pipeline.draw.sound import RATE
from pipeline.rules import Number
from pipeline.settings.flags import parser_of
from pipeline.settings.values import as_json, build
from pipeline.video.opening import read_sound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.parts import Say
    from benchmarks.record import Document

WARM_UP_SECONDS = 5.0
MINUTE = 60.0
FEWEST = 30
"""Frames that must have been shown for percentiles to mean anything."""
WINDOW_SECONDS = 10.0
"""How long the windows are in which the figure takes ages together."""

METHOD = (
    "A stand-in camera gives the demo's clip in real time, a number drawn into each picture; `barefaced live`'s own "
    "code runs, in a process of its own; a stand-in virtual camera converts each picture as the real one does, and "
    "reads the number. A picture's age is the time from when the camera gave it until it is converted, measured at "
    f"those two ends. The first {WARM_UP_SECONDS:.0f} seconds are left out. Nothing is compared with file-to-file "
    "figures. The ceiling is the camera's own rate. Dropped are pictures of the camera that were never shown; repeated "
    "are ticks at which the picture was that of the tick before; out of order are pictures older than one that was "
    "shown already."
)


@dataclass(frozen=True, kw_only=True)
class LivePlan(Plan):
    """The size of the camera's pictures, and how long it gives them."""

    size: str = option("--size", "640x480", metavar="WxH", help="of the camera's pictures (default: 640x480)")
    minutes: float = option(
        "--minutes",
        5,
        type=parser_of("minutes", Number(0.1, 1440)),
        metavar="N",
        help="of the live run, such as 0.5 (default: 5)",
    )
    sound: Path | None = option(
        "--sound", None, type=Path, metavar="FILE", help="a recording that a stand-in for a microphone hears meanwhile"
    )


@dataclass(frozen=True)
class Seen:
    """What came out of a live run, the warm-up left out."""

    ages_ms: tuple[float, ...]
    """The age of each picture when it was first shown, in the order in which they were."""
    moments: tuple[float, ...]
    """The moments at which pictures were first shown, in seconds from the first."""
    given: int
    """Pictures that the camera gave."""
    repeated: int
    out_of_order: int

    @property
    def seconds(self) -> float:
        """The time from the first picture to the last."""
        return self.moments[-1]

    @property
    def fps(self) -> float:
        """New pictures a second."""
        return (len(self.moments) - 1) / self.seconds

    @property
    def dropped(self) -> int:
        """Pictures that were never shown."""
        return self.given - len(self.ages_ms)

    def between(self, begin: float, end: float) -> dict[str, float] | None:
        """Percentiles of the ages of pictures first shown in these seconds; None without any."""
        ages = [age for age, moment in zip(self.ages_ms, self.moments, strict=True) if begin <= moment < end]
        if not ages:
            return None
        found = spread_of(ages)
        return {"p50": round(found.median, 1), "p95": round(found.p95, 1), "p99": round(found.p99, 1)}


def seen_in(given: Sequence[float], screened: Sequence[tuple[int, float]], *, warm_up_seconds: float) -> Seen:
    """What came out, from when the camera gave each picture, and which number the screen had when.

    Raises `BenchmarkError` for a picture that the camera never gave, or that is older than it, and when too few came.
    """
    if not screened:
        raise BenchmarkError("nothing was shown")
    begin = screened[0][1] + warm_up_seconds
    newest, repeated, out_of_order = -1, 0, 0
    ages, moments, numbers = [], [], []

    for number, moment in screened:
        if number >= len(given) or moment < given[number]:
            raise BenchmarkError(f"picture {number} was shown before the camera gave it: the number is misread")
        if moment >= begin:
            repeated += number == newest
            out_of_order += number < newest
            if number > newest:
                ages.append(1000 * (moment - given[number]))
                moments.append(moment)
                numbers.append(number)
        newest = max(newest, number)

    if len(ages) < FEWEST:
        raise BenchmarkError(f"{len(ages)} pictures were shown after the warm-up, too few to measure: take more time")
    return Seen(
        tuple(ages),
        tuple(moment - moments[0] for moment in moments),
        given=numbers[-1] - numbers[0] + 1,
        repeated=repeated,
        out_of_order=out_of_order,
    )


def measure(plan: LivePlan, say: Say) -> Document:
    """Measure one live run.

    Raises `BenchmarkError` when pictures are shown out of order or masks stay on, and what the run raises.
    """
    if plan.sound is not None:
        read_sound(plan.sound, RATE)  # what can't be read is better known before
    config = build(plan.settings)
    with Noise() as noise, tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name:
        clip = make_clip(Path(name), plan.size, CYCLE_FRAMES)
        seconds = WARM_UP_SECONDS + MINUTE * plan.minutes
        sound = None if plan.sound is None else str(plan.sound)
        question = {"clip": str(clip), "sound": sound, "seconds": seconds, "settings": dict(plan.settings)}
        answer = answer_of_child({"mode": "live", **question})

    seen = seen_in(answer["given"], answer["shown"], warm_up_seconds=WARM_UP_SECONDS)
    _check(seen, answer["report"])
    looks = answer["memory_mb"]
    memory = looks[round(len(looks) * WARM_UP_SECONDS / (seen.seconds + WARM_UP_SECONDS)) :]
    figures = _figures(plan, config.live.fps, seen, memory)
    figures |= {key: answer["report"][key] for key in ("stages", "engine", "masked_faces")}
    say(
        f"{plan.size} live: {seen.fps:.1f} of {config.live.fps} fps, age {figures['age_ms']} ms, {seen.dropped} "
        f"dropped, {seen.repeated} repeated, memory {figures['memory_growth_mb']:+.0f} MB"
    )

    series = [
        Series("live/age", "ms", Better.LESS, seen.ages_ms),
        Series("live/fps", "fps", Better.MORE, _fps_by_second(seen)),
        Series("live/memory", "MB", Better.LESS, memory),
    ]
    return document("live", method=METHOD, settings=as_json(config), noise=noise, series=series, figures=figures)


def _figures(plan: LivePlan, camera_fps: int, seen: Seen, memory: Sequence[float]) -> Document:
    return {
        "size": plan.size,
        "camera_fps": camera_fps,
        "fps": round(seen.fps, 2),
        "ratio": round(seen.fps / camera_fps, 4),
        "seconds": round(seen.seconds, 1),
        "warm_up_seconds": WARM_UP_SECONDS,
        # Percentiles of the whole run, and of its first and its last minute.
        "age_ms": seen.between(0, seen.seconds + 1),
        "first_minute_age_ms": seen.between(0, MINUTE),
        "last_minute_age_ms": seen.between(max(0.0, seen.seconds - MINUTE), seen.seconds + 1),
        "shown": len(seen.ages_ms),
        "dropped": seen.dropped,
        "repeated": seen.repeated,
        "out_of_order": seen.out_of_order,
        "memory_mb": memory,
        "memory_growth_mb": round(max(memory[-5:]) - max(memory[:5]), 1),
        "moments": [round(moment, 3) for moment in seen.moments],
    }


def _fps_by_second(seen: Seen) -> list[float]:
    """New pictures in each whole second."""
    counts = [0.0] * int(seen.seconds)
    for moment in seen.moments:
        if moment < len(counts):
            counts[int(moment)] += 1
    return counts


def _check(seen: Seen, report: Document) -> None:
    """Raise `BenchmarkError` unless the run did what it should."""
    if seen.out_of_order:
        raise BenchmarkError(f"{seen.out_of_order} pictures were shown after a newer one")
    if report["error"] or report["failed"]:
        raise BenchmarkError(f"the live run failed: {report['error'] or report['last_failure']}")
    processed = report["shown"]
    if report["masked_faces"] < 0.9 * processed:
        raise BenchmarkError(f"a mask was taken off in {report['masked_faces']} of {processed} pictures only")


def tables(part: Document) -> list[Table]:
    """The ages of pictures, and what became of the pictures."""
    spans = {"all": "age_ms", "first minute": "first_minute_age_ms", "last minute": "last_minute_age_ms"}
    ages = tuple((name, *(shown(part[key][share]) for share in ("p50", "p95", "p99"))) for name, key in spans.items())
    counts = (
        ("new pictures a second", f"{part['fps']} of {part['camera_fps']}"),
        ("shown", str(part["shown"])),
        ("dropped", str(part["dropped"])),
        ("repeated", str(part["repeated"])),
        ("out of order", str(part["out_of_order"])),
        ("memory, from first to last", f"{part['memory_growth_mb']:+.1f} MB"),
    )

    minutes = shown(part["seconds"] / 60)
    return [
        Table(f"Age of a picture in ms, {part['size']}, {minutes} minutes", ("span", "p50", "p95", "p99"), ages),
        Table("What became of the pictures", ("", "count"), counts),
    ]


def figures(part: Document) -> Iterator[Figure]:
    """How the ages go on over the run."""
    ages = next(series["values"] for series in part["series"] if series["name"] == "live/age")
    windows: dict[int, list[float]] = {}
    for moment, age in zip(part["moments"], ages, strict=True):
        windows.setdefault(int(moment // WINDOW_SECONDS), []).append(age)

    lines = []
    for share, colour in ((50, "orange"), (95, "blue"), (99, "grey")):
        points = [
            (WINDOW_SECONDS * (index + 0.5), float(np.percentile(window, share))) for index, window in windows.items()
        ]
        lines.append(Curve(f"p{share}", tuple(points), colour))
    label = "How old pictures are when they are shown, live"
    caption = f"{label}, in windows of {WINDOW_SECONDS:.0f} seconds: {part['fps']} of {part['camera_fps']} fps."
    yield Figure("live", caption, label, Curves(lines, "seconds into the run", "age, ms"))


PART = Part("Live: the age of a picture", 3, LivePlan, measure, tables, figures, short={"minutes": 1})
