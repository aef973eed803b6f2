"""One measured live run in a process of its own: `python -m benchmarks.live_child`.

Takes a JSON object on standard input (`clip`, `seconds`, `settings`) and answers with one on standard output. The
camera is a stand-in that gives a clip's pictures in real time, each with its number drawn in a corner; the virtual
camera is one that converts each picture as the real one does, reads the number, and shows it to nobody. All between
them is what `barefaced live` runs. Ages are measured here, at both ends, not taken from the program's report.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from pipeline.live.live import prepared
from pipeline.live.report import resident_mb
from pipeline.live.virtualcam import as_i420
from pipeline.run import load
from pipeline.settings.config import build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from numpy.typing import NDArray

    from pipeline.live.live import LiveRun, Sink
    from pipeline.live.preview import Key

BITS, BLOCK = 20, 8
"""How many blocks a number in the picture has, and the side of each in pixels."""
DARK, BRIGHT = 30, 220
MEMORY_SECONDS = 2.0
"""Between two looks at the memory in use."""


def write_number(picture: av.VideoFrame, number: int) -> av.VideoFrame:
    """A copy of a picture in 4:2:0 with the number as bright and dark blocks in its top left corner."""
    planes = picture.to_ndarray()
    for bit in range(BITS):
        planes[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = BRIGHT if number >> bit & 1 else DARK
    copy = av.VideoFrame.from_ndarray(planes, format=picture.format.name)
    copy.colorspace, copy.color_range = picture.colorspace, picture.color_range
    return copy


def read_number(luma: NDArray[np.uint8]) -> int:
    """The number in (height, width) luma."""
    middle = BLOCK // 2
    row = luma[middle, middle : BITS * BLOCK : BLOCK] > (DARK + BRIGHT) // 2
    return int(row @ (1 << np.arange(BITS)))


@dataclass
class ClipCamera:
    """A camera that sees a clip again and again, in real time. Pictures are decoded beforehand, as a camera's are."""

    path: Path
    fps: int
    name: str = "a clip in real time"
    given: list[float] = field(default_factory=list)
    """When each picture came, in `time.perf_counter` seconds; its number is its place."""

    def __post_init__(self) -> None:
        with av.open(str(self.path)) as container:
            self.pictures = list(container.decode(video=0))

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[av.VideoFrame]]:
        """The pictures, each at its time from now on."""
        yield self._pictures()

    def _pictures(self) -> Iterator[av.VideoFrame]:
        due = time.perf_counter()
        while True:
            numbered = write_number(self.pictures[len(self.given) % len(self.pictures)], len(self.given))
            due += 1 / self.fps
            time.sleep(max(0.0, due - time.perf_counter()))
            self.given.append(time.perf_counter())
            yield numbered


@dataclass
class Screen:
    """The far end: takes what a virtual camera would, and notes which picture it was and when."""

    width: int
    height: int
    numbers: list[int] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)

    def show(self, picture: av.VideoFrame) -> None:
        """Convert as for a virtual camera, and note."""
        samples = as_i420(picture, self.width, self.height)
        self.moments.append(time.perf_counter())
        luma = samples[: self.width * self.height].reshape(self.height, self.width)
        self.numbers.append(read_number(luma))


@dataclass
class Room:
    """The surroundings of the run: the screen, no keys, an end after so many seconds, and a look at the memory."""

    seconds: float
    memory_mb: list[float] = field(default_factory=list)
    screen: Screen | None = None
    _began: float | None = None

    def sinks(self, picture: av.VideoFrame, _stack: ExitStack) -> tuple[Sink, ...]:
        """The screen."""
        self.screen = Screen(picture.width, picture.height)
        return (self.screen,)

    def pressed(self) -> Iterator[Key]:
        """The keys that were pressed, of which there are none."""
        yield from ()

    def show_status(self, run: LiveRun) -> None:
        """Count the time from the first picture that was shown."""
        if self.screen is None:
            return
        now = time.perf_counter()
        self._began = now if self._began is None else self._began
        if now - self._began >= MEMORY_SECONDS * len(self.memory_mb):
            self.memory_mb.append(round(resident_mb(), 1))
        if now - self._began >= self.seconds:
            run.stop()


def main() -> None:
    """Do what standard input asks for."""
    question = json.load(sys.stdin)
    config = build(question["settings"])
    camera = ClipCamera(Path(question["clip"]), config.live.fps)
    room = Room(question["seconds"])
    with load.networks(config) as networks:
        run = prepared(config, networks, lambda _sentence: None, camera)
        run.show_until_end(room)

    report = run.report(None, interrupted=False)
    screen = room.screen
    answer = {
        "given": camera.given,
        "shown": [] if screen is None else list(zip(screen.numbers, screen.moments, strict=True)),
        "memory_mb": room.memory_mb,
        "report": report.as_json(),
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
