"""What an evaluation found, for a person: lines of measures, and ROC and DET curves as pictures."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from training.identity.metrics import Rates

    Axis = tuple[str, Callable[[NDArray[np.float64]], NDArray[np.float64]], tuple[float, ...]]
    """A name, a scale, and the ticks, of which the first and the last are the ends."""

FMR_TICKS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 0.5)
DET_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 0.8, 0.95)
ROC_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def roc(curves: Mapping[str, Rates], title: str) -> Figure:
    """1 - FNMR over FMR, which is on a logarithmic scale."""
    lines = {name: (np.append(1.0, rates.fmr), np.append(1.0, 1 - rates.fnmr)) for name, rates in curves.items()}
    return _plot(lines, title, ("FMR", np.log10, FMR_TICKS), ("1 - FNMR", np.asarray, ROC_TICKS), legend="lower right")


def det(curves: Mapping[str, Rates], title: str) -> Figure:
    """FNMR over FMR, both on the scale of normal deviates, where normal scores give straight lines."""
    lines = {name: (np.append(1.0, rates.fmr), np.append(0.0, rates.fnmr)) for name, rates in curves.items()}
    return _plot(lines, title, ("FMR", _deviates, FMR_TICKS), ("FNMR", _deviates, DET_TICKS), legend="upper right")


def _deviates(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([NormalDist().inv_cdf(rate) for rate in rates])


def _plot(
    lines: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    title: str,
    across: Axis,
    up: Axis,
    *,
    legend: Literal["lower right", "upper right"],
) -> Figure:
    """Lines between the axes; what lies outside the first and the last tick is drawn on the edge."""
    from matplotlib.figure import Figure  # only who asks for curves needs it

    figure = Figure((7.6, 5.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for name, (x, y) in lines.items():
        axes.plot(
            *(axis[1](np.clip(values, axis[2][0], axis[2][-1])) for values, axis in ((x, across), (y, up))), label=name
        )

    for axis, values in ((axes.xaxis, across), (axes.yaxis, up)):
        name, scale, ticks = values
        places = scale(np.array(ticks))
        axis.set_ticks(places, [f"{tick:g}" for tick in ticks])
        axis.set_view_interval(places[0], places[-1], ignore=True)
        axis.set_label_text(name)
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.35)
    axes.legend(loc=legend)
    return figure


def write(path: Path, figure: Figure) -> None:
    """Write a PNG. Raises `SinkError` when it can't be written."""
    try:
        figure.savefig(path)
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror or error}") from error


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
