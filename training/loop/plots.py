"""The curves of a run: `python -m training.loop.plots RUN [RUN ...] [--out FILE.png]`.

One panel for each score of the validation and each term of the loss, against the pictures seen, and one for the share
of each step that was spent waiting for data. Several runs are drawn over each other, each in its colour.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.errors import BarefacedError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

COLUMNS, PANEL_INCHES, DPI = 3, (4.6, 2.6), 100
"""Panels side by side, width and height of a panel, and pixels to the inch."""

FAINT = 0.35
"""How opaque the jumps of a loss are behind its running mean."""
SMOOTHED = 0.9
"""How much of a loss's curve is what came before: single batches jump."""

ABOUT = {"step", "pictures", "seconds", "waited", "validation"}
"""What a line of the log says beside the terms of the loss."""


@dataclass(frozen=True)
class Curve:
    """A measure of one run."""

    pictures: NDArray[np.float64]
    values: NDArray[np.float64]
    jumps: bool
    """Whether it is of single batches."""


def read_log(run: Path) -> dict[str, Curve]:
    """The curves of a run's `log.jsonl`, scores first. Raises `SourceError` when it has none.

    Where a run was cut off and went on from its checkpoint, what it had logged after that is left out.
    """
    path = run / "log.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, json.JSONDecodeError) as error:
        raise SourceError(f"{path} is not the log of a run of training.loop.train: {error}") from error

    lines = list(_as_it_went_on(lines))
    each_step = next((line["pictures"] / line["step"] for line in lines if "pictures" in line), 1.0)
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in lines:
        for name, value in line.get("validation", {}).items():
            points[f"validation: {name}"].append((line["step"] * each_step, value))
    for line in lines:
        for name in sorted(line.keys() - ABOUT):
            points[f"loss: {name}"].append((line["pictures"], line[name]))
    points["share of time waiting for data"] = list(_waiting(lines))

    curves = {}
    for name, found in sorted(points.items(), key=lambda item: not item[0].startswith("validation")):
        if found:
            along, values = np.array(found, np.float64).T
            curves[name] = Curve(along, values, name.startswith("loss"))
    if not curves:
        raise SourceError(f"{path} holds no scores and no losses yet")
    return curves


def _as_it_went_on(lines: Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Those that no later line goes behind. The scores of a step follow its losses."""
    earliest = math.inf, True
    kept: list[Mapping[str, Any]] = []
    for line in reversed(lines):
        place = line["step"], "validation" in line
        if place < earliest:
            kept.append(line)
            earliest = place
    return kept[::-1]


def _waiting(lines: Iterable[Mapping[str, Any]]) -> Iterable[tuple[float, float]]:
    """Between each two lines of losses; their clocks begin at 0 again when a run goes on."""
    timed = [line for line in lines if "seconds" in line]
    for before, line in pairwise(timed):
        whole = line["seconds"] - before["seconds"]
        if whole > 0:
            yield line["pictures"], (line["waited"] - before["waited"]) / whole


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A running mean that begins unbiased."""
    mean, weight, found = 0.0, 0.0, []
    for value in values:
        mean, weight = SMOOTHED * mean + (1 - SMOOTHED) * value, SMOOTHED * weight + (1 - SMOOTHED)
        found.append(mean / weight)
    return np.array(found)


def draw_panel(axes: Axes, title: str, curves: Sequence[Curve | None]) -> None:
    """Draw one measure of several runs, each in its colour; None for a run that does not have it."""
    for number, curve in enumerate(curves):
        if curve is None:
            continue
        colour = f"C{number}"
        if curve.jumps:
            axes.plot(curve.pictures, curve.values, color=colour, alpha=FAINT, linewidth=0.8)
            axes.plot(curve.pictures, smoothed(curve.values), color=colour)
        else:
            axes.plot(curve.pictures, curve.values, color=colour, marker=".", markevery=[-1])

    axes.set_title(title, loc="left", fontsize="medium")
    axes.set_ylim(*_range([curve for curve in curves if curve is not None]))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=True, alpha=FAINT)


def _range(curves: Sequence[Curve]) -> tuple[float, float]:
    """What is shown: all scores, and all losses but the highest and lowest hundredth, which are of the first steps."""
    ends = [np.percentile(curve.values, [1, 99] if curve.jumps else [0, 100]) for curve in curves]
    low, high = float(np.min(ends)), float(np.max(ends))
    rim = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return low - rim, high + rim


def plot(runs: Sequence[Path]) -> Figure:
    """All panels of `runs`, and below them which colour is whose. Raises `SourceError` for a folder without a log."""
    logs = [read_log(run) for run in runs]
    titles = list(dict.fromkeys(title for log in logs for title in log))
    rows = math.ceil(len(titles) / COLUMNS)
    width, height = PANEL_INCHES

    figure = Figure((COLUMNS * width, rows * height + 0.5), dpi=DPI, layout="constrained")
    for number, title in enumerate(titles, start=1):
        draw_panel(figure.add_subplot(rows, COLUMNS, number), title, [log.get(title) for log in logs])
    figure.supxlabel("pictures seen", fontsize="medium")
    lines = [Line2D([], [], color=f"C{number}") for number in range(len(runs))]
    figure.legend(lines, [run.name for run in runs], loc="outside lower left", ncols=len(runs))
    return figure


def main() -> None:
    """Read the flags and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folder that training.loop.train was given as --run"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="default: plots.png in the first run's folder")
    options = parser.parse_args()
    out = options.out or options.runs[0] / "plots.png"

    try:
        plot(options.runs).savefig(out)
    except BarefacedError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {out} can't be written: {error}\n")
    print(out)  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
