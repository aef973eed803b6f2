"""A live run is measured at both of its ends, by numbers in its pictures. Nothing here looks at a time."""

from __future__ import annotations

import time
import wave
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from benchmarks.child import BITS, ClipCamera, ClipSound, Room, Screen, read_number, write_number
from benchmarks.clips import make_clip
from benchmarks.parts import live
from benchmarks.parts.live import seen_in
from benchmarks.record import BenchmarkError
from pipeline.draw.sound import HOP, RATE
from pipeline.errors import SourceError
from pipeline.live.live import prepared
from pipeline.live.sinks import as_i420
from pipeline.settings.values import build
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from pathlib import Path

GIVEN = [index / 30 for index in range(200)]


def shown(*, late: float = 0.05, count: int = 200) -> list[tuple[int, float]]:
    return [(number, GIVEN[number] + late) for number in range(count)]


@pytest.mark.parametrize("number", [0, 1, 12345, 2**BITS - 1])
def test_a_number_survives_the_way_to_the_screen(number: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    picture = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format="yuv420p")
    samples = as_i420(write_number(picture, number), 320, 240)
    assert read_number(samples[: 320 * 240].reshape(240, 320)) == number


def test_ages_are_counted_once_and_the_warm_up_is_left_out() -> None:
    seen = seen_in(GIVEN, shown(), warm_up_seconds=1.0)
    assert len(seen.ages_ms) == 170
    assert seen.ages_ms == pytest.approx([50.0] * 170)
    assert (seen.dropped, seen.repeated, seen.out_of_order) == (0, 0, 0)
    assert seen.fps == pytest.approx(30.0)
    assert seen.between(0, 1) == {"p50": 50.0, "p95": 50.0, "p99": 50.0}
    assert seen.between(100, 200) is None


def test_drops_repeats_and_disorder_are_counted() -> None:
    pictures = shown()
    pictures[60] = (59, pictures[60][1])  # again, in place of one that is dropped
    pictures[90] = (85, pictures[90][1])  # an old one, likewise
    seen = seen_in(GIVEN, pictures, warm_up_seconds=0.0)
    assert (seen.dropped, seen.repeated, seen.out_of_order) == (2, 1, 1)
    assert len(seen.ages_ms) == 198


def test_a_picture_that_was_never_given_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="the number is misread"):
        seen_in(GIVEN[:100], shown(), warm_up_seconds=0.0)
    with pytest.raises(BenchmarkError, match="before the camera gave it"):
        seen_in(GIVEN, shown(late=-0.1), warm_up_seconds=0.0)


def test_too_few_pictures_are_an_error() -> None:
    with pytest.raises(BenchmarkError, match="nothing was shown"):
        seen_in(GIVEN, [], warm_up_seconds=0.0)
    with pytest.raises(BenchmarkError, match="20 pictures were shown after the warm-up"):
        seen_in(GIVEN, shown(count=20), warm_up_seconds=0.0)


def test_the_stand_ins_are_run_by_the_programs_own_code(tmp_path: Path) -> None:
    camera = ClipCamera(make_clip(tmp_path, "320x240", 6), fps=30)
    room = Room(seconds=0.5)
    run = prepared(build({"threads": 1}), stand_in_networks(), lambda _sentence: None, camera)
    run.show_until_end(room)
    assert isinstance(room.screen, Screen)
    numbers = room.screen.numbers
    assert numbers == sorted(numbers)
    assert set(numbers) <= set(range(len(camera.given)))
    assert all(moment >= camera.given[number] for number, moment in zip(numbers, room.screen.moments, strict=True))
    assert room.memory_mb


def test_a_recording_is_heard_again_and_again_in_real_time(tmp_path: Path) -> None:
    path, samples = tmp_path / "sound.wav", np.round(np.linspace(-0.5, 0.5, 400) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())

    began = time.perf_counter()
    with ClipSound(path).opened() as blocks:
        heard = np.concatenate([next(blocks) for _ in range(10)])
    assert time.perf_counter() - began >= 10 * HOP / RATE
    assert heard == pytest.approx(np.resize(samples / 32768, 10 * HOP), abs=1e-4)


def test_a_recording_that_cannot_be_read_is_told_of_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no\.wav"):
        live.measure(live.LivePlan(sound=tmp_path / "no.wav"), lambda _text: None)


def test_what_came_of_a_run_is_a_document(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del tmp_path
    pictures = [(number, index / 30 + 0.05) for index, number in enumerate(range(600))]
    report = {"error": None, "failed": 0, "shown": 600, "masked_faces": 600, "stages": {}, "engine": "stand-in"}
    given = [index / 30 for index in range(600)]
    told = {"given": given, "shown": pictures, "memory_mb": [300.0] * 10, "report": report}
    monkeypatch.setattr(live, "answer_of_child", lambda _asked: told)
    monkeypatch.setattr(live, "make_clip", lambda *_: "clip.mp4")
    measured = live.measure(live.LivePlan(minutes=0.25), lambda _text: None)
    assert (measured["fps"], measured["dropped"], measured["memory_growth_mb"]) == (30.0, 0, 0.0)
    assert measured["age_ms"] == measured["last_minute_age_ms"] == {"p50": 50.0, "p95": 50.0, "p99": 50.0}
    report["masked_faces"] = 100
    with pytest.raises(BenchmarkError, match="in 100 of 600 pictures only"):
        live.measure(live.LivePlan(minutes=0.25), lambda _text: None)
