"""Flash and beep: a camera and a microphone that are not there see and hear the same moments, and the virtual camera
shows by how much the drawn mouth is off the picture."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from engine.spec import TensorSpec
from pipeline.draw.sound import RATE
from pipeline.live.live import prepared
from pipeline.settings import values
from tests.pipeline.draw import made_sounds
from tests.pipeline.faces import MadeEngine
from tests.pipeline.live_fakes import FPS, HEIGHT, WIDTH, Around, Screen, always_there, lower_half_is_mask
from tests.stand_ins import StandInEngine, stand_in_networks

pyvirtualcam = pytest.importorskip("pyvirtualcam", reason="a virtual camera needs the extra `live`")

from pipeline.live.sinks import VirtualCamera  # noqa: E402 - it is what the skip above is for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import ExitStack

    from engine.spec import Array
    from pipeline.live.live import LiveRun, Sink

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("no_thread_left")]

EVERY, LONG = 0.71, 0.4
"""Seconds between two flashes, and how long flash and beep last."""
BLOCK = RATE // 100
LIPS = (slice(150, 200), slice(140, 180))
"""Where the drawn mouth is looked at."""
CORNER = (slice(0, 20), slice(0, 20))
MOST_OFF_MS = 45


def flashes(seconds: float) -> bool:
    """Whether there is flash and beep at a time."""
    return seconds >= EVERY and seconds % EVERY < LONG


@dataclass
class Both:
    """A camera and a microphone that see and hear one scene, by one clock."""

    seconds: float
    began: float = field(default_factory=lambda: time.perf_counter() + 0.5)
    name: str = "a scene"

    def __post_init__(self) -> None:
        glide = 150 * (1 + 0.3 * np.linspace(-0.5, 0.5, round(LONG * RATE)))
        beep = 0.4 * made_sounds.tones(glide, made_sounds.VOWELS[0])
        self.samples = np.zeros(round(self.seconds * RATE), np.float32)
        for first in range(round(EVERY * RATE), len(self.samples) - len(beep), round(EVERY * RATE)):
            self.samples[first : first + len(beep)] = beep

    def until(self, seconds: float) -> None:
        time.sleep(max(0.0, self.began + seconds - time.perf_counter()))

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[av.VideoFrame]]:
        yield self._pictures()

    def _pictures(self) -> Iterator[av.VideoFrame]:
        for number in range(round(self.seconds * FPS)):
            self.until(number / FPS)
            image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
            image[CORNER] = 235 if flashes(number / FPS) else 16
            yield av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")


@dataclass
class Heard:
    """The scene's sound as a microphone gives it: blocks of 10 ms, each when it is over."""

    scene: Both
    name: str = "the scene's microphone"

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[np.ndarray]]:
        yield self._blocks()

    def _blocks(self) -> Iterator[np.ndarray]:
        late = max(0, round((time.perf_counter() - self.scene.began) * 100))
        for first in range(late * BLOCK, len(self.scene.samples), BLOCK):
            self.scene.until((first + BLOCK) / RATE)
            yield self.scene.samples[first : first + BLOCK]


def opening_as_brightness(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Faces that are as bright as the generator was told that their mouths are open."""
    openings = np.clip(feeds["expression"][:, 0] / 2, -1, 1)
    return {"face": np.broadcast_to(openings[:, None, None, None], (len(openings), 3, 256, 256)).astype(np.float32)}


def seen(screen: Screen, place: tuple[slice, slice]) -> np.ndarray:
    """How bright a place of each picture is, from 0 to 1."""
    found = np.array([image[place].mean() for image in screen.images])
    return (found - found.min()) / (found.max() - found.min())


def begins(values: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """When values rise through a half, between two pictures by a line."""
    rising = np.flatnonzero((values[:-1] < 0.5) & (values[1:] >= 0.5))
    share = (0.5 - values[rising]) / (values[rising + 1] - values[rising])
    return moments[rising] + share * (moments[rising + 1] - moments[rising])


def test_the_drawn_mouth_opens_with_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, scene = Screen(), Both(seconds=8)
    monkeypatch.setattr("pyvirtualcam.camera.BACKENDS", {})
    pyvirtualcam.register_backend("fake", screen.backend())
    floats = np.dtype(np.float32)
    asks = (TensorSpec("crop_and_mask", (None, 4, 256, 256), floats), TensorSpec("expression", (None, 5), floats))
    networks = replace(
        stand_in_networks(always_there),
        segmenter=StandInEngine("mask", lower_half_is_mask),
        generator=MadeEngine(opening_as_brightness, inputs=asks),
    )

    def onto(picture: av.VideoFrame, stack: ExitStack) -> tuple[Sink, ...]:
        return (stack.enter_context(VirtualCamera(width=picture.width, height=picture.height, fps=FPS, device=None)),)

    def end(run: LiveRun, _tick: int) -> None:
        if time.perf_counter() > scene.began + scene.seconds - 0.5:
            run.stop()

    said: list[str] = []
    run = prepared(values.build({"microphone": "default"}), networks, said.append, scene, hearing=Heard(scene))
    run.show_until_end(Around(onto, {}, end))

    moments = np.array(screen.moments)
    flash, mouth = (begins(seen(screen, place), moments) for place in (CORNER, LIPS))
    off_ms = [1000 * (mouth[np.argmin(abs(mouth - moment))] - moment) for moment in flash]
    assert len(off_ms) >= 5
    assert abs(np.median(off_ms)) <= MOST_OFF_MS, off_ms
    assert said == []
