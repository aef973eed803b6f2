"""How well scores tell the same person from another, in the words of ISO 19795-1 and of the paper's tables.

A score is the cosine of two embeddings: genuine ones compare a person with themself, impostor ones with others. At a
threshold t the false match rate (FMR) is the part of impostor scores >= t, the false non-match rate (FNMR) the part of
genuine scores < t.

A bootstrap over people says how sure a measure is. Scores of one person hang together, and an impostor score belongs
to two people. People are drawn with replacement; a genuine score weighs as often as its person was drawn, an impostor
score as the product of both (Bolle et al. 2004, the "subsets bootstrap", with both owners counted).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.errors import SinkError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.floating]
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    Axis = tuple[str, Callable[[NDArray[np.float64]], NDArray[np.float64]], tuple[float, ...]]
    """A name, a scale, and the ticks, of which the first and the last are the ends."""


@dataclass(frozen=True)
class Rates:
    """FMR and FNMR where the threshold is a genuine score, rising, and beyond them all.

    Between two genuine scores the FNMR stays and the FMR is lowest at the upper one: nothing better lies between.
    """

    threshold: NDArray[np.float64]
    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]

    @classmethod
    def of(cls, genuine: Scores, impostor: Scores) -> Rates:
        """Raises `ValueError` unless there is a score of each kind."""
        if not len(genuine) or not len(impostor):
            raise ValueError(f"{len(genuine)} genuine and {len(impostor)} impostor scores: both are needed")
        threshold = np.append(np.unique(genuine).astype(np.float64), np.inf)
        return cls(threshold, *rates_at(genuine, impostor, threshold))

    @property
    def eer(self) -> float:
        """The error rate where FMR and FNMR are equal: the mean of both where they come nearest."""
        nearest = int(np.argmin(np.abs(self.fmr - self.fnmr)))
        return float(self.fmr[nearest] + self.fnmr[nearest]) / 2

    def fnmr_at(self, fmr: float) -> float:
        """The lowest FNMR at an FMR of at most `fmr`: at 1 % it is called FMR100, at 0.1 % FMR1000."""
        return float(self.fnmr[self.fmr <= fmr][0])


def threshold_at(impostor: Scores, fmr: float) -> float:
    """The lowest threshold with an FMR of at most `fmr`, less than 1."""
    too_many = int(fmr * len(impostor) + 1e-9)
    highest = np.partition(impostor, len(impostor) - 1 - too_many)[len(impostor) - 1 - too_many]
    return float(np.nextafter(np.float64(highest), np.inf))


def area(genuine: Scores, impostor: Scores) -> float:
    """AUC, the area under the ROC curve: how often a genuine score is above an impostor one, ties counting half."""
    low = np.sort(impostor)
    below, not_above = (np.searchsorted(low, genuine, side=side).mean() for side in ("left", "right"))
    return float(below + not_above) / 2 / len(low)


def rates_at(
    genuine: Scores, impostor: Scores, threshold: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """FMR and FNMR at each threshold."""
    low, high = np.sort(genuine).astype(np.float64), np.sort(impostor).astype(np.float64)
    fnmr = np.searchsorted(low, threshold, side="left") / len(low)
    fmr = (len(high) - np.searchsorted(high, threshold, side="left")) / len(high)
    return fmr, fnmr


def fisher_ratio(genuine: Scores, impostor: Scores) -> float:
    """FDR: the squared distance of the two means, over the sum of the variances."""
    spread = float(np.var(genuine) + np.var(impostor))
    return float((np.mean(genuine) - np.mean(impostor)) ** 2) / max(spread, 1e-12)


def summary(genuine: Scores, impostor: Scores) -> dict[str, float]:
    """The measures of the tables, by the names that the JSON uses."""
    rates = Rates.of(genuine, impostor)
    return {
        "eer": rates.eer,
        "fmr100": rates.fnmr_at(0.01),
        "fmr1000": rates.fnmr_at(0.001),
        "auc": area(genuine, impostor),
        "genuine_mean": float(np.mean(genuine)),
        "impostor_mean": float(np.mean(impostor)),
        "fdr": fisher_ratio(genuine, impostor),
    }


HIGHEST, FEWEST = 0.12, 20_000
"""The part of the impostor scores that is kept, the highest: every error rate up to this is exact. Of few all are."""


@dataclass(frozen=True)
class Comparisons:
    """All scores of a method in a setting, and whose they are."""

    genuine: NDArray[np.float32]
    """(G,)"""
    owner: NDArray[np.int64]
    """(G,) the person of each, from 0."""
    impostor: NDArray[np.float32]
    """(I,)"""
    one: NDArray[np.int64]
    other: NDArray[np.int64]
    """(I,) the two people of each."""


@dataclass(frozen=True)
class Resampled:
    """Comparisons made ready to be weighed again and again."""

    genuine: NDArray[np.float32]
    """(G,) rising."""
    owner: NDArray[np.int64]
    impostor: NDArray[np.float32]
    """(H,) falling: the highest."""
    one: NDArray[np.int64]
    other: NDArray[np.int64]
    counts: NDArray[np.float64]
    """(people, people) how many impostor comparisons each two have."""

    @classmethod
    def of(cls, scores: Comparisons, people: int) -> Resampled:
        """Sorted, with the highest impostors alone."""
        rising = np.argsort(scores.genuine, kind="stable")

        kept = max(min(FEWEST, len(scores.impostor)), round(HIGHEST * len(scores.impostor)))
        highest = np.argpartition(-scores.impostor, kept - 1)[:kept]
        falling = highest[np.argsort(-scores.impostor[highest], kind="stable")]

        counts = np.bincount(scores.one * people + scores.other, minlength=people**2).reshape(people, people)
        return cls(
            scores.genuine[rising],
            scores.owner[rising],
            scores.impostor[falling],
            scores.one[falling],
            scores.other[falling],
            counts.astype(np.float64),
        )

    def measures(self, drawn: NDArray[np.float64]) -> tuple[float, float, float]:
        """EER, FMR100 and FMR1000 when each person weighs `drawn` (people,).

        NaN for an EER above `HIGHEST`, and for all when there is nothing to compare among those drawn.
        """
        comparisons = drawn @ self.counts @ drawn
        if not comparisons or not drawn[self.owner].any():
            return (float("nan"),) * 3
        below = np.concatenate([[0.0], np.cumsum(drawn[self.owner])])
        fmr = np.cumsum(drawn[self.one] * drawn[self.other]) / comparisons
        fnmr = below[np.searchsorted(self.genuine, self.impostor, side="left")] / below[-1]
        crossing = int(np.searchsorted(fmr - fnmr, 0.0))
        eer = float(fmr[crossing] + fnmr[crossing]) / 2 if crossing < len(fmr) else float("nan")
        return eer, self._missed(below, fmr, 0.01), self._missed(below, fmr, 0.001)

    def _missed(self, below: NDArray[np.float64], fmr: NDArray[np.float64], most: float) -> float:
        """FNMR where the FMR is `most` at most: just above the first impostor score that is one too many."""
        first = min(int(np.searchsorted(fmr, most, side="right")), len(fmr) - 1)
        return float(below[np.searchsorted(self.genuine, self.impostor[first], side="right")] / below[-1])


def draws(people: int, count: int, seed: int) -> NDArray[np.float64]:
    """(count, people) how often each person is drawn, the same for every method, so that methods can be compared."""
    return np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=count).astype(np.float64)


def interval(values: NDArray[np.float64]) -> list[float] | None:
    """The middle 95 % of `values`, those left out that are no numbers; None when these are more than the others."""
    numbers = values[np.isfinite(values)]
    return [float(edge) for edge in np.quantile(numbers, [0.025, 0.975])] if 2 * len(numbers) > len(values) else None


def change(values: NDArray[np.float64], before: NDArray[np.float64]) -> list[float] | None:
    """The middle 95 % of the relative change of `values` from those `before`, draw by draw, as `interval` has it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return interval(values / before - 1)


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
