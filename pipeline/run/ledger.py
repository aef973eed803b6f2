"""What is known of the frames of a live run while they are on their way: the camera's own picture, and what failed.

A live run may not end because a network failed once. A stage that raises `EngineError` is begun anew, the frame goes on
without that stage's work, and the last stage of all decides what is shown instead.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import av
import numpy as np

from pipeline.errors import EngineError
from pipeline.frames import Frame
from pipeline.settings.config import OnError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from pipeline.threads.worker import Stage


class OfFrame(Protocol):
    """An item that belongs to a frame."""

    @property
    def frame(self) -> Frame:
        """The frame."""
        ...


In = TypeVar("In", bound=Frame | OfFrame)
Asked = TypeVar("Asked", bound=OfFrame)
Out = TypeVar("Out")
Taken = TypeVar("Taken", bound=Frame | OfFrame, contravariant=True)
Given = TypeVar("Given", covariant=True)


@dataclass(frozen=True)
class Shown:
    """The end of a frame's way: what is to be shown, and what the camera saw."""

    frame: Frame
    """The frame that is shown."""
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


class NetworkStages(Protocol[Taken, Asked, Given]):
    """The two stages around a network, and what a frame goes on as when the network failed on it."""

    def ask(self, stream: Iterator[Taken]) -> Iterator[Asked]:
        """Stage: hand each frame's faces to the network, without waiting. Raises `EngineError`."""
        ...

    def answer(self, stream: Iterator[Asked]) -> Iterator[Given]:
        """Stage: each frame with what the network says of it. Raises `EngineError`."""
        ...

    def unasked(self, item: Taken) -> Asked:
        """What goes on in place of `item` when `ask` failed on it."""
        ...

    def unanswered(self, item: Asked) -> Given:
        """What goes on in place of `item` when `answer` failed on it."""
        ...


@dataclass(frozen=True)
class Surviving(Generic[In, Asked, Out]):
    """The two stages around a network, neither of which ends the run when the network fails."""

    stages: NetworkStages[In, Asked, Out]
    ledger: Ledger

    def ask(self, stream: Iterator[In]) -> Iterator[Asked]:
        """Stage: as `NetworkStages.ask`, except that a failure is noted in the ledger."""
        return survive(self.stages.ask, self.stages.unasked, self.ledger)(stream)

    def answer(self, stream: Iterator[Asked]) -> Iterator[Out]:
        """Stage: as `NetworkStages.answer`, except that a failure is noted in the ledger."""
        return survive(self.stages.answer, self.stages.unanswered, self.ledger)(stream)

    def unasked(self, item: In) -> Asked:
        """The item as it goes on when `ask` failed on it."""
        return self.stages.unasked(item)

    def unanswered(self, item: Asked) -> Out:
        """The item as it goes on when `answer` failed on it."""
        return self.stages.unanswered(item)


def survive(stage: Stage[In, Out], instead: Callable[[In], Out], ledger: Ledger) -> Stage[In, Out]:
    """The stage, begun anew after every `EngineError` that it raises.

    The failure is noted in `ledger`, the item goes on as `instead` makes it, and the stage forgets what it knew.
    """

    def survived(items: Iterator[In]) -> Iterator[Out]:
        taken: list[In] = []

        def watched() -> Generator[In]:
            for item in items:
                # One at a time: a stage around a network gives what it took before it takes more.
                taken[:] = [item]
                yield item

        while True:
            with closing(watched()) as stream:
                try:
                    yield from stage(stream)
                except EngineError as error:
                    (item,) = taken
                    ledger.fail(item if isinstance(item, Frame) else item.frame, error)
                else:
                    return
            yield instead(item)

    return survived


def blank(width: int, height: int) -> av.VideoFrame:
    """A black picture."""
    return av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
