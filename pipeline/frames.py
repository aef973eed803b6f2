"""What flows through the pipeline.

Each stage's output is a new frozen type that holds the one before, so a wrong order does not type-check:
`Frame -> Detected -> Tracked -> Cropped -> Inpainted -> Frame`. Nothing is filled in later and nothing is mutated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.geometry import CROP_SIZE, Affine, Box, Landmarks

if TYPE_CHECKING:
    from collections.abc import Callable

    import av
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One picture of the video, upright."""

    index: int
    """Its number in the order of decoding; gaps are dropped frames."""
    time: Fraction
    """Seconds, exact, as the input counts them."""
    arrived: float
    """`time.perf_counter()` at decode; latency is measured from it."""
    planes: av.VideoFrame
    """The decoder's own picture, never converted on the way through and never written to."""
    pixel_aspect: Fraction = Fraction(1)
    """A pixel's width over its height."""

    @property
    def width(self) -> int:
        return self.planes.width

    @property
    def height(self) -> int:
        return self.planes.height

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB, converted when first asked for, read-only."""
        from pipeline.picture.pixels import read_rgb

        image = read_rgb(self.planes, left=0, top=0, right=self.width, bottom=self.height)
        image.flags.writeable = False
        return image

    def __repr__(self) -> str:
        return f"Frame(index={self.index}, time={float(self.time):.3f} s, {self.width}x{self.height})"


@dataclass(frozen=True)
class Detection:
    """A face that a detector saw."""

    box: Box
    landmarks: Landmarks
    score: float
    """How sure the detector is, in [0, 1]."""


@dataclass(frozen=True)
class Track:
    """A face followed over time."""

    id: int
    """Never used twice in a run; a cut ends every track. Behind `pipeline.people.identify` it is a person's, who may
    come back after a cut under the same one."""
    detection: Detection
    """Where the face is in this frame: seen, or predicted and smoothed."""
    age: int
    """Frames since the track began, 0 in its first."""
    unseen: int
    """Frames since a detector last saw it, 0 when it did in this frame."""


@dataclass(frozen=True)
class Detected:
    frame: Frame
    detections: tuple[Detection, ...] | None
    """None when the detector did not look at this frame."""
    cut: bool
    """True when this frame begins a new shot."""
    look: Callable[[], tuple[Detection, ...]] | None = field(default=None, repr=False, compare=False)
    """Has the detector look at this frame after all. Raises `EngineError`. None where it did, or can't."""


@dataclass(frozen=True)
class Tracked:
    detected: Detected
    tracks: tuple[Track, ...]

    @property
    def frame(self) -> Frame:
        return self.detected.frame


class Drawer(StrEnum):
    """Why an enrolled face's own network draws a face, or why the shipped one does."""

    ALONE = "alone in the picture"
    """One face is enrolled, and one person is seen."""
    RECOGNISED = "recognised"
    NOT_RECOGNISED = "not recognised"
    """It is like none of the enrolled faces."""
    IN_DOUBT = "in doubt"
    """It may be somebody else: several people are seen and nothing tells them apart, or two are equally alike."""


@dataclass(frozen=True)
class DrawnBy:
    """Which network draws a face, where faces are enrolled."""

    face: str | None
    """The name of the enrolled face whose own network it is; None for the shipped one."""
    why: Drawer


@dataclass(frozen=True)
class Beyond:
    """A mask that goes on beyond its face's crop."""

    mask: NDArray[np.float32]
    """(S, S) float32 in [0, 1]: all of it, in a view `geometry.VIEW_TIMES` as wide as the crop."""
    view_from_frame: Affine


@dataclass(frozen=True, repr=False)
class FaceCrop:
    """A face cut out upright, and what hides it."""

    track: Track
    image: NDArray[np.uint8]
    """(s, s, 3) uint8 RGB: s is S = `geometry.CROP_SIZE` where the face is drawn anew, else S / 2 or S / 4."""
    mask: NDArray[np.float32]
    """(S, S) float32 in [0, 1]: what hides the face."""
    crop_from_frame: Affine
    held: bool = False
    """The face is as it was when it was last looked at: its mask is the one of then, and so will be its drawing."""
    carried: bool = False
    """It is held, or has changed so little since it was last drawn that this drawing goes on; the mask may be new."""
    drawn_by: DrawnBy | None = None
    """Which network draws it, and why; None where no face is enrolled, so that the shipped one does."""
    beyond: Beyond | None = None
    """What the mask hides beyond the crop; None where it ends within."""

    def __post_init__(self) -> None:
        sides = (CROP_SIZE, CROP_SIZE // 2, CROP_SIZE // 4)
        if self.image.shape not in [(side, side, 3) for side in sides] or self.mask.shape != (CROP_SIZE, CROP_SIZE):
            raise ValueError(f"a crop is {CROP_SIZE} square, not image {self.image.shape}, mask {self.mask.shape}")


class Skipped(StrEnum):
    """Why a face that was seen is not drawn."""

    BARE = "bare"
    """It wears no mask: nothing to do."""
    TOO_SMALL = "too small"
    TURNED_AWAY = "turned away"
    UNCERTAIN = "uncertain"
    """The networks do not agree that this is a masked face."""
    SWITCHED_OFF = "switched off"
    """Somebody who watches chose so."""
    NOT_CHOSEN = "not chosen"
    """It is none of the people whose masks are to be taken off."""


@dataclass(frozen=True)
class Cropped:
    tracked: Tracked
    crops: tuple[FaceCrop, ...]
    """The masked faces, to be drawn."""
    skipped: tuple[tuple[Track, Skipped], ...]
    """The other faces, each with why it is left as it is."""

    @property
    def frame(self) -> Frame:
        return self.tracked.frame


@dataclass(frozen=True)
class Surroundings:
    """A square (S, S, 3) around a crop, with what was drawn in the place of a mask that goes on beyond the crop."""

    image: NDArray[np.uint8]
    here_from_crop: Affine


@dataclass(frozen=True, repr=False)
class Patch:
    """What the generator drew for one face, and around it where the mask goes on beyond the crop."""

    crop: FaceCrop
    image: NDArray[np.uint8]
    """(S, S, 3) uint8 RGB; only what the mask hides counts."""
    around: Surroundings | None = None
    ground: NDArray[np.uint8] | None = None
    """(S, S) 1 where what lies behind the person is, else 0; None: nobody knows."""


@dataclass(frozen=True)
class Inpainted:
    cropped: Cropped
    patches: tuple[Patch, ...]

    @property
    def frame(self) -> Frame:
        return self.cropped.frame
