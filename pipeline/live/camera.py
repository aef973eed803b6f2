"""A camera as a source of frames: the newest picture wins, and what is unplugged is opened again.

For a sitting a person is told what to do before it, so that a recording shows their face in many ways.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from fractions import Fraction
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import SourceError
from pipeline.frames import Frame
from pipeline.picture.formats import working_format
from pipeline.threads.channel import Newest
from pipeline.video.conform import Fitter, in_format, named, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import av


FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 8.0
"""Between two tries to open a camera that is gone: doubled each time, up to the longest."""

WATCH_SECONDS = 0.5
"""How often a camera that rests is asked whether somebody watches again."""


class Openable(Protocol):
    """What can be opened to give pictures: a camera, a stream, a file played in real time, or a test's stand-in."""

    @property
    def name(self) -> str:
        """The name by which the user knows it."""
        ...

    def opened(self) -> AbstractContextManager[Iterator[av.VideoFrame]]:
        """Open it, in a `with` block, and give the pictures as they come.

        Entering and iterating raise `SourceError` with the cure.
        """
        ...


@dataclass
class CameraStats:
    """What a camera did so far. Its own thread writes this, and any thread reads it."""

    pictures: int = 0
    """How many pictures it gave."""
    reopened: int = 0
    """How often it came back after it was lost."""
    present: bool = False
    """Whether it is open now."""
    resting: bool = False
    """Whether it is closed because nobody watches."""
    spent: int = 0
    """Pictures that the networks were rehearsed with, which are not shown."""


@dataclass(frozen=True)
class CameraSource:
    """The frames of a camera, the newest first, with the time at which each arrived. Iterate once.

    A camera that can't be opened at the start raises `SourceError`. One that is lost later is waited for. All frames
    have the size of the first: another size is scaled to fit. `say` gets a sentence about both.
    """

    device: Openable
    say: Callable[[str], None]
    lasts: bool = True
    """Whether the end of the pictures means that the camera is lost; for a file it is the end."""
    wanted: Callable[[], bool] = lambda: True
    """Whether anybody watches: asked at every picture; the camera is closed while nobody does."""
    rehearse: Callable[[Frame], None] | None = None
    """Called with the first frame. A camera's is then dropped: it would be old before anybody has seen it. A file
    waits meanwhile and loses none."""
    stats: CameraStats = field(default_factory=CameraStats)
    _seen: list[tuple[av.VideoFrame, float]] = field(default_factory=list, repr=False)
    """The last picture that the camera gave and when, whether or not anybody took it."""
    _newest: Newest[tuple[av.VideoFrame, float] | SourceError] = field(default_factory=Newest, repr=False)
    _ending: SimpleQueue[None] = field(default_factory=SimpleQueue, repr=False)
    _rehearsed: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def dropped(self) -> int:
        """How many pictures nobody asked for in time, with the one that the networks were rehearsed with."""
        return self._newest.dropped + self.stats.spent

    def newest(self, like: Frame) -> Frame | None:
        """The newest picture as a frame of the size and number of `like`; None before the first."""
        if not self._seen:
            return None
        picture, arrived = self._seen[0]
        fits = Fitter(lambda _picture, _shape: None, shape_of(like.planes))
        return replace(like, arrived=arrived, planes=fits(picture))

    def stop(self) -> None:
        """End the frames, from any thread or a signal handler, also while the camera is away."""
        self._ending.put(None)
        self._newest.close()

    def __iter__(self) -> Iterator[Frame]:
        # Not a daemon: at exit the interpreter would stop it inside a driver.
        reader = threading.Thread(target=self._read, name="camera reader", daemon=False)
        reader.start()
        fitter = Fitter(self._size_changes)
        index, began = 0, None
        try:
            while (newest := self._newest.take()) is not None:
                if isinstance(newest, SourceError):
                    raise newest
                picture, arrived = newest
                began = arrived if began is None else began
                shown = fitter(picture)
                shown = in_format(shown, working_format(shown.format.name))
                # Not the device's clock, which starts anew when it is opened again.
                seconds = Fraction(round((arrived - began) * 1_000_000), 1_000_000)
                frame = Frame(index, seconds, arrived, shown)
                if self.rehearse is not None and not self._rehearsed.is_set():
                    self.rehearse(frame)
                    self._rehearsed.set()
                    if self.lasts:
                        self.stats.spent = 1
                        continue
                    began = time.perf_counter()
                    frame = replace(frame, arrived=began)
                yield frame
                index += 1
        finally:
            self.stop()
            self._rehearsed.set()
            reader.join()

    def _size_changes(self, picture: av.VideoFrame, first: tuple[int, int, str]) -> None:
        """Say that the pictures have another shape than the `first` had."""
        self.say(
            f"the camera now sends {named(shape_of(picture))} instead of {named(first)}; it is scaled to fit. "
            f"To have it whole, end and start again with --size {picture.width}x{picture.height}"
        )

    def _read(self) -> None:
        """Read the camera until the end, opening it again when it is lost. The reader's thread runs this."""
        wait_seconds = FIRST_WAIT_SECONDS
        while not self._ends_within(0):
            before, lost = self.stats.pictures, "it sends no more"
            try:
                self._read_until_closed()
            except SourceError as error:
                if not self.stats.pictures or not self.lasts:
                    self._newest.put(error)
                    return
                lost = str(error)

            self.stats.present = False
            if not self.wanted():
                self._rest()
                continue
            if not self.lasts:
                break

            # A camera that gave pictures since the last wait was lost just now.
            if self.stats.pictures > before and not self._ends_within(0):
                wait_seconds = FIRST_WAIT_SECONDS
                self.say(f"{self.device.name} is lost ({lost}); waiting for it")
            self._ends_within(wait_seconds)
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)
        self._newest.close()

    def _read_until_closed(self) -> None:
        """Read while pictures come and somebody watches. Raises `SourceError`."""
        with self.device.opened() as pictures:
            for picture in pictures:
                if not self.stats.present:
                    self._appeared()
                self.stats.pictures += 1
                self._seen[:] = [(picture, time.perf_counter())]
                self._newest.put(self._seen[0])
                if self.rehearse is not None and not self.lasts:
                    self._rehearsed.wait()
                if self._ends_within(0) or not self.wanted():
                    return

    def _appeared(self) -> None:
        """Note that the camera is open and gives pictures."""
        rested, self.stats.resting, self.stats.present = self.stats.resting, False, True
        if self.stats.pictures and not rested:
            self.stats.reopened += 1
            self.say(f"{self.device.name} is back")

    def _rest(self) -> None:
        """Wait until somebody watches again, or `stop` is called."""
        self.stats.resting = True
        while not self.wanted() and not self._ends_within(WATCH_SECONDS):
            pass

    def _ends_within(self, seconds: float) -> bool:
        """Wait at most so long for `stop`, and say whether it was called."""
        try:
            self._ending.get(timeout=seconds) if seconds else self._ending.get_nowait()
        except Empty:
            return False
        self._ending.put(None)  # for the next call of this method
        return True


STEPS = (
    (0.0, "look into the camera"),
    (0.1, "turn your head slowly to the left"),
    (0.2, "turn your head slowly to the right"),
    (0.3, "look up"),
    (0.375, "look down"),
    (0.45, "talk: count to twenty"),
    (0.75, "smile, with your lips closed and open"),
    (0.875, "open your mouth wide and close it"),
)
"""What the person is to do, each from which part of the time on."""


@dataclass(frozen=True)
class Sitting:
    """The frames of a camera for so long, with instructions."""

    device: Openable
    seconds: float
    say: Callable[[str], None]
    """Told each instruction when it is time for it, and what happens to the camera."""

    def frames(self) -> Iterator[Frame]:
        """The frames, as they come. Raises `SourceError` when the camera can't be opened."""
        waiting = list(STEPS)
        camera = CameraSource(self.device, self.say, lasts=False)
        for frame in camera:
            if frame.time >= self.seconds:
                camera.stop()
                continue
            while waiting and frame.time >= waiting[0][0] * self.seconds:
                self.say(f"{waiting.pop(0)[1]} ({self.seconds - float(frame.time):.0f} s left)")
            yield frame
