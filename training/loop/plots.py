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
from PIL import Image, ImageDraw, ImageFont

from pipeline.errors import BarefacedError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Colour = tuple[int, int, int]
    Place = Callable[[NDArray[np.float64], NDArray[np.float64]], list[tuple[float, float]]]

PANEL, MARGINS = (460, 250), (62, 26, 14, 34)
"""Width and height of a panel in pixels, and what is left free in it: left, top, right, bottom."""

COLUMNS = 3
INK, GRID, FAINT = (30, 30, 30), (225, 225, 225), 0.35
COLOURS = ((0, 90, 181), (220, 50, 32), (0, 130, 90), (170, 80, 190), (190, 130, 0), (90, 90, 90))
SMOOTHED = 0.9
"""How much of a loss's curve is what came before: single batches jump. The jumps are drawn behind it, faintly."""

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


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to `high`."""
    rough = (high - low) / 4
    unit = 10 ** math.floor(math.log10(rough))
    step = next(times * unit for times in (1, 2, 2.5, 5, 10) if times * unit >= rough)
    return [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def panel(title: str, curves: Sequence[Curve | None]) -> Image.Image:
    """One measure of several runs; None for a run that does not have it."""
    there = [curve for curve in curves if curve is not None]
    low, high = _range(there)
    last = max(1.0, *(float(curve.pictures.max()) for curve in there))
    width, height = PANEL
    left, top, right, bottom = MARGINS
    image = Image.new("RGB", PANEL, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)

    def place(along: NDArray[np.float64], up: NDArray[np.float64]) -> list[tuple[float, float]]:
        x = left + along / last * (width - left - right)
        y = height - bottom - (up.clip(low, high) - low) / (high - low) * (height - top - bottom)
        return list(zip(x.tolist(), y.tolist(), strict=True))

    for tick in ticks(low, high):
        ((_, y),) = place(np.zeros(1), np.array([tick]))
        draw.line([(left, y), (width - right, y)], GRID)
        draw.text((left - 6, y), f"{tick:.4g}", INK, font, anchor="rm")
    for tick in ticks(0, last):
        ((x, _),) = place(np.array([tick]), np.array([low]))
        draw.line([(x, top), (x, height - bottom)], GRID)
        draw.text((x, height - bottom + 5), f"{tick:,.0f}", INK, font, anchor="mt")
    draw.text((left, 6), title, INK, font)
    for colour, curve in zip(_colours(len(curves)), curves, strict=True):
        if curve is not None:
            _trace(draw, curve, place, colour)
    return image


def _trace(draw: ImageDraw.ImageDraw, curve: Curve, place: Place, colour: Colour) -> None:
    if curve.jumps:
        red, green, blue = (round(255 - FAINT * (255 - part)) for part in colour)
        faint = red, green, blue
        draw.line(place(curve.pictures, curve.values), faint)
        draw.line(place(curve.pictures, smoothed(curve.values)), colour, 2)
        return
    points = place(curve.pictures, curve.values)
    draw.line(points, colour, 2)
    for x, y in points if len(points) < 2 else points[-1:]:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), colour)


def _range(curves: Sequence[Curve]) -> tuple[float, float]:
    """What is shown: all scores, and all losses but the highest and lowest hundredth, which are of the first steps."""
    ends = [np.percentile(each.values, [1, 99] if each.jumps else [0, 100]) for each in curves]
    low, high = float(np.min(ends)), float(np.max(ends))
    rim = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return low - rim, high + rim


def _colours(count: int) -> list[Colour]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def plot(runs: Sequence[Path]) -> Image.Image:
    """All panels of `runs`, and below them which colour is whose. Raises `SourceError` for a folder without a log."""
    logs = [read_log(run) for run in runs]
    titles = list(dict.fromkeys(title for log in logs for title in log))
    rows = math.ceil(len(titles) / COLUMNS)
    width, height = PANEL
    sheet = Image.new("RGB", (COLUMNS * width, rows * height + 24), "white")
    for number, title in enumerate(titles):
        across, down = number % COLUMNS * width, number // COLUMNS * height
        sheet.paste(panel(title, [log.get(title) for log in logs]), (across, down))
    draw, font, x = ImageDraw.Draw(sheet), ImageFont.load_default(12), 12.0
    for run, colour in zip(runs, _colours(len(runs)), strict=True):
        draw.line([(x, rows * height + 10), (x + 18, rows * height + 10)], colour, 3)
        draw.text((x + 24, rows * height + 10), run.name, INK, font, anchor="lm")
        x += 44 + draw.textlength(run.name, font)
    draw.text((sheet.width - 12, rows * height + 10), "across: pictures seen", INK, font, anchor="rm")
    return sheet


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
        plot(options.runs).save(out)
    except BarefacedError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {out} can't be written: {error}\n")
    print(out)  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
