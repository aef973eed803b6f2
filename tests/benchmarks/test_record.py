"""One schema for every part, and a reader that says what is wrong with a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import machine, parts, record
from benchmarks.machine import Noise, Ticks
from benchmarks.record import BenchmarkError, Interval, factor_between, spread_of
from pipeline.errors import SourceError
from tests.benchmarks import documents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


EACH = [
    documents.pipeline,
    documents.engines,
    documents.live,
    documents.quality,
    documents.scale,
    documents.cores,
    documents.peers,
]


@pytest.mark.parametrize("made", EACH, ids=lambda made: made.__name__)
def test_every_part_is_of_the_schema_and_comes_back_from_a_file(
    made: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "part.json"
    path.write_text(json.dumps(made()))
    whole = record.read(path)
    assert whole["schema"] == record.SCHEMA
    assert {"processor", "cores", "features", "memory_gib", "gpus", "versions", "commit", "taken"} <= set(
        whole["machine"]
    )
    assert record.parts_of(whole) == {made.__name__: whole}
    for series in whole["series"]:
        assert series["interval"][0] <= series["median"] <= series["interval"][1]
        assert series["median"] <= series["p95"] <= series["p99"]


def test_all_parts_in_one_document() -> None:
    whole = json.loads(json.dumps(documents.everything()))
    record.check(whole)
    assert list(parts.shown(whole)) == ["pipeline", "engines", "live", "quality", "scale", "cores", "peers"]
    assert "live/age" in record.series_of(whole)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda whole: whole.update(schema=7), "schema 7 is another one than 1: measure again"),
        (lambda whole: whole.pop("machine"), "no 'machine'"),
        (lambda whole: whole["series"][0].pop("unit"), "no 'unit'"),
        (lambda whole: whole["series"][0].update(values=[]), "has no samples"),
        (lambda whole: whole["series"][0].update(better="up"), "which way is better"),
    ],
)
def test_what_is_none_of_ours_is_told(spoil: Callable[[dict[str, Any]], object], says: str, tmp_path: Path) -> None:
    whole = documents.pipeline()
    spoil(whole)
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(whole))
    with pytest.raises(BenchmarkError, match=says):
        record.read(path)


def test_a_file_that_is_not_there_or_no_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="can't be read"):
        record.read(tmp_path / "none.json")
    path = tmp_path / "text.json"
    path.write_text("fast")
    with pytest.raises(BenchmarkError, match="is not JSON"):
        record.read(path)


def test_stolen_time_is_read_from_the_system() -> None:
    assert Ticks(1200.0, 160.0).stolen_since(Ticks(1000.0, 60.0)) == 0.5
    seen = Ticks.now()
    if seen is None:
        pytest.skip("this system does not tell what was stolen")
    assert 0 <= seen.stolen < seen.total


def test_the_worst_second_does_not_come_from_a_part_of_one() -> None:
    looks = [Ticks(0, 0), Ticks(200, 20), Ticks(400, 30), Ticks(402, 32)]
    told = Noise(looks, load_before=None).as_json()
    assert told == {"steal_share": pytest.approx(32 / 402, abs=1e-4), "worst_steal_share": 0.1, "load_before": None}


def test_noise_is_watched_and_leaves_no_thread() -> None:
    with Noise() as noise:
        pass
    told = noise.as_json()
    assert told["steal_share"] is None or 0 <= told["steal_share"] <= 1


def test_features_that_programs_are_not_told_of_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ["avx2", "avx512f", "avx512_bf16", "amx_int8", "f16c"]
    monkeypatch.setattr(machine.cv2, "getCPUFeaturesLine", lambda: "SSE *AVX2 *AVX512-SKX")
    assert machine.visible(listed) == listed
    monkeypatch.setattr(machine.cv2, "getCPUFeaturesLine", lambda: "SSE *AVX2 *AVX512-SKX?")
    assert machine.visible(listed) == ["avx2", "f16c"]


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
