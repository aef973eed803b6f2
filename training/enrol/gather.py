"""Recordings to views of one bare face: what is blurred, covered, small or turned away is left out and counted.

Besides, to how the mouth goes with the voice, where a recording has sound that tells it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.draw.mouth import AHEAD, LIVE_AHEAD, OPENING, VoiceModel, Voices, by_rule
from pipeline.draw.segment import Segment
from pipeline.draw.sound import HOP, RATE, SILENCE
from pipeline.errors import SourceError
from pipeline.find.detect import Detect
from pipeline.find.track import TrackFaces, track_each_detection
from pipeline.frames import Skipped
from pipeline.geometry import CROP_SIZE
from pipeline.people.people import mean_of
from pipeline.picture.pixels import align, read_crop
from training.data.crops import MARGIN, central_face, stored_from_canonical
from training.data.mesh import expression_of
from training.evaluation.mouths import LEARNED, alike, heard_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.detectors import Detector
    from pipeline.draw.sound import Numbers, Sound
    from pipeline.frames import Cropped, Frame, Track
    from pipeline.people.embed import Embedder
    from pipeline.people.people import Look

SIDE = round(CROP_SIZE * MARGIN)
"""Side in pixels of a stored view: as much wider than the canonical crop as training jitters it."""
WIDE_FROM_CROP = stored_from_canonical(SIDE)
EVERY_SECONDS = 0.03
"""Views of a video are at least so far apart, and farther in a long one; neighbouring frames teach the same."""
MOST_VIEWS = 480
"""The most views that are kept: when there are more, every second one goes, and later ones are taken half as often."""
LARGEST_ZOOM = 3.5
"""Pixels of the crop for one of the frame, beyond which a face is too small: its eyes are 18 pixels apart there."""
LEAST_SHARPNESS = 0.4
"""A view is blurred that has less fine detail than this part of what the sharper fifth of its source has."""
COMPARABLE = 0.5
"""A second face counts that is at least so large beside the first."""
OFTEN = 0.1
"""The part of the pictures in which there may be a second face or another person; more, and the source is refused."""
ENOUGH_ALIKE, ODD_ONE = 3, 1
"""Where so many views are of one person, so many others may be left out, however few there are in all: of four photos
of one person, one is often not recognised."""
LEAST_OF_A_PERSON = 24
"""Views from which on a person is learned who was not asked to sit for it."""
LOOKS_A_TRACK = 5
"""How many views of a track are embedded to say whose it is."""


@dataclass(frozen=True)
class View:
    """One picture of the bare face."""

    crop: NDArray[np.uint8]
    """The crop, (SIDE, SIDE, 3) RGB."""
    landmarks: NDArray[np.float32]
    """(5, 2) in pixels of the canonical crop."""
    source: str
    track: int
    """Which of the source's faces it is."""
    time: float
    """When it was seen, in seconds; 0 for a photo."""
    sharpness: float
    still: bool
    """Whether it is a photo."""

    @property
    def canonical(self) -> NDArray[np.uint8]:
        """The canonical crop (S, S, 3)."""
        edge = (SIDE - CROP_SIZE) // 2
        return np.ascontiguousarray(self.crop[edge : edge + CROP_SIZE, edge : edge + CROP_SIZE])


@dataclass
class Gathered:
    """What recordings gave so far. Changed in place."""

    views: list[View] = field(default_factory=list)
    pictures: int = 0
    """Frames and photos that were looked at."""
    several: int = 0
    """How many of them hold more than one face of about one size."""
    left: Counter[str] = field(default_factory=Counter)
    """Faces that were left out, by the reason."""

    def explained(self) -> str:
        """The reasons in a line, the most frequent first."""
        found = [f"{count} {reason}" for reason, count in self.left.most_common() if count]
        return ", ".join(found) or ("" if self.views else "no face was found")


@dataclass(frozen=True)
class Gather:
    """Finds the views in recordings."""

    detector: Detector
    segmenter: Engine

    def video(self, frames: Iterable[Frame], source: str, gathered: Gathered) -> Iterator[Frame]:
        """Add the views of a video. Each frame is handed on once it was looked at.

        Raises `SourceError` and `EngineError`.
        """
        detect, segment = Detect(self.detector, every=4), Segment(self.segmenter, every=2)
        last, every = -1.0, EVERY_SECONDS
        for cropped in segment.answer(segment.ask(TrackFaces()(detect(iter(frames))))):
            time = float(cropped.frame.time)
            if last < 0 or time - last >= every:
                last = time
                self._add(cropped, source, time, gathered, still=False)
            # A recording may have any length, and memory has not: the views stay spread over all of it.
            if len(gathered.views) > MOST_VIEWS:
                gathered.views[:] = gathered.views[::2]
                every *= 2
            yield cropped.frame
        self._drop_blurred(source, gathered)

    def photo(self, frames: Iterable[Frame], source: str, gathered: Gathered) -> Iterator[Frame]:
        """Add the view of a photo, which is one frame. Raises as `video` does."""
        detect, segment = Detect(self.detector, every=1), Segment(self.segmenter, every=1)
        for cropped in segment.answer(segment.ask(track_each_detection(detect(iter(frames))))):
            self._add(cropped, source, 0.0, gathered, still=True)
            yield cropped.frame

    def _add(self, cropped: Cropped, source: str, time: float, gathered: Gathered, *, still: bool) -> None:
        """Add the bare faces of a frame that are of use, and count the others."""
        tracks = cropped.tracked.tracks
        gathered.pictures += 1
        widths = sorted((track.detection.box.width for track in tracks), reverse=True)
        gathered.several += len(widths) > 1 and widths[1] > COMPARABLE * widths[0]

        gathered.left["masked or covered"] += len(cropped.crops)
        gathered.left.update(why.value for _, why in cropped.skipped if why is not Skipped.BARE)
        for track in (track for track, why in cropped.skipped if why is Skipped.BARE):
            view = self._view(cropped.frame, track, source, time, still=still)
            if view is None:
                gathered.left["too small"] += 1
            else:
                gathered.views.append(view)

    def _view(self, frame: Frame, track: Track, source: str, time: float, *, still: bool) -> View | None:
        """One face of a frame; None when it is too small."""
        image, crop_from_frame = align(frame, track)
        if crop_from_frame.scale > LARGEST_ZOOM:
            return None
        wide = read_crop(frame.planes, WIDE_FROM_CROP.after(crop_from_frame), size=SIDE)
        landmarks = crop_from_frame.apply(track.detection.landmarks.points).astype(np.float32)
        return View(wide, landmarks, source, track.id, time, sharpness(image), still)

    def _drop_blurred(self, source: str, gathered: Gathered) -> None:
        """Leave out the views of a video that are blurred beside the others."""
        found = [view.sharpness for view in gathered.views if view.source == source]
        if not found:
            return
        least = LEAST_SHARPNESS * float(np.percentile(found, 80))
        kept = [view for view in gathered.views if view.source != source or view.sharpness >= least]
        gathered.left["blurred"] += len(gathered.views) - len(kept)
        gathered.views[:] = kept


def sharpness(crop: NDArray[np.uint8]) -> float:
    """How much fine detail the middle of a canonical crop (S, S, 3) has, beside its contrast."""
    part = crop[CROP_SIZE // 4 : -CROP_SIZE // 4, CROP_SIZE // 4 : -CROP_SIZE // 4]
    luma = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32)
    luma = np.asarray(cv2.GaussianBlur(luma, (0, 0), 1.0), np.float32)  # noise is no detail
    return float(cv2.Laplacian(luma, cv2.CV_32F).std() / (luma.std() + 4.0))


def of_one_person(gathered: Gathered, embedder: Embedder | None, wanted: Look | None) -> list[View]:
    """The views of the one person in them, or of `wanted`.

    Raises `SourceError` where several people are seen and nobody said who.
    """
    if embedder is None:
        if gathered.several > OFTEN * gathered.pictures:
            raise SourceError("several people are seen: cut the recording, or say who is meant with --only PERSON.jpg")
        return gathered.views

    looks = _looks_of_tracks(gathered.views, embedder)
    sizes = Counter((view.source, view.track) for view in gathered.views)
    if not looks:
        return []

    def alike(chosen: Look) -> set[tuple[str, int]]:
        return {track for track, look in looks.items() if look.margin(chosen, embedder.least) >= 0}

    # Whom most of the views are like: any single photo may be the one that is unlike the others.
    meant = [looks[track] for track, _ in sizes.most_common()] if wanted is None else [wanted]
    theirs = max(map(alike, meant), key=lambda tracks: sum(sizes[track] for track in tracks))
    views = [view for view in gathered.views if (view.source, view.track) in theirs]
    others = len(gathered.views) - len(views)
    if wanted is None and others > max(OFTEN * len(gathered.views), ODD_ONE if len(views) >= ENOUGH_ALIKE else 0):
        raise SourceError("several people are seen: say who is meant with --only PERSON.jpg")
    gathered.left["somebody else"] += others
    return views


def people_in(gathered: Gathered, embedder: Embedder | None) -> list[list[View]]:
    """The views of each person who is bare for a while, those seen most first.

    Without an embedder there is one person or, where several are seen at a time, none: they can't be told apart.
    """
    if embedder is None:
        alone = gathered.several <= OFTEN * gathered.pictures and len(gathered.views) >= LEAST_OF_A_PERSON
        return [gathered.views] if alone else []

    looks = _looks_of_tracks(gathered.views, embedder)
    sizes = Counter((view.source, view.track) for view in gathered.views)
    people: list[list[View]] = []
    left = [track for track, _ in sizes.most_common()]
    while left:
        theirs = [track for track in left if looks[track].margin(looks[left[0]], embedder.least) >= 0]
        left = [track for track in left if track not in theirs]
        people.append([view for view in gathered.views if (view.source, view.track) in theirs])
    return [views for views in people if len(views) >= LEAST_OF_A_PERSON]


def _looks_of_tracks(views: Sequence[View], embedder: Embedder) -> dict[tuple[str, int], Look]:
    """What each face of each source looks like, the mean of a few views."""
    of_track: dict[tuple[str, int], list[View]] = {}
    for view in views:
        of_track.setdefault((view.source, view.track), []).append(view)
    found = {}
    for track, seen in of_track.items():
        places = np.linspace(0, len(seen) - 1, min(LOOKS_A_TRACK, len(seen))).astype(int)
        crops = [seen[place].canonical for place in places]
        found[track] = mean_of(embedder.looks(embedder.submit(crops), [False] * len(crops)))
    return found


MOUTH_SECONDS, MOST_MOUTHS = 0.06, 1500
"""How far apart pictures are at least whose mouth is learned from, and how many of them."""
LEAST_MOUTHS, LEAST_SPOKEN_SECONDS = 150, 5.0
"""How many must show a face, and for how long somebody must speak, for a voice to be learned."""


def speaking_most(paths: Iterable[Path]) -> tuple[Path, Sound]:
    """The file in which somebody speaks longest, and its sound. Raises `SourceError` where nobody does."""
    found: list[tuple[float, Path, Sound]] = []
    for path in paths:
        with suppress(SourceError):  # it has no sound
            sound = heard_in(path)
            found.append((float(np.count_nonzero(sound.speech > SILENCE)) * HOP / RATE, path, sound))

    spoken = max((seconds for seconds, _, _ in found), default=0.0)
    if spoken < LEAST_SPOKEN_SECONDS:
        raise SourceError(f"{spoken:.0f} s of speech are heard, and {LEAST_SPOKEN_SECONDS:.0f} are needed")
    return next((path, sound) for seconds, path, sound in found if seconds == spoken)


def learned_voices(sound: Sound, frames: Iterable[Frame]) -> Voices:
    """How the mouth that `frames` show goes with the sound, learned from the first part and judged on the last.

    Raises `SourceError` where that is no better than the rule, and `CheckpointError` without the mesh network.
    """
    moments: list[float] = []
    numbers: list[NDArray[np.float32]] = []
    for frame in frames:
        if not moments or float(frame.time) - moments[-1] >= MOUTH_SECONDS:
            face = central_face(frame.image)
            if face is not None:
                moments.append(float(frame.time))
                numbers.append(expression_of(face[1]))
        if len(moments) >= MOST_MOUTHS:
            break
    if len(moments) < LEAST_MOUTHS:
        raise SourceError(f"{len(moments)} pictures show the mouth, and {LEAST_MOUTHS} are needed")
    return better_than_the_rule(sound, np.array(moments), np.stack(numbers))


def better_than_the_rule(sound: Sound, seconds: Numbers, numbers: NDArray[np.float32]) -> Voices:
    """The voices of true numbers (T, 4) at times (T,), each None that the rule beats. Raises `SourceError` for both."""
    first = round(LEARNED * len(seconds))
    last, true = seconds[first:], numbers[first:, OPENING]
    rule = alike(by_rule(sound, last)[:, OPENING], true) or 0.0

    kept: dict[str, VoiceModel] = {}
    best = -1.0
    for name, ahead in (("recorded", AHEAD), ("live", LIVE_AHEAD)):
        judged = VoiceModel.learned(sound, seconds[:first], numbers[:first], ahead=ahead)
        score = alike(judged(sound, last)[:, OPENING], true) or 0.0
        best = max(best, score)
        if score > max(rule, 0.0):
            kept[name] = VoiceModel.learned(sound, seconds, numbers, ahead=ahead)
    if not kept:
        raise SourceError(f"what was learned correlates with the true mouth by {best:.2f}, and the rule by {rule:.2f}")
    return Voices(kept.get("recorded"), kept.get("live"), best, rule)
