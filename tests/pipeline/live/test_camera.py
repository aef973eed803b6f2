"""Somebody watches, nobody does, and the camera is closed meanwhile."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from pipeline.live.camera import STEPS, CameraSource, Sitting
from pipeline.live.devices import LOOK_SECONDS, PATIENCE_SECONDS, Onlookers
from tests.pipeline.live_fakes import FakeCamera, Plugged

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("no_thread_left")]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found = [100.0]
    monkeypatch.setattr("pipeline.live.devices.time.monotonic", lambda: found[0])
    return found


def test_somebody_counts_as_watching_until_the_device_is_known(clock: list[float]) -> None:
    onlookers = Onlookers(lambda _device: ())
    clock[0] += 10 * PATIENCE_SECONDS
    assert onlookers()


def test_nobody_watches_only_after_a_while_and_the_next_one_at_once(clock: list[float]) -> None:
    watching: list[str] = []
    onlookers = Onlookers(lambda _device: tuple(watching))
    onlookers.device = Path("/dev/video9")
    clock[0] += PATIENCE_SECONDS - 0.1
    assert onlookers()
    clock[0] += 0.2
    assert not onlookers()
    watching.append("zoom (1)")
    clock[0] += LOOK_SECONDS
    assert onlookers()


def test_the_camera_is_closed_while_nobody_watches_and_opened_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.live.camera.WATCH_SECONDS", 0.01)
    opened: list[bool] = []
    asked = 0

    def wanted() -> bool:
        nonlocal asked
        asked += 1
        return not 3 <= asked < 10

    class Endless:
        name = "endless"

        @contextmanager
        def opened(self) -> Iterator[Iterator[av.VideoFrame]]:
            opened.append(True)
            try:
                yield self.pictures()
            finally:
                opened.append(False)

        def pictures(self) -> Iterator[av.VideoFrame]:
            while True:
                time.sleep(0.005)
                yield av.VideoFrame(16, 16, "yuv420p")

    said: list[str] = []
    source = CameraSource(Endless(), said.append, wanted=wanted)
    for frame in source:
        del frame
        if len(opened) == 3:
            source.stop()
    assert opened == [True, False, True, False]
    assert said == []
    assert source.stats.reopened == 0


def test_every_instruction_comes_in_order_and_the_camera_is_closed_at_the_end() -> None:
    camera, said = FakeCamera([Plugged(10_000)], fps=200), list[str]()
    frames = list(Sitting(camera, 0.5, said.append).frames())
    assert frames
    assert all(frame.time < 0.5 for frame in frames)
    assert [sentence.split(" (")[0] for sentence in said] == [step for _, step in STEPS]
    assert not camera.open_now
