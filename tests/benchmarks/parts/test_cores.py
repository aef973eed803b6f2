"""Stages that sleep hold no more cores than there are, and every frame goes through every stage."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks.parts import cores
from benchmarks.profile import Meters
from pipeline.demo.clip import draw_frames
from pipeline.settings.values import build
from pipeline.video.stills import still_frame
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from collections.abc import Iterator


STAGES = {"decode": 1.0, "inpaint": 8.0, "blend": 4.0, "encode": 2.0}


class Sleepers:
    """Counts who sleeps at the same time; nobody really does."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.slept.append(seconds)
        with self.lock:
            self.now -= 1


@pytest.mark.parametrize("count", [1, 2])
def test_no_more_stages_work_than_there_are_cores(count: int) -> None:
    sleepers = Sleepers()
    assert cores.simulated_fps(STAGES, count, sleep=sleepers) > 0
    assert sleepers.most <= count
    assert sorted(sleepers.slept) == sorted(
        cores.SLOWER * milliseconds / 1000 for milliseconds in STAGES.values() for _ in range(cores.SIMULATED_FRAMES)
    )


def test_a_network_counts_by_its_calls_and_the_codec_by_all_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = {"decode": 0.1, "detect": 0.2, "segment": 0.1, "inpaint": 0.1, "encode": 0.05}
    calls = {"detector": 25, "segmenter": 100, "generator": 50}
    told = {"stages": {name: {"cpu": cpu} for name, cpu in stages.items()}, "network_calls": calls}
    clock = iter([5.0, 5.9])
    first = {"stages": {name: {"cpu": 9.0} for name in stages}, "network_calls": calls}
    answers = iter([first, told])

    @contextmanager
    def no_networks(_config: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(cores.load, "networks", no_networks)
    monkeypatch.setattr(cores, "make_clip", lambda folder, *_: folder / "clip.mp4")
    monkeypatch.setattr(cores.child, "whole", lambda *_: next(answers))
    monkeypatch.setattr(cores.child, "ceiling", lambda *_: {})
    monkeypatch.setattr(cores.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(cores, "_alone_ms", lambda _config: {"detector": 8.0, "segmenter": 2.0, "generator": 20.0})
    found = cores.measured_stages(build(), "640x480", 100)
    assert found == pytest.approx({"decode": 1.0, "detect": 4.0, "segment": 3.0, "inpaint": 11.0, "encode": 8.0})


def test_calls_are_counted_by_network() -> None:
    meters = Meters.on(stand_in_networks())
    (image,) = draw_frames(width=64, height=48, frames=1)
    meters.networks.detector(still_frame(image))
    assert meters.calls == {"detector": 1, "segmenter": 0, "generator": 0, "figure": 0}
