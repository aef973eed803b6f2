"""Where time goes is told apart: codec, networks, all else; blending beside copying; ratios beside the kept ones."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.parts import pipeline, smoke
from benchmarks.profile import Metered, MeteredDetector, Meters, Profile
from pipeline.demo.clip import draw_frames
from pipeline.video.stills import still_frame
from tests.stand_ins import StandInEngine, stand_in_networks

if TYPE_CHECKING:
    from pathlib import Path

    from engine.spec import Array

BUSY = {"decode": 1.0, "detect": 2.0, "blend": 4.0, "inpaint": 3.0, "encode": 2.0}


def profile(network_seconds: dict[str, float]) -> Profile:
    stages = {name: {"busy": seconds, "starved": 9.0} for name, seconds in BUSY.items()}
    return Profile.of(stages, network_seconds, frames=100)


def test_the_profile_by_hand() -> None:
    seen = profile({"detect": 1.5, "inpaint": 2.5})
    assert seen.slowest.name == "blend"
    assert seen.slowest.busy_ms == 40.0
    assert seen.overhead_share == pytest.approx((0.5 + 4.0 + 0.5) / 12)
    told = seen.as_json()
    assert told["most_overhead"] == ["blend", "detect", "inpaint"]
    assert told["ms_per_frame"]["detect"] == {"codec": 0.0, "network": 15.0, "own": 5.0}  # type: ignore[index]


def test_a_clock_that_rounds_makes_no_time_negative() -> None:
    seen = profile({"inpaint": 3.0001})
    assert min(stage.own_ms for stage in seen.stages) == 0.0


def slow(feed: Array) -> Array:
    time.sleep(0.01)
    return feed


def test_an_engines_calls_are_timed_and_what_it_gives_is_what_it_gives() -> None:
    engine = StandInEngine("face", slow)
    meter = Metered(engine)
    feed = np.ones((1, 2))
    np.testing.assert_array_equal(meter.run({"x": feed})["face"], feed)
    assert meter.asked_seconds >= 0.01
    before = meter.asked_seconds
    assert meter.submit({"x": feed}).result()["face"] is feed
    assert meter.asked_seconds >= before + 0.01  # the stand-in computes when it is asked
    assert meter.waited_seconds >= 0.0
    meter.close()
    assert engine.closed


def test_networks_are_metered_and_their_time_belongs_to_the_stage_that_waits() -> None:
    meters = Meters.on(stand_in_networks())
    assert isinstance(meters.detector, MeteredDetector)
    (image,) = draw_frames(width=64, height=48, frames=1)
    assert len(meters.networks.detector(still_frame(image))) == 1
    meters.segmenter.asked_seconds, meters.segmenter.waited_seconds = 1.0, 2.0
    meters.generator.asked_seconds, meters.generator.waited_seconds = 4.0, 8.0
    meters.figure.asked_seconds = 16.0
    told = meters.by_stage
    assert told["detect"] == meters.detector.asked_seconds > 0
    assert (told["align"], told["segment"], told["inpaint"]) == (1.0, 6.0, 24.0)


def test_blending_is_beside_copying_turn_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "ROUNDS", 3)
    monkeypatch.setattr(pipeline, "WARM_UP_ROUNDS", 1)
    seen = pipeline.measured_blending("320x240")
    assert len(seen.blend_ms) == len(seen.copy_ms) == 3
    assert seen.copies == pytest.approx([ours / copy for ours, copy in zip(seen.blend_ms, seen.copy_ms, strict=True)])


def test_what_is_blended_is_a_drawn_face() -> None:
    item = pipeline._drawn(320, 240)
    (patch,) = item.patches
    changed = np.abs(patch.image.astype(int) - patch.crop.image).mean(axis=2)
    hidden = patch.crop.mask > 0.9
    assert 0.05 < hidden.mean() < 0.5
    assert changed[hidden].mean() > 4 * changed[patch.crop.mask < 0.01].mean()


def told(**ratios: float) -> dict[str, object]:
    shown = {**dict.fromkeys(smoke.BETTER, 1.0), **ratios}
    return {
        "processor": "one",
        "machine": {"processor": "one"},
        "noise": {"worst_steal_share": 0.0},
        "ratios": shown,
    }


def test_only_what_got_worse_is_warned_of() -> None:
    before = told()
    measured = told(**{"pipeline over ceiling": 0.7, "four faces over one": 0.7, "blending over copying": 1.3})
    warned = [row.name for row in smoke.rows(measured, before) if row.warned_of]
    assert warned == ["pipeline over ceiling", "blending over copying"]
    assert smoke.table(measured, before).count("WARNING") == 2
    assert "WARNING" not in smoke.table(before, before)


def test_a_ratio_that_nobody_kept_yet_is_no_warning() -> None:
    assert "WARNING" not in smoke.table(told(**{"blending over copying": 99.0}), {"processor": "one", "ratios": {}})


def test_noise_and_another_processor_are_told() -> None:
    measured = told() | {"noise": {"worst_steal_share": 0.8}}
    said = smoke.table(measured, told() | {"processor": "two"})
    assert "of another processor: two" in said
    assert "80% of the time was stolen" in said


def test_the_kept_ratios_are_those_that_are_measured() -> None:
    for kept in smoke.all_committed():
        assert list(kept["ratios"]) == list(smoke.BETTER)
        assert all(value > 0 for value in kept["ratios"].values())
        assert kept["processor"]


def test_every_processor_has_ratios_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "FILE", tmp_path / "smoke.json")
    smoke.FILE.write_text(json.dumps([told()]))
    another = told(**{"four faces over one": 2.0}) | {"machine": {"processor": "two"}}
    smoke.keep(another)
    assert smoke.committed("two")["ratios"]["four faces over one"] == 2.0
    assert smoke.committed("one") == smoke.committed("three")
    smoke.keep(another | {"ratios": told()["ratios"]})
    assert [kept["processor"] for kept in smoke.all_committed()] == ["one", "two"]
    assert smoke.committed("two")["ratios"]["four faces over one"] == 1.0
