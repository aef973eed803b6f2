"""What is known of the frames of a live run while they are on their way: the camera's own picture, and what failed.

A live run may not end because a network failed once. A stage that raises `EngineError` is begun anew, the frame goes on
without that stage's work, and the last stage of all decides what is shown instead.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

import av
import numpy as np

from pipeline.draw.inpaint import Drawing
from pipeline.draw.segment import Looking
from pipeline.errors import EngineError
from pipeline.frames import Cropped, Detected, Inpainted, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from pipeline.frames import Frame, Tracked
    from pipeline.threads.worker import Stage


In = TypeVar("In")
Out = TypeVar("Out")


class OnError(StrEnum):
    """What is shown instead of a frame in which a network failed."""

    PASS = "pass"  # noqa: S105 - a way, not a word
    """The frame as far as it got: as a rule the camera's own picture, mask and all."""
    FREEZE = "freeze"
    """The last frame that went well."""
    BLANK = "blank"
    """Black."""


@dataclass(frozen=True)
class Shown:
    """The end of a frame's way: what is to be shown, and what the camera saw."""

    frame: Frame
    """To be shown."""
    camera: av.VideoFrame
    """The camera's own picture."""
    failed: str | None
    """Why a network failed on it; None when all went well."""


@dataclass
class Ledger:
    """The frames on their way. `enter` is in the first stage's thread, `settle` in the last's; between them others
    only add to what failed, so that no two threads change the same entry at a time."""

    on_error: OnError = OnError.PASS
    failures: int = 0
    """Frames in which a network failed, so far."""
    last_failure: str | None = None
    _camera: dict[int, av.VideoFrame] = field(default_factory=dict, repr=False)
    _failed: dict[int, str] = field(default_factory=dict, repr=False)

    def enter(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Stage: write down what the camera saw."""
        for frame in frames:
            self._camera[frame.index] = frame.planes
            yield frame

    def fail(self, frame: Frame, error: EngineError) -> None:
        """Note that a network failed on `frame`."""
        self.failures += frame.index not in self._failed
        self.last_failure = self._failed[frame.index] = str(error)

    def settle(self, frames: Iterator[Frame]) -> Iterator[Shown]:
        """Stage: each frame as it is to be shown, according to `on_error`."""
        last: av.VideoFrame | None = None
        for frame in frames:
            camera, failed = self._camera.pop(frame.index), self._failed.pop(frame.index, None)
            shown = frame
            if failed is None:
                last = frame.planes
            elif self.on_error is not OnError.PASS:
                usable = last if self.on_error is OnError.FREEZE else None
                shown = replace(frame, planes=usable or blank(frame.width, frame.height))
            yield Shown(shown, camera, failed)


@dataclass(frozen=True)
class Forgiving(Generic[In, Out]):
    """A stage that outlives the failures of its network: it is begun anew behind each, and forgets what it knew."""

    stage: Stage[In, Out]
    ledger: Ledger
    frame_of: Callable[[In], Frame]
    """Which frame an item belongs to."""
    instead: Callable[[In], Out]
    """What an item goes on as when the stage failed on it."""

    def __call__(self, items: Iterator[In]) -> Iterator[Out]:
        """One item for each, as `stage` gives them."""
        taken: list[In] = []

        def watched() -> Generator[In]:
            for item in items:
                taken[:] = [item]
                yield item

        while True:
            with closing(watched()) as stream:
                try:
                    yield from self.stage(stream)
                except EngineError as error:
                    (item,) = taken
                    self.ledger.fail(self.frame_of(item), error)
                else:
                    return
            yield self.instead(item)


def without_look(frame: Frame) -> Detected:
    """A frame that the detector failed on."""
    return Detected(frame, None, cut=False)


def without_masks(tracked: Tracked) -> Looking:
    """A frame that the segmenter would not take: its faces are left."""
    return Looking(tracked, (), tuple((track, Skipped.UNCERTAIN) for track in tracked.tracks), None)


def without_crops(looking: Looking) -> Cropped:
    """A frame that the segmenter failed on: its faces are left."""
    unknown = tuple((face.track, Skipped.UNCERTAIN) for face in looking.aligned)
    return Cropped(looking.tracked, (), looking.skipped + unknown)


def without_faces(cropped: Cropped) -> Drawing:
    """A frame that the generator would not take: its faces are left."""
    undrawn = tuple((crop.track, Skipped.UNCERTAIN) for crop in cropped.crops)
    return Drawing(replace(cropped, crops=(), skipped=cropped.skipped + undrawn), None)


def without_patches(drawing: Drawing) -> Inpainted:
    """A frame that the generator failed on: its faces are left."""
    return Inpainted(without_faces(drawing.cropped).cropped, ())


def blank(width: int, height: int) -> av.VideoFrame:
    """A black picture."""
    return av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
