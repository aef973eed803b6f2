"""A live run: camera in, virtual camera and preview out, steady and never far behind."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipeline.draw.inpaint import Inpaint
from pipeline.draw.mouth import by_rule
from pipeline.draw.segment import Segment
from pipeline.errors import ConfigError, EngineError
from pipeline.frames import Cropped, Detected, Detection, FaceCrop, Track, Tracked
from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE, Box, Landmarks
from pipeline.live import devices
from pipeline.live.camera import CameraSource
from pipeline.live.devices import Playback
from pipeline.live.microphone import Microphone, microphone
from pipeline.live.pace import TOO_OLD, Outbox, ticks
from pipeline.live.report import LiveReport
from pipeline.live.sinks import ChosenView
from pipeline.run import assemble
from pipeline.run.ledger import Shown, blank
from pipeline.settings.config import OnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import av

    from engine.spec import Engine
    from pipeline.detectors import Detector
    from pipeline.frames import Frame
    from pipeline.live.camera import Openable
    from pipeline.live.microphone import Hears
    from pipeline.live.sinks import Key
    from pipeline.run.load import Networks
    from pipeline.run.work import Controls
    from pipeline.settings.config import Config, LiveConfig
    from pipeline.threads.runner import Run

STALE_SECONDS = 3.0
"""After so long without a new frame black is shown, since an old picture would look like a frozen run."""

CAPACITY = 1
"""How many frames lie between two stages; the number of frames in flight bounds them further."""


def always() -> bool:
    """Say that somebody watches, where nobody can be asked."""
    return True


class Sink(Protocol):
    """A place where pictures are shown: a virtual camera, a window."""

    def show(self, picture: av.VideoFrame) -> None:
        """Show a picture. Raises `SinkError`."""
        ...


class Surroundings(Protocol):
    """The sinks of a run, the keys that are pressed, and where its status is shown."""

    def sinks(self, picture: av.VideoFrame, stack: ExitStack) -> tuple[Sink, ...]:
        """Open the sinks for pictures of this size; `stack` closes them. Raises `SinkError`."""
        ...

    def pressed(self) -> Iterator[Key]:
        """The keys that were pressed since the last call."""
        ...

    def show_status(self, run: LiveRun) -> None:
        """Show how the run gets on; called at every tick."""
        ...


def device_of(live: LiveConfig) -> Openable:
    """The camera, stream or file that the settings name. Raises `ConfigError` and `SourceError`."""
    if live.input is None:
        return devices.camera(live.camera, size=live.size, fps=live.fps, sends=live.camera_format)
    if "://" in live.input:
        return devices.stream(live.input)
    if not live.realtime:
        raise ConfigError(
            f"input {live.input} is a file: --realtime plays it as a camera would; `barefaced run` makes a file of it"
        )
    return Playback(Path(live.input))


def hearing_of(live: LiveConfig) -> Hears | None:
    """The microphone that the settings name; None where they name none. Raises `ConfigError` and `SourceError`."""
    return None if live.microphone is None else microphone(live.microphone)


@dataclass
class LiveRun:
    """A live run: its camera, its pipeline, and what it showed.

    Either `show_until_end` or `show_as_they_come` runs it, once.
    """

    config: Config
    networks: Networks
    source: CameraSource
    said: list[str] = field(default_factory=list)
    """What happened, in sentences, the newest last."""
    view: ChosenView = field(default_factory=ChosenView)
    began: float = field(default_factory=time.perf_counter)
    controls: Controls | None = None
    """What a viewer may change during the run."""
    microphone: Microphone | None = None
    """What moves the mouth of somebody who is alone in the picture."""

    def __post_init__(self) -> None:
        live = self.config.live
        self.outbox = Outbox(live.delay / 1000, live.oldest_ms / 1000, instead=self._newest)
        self.stream = assemble.live(self.source, self.config, self.networks, self.controls, self.microphone)
        self.run: Run[Shown] = self.stream.pipeline.run(
            capacity=CAPACITY, in_flight=self.config.live.in_flight, on_end=self.source.stop
        )
        self.error: BaseException | None = None

    def stop(self) -> None:
        """End the camera, from any thread or a signal handler; the frames on their way are still shown."""
        self.run.stop()

    def _newest(self, like: Frame) -> Shown | None:
        """What is shown where no drawn frame is new enough, as `--on-error` says; None leaves the last one there."""
        rule = OnError(self.config.live.on_error)
        newest = None if rule is OnError.FREEZE else self.source.newest(like)
        if newest is None:
            return None
        shown = newest if rule is OnError.PASS else replace(newest, planes=blank(newest.width, newest.height))
        return Shown(shown, newest.planes, TOO_OLD)

    def show_until_end(self, around: Surroundings) -> None:
        """Show frames at every tick until the source ends, a key quits or `stop` is called.

        Raises what the source, a stage or a sink raised; sinks are closed and threads are gone however it ends.
        """
        deliverer = threading.Thread(target=self._deliver, name="deliver", daemon=False)
        with ExitStack() as stack:
            if self.microphone is not None:
                stack.enter_context(self.microphone)
            deliverer.start()
            try:
                self._show_at_ticks(around, stack)
            # The deliverer reads the run, which ends only when it is called off.
            except BaseException:
                self.run.cancel()
                raise
            finally:
                deliverer.join()
        if self.error is not None:
            raise self.error

    def show_as_they_come(self, show: Callable[[Shown], None]) -> None:
        """Show each frame as soon as it is finished, until the source ends or `stop` is called.

        It is for viewers that keep a steady pace themselves, as browsers do.

        Raises what the source, a stage or `show` raised; threads are gone however it ends.
        """
        with self.run as run:
            for finished in run:
                self.outbox.put(finished)
                now, before = time.perf_counter(), self.outbox.last
                chosen = self.outbox.due(now)
                late = now - finished.frame.arrived > (self.config.live.delay + self.config.live.oldest_ms) / 1000
                precedes = before is not None and finished.frame.arrived < before.frame.arrived
                if not late and not precedes:
                    show(finished)
                elif chosen is not None and self.outbox.renewed == now:
                    show(chosen)

    def _deliver(self) -> None:
        """Move finished frames from the pipeline to the outbox, in its own thread: the main one keeps the ticks."""
        try:
            with self.run as run:
                for shown in run:
                    self.outbox.put(shown)
        except BaseException as error:  # raised again where the run was begun
            self.error = error
        finally:
            self.outbox.ended = True

    def _show_at_ticks(self, around: Surroundings, stack: ExitStack) -> None:
        """Show a frame at every tick, and do what the keys say, until the run ends."""
        sinks: tuple[Sink, ...] = ()
        for now in ticks(self.config.live.fps):
            if self.outbox.ended and (self.error is not None or self.outbox.empty):
                return

            shown = self.outbox.due(now)
            if shown is not None:
                stale = now - self.outbox.renewed > STALE_SECONDS
                picture = self.view.picture(shown, stale=stale)
                sinks = sinks or around.sinks(picture, stack)
                for sink in sinks:
                    sink.show(picture)

            for key in around.pressed():
                self.view.press(key)
            if self.view.quitting:
                self.run.stop()
                return
            around.show_status(self)

    @property
    def status(self) -> str:
        """How the run gets on, in a line."""
        counts, now = self.outbox.counts, time.perf_counter()
        ages = counts.ages.recent()
        if ages is None:
            return f"waiting for {self.source.device.name}"

        parts = [
            f"{counts.ages.recent_fps(now=now):.1f} fps",
            f"age {ages}",
            f"{self.source.dropped} dropped, {counts.repeated} repeated",
        ]
        if self.stream.ledger.failures:
            parts.append(f"{self.stream.ledger.failures} failed ({self.stream.ledger.last_failure})")
        if not self.source.stats.present:
            parts.append("camera closed, nobody watches" if self.source.stats.resting else "camera away")
        return " | ".join([*parts, str(self.view)])

    def report(self, error: str | None, *, interrupted: bool) -> LiveReport:
        """Report on the run, which ended with `error` or was `interrupted`."""
        return LiveReport(
            input=self.source.device.name,
            error=error,
            interrupted=interrupted,
            wall_seconds=time.perf_counter() - self.began,
            # What came, and what became of it.
            pictures=self.source.stats.pictures,
            dropped=self.source.dropped,
            reopened=self.source.stats.reopened,
            counts=self.outbox.counts,
            failures=self.stream.ledger.failures,
            last_failure=self.stream.ledger.last_failure,
            # By what, and how.
            delay_ms=self.config.live.delay,
            engine=self.networks.description,
            networks=self.networks.hashes,
            tally=self.stream.tally,
            stages=self.run.stats(),
            said=tuple(self.said),
        )


def prepared(
    config: Config,
    networks: Networks,
    say: Callable[[str], None],
    device: Openable,
    *,
    wanted: Callable[[], bool] = always,
    hearing: Hears | None = None,
) -> LiveRun:
    """Make a run over `device` that has not begun.

    `say` gets a sentence about what happens during the run, from any thread. The camera is closed while `wanted` says
    that nobody watches, and so is the microphone `hearing`, where there is one.
    """
    said: list[str] = []

    def note(sentence: str) -> None:
        said.append(sentence)
        say(sentence)

    lasts = not isinstance(device, Playback)
    source = CameraSource(device, note, lasts=lasts, wanted=wanted, rehearse=rehearsal(networks, note))
    heard = None
    if hearing is not None:
        voice = None if networks.voices is None else networks.voices.live
        heard = Microphone(hearing, note, voice or by_rule, wanted=lambda: not source.stats.resting)
    return LiveRun(config, networks, source, said, microphone=heard)


def rehearsal(networks: Networks, say: Callable[[str], None]) -> Callable[[Frame], None]:
    """Make a function that runs every network once on a camera's first frame.

    A network that fails is reported to `say`, and tried again with every frame that follows.
    """

    def run(frame: Frame) -> None:
        try:
            generators = (networks.generator, *networks.own.values())
            rehearse(frame, networks.detector, networks.segmenter, generators, networks.figure)
        except EngineError as error:
            say(f"a network failed before the first frame was shown: {error}")

    return run


def rehearse(frame: Frame, detector: Detector, segmenter: Engine, generators: Sequence[Engine], figure: Engine) -> None:
    """Run every network on `frame` as the stages do, as if it had a masked face in its middle.

    A network's first run is slow, since it allocates memory and meets shapes: a live run has it before it is needed.
    Must not be called while a run uses them. Raises `EngineError`.
    """
    detector(frame)

    segment = Segment(segmenter)
    tracked = Tracked(Detected(frame, None, cut=False), (_in_the_middle(frame),))
    looking = next(segment.ask(iter([tracked])))
    for _ in segment.answer(iter([looking])):
        pass
    lower_half = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    lower_half[CROP_SIZE // 2 :] = 1
    crops = tuple(FaceCrop(face.track, face.image, lower_half, face.crop_from_frame) for face in looking.aligned)
    for inpaint in (Inpaint(generator, figure=figure) for generator in generators):
        for _ in inpaint.answer(inpaint.ask(iter([Cropped(tracked, crops, ())]))):
            pass


def _in_the_middle(frame: Frame) -> Track:
    """A track of an upright face that is as high as the frame and stands in its middle."""
    side = min(frame.width, frame.height)
    left, top = (frame.width - side) / 2, (frame.height - side) / 2
    points = CANONICAL_LANDMARKS * (side / CROP_SIZE) + (left, top)
    box = Box(left, top, left + side, top + side)
    return Track(0, Detection(box, Landmarks(points.astype(np.float32)), 1.0), age=0, unseen=0)
