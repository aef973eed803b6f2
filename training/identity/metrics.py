"""How well scores tell the same person from another, in the words of ISO 19795-1 and of the paper's tables.

A score is the cosine of two embeddings: genuine ones compare a person with themself, impostor ones with others. At a
threshold t the false match rate (FMR) is the part of impostor scores >= t, the false non-match rate (FNMR) the part of
genuine scores < t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.floating]


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
