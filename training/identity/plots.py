"""What an evaluation found, for a person: lines of measures, and ROC and DET curves as pictures."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from pipeline.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from training.identity.metrics import Rates

    Scale = Callable[[NDArray[np.float64]], NDArray[np.float64]]
    from collections.abc import Sequence


WIDTH, HEIGHT = 760, 560
LEFT, TOP, RIGHT, BOTTOM = 80, 40, WIDTH - 20, HEIGHT - 60
"""The axes, in pixels."""
COLOURS = (
    *((90, 90, 90), (214, 39, 40), (31, 119, 180), (44, 160, 44), (148, 103, 189), (255, 127, 14), (23, 150, 160)),
    *((140, 86, 75), (227, 119, 194), (188, 189, 34)),
)
"""RGB, one after the other."""
FMR_TICKS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 0.5)
DET_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 0.8, 0.95)
ROC_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def roc(curves: Mapping[str, Rates], title: str) -> NDArray[np.uint8]:
    """1 - FNMR over FMR, which is on a logarithmic scale: (560, 760, 3) RGB."""
    lines = {name: (np.append(1.0, rates.fmr), np.append(1.0, 1 - rates.fnmr)) for name, rates in curves.items()}
    legend = BOTTOM - 18 * len(lines)
    return _plot(lines, title, ("FMR", np.log10, FMR_TICKS), ("1 - FNMR", np.asarray, ROC_TICKS), legend=legend)


def det(curves: Mapping[str, Rates], title: str) -> NDArray[np.uint8]:
    """FNMR over FMR, both on the scale of normal deviates, where normal scores give straight lines."""
    lines = {name: (np.append(1.0, rates.fmr), np.append(0.0, rates.fnmr)) for name, rates in curves.items()}
    return _plot(lines, title, ("FMR", _deviates, FMR_TICKS), ("FNMR", _deviates, DET_TICKS), legend=TOP + 18)


def write(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a PNG. Raises `SinkError` when it can't be written."""
    try:
        path.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror or error}") from error


def _deviates(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([NormalDist().inv_cdf(rate) for rate in rates])


def _plot(
    lines: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    title: str,
    across: tuple[str, Scale, tuple[float, ...]],
    up: tuple[str, Scale, tuple[float, ...]],
    *,
    legend: int,
) -> NDArray[np.uint8]:
    """Lines between the axes; what lies outside the first and the last tick is drawn on the edge.

    `legend` is the row of the first line's name, at the right.
    """
    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    to_x, to_y = _axis(across[1], across[2], LEFT, RIGHT), _axis(up[1], up[2], BOTTOM, TOP)
    for tick, x in zip(across[2], to_x(np.array(across[2])), strict=True):
        cv2.line(canvas, (x, TOP), (x, BOTTOM), (225, 225, 225), 1)
        _say(canvas, f"{tick:g}", (x - 15, BOTTOM + 18))
    for tick, y in zip(up[2], to_y(np.array(up[2])), strict=True):
        cv2.line(canvas, (LEFT, y), (RIGHT, y), (225, 225, 225), 1)
        _say(canvas, f"{tick:g}", (LEFT - 45, y + 4))
    for number, (name, (x, y)) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = np.column_stack([to_x(x), to_y(y)]).astype(np.int32)
        cv2.polylines(canvas, [points], isClosed=False, color=colour, thickness=2, lineType=cv2.LINE_AA)
        row = legend + 18 * number
        cv2.line(canvas, (RIGHT - 170, row - 4), (RIGHT - 145, row - 4), colour, 2)
        _say(canvas, name, (RIGHT - 138, row))
    cv2.rectangle(canvas, (LEFT, TOP), (RIGHT, BOTTOM), (0, 0, 0), 1)
    _say(canvas, title, (LEFT, TOP - 14))
    _say(canvas, across[0], ((LEFT + RIGHT) // 2, HEIGHT - 18))
    _say(canvas, up[0], (6, TOP - 14))
    return canvas


def _axis(scale: Scale, ticks: tuple[float, ...], first: int, last: int) -> Callable[..., NDArray[np.int64]]:
    """Values to pixels, with the first tick at `first` and the last one at `last`."""
    low, high = scale(np.array([ticks[0], ticks[-1]]))

    def place(values: NDArray[np.float64]) -> NDArray[np.int64]:
        inside = np.clip(values, ticks[0], ticks[-1])
        return np.asarray(np.rint(first + (scale(inside) - low) / (high - low) * (last - first)), np.int64)

    return place


def _say(canvas: NDArray[np.uint8], text: str, place: tuple[int, int]) -> None:
    cv2.putText(canvas, text, (int(place[0]), int(place[1])), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


HEAD = (
    f"{'setting':<8}{'method':<22}{'EER%':>8}{'FMR100%':>9}{'FMR1000%':>10}{'95 %':>16}{'change %':>14}"
    f"{'AUC':>8}{'G-mean':>8}{'I-mean':>8}{'FDR':>8}"
)
"""`95 %` is the interval of FMR1000, `change` that of its relative change against the baseline."""


def table(told: Mapping[str, Any]) -> str:
    """The measures of `evaluate.scores(...).told`, in per cent where they are rates."""
    parts = [("all photos", told["settings"])]
    if "drawn" in told:
        drawn = told["drawn"]
        parts.append((f"the first {drawn['photos']} photos, whose masks were drawn over", drawn["settings"]))
    lines = []
    for title, settings in parts:
        lines += [title, HEAD]
        lines += [_line(setting, name, row) for setting, rows in settings.items() for name, row in rows.items()]
    return "\n".join(lines)


def _line(setting: str, name: str, row: Mapping[str, Any]) -> str:
    between, changed = row["interval"]["fmr1000"], row["change"]["fmr1000"]
    return (
        f"{setting:<8}{name:<22}{100 * row['eer']:>8.2f}{100 * row['fmr100']:>9.2f}{100 * row['fmr1000']:>10.2f}"
        f"{_edges(between, '.1f'):>16}{_edges(changed, '+.0f'):>14}"
        f"{row['auc']:>8.4f}{row['genuine_mean']:>8.4f}{row['impostor_mean']:>8.4f}{row['fdr']:>8.3f}"
    )


def _edges(interval: Sequence[float] | None, form: str) -> str:
    return "?" if interval is None else " to ".join(format(100 * edge, form) for edge in interval)
