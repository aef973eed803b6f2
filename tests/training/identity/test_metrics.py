from __future__ import annotations

import numpy as np
import pytest

from training.identity.metrics import (
    Comparisons,
    Rates,
    Resampled,
    area,
    draws,
    fisher_ratio,
    rates_at,
    summary,
    threshold_at,
)


def some(seed: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    genuine, impostor = draw.normal(1, 1, 40), draw.normal(-1, 1, 300)
    return (genuine.round(1), impostor.round(1)) if ties else (genuine, impostor)


def every_threshold(genuine: np.ndarray, impostor: np.ndarray) -> list[tuple[float, float]]:
    """FMR and FNMR at each threshold that could matter, counted one by one."""
    thresholds = [*sorted({*genuine, *impostor}), np.inf]
    return [(float(np.mean(impostor >= threshold)), float(np.mean(genuine < threshold))) for threshold in thresholds]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_measures_are_those_of_counting(seed: int, ties: bool) -> None:
    genuine, impostor = some(seed, ties=ties)
    rates, counted = Rates.of(genuine, impostor), every_threshold(genuine, impostor)
    for most in (0.1, 0.01, 0.001):
        assert rates.fnmr_at(most) == pytest.approx(min(missed for matched, missed in counted if matched <= most))
        threshold = threshold_at(impostor, most)
        assert np.mean(impostor >= threshold) <= most
        assert np.mean(impostor >= np.nextafter(threshold, -np.inf)) > most
    best = min(abs(matched - missed) for matched, missed in counted)
    nearest = next(pair for pair in counted if abs(pair[0] - pair[1]) == best)
    assert rates.eer == pytest.approx(sum(nearest) / 2, abs=1 / len(genuine)), "one genuine score more or less"
    wins = np.mean((genuine[:, None] > impostor) + 0.5 * (genuine[:, None] == impostor))
    assert area(genuine, impostor) == pytest.approx(wins)


def test_rates_by_hand() -> None:
    genuine, impostor = np.array([0.2, 0.6, 0.9]), np.array([0.1, 0.3, 0.6, 0.7])
    fmr, fnmr = rates_at(genuine, impostor, np.array([0.6, 0.65]))
    assert fmr.tolist() == [0.5, 0.25]
    assert fnmr.tolist() == pytest.approx([1 / 3, 2 / 3])


def test_fisher_ratio_by_hand() -> None:
    """Means 2 and -1, variances 1 and 4."""
    assert fisher_ratio(np.array([1.0, 3.0]), np.array([-3.0, 1.0])) == pytest.approx(9 / 5)


def test_measures_have_the_names_of_the_tables() -> None:
    keys = ["eer", "fmr100", "fmr1000", "auc", "genuine_mean", "impostor_mean", "fdr"]
    assert list(summary(*some(0))) == keys


def test_scores_of_one_kind_alone_say_nothing() -> None:
    with pytest.raises(ValueError, match="both are needed"):
        Rates.of(np.array([1.0]), np.array([]))


def made(people: int = 12, photos: int = 4) -> Comparisons:
    """Scores of photos of random vectors, each near its person's."""
    draw = np.random.default_rng(5)
    owner = np.repeat(np.arange(people), photos)
    vectors = draw.normal(size=(people, 6))[owner] + draw.normal(size=(people * photos, 6))
    scores = (vectors @ vectors.T).astype(np.float32)
    one, two = np.triu_indices(len(owner), 1)
    same = owner[one] == owner[two]
    cross = ~same
    return Comparisons(
        scores[one, two][same], owner[one][same], scores[one, two][cross], owner[one][cross], owner[two][cross]
    )


def repeated(scores: Comparisons, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores of a draw written out: each as often as its people were drawn."""
    times = (drawn[scores.one] * drawn[scores.other]).astype(int)
    return np.repeat(scores.genuine, drawn[scores.owner].astype(int)), np.repeat(scores.impostor, times)


def test_weighing_scores_is_repeating_them() -> None:
    scores = made()
    ready = Resampled.of(scores, 12)
    for drawn in [np.ones(12), *draws(12, 6, seed=1)]:
        eer, fmr100, fmr1000 = ready.measures(drawn)
        rates = Rates.of(*repeated(scores, drawn))
        assert fmr100 == pytest.approx(rates.fnmr_at(0.01))
        assert fmr1000 == pytest.approx(rates.fnmr_at(0.001))
        assert np.isnan(eer) or eer == pytest.approx(rates.eer, abs=0.02)


def test_draws_are_of_as_many_people_as_there_are_and_the_same_for_every_method() -> None:
    assert (draws(30, 10, seed=0).sum(1) == 30).all()
    assert (draws(30, 10, seed=0) == draws(30, 10, seed=0)).all()
