"""The median of samples, their percentiles, and how far the noise of the machine may have moved them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RESAMPLES = 1000
"""How often a bootstrap draws the samples anew."""
AT_ONCE = 50
"""How many of those drawings are in memory together: a live run has thousands of samples."""
CONFIDENCE = 0.95
"""How sure it is that the true median lies in an interval."""


@dataclass(frozen=True)
class Interval:
    """Where a figure may lie, ends included."""

    low: float
    high: float

    def outside(self, low: float, high: float) -> bool:
        """Whether it lies wholly below `low` or wholly above `high`."""
        return self.high < low or self.low > high


@dataclass(frozen=True)
class Spread:
    """The figures of samples."""

    count: int
    median: float
    p95: float
    p99: float
    interval: Interval
    """Where the true median may lie."""


def spread_of(values: Sequence[float]) -> Spread:
    """The figures of samples in the order in which they were taken. Raises `ValueError` when there are none."""
    samples = _checked(values)
    median, p95, p99 = (float(np.percentile(samples, share)) for share in (50, 95, 99))
    return Spread(len(samples), median, p95, p99, _interval(_medians(samples)))


def factor_between(before: Sequence[float], after: Sequence[float]) -> tuple[float, Interval]:
    """By what factor the median changed, and the interval of that factor.

    As many samples on both sides are taken in pairs, turn by turn, so that what happens in every run at the same turn
    (warming up, filling up) cancels; else both sides vary by themselves. Raises `ValueError` for none, or values that
    are not above 0.
    """
    first, second = _checked(before), _checked(after)
    if min(first.min(), second.min()) <= 0:
        raise ValueError("a factor needs samples above 0")

    if len(first) == len(second):
        factors = np.log(second / first)
        return math.exp(float(np.median(factors))), _interval(np.exp(_medians(factors)))
    factor = float(np.median(second) / np.median(first))
    return factor, _interval(_medians(second) / _medians(first, seed=2))


def _checked(values: Sequence[float]) -> NDArray[np.float64]:
    samples = np.asarray(values, np.float64)
    if not samples.size:
        raise ValueError("there are no samples")
    return samples


def _medians(samples: NDArray[np.float64], *, seed: int = 1) -> NDArray[np.float64]:
    """(RESAMPLES,): of samples drawn anew in blocks of neighbours, since slow moments outlast a sample.

    The circular block bootstrap (Politis and Romano 1992) with blocks of the root of n.
    """
    count = len(samples)
    length = math.isqrt(count)
    random = np.random.default_rng(seed)

    medians = []
    for _ in range(0, RESAMPLES, AT_ONCE):
        starts = random.integers(0, count, (AT_ONCE, -(-count // length)))
        places = (starts[..., None] + np.arange(length)).reshape(AT_ONCE, -1)[:, :count] % count
        medians.append(np.median(samples[places], axis=1))
    return np.concatenate(medians)


def _interval(medians: NDArray[np.float64]) -> Interval:
    rest = 50 * (1 - CONFIDENCE)
    return Interval(float(np.percentile(medians, rest)), float(np.percentile(medians, 100 - rest)))
