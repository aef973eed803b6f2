"""What is assembled for a run, what was read and written of it, and what somebody who watches may change meanwhile.

A `Controls` says which faces are drawn, how calm, how soft their edges, and how their mouths smile and open. It is
written by whoever asks a person and read by the stages. Each thing in it is replaced as a whole, never changed in
place, so that a reader in another thread sees the old or the new and needs no lock.
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import cv2
import numpy as np

from pipeline.blend.blend import Blend
from pipeline.blend.smooth import Smooth
from pipeline.find.detect import often_missed
from pipeline.frames import Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.draw.mouth import Mouth
    from pipeline.frames import Cropped, Frame, Inpainted, Track
    from pipeline.run.ledger import Ledger, Shown
    from pipeline.run.report import Tally
    from pipeline.settings.config import Config
    from pipeline.threads.runner import Pipeline
    from pipeline.threads.worker import Stage
    from pipeline.video.decode import FileSource
    from pipeline.video.encode import FileSink
    from pipeline.video.pieces import PieceSink
    from pipeline.video.stills import StillSink


@dataclass(frozen=True)
class Account:
    """What was read and written."""

    frames_in: int
    frames_out: int
    bad_packets: int
    complete: bool
    """Whether all that the input holds, between start and end, was read without damage and written."""
    missing: tuple[str, ...]
    """What of the input is not in the output or is damaged there, in sentences."""
    warnings: tuple[str, ...]
    """What was changed without loss, in sentences."""

    @classmethod
    def of(
        cls,
        source: FileSource,
        sink: FileSink,
        *,
        warnings: Sequence[str] = (),
        tally: Tally | None = None,
        searched_px: int = 0,
    ) -> Account:
        """What a video's source read and its sink wrote so far; `warnings` stand before theirs, each once.

        `tally` has the faces that were found at a detector's size of `searched_px`; None where nobody looked.
        """
        came, went = source.outcome, sink.outcome
        missed: str | None = None
        if tally is not None and came.frames:
            missed = often_missed(source.info.width, source.info.height, searched_px, found=tally.faces > 0)
        return cls(
            frames_in=came.frames,
            frames_out=went.frames,
            bad_packets=came.bad_packets,
            complete=came.complete and not went.problems,
            missing=(*came.problems, *went.problems),
            warnings=tuple(dict.fromkeys((*warnings, *came.warnings, *went.warnings, *filter(None, [missed])))),
        )


@dataclass(frozen=True)
class Film:
    """A video to be processed: the parts that are asked afterwards, and the pipeline that joins them."""

    source: FileSource
    sink: FileSink
    tally: Tally
    pipeline: Pipeline[Frame]
    searched_px: int | None = None
    """The longer side of what the detector gets; None where faces are not looked for, or not to take masks off."""

    def expected_frames(self) -> int | None:
        """How many frames will come, as far as the file says. Raises `SourceError` when it can't be opened."""
        info, source = self.source.info, self.source
        if source.start is None and source.end is None and info.frames:
            return info.frames
        ends = [time for time in (info.duration, source.end) if time is not None]
        return max(0, round((min(ends) - (source.start or 0)) / info.frame_seconds)) if ends else None

    def account(self) -> Account:
        """What was read and written so far."""
        if self.searched_px is None:
            return Account.of(self.source, self.sink)
        return Account.of(self.source, self.sink, tally=self.tally, searched_px=self.searched_px)


@dataclass(frozen=True)
class Stretch:
    """A chunk of a video to be processed: the parts that are asked afterwards, and the pipeline that joins them."""

    sink: PieceSink
    tally: Tally
    pipeline: Pipeline[Frame]


@dataclass(frozen=True)
class Photo:
    """A picture to be processed: as `Film`, with the one frame that a picture is."""

    sink: StillSink
    tally: Tally
    pipeline: Pipeline[Frame]
    idle: tuple[str, ...]
    """Settings that were given and mean nothing for a picture."""

    def expected_frames(self) -> int:
        """A picture is one frame."""
        return 1

    def account(self) -> Account:
        """What was read and written so far."""
        went = self.sink.outcome
        idle = (f"{', '.join(self.idle)}: without effect on a picture",) if self.idle else ()
        return Account(
            frames_in=went.frames,
            frames_out=went.frames,
            bad_packets=0,
            complete=went.frames == 1,
            missing=(),
            warnings=(*went.warnings, *idle),
        )


@dataclass(frozen=True)
class Stream:
    """A live source to be processed, joined but not running."""

    ledger: Ledger
    tally: Tally
    pipeline: Pipeline[Shown]


In = TypeVar("In")
Out = TypeVar("Out")

SLOWEST_PACE = 0.02
"""The pace of `Smooth` where the smoothing is 1."""

WIDEST_FEATHER_PX = 24.0
"""The widest feather, in pixels of the crop: a wider one would reach the crop's border."""

MOST_OF_A_MOUTH = 3.0
"""How far smile and opening go to each side, as the settings have it."""


PORTRAIT_PX = 96
"""The side of a face's small picture."""
PORTRAIT_REACH = 1.3
"""How much of the surroundings is in it: its side over the longer one of the face's box."""
BETTER_VIEW = 1.5
"""How many times larger than before a face's box must be for its small picture to be taken anew."""
MOST_PORTRAITS = 200
"""How many faces of a run are remembered."""


@dataclass(frozen=True)
class Wishes:
    """What a visitor of the page chose."""

    smoothing: float = math.log(Smooth.pace) / math.log(SLOWEST_PACE)
    """How calm drawings are, from 0, every frame as it was drawn, to 1. Raise it for less shimmer; a face then takes
    longer to gain from a better view."""
    feather_px: float = Blend.feather_px
    """The width of the feather as `Blend.feather_px`, up to `WIDEST_FEATHER_PX`."""
    smile: float = 0.0
    """How much drawn mouths smile, as the setting, up to `MOST_OF_A_MOUTH`."""
    mouth_open: float = 0.0
    """How much wider than otherwise they are open, the same."""
    faces: Mapping[int, bool] = field(default_factory=dict)
    """Track to whether its mask is drawn over, for the faces of which somebody said so."""
    others: bool = True
    """Whether the masks of all other faces are drawn over."""

    @classmethod
    def of(cls, config: Config) -> Wishes:
        """What nobody has changed yet: smoothing and feather as the settings have them, and mouths."""
        pace = config.of_stage("smooth").get("pace", Smooth.pace)
        feather_px = config.of_stage("blend").get("feather_px", Blend.feather_px)
        smoothing = min(1.0, math.log(pace) / math.log(SLOWEST_PACE))
        return cls(smoothing, min(feather_px, WIDEST_FEATHER_PX), config.faces.smile, config.faces.mouth_open)

    @property
    def sliders(self) -> dict[str, float]:
        """What the sliders of the page say, as it gets them."""
        names = ("smoothing", "feather", "smile", "mouth_open")
        return dict(zip(names, (self.smoothing, self.feather_px, self.smile, self.mouth_open), strict=True))

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


@dataclass(frozen=True)
class MetFace:
    """A face that a run has met, over all of its frames."""

    track: Track
    """The face as it was last seen."""
    frames: int = 0
    drawn: int = 0
    """How many of the frames it was drawn in."""
    left: Skipped | None = None
    """Why it was last left as it is, a moment without a mask apart; None when there was no such frame."""
    portrait: NDArray[np.uint8] | None = field(default=None, repr=False)
    """(`PORTRAIT_PX`, `PORTRAIT_PX`, 3) uint8 RGB: the largest view of it in the input; None when it is too small."""
    box_px: float = 0.0
    """The area of its box in that view."""

    @property
    def masked(self) -> bool:
        """Whether it ever wore, or may have worn, a mask."""
        return self.drawn > 0 or self.left is not None


@dataclass
class Controls:
    """What was chosen, and the faces to choose from. The parts are replaced as a whole, by one thread each."""

    choice: Wishes = field(default_factory=Wishes)
    """Written by who asks a person."""
    remembers: bool = False
    """Whether `met` is kept: for files, whose faces are chosen from afterwards."""
    met: dict[int, MetFace] = field(default_factory=dict)
    """Track to the face, in the order of their first frames; read it once the run is over."""
    seen: tuple[SeenFace, ...] = ()
    """Written by the stage `choose`."""
    seen_size: tuple[int, int] = (1, 1)
    """Width and height of the frame in which they were seen."""

    def choose(self, stream: Iterator[Cropped]) -> Iterator[Cropped]:
        """Stage: each frame without the crops of the faces that are not to be drawn."""
        for cropped in stream:
            # Read once: a visitor may replace it while this frame is looked at.
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

    def mouth(self, mouth: Mouth) -> Told:
        """`mouth` with the smile and the opening that are chosen when a frame is drawn."""

        def now() -> Mouth:
            choice = self.choice
            return replace(mouth, smile=choice.smile, opening=choice.mouth_open)

        return Told(now)

    def _note(self, cropped: Cropped) -> None:
        faces = [SeenFace(crop.track, None) for crop in cropped.crops]
        faces += [SeenFace(track, reason) for track, reason in cropped.skipped]
        self.seen_size = cropped.frame.width, cropped.frame.height
        self.seen = tuple(sorted(faces, key=lambda face: face.track.id))
        if self.remembers:
            for face in self.seen:
                self._remember(face, cropped.frame)

    def _remember(self, face: SeenFace, frame: Frame) -> None:
        number = face.track.id
        # A film of crowds meets thousands, and nobody chooses among so many.
        if number not in self.met and len(self.met) >= MOST_PORTRAITS:
            return
        known = self.met.get(number, MetFace(face.track))
        left = known.left if face.skipped in (None, Skipped.BARE) else face.skipped
        known = replace(
            known, track=face.track, frames=known.frames + 1, drawn=known.drawn + (not face.skipped), left=left
        )

        box = face.track.detection.box
        box_px = (box.right - box.left) * (box.bottom - box.top)
        if not face.track.unseen and box_px > BETTER_VIEW * known.box_px:
            known = replace(known, portrait=_portrait(frame, face.track), box_px=box_px)
        self.met[number] = known


def _portrait(frame: Frame, track: Track) -> NDArray[np.uint8] | None:
    """A small square picture of a face as it came in, as far as it lies inside the frame."""
    box = track.detection.box
    reach = PORTRAIT_REACH * max(box.right - box.left, box.bottom - box.top) / 2
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    left, right = (min(max(round(edge), 0), frame.width) for edge in (x - reach, x + reach))
    top, bottom = (min(max(round(edge), 0), frame.height) for edge in (y - reach, y + reach))
    if right - left < 2 or bottom - top < 2:
        return None

    inside = frame.image[top:bottom, left:right]
    scale = PORTRAIT_PX / max(inside.shape[:2])
    size = [max(1, round(side * scale)) for side in inside.shape[1::-1]]
    small = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    square = np.zeros((PORTRAIT_PX, PORTRAIT_PX, 3), np.uint8)
    above, before = (PORTRAIT_PX - size[1]) // 2, (PORTRAIT_PX - size[0]) // 2
    square[above : above + size[1], before : before + size[0]] = small
    return square


@dataclass(frozen=True)
class Told:
    """What a generator is told of mouths while somebody may change it."""

    mouth: Callable[[], Mouth]
    """Asked for every frame, in the stage's thread."""

    def numbers(self, frame: Frame, faces: int) -> NDArray[np.float32]:
        """(5,) as `Mouth.numbers` gives them."""
        return self.mouth().numbers(frame, faces)


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
                    # Taken and not yet given: it is the first that the stage with the new setting gets.
                    kept.append(item)
                    return
                yield item

        while True:
            value = self.setting()
            with closing(while_it_is(value)) as stream:
                yield from self.stage_for(value)(stream)
            if not kept:
                return
