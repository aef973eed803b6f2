"""What somebody who watches may change while a run goes on: which faces are drawn, how calm, how soft their edges.

A `Controls` is written by whoever asks a person and read by the stages. Each thing in it is replaced as a whole, never
changed in place, so that a reader in another thread sees the old or the new and needs no lock.
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from pipeline.blend.blend import Blend
from pipeline.blend.smooth import Smooth
from pipeline.frames import Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from pipeline.frames import Cropped, Frame, Inpainted, Track
    from pipeline.settings.config import Config
    from pipeline.threads.worker import Stage

In = TypeVar("In")
Out = TypeVar("Out")

SLOWEST_PACE = 0.02
"""Of `Smooth`, where the smoothing is 1."""

WIDEST_FEATHER_PX = 24.0
"""In pixels of the crop: beyond it the passage reaches the crop's border."""


@dataclass(frozen=True)
class Wishes:
    """What was chosen."""

    smoothing: float = math.log(Smooth.pace) / math.log(SLOWEST_PACE)
    """From 0, every frame as it was drawn, to 1, as calm as can be. Raise it for less shimmer; a face then takes longer
    to gain from a better view."""
    feather_px: float = Blend.feather_px
    """As `Blend.feather_px`, up to `WIDEST_FEATHER_PX`."""
    faces: Mapping[int, bool] = field(default_factory=dict)
    """Track to whether its mask is drawn over, for the faces of which somebody said so."""
    others: bool = True
    """Whether the masks of all other faces are drawn over."""

    @classmethod
    def of(cls, config: Config) -> Wishes:
        """What nobody has changed yet: smoothing and feather as the settings have them."""
        pace = config.of_stage("smooth").get("pace", Smooth.pace)
        feather_px = config.of_stage("blend").get("feather_px", Blend.feather_px)
        return cls(min(1.0, math.log(pace) / math.log(SLOWEST_PACE)), min(feather_px, WIDEST_FEATHER_PX))

    def draws(self, track: int) -> bool:
        """Whether this face's mask is drawn over."""
        return self.faces.get(track, self.others)

    @property
    def pace(self) -> float:
        """The smoothing as `Smooth` takes it."""
        return math.pow(SLOWEST_PACE, self.smoothing)


@dataclass(frozen=True)
class SeenFace:
    """A face in the last frame."""

    track: Track
    skipped: Skipped | None
    """Why it is left as it is; None when it is drawn."""


@dataclass
class Controls:
    """What was chosen, and the faces to choose from. The parts are replaced as a whole, by one thread each."""

    choice: Wishes = field(default_factory=Wishes)
    """Written by who asks a person."""
    seen: tuple[SeenFace, ...] = ()
    """Written by the stage `choose`."""
    seen_size: tuple[int, int] = (1, 1)
    """Width and height of the frame in which they were seen."""

    def choose(self, stream: Iterator[Cropped]) -> Iterator[Cropped]:
        """Stage: each frame without the crops of the faces that are not to be drawn."""
        for cropped in stream:
            choice = self.choice
            drawn = tuple(crop for crop in cropped.crops if choice.draws(crop.track.id))
            off = tuple((crop.track, Skipped.SWITCHED_OFF) for crop in cropped.crops if not choice.draws(crop.track.id))
            chosen = replace(cropped, crops=drawn, skipped=cropped.skipped + off)
            self._note(chosen)
            yield chosen

    def smooth(self, stage: Smooth) -> Stage[Inpainted, Inpainted]:
        """Stage: `stage` with the smoothing that is chosen."""
        return Adjustable(lambda: self.choice.pace, lambda pace: replace(stage, pace=pace))

    def blend(self, stage: Blend) -> Stage[Inpainted, Frame]:
        """Stage: `stage` with the feather that is chosen."""
        return Adjustable(lambda: self.choice.feather_px, lambda feather_px: replace(stage, feather_px=feather_px))

    def _note(self, cropped: Cropped) -> None:
        faces = [SeenFace(crop.track, None) for crop in cropped.crops]
        faces += [SeenFace(track, reason) for track, reason in cropped.skipped]
        self.seen_size = cropped.frame.width, cropped.frame.height
        self.seen = tuple(sorted(faces, key=lambda face: face.track.id))


@dataclass(frozen=True)
class Adjustable(Generic[In, Out]):
    """A stage that is begun anew when its setting changes: it forgets what it knew, and nothing else is lost.

    For stages that give one item for each that they take, at once.
    """

    setting: Callable[[], float]
    """Asked before every item, in the stage's thread."""
    stage_for: Callable[[float], Stage[In, Out]]

    def __call__(self, items: Iterator[In]) -> Iterator[Out]:
        """What the stage of the moment gives."""
        kept: list[In] = []

        def while_it_is(value: float) -> Generator[In]:
            yield from kept
            kept.clear()
            for item in items:
                if self.setting() != value:
                    kept.append(item)
                    return
                yield item

        while True:
            value = self.setting()
            with closing(while_it_is(value)) as stream:
                yield from self.stage_for(value)(stream)
            if not kept:
                return
