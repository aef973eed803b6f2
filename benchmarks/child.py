"""One measured run in a process of its own, so that its peak memory is its own: `python -m benchmarks.child`.

The process takes a JSON object on standard input and answers with one on standard output. `run_child` asks for a run of
files (`mode`, `clip`, `warm_up`, `target`, `settings`). Process start, imports and the compiling of networks are told
apart (`start_seconds`); a short clip runs first as warm-up, unmeasured.

A live run (`mode` live, `clip`, `sound`, `seconds`, `settings`) has a stand-in as camera, which gives a clip's pictures
in real time, each with its number drawn in a corner, and one as microphone where there is a `sound`; the virtual camera
is one that converts each picture as the real one does, reads the number, and shows it to nobody. All between them is
what `barefaced live` runs. Ages are measured here, at both ends, not taken from the program's report.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import av
import numpy as np

from benchmarks.machine import peak_mb
from benchmarks.profile import Meters
from benchmarks.record import UnmeasurableError
from pipeline.draw.sound import HOP, RATE
from pipeline.live.live import prepared
from pipeline.live.report import resident_mb
from pipeline.live.sinks import as_i420
from pipeline.run import assemble, load
from pipeline.run.batch import Job
from pipeline.run.process import process
from pipeline.settings.values import build
from pipeline.threads.runner import Pipeline
from pipeline.video.opening import read_sound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import ExitStack

    from numpy.typing import NDArray

    from benchmarks.record import Document
    from pipeline.frames import Frame
    from pipeline.live.live import LiveRun, Sink
    from pipeline.live.sinks import Key
    from pipeline.run.process import Stoppable
    from pipeline.settings.config import Config


FRAMES_BETWEEN_LOOKS = 250
"""How often the memory in use is looked at."""


def run_child(mode: str, clip: Path, warm_up: Path, target: Path, settings: Mapping[str, object]) -> Document:
    """A measured run: `pipeline` as `barefaced run` does it, `ceiling` decodes and encodes alone.

    Raises `UnmeasurableError` with the last words of the process when it fails.
    """
    paths = {"clip": str(clip), "warm_up": str(warm_up), "target": str(target)}
    return answer_of_child({"mode": mode, **paths, "settings": dict(settings)})


def answer_of_child(question: Document) -> Document:
    """What a process of its own answers. Raises `UnmeasurableError` with its last words when it fails."""
    command = [sys.executable, "-m", "benchmarks.child"]
    done = subprocess.run(  # noqa: S603 - our own module
        command, input=json.dumps(question), capture_output=True, text=True, check=False, env=child_environment()
    )
    if done.returncode:
        raise UnmeasurableError(f"{command[-1]} failed: {done.stderr.strip() or 'it said nothing'}")
    measured: Document = json.loads(done.stdout)
    return measured


def child_environment() -> dict[str, str]:
    """This process's environment, in which a child finds the same barefaced."""
    root = str(Path(__file__).resolve().parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}


def ceiling(job: Job, config: Config) -> Document:
    """Decode and encode alone, with the same source, sink, codec and preset as a whole run."""
    began = perf_counter()
    source, sink = assemble.ends(job, config)
    sink.check()
    with Pipeline.from_source("decode", source).then("encode", sink).run() as run:
        frames = sum(1 for _ in run)
    seconds = perf_counter() - began
    return {"frames": frames, "seconds": seconds, "fps": frames / seconds}


class Memory:
    """A watcher of a run that looks at the memory in use from time to time."""

    def __init__(self) -> None:
        self.frames = 0
        self.samples: list[float] = []

    def began(self, job: Job, run: Stoppable, frames: int | None) -> None:
        """Prepare nothing."""

    def wrote(self, _frame: Frame) -> None:
        """Count a frame, and look at the memory where it is time."""
        self.frames += 1
        if self.frames % FRAMES_BETWEEN_LOOKS == 0:
            self.samples.append(round(resident_mb(), 1))

    def ended(self) -> None:
        """End nothing."""


def whole(job: Job, config: Config, networks: load.Networks) -> Document:
    """A run as `barefaced run` does it, with the time in its networks apart."""
    memory, meters = Memory(), Meters.on(networks)
    ended = process(job, config, meters.networks, watcher=memory)
    load.give_back_memory()
    if ended.error is not None:
        raise ended.error

    report = ended.report
    return report.as_json() | {
        "frames": report.frames_out,
        "seconds": report.wall_seconds,
        "fps": report.fps,
        "network_seconds": meters.by_stage,
        "network_calls": meters.calls,
        "memory_mb": memory.samples,
    }


def of_files(question: Document, began: float) -> Document:
    """A run of files after a warm-up, `began` being when the process did."""
    config = build(question["settings"], {"overwrite": True})
    job, warm_up = (Job(Path(question[name]), Path(question["target"])) for name in ("clip", "warm_up"))

    if question["mode"] == "ceiling":
        ceiling(warm_up, config)
        start_seconds, measured = perf_counter() - began, ceiling(job, config)
    else:
        with load.networks(config) as networks:
            whole(warm_up, config, networks)
            start_seconds, measured = perf_counter() - began, whole(job, config, networks)
    return measured | {"peak_rss_mb": peak_mb(), "start_seconds": start_seconds}


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
    """The moments at which pictures came, in `time.perf_counter` seconds, by their numbers."""

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
class ClipSound:
    """A microphone that hears a recording again and again, in real time."""

    path: Path
    name: str = "a recording in real time"

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[NDArray[np.float32]]]:
        """The sound in blocks of 10 ms, each when it is over."""
        _, blocks = read_sound(self.path, RATE)
        yield self._blocks(np.concatenate([*blocks]))

    def _blocks(self, samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        due = time.perf_counter()
        for number in count():
            due += HOP / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            yield samples.take(range(number * HOP, (number + 1) * HOP), mode="wrap")


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


def live(question: Document) -> Document:
    """A live run of so many seconds: when each picture was given and shown, and the program's own report."""
    sound = question["sound"]
    config = build(question["settings"] if sound is None else {**question["settings"], "microphone": sound})
    camera = ClipCamera(Path(question["clip"]), config.live.fps)
    room = Room(question["seconds"])
    with load.networks(config) as networks:
        hearing = None if sound is None else ClipSound(Path(sound))
        run = prepared(config, networks, lambda _sentence: None, camera, hearing=hearing)
        run.show_until_end(room)

    report = run.report(None, interrupted=False)
    screen = room.screen
    return {
        "given": camera.given,
        "shown": [] if screen is None else list(zip(screen.numbers, screen.moments, strict=True)),
        "memory_mb": room.memory_mb,
        "report": report.as_json(),
    }


def main() -> None:
    """Measure what standard input asks for, and print what was measured."""
    began = perf_counter()
    question = json.load(sys.stdin)
    answer = live(question) if question["mode"] == "live" else of_files(question, began)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
