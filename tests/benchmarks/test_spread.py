"""What samples come to, by laws and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.spread import Interval, factor_between, spread_of

TIMES = st.lists(st.floats(0.1, 1000), min_size=1, max_size=40)


def test_figures_by_hand() -> None:
    seen = spread_of([*range(1, 101)])
    assert (seen.count, seen.median) == (100, 50.5)
    assert seen.p95 == pytest.approx(95.05)
    assert seen.p99 == pytest.approx(99.01)


@settings(deadline=None)
@given(TIMES)
def test_the_interval_holds_between_the_extremes(values: list[float]) -> None:
    seen = spread_of(values)
    assert min(values) <= seen.interval.low <= seen.interval.high <= max(values)
    assert seen.median <= seen.p95 <= seen.p99


@settings(deadline=None)
@given(TIMES, st.floats(0.2, 5))
def test_a_factor_that_all_samples_share_is_told_exactly(values: list[float], factor: float) -> None:
    found, interval = factor_between(values, [factor * value for value in values])
    assert found == pytest.approx(factor)
    assert (interval.low, interval.high) == (pytest.approx(factor), pytest.approx(factor))


def test_pairs_cancel_what_happens_in_both_runs() -> None:
    drift = np.linspace(1, 3, 12)
    _, paired = factor_between(10 * drift, 11 * drift)
    _, alone = factor_between(10 * drift, (11 * drift)[:-1])
    assert paired.outside(1, 1.05)
    assert not alone.outside(1, 1.05)


def test_samples_that_wander_widen_the_interval_by_more_than_as_many_that_jump() -> None:
    random = np.random.default_rng(4)
    jumps = random.normal(100, 5, 400)
    wanders = np.repeat(random.normal(100, 5, 20), 20)
    widths = [
        np.subtract(*(spread_of(values).interval.high, spread_of(values).interval.low)) for values in (jumps, wanders)
    ]
    assert widths[1] > 2 * widths[0]


def test_an_interval_is_outside_only_when_all_of_it_is() -> None:
    assert Interval(1.1, 1.2).outside(0.97, 1.03)
    assert Interval(0.8, 0.9).outside(0.97, 1.03)
    assert not Interval(0.9, 1.1).outside(0.97, 1.03)
    assert not Interval(1.0, 1.2).outside(0.97, 1.03)


def test_no_samples_and_no_factors_are_errors() -> None:
    with pytest.raises(ValueError, match="no samples"):
        spread_of([])
    with pytest.raises(ValueError, match="above 0"):
        factor_between([1.0], [0.0])
