"""A person sits before a camera and is told what to do, so that a recording shows their face in many ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.live.camera import CameraSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.frames import Frame
    from pipeline.live.camera import Openable

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
