"""A camera and a virtual camera that are not there: for the tests of live runs.

The camera gives numbered pictures in real time and does what its script says; the virtual camera stands behind the real
pyvirtualcam and reads the numbers of what it is sent.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from engine.spec import Done
from pipeline.errors import EngineError, SourceError
from pipeline.frames import Detection
from pipeline.geometry import Box, Landmarks
from tests.pipeline.clips import BITS, BLOCK, number_in, picture
from tests.pipeline.faces import CROP
from tests.stand_ins import flat_colour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import ExitStack

    from numpy.typing import NDArray

    from engine.spec import Array, TensorSpec
    from pipeline.frames import Frame
    from pipeline.live.live import LiveRun, Sink
    from pipeline.live.sinks import Key

WIDTH, HEIGHT, FPS = 320, 240, 30


@dataclass(frozen=True)
class Plugged:
    """How a camera behaves from being plugged in until it is gone."""

    pictures: int
    width: int = WIDTH
    height: int = HEIGHT
    hiccup_at: int | None = None
    """Before this picture it stays silent for `hiccup_seconds`."""
    hiccup_seconds: float = 0.0
    refuses: str | None = None
    """It can't be opened, and this is why."""


def seen(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """(height, width, 3) RGB: what the camera sees, a still scene with the picture's number as blocks on top."""
    image = picture(0, width, height, False)  # noqa: FBT003 - no flash
    for bit in range(BITS):
        image[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 235 if number >> bit & 1 else 20
    return image


@dataclass
class FakeCamera:
    """Each time it is opened it goes on with the next part of its script; at the end of a part it is unplugged."""

    parts: Sequence[Plugged]
    fps: float = FPS
    name: str = "fake camera"
    opened_times: int = 0
    open_now: bool = False
    given: int = 0

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[av.VideoFrame]]:
        part = self.parts[min(self.opened_times, len(self.parts) - 1)]
        self.opened_times += 1
        if part.refuses:
            raise SourceError(part.refuses)
        self.open_now = True
        try:
            yield self._pictures(part)
        finally:
            self.open_now = False

    def _pictures(self, part: Plugged) -> Iterator[av.VideoFrame]:
        due = time.perf_counter()
        for index in range(part.pictures):
            due += 1 / self.fps
            if index == part.hiccup_at:
                due += part.hiccup_seconds
            time.sleep(max(0.0, due - time.perf_counter()))
            self.given += 1
            image = seen(self.given, part.width, part.height)
            yield av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        raise SourceError(f"{self.name} is gone: plug it in again")


@dataclass
class Screen:
    """What a virtual camera was sent, shared by the backends that pyvirtualcam makes."""

    numbers: list[int] = field(default_factory=list)
    """Of the pictures, 0 for black."""
    moments: list[float] = field(default_factory=list)
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    """(height, width, 3) RGB of every picture."""
    size: tuple[int, int] | None = None
    open_now: int = 0
    closed: int = 0
    fails_at: int | None = None
    """Its consumer is gone at this picture."""

    def backend(self) -> type:
        """A backend class, as pyvirtualcam wants it."""
        screen = self

        class Backend:
            def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None) -> None:
                del fps, fourcc
                if device not in (None, "fake"):
                    raise RuntimeError(f"Device {device} does not exist.")
                screen.size = width, height
                screen.open_now += 1

            def close(self) -> None:
                screen.open_now -= 1
                screen.closed += 1

            def send(self, frame: NDArray[np.uint8]) -> None:
                if screen.fails_at == len(screen.numbers):
                    raise RuntimeError("VIDIOC_QBUF: no such device")
                assert screen.size is not None
                width, height = screen.size
                planes = av.VideoFrame.from_ndarray(frame.reshape(height * 3 // 2, width), format="yuv420p")
                image = planes.to_ndarray(format="rgb24")
                screen.numbers.append(number_in(image))
                screen.moments.append(time.perf_counter())
                screen.images.append(image)

            def device(self) -> str:
                return "fake"

            def native_fourcc(self) -> None:
                return None

        return Backend

    @property
    def fresh(self) -> list[int]:
        """The numbers without repetitions."""
        return [number for before, number in zip([0, *self.numbers], self.numbers, strict=False) if number != before]


@dataclass
class Around:
    """Surroundings of a run for tests: sinks of the test, keys by frame, and an end after so many ticks."""

    opens: Callable[[av.VideoFrame, ExitStack], tuple[Sink, ...]]
    keys_at: Mapping[int, Key] = field(default_factory=dict)
    at_tick: Callable[[LiveRun, int], None] = lambda _run, _tick: None
    ticks: int = 0

    def sinks(self, shown: av.VideoFrame, stack: ExitStack) -> tuple[Sink, ...]:
        return self.opens(shown, stack)

    def pressed(self) -> Iterator[Key]:
        if self.ticks in self.keys_at:
            yield self.keys_at[self.ticks]

    def show_status(self, run: LiveRun) -> None:
        self.ticks += 1
        self.at_tick(run, self.ticks)


FACE = np.array([[130, 110], [190, 110], [160, 145], [138, 172], [182, 172]], np.float32)
"""Landmarks of a face that is always there, in a picture of 320x240."""


def always_there(_frame: Frame) -> tuple[Detection, ...]:
    """A detector that sees `FACE` in every frame."""
    return (Detection(Box(90.0, 60.0, 230.0, 220.0), Landmarks(FACE), 0.99),)


@dataclass
class SlowEngine:
    """A network that takes its time, and fails when it is told to."""

    seconds: float = 0.0
    fails: Callable[[int], bool] = lambda _call: False
    name: str = "face"
    outputs_of: Callable[[Array], Array] = flat_colour
    description: str = "slow"
    inputs: tuple[TensorSpec, ...] = (CROP,)
    outputs: tuple[TensorSpec, ...] = ()
    calls: int = 0
    moments: list[float] = field(default_factory=list)
    """When each call was through."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.calls += 1
        time.sleep(self.seconds)
        self.moments.append(time.perf_counter())
        if self.fails(self.calls):
            raise EngineError("the device was lost")
        (feed,) = feeds.values()
        return {self.name: self.outputs_of(feed)}

    def submit(self, feeds: Mapping[str, Array]) -> Done:
        return Done(self.run(feeds))

    def close(self) -> None:
        pass


def nothing_is_mask(crops: Any) -> Array:
    """(N, 1, 128, 128): no mask."""
    return np.zeros((len(crops), 1, 128, 128), np.float32)


def lower_half_is_mask(crops: Any) -> Array:
    """(N, 1, 128, 128): a mask over the lower half of each crop."""
    masks = np.zeros((len(crops), 1, 128, 128), np.float32)
    masks[:, :, 64:110, 30:98] = 1
    return masks
