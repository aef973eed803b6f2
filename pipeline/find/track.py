"""The stage that gives every face an id that lasts, and a place in every frame."""

from __future__ import annotations

import math
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import EngineError
from pipeline.find.flow import FlowPicture
from pipeline.find.follow import FollowedFace, eye_distance
from pipeline.frames import Track, Tracked
from pipeline.rules import Number, Whole, setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.frames import Detected, Detection, Frame

SAME_FACE_DISTANCE = 1.0
"""A detection is a known face's when their landmarks are at most this many distances between the eyes apart."""
SAME_FACE_GROWTH = 1.5
"""What is added to that distance for each second in which the detector missed the face."""
LOST_GROWTH = 8.0
"""What is added for each second in which optical flow lost the face too, since it moves fast then."""
FARTHEST = 2.5
"""A detection farther away than this is another face, however long ago this one was seen."""
OVERLAP = 0.2
"""Two boxes are at the same place from this intersection over union on."""
LARGEST_CHANGE = 1.8
"""A face is at most this many times larger or smaller than expected."""


@dataclass(frozen=True)
class TrackFaces:
    """Gives every face an id that lasts, and its landmarks in every frame, steady and without delay."""

    patience_seconds: float = setting(
        1.5,
        Number(0, 60),
        "how long a face that the detector misses keeps its id; raise it and a face survives longer behind a hand, and "
        "somebody else who comes into its place may be taken for it",
    )
    lookback_frames: int = 0
    """How many frames are held back, so that a face that is believed only later is reported from its first sighting,
    and from before it as far as it can be followed. 0 for live video: holding back is delay."""
    sure_score: float = setting(
        0.9,
        Number(0, 1),
        "the detector's score from which one detection is enough to begin a track; lower it and faces are drawn "
        "sooner, and more things that are none",
    )
    doubtful_hits: int = setting(
        3,
        Whole(1, 100),
        "how many detections of a lower score begin a track, with at most one miss between; raise it and fewer things "
        "that are no faces are drawn, and a blurred face is drawn later",
    )
    lost_seconds: float = setting(
        0.25,
        Number(0, 60),
        "how long a face that is neither detected nor followed is still reported where it should be; raise it and a "
        "drawn face survives a moment's blur, and one that has left hangs in the air for longer",
    )

    def __call__(self, items: Iterator[Detected]) -> Iterator[Tracked]:
        """Each frame with its faces. Raises `SourceError` for an unknown pixel format."""
        crowd = _Crowd(self)
        held: deque[_Held] = deque()
        for item in items:
            if item.cut:
                crowd.leave()
            newcomers = crowd.see(item)

            # Held back, so that who is believed only later is still reported from the first sighting.
            held.append(
                _Held(item, [_Report(person, person.face.detection, person.unseen) for person in crowd.visible()])
            )
            for person in newcomers:
                _report_before(person, held)
            if len(held) > self.lookback_frames:
                yield held.popleft().tracked()

        while held:
            yield held.popleft().tracked()


def track_each_detection(items: Iterator[Detected]) -> Iterator[Tracked]:
    """Stage for pictures: every detection is a track, since no later frame can confirm it."""
    for item in items:
        numbered = enumerate(item.detections or (), start=1)
        yield Tracked(item, tuple(Track(number, face, age=0, unseen=0) for number, face in numbered))


@dataclass
class _Person:
    """A face that was seen at least once. Changed in place."""

    face: FollowedFace
    hits: int = 1
    misses: int = 0
    """How many times the detector has looked since it last saw the face."""
    unseen: int = 0
    """Frames since the detector last saw the face."""
    unseen_seconds: float = 0.0
    id: int | None = None
    """The track's number; None until it is believed to be a face."""
    age: int = 0
    """Tracks reported so far, counting those that were held back."""

    @property
    def reach(self) -> float:
        """How far away a detection may be and still be this face, in distances between the eyes."""
        grown = SAME_FACE_GROWTH * self.unseen_seconds + LOST_GROWTH * self.face.coasting_seconds
        return min(SAME_FACE_DISTANCE + grown, FARTHEST)


@dataclass(frozen=True)
class _Report:
    """Where one face was in one frame."""

    person: _Person
    detection: Detection
    unseen: int


@dataclass
class _Held:
    """A frame that is held back, and the faces in it, believed or not."""

    item: Detected
    reports: list[_Report]

    def tracked(self) -> Tracked:
        """The frame with the faces that are believed by now."""
        tracks = []
        for report in self.reports:
            person = report.person
            if person.id is not None:
                tracks.append(Track(person.id, report.detection, person.age, report.unseen))
                person.age += 1
        return Tracked(self.item, tuple(tracks))


@dataclass
class _Crowd:
    """All faces of the shot. Changed in place."""

    settings: TrackFaces
    people: list[_Person] = field(default_factory=list)
    ids: count[int] = field(default_factory=lambda: count(1))
    before: tuple[Frame, FlowPicture] | None = None
    """The last frame, where it had a face in it."""

    def leave(self) -> None:
        """Forget everybody, since the shot is over."""
        self.people = []
        self.before = None

    def visible(self) -> list[_Person]:
        """The faces whose place in the present frame is known."""
        return [person for person in self.people if person.face.coasting_seconds <= self.settings.lost_seconds]

    def see(self, item: Detected) -> list[_Person]:
        """Take in the next frame, and return the faces that are in it for the first time."""
        # Where nobody is, no picture need be made small for following.
        if not self.people and not item.detections:
            self.before = None
            return []
        picture = FlowPicture.of(item.frame.planes)
        if self.before is not None:
            self._advance(picture, seconds=float(item.frame.time - self.before[0].time))

        # First everybody moves on with the picture, then the detector corrects them.
        found = item.detections
        if item.look is not None and any(self._has_slipped(person) for person in self.people):
            with suppress(EngineError):  # the detector's own stage will meet it too, and says so
                found = item.look()
        newcomers = [] if found is None else self._meet(found, picture)
        self.people = [person for person in self.people + newcomers if self._is_awaited(person, item.frame)]
        for person in self.people:
            if person.id is None and self._is_believed(person):
                person.id = next(self.ids)
        self.before = item.frame, picture
        return newcomers

    def _advance(self, picture: FlowPicture, *, seconds: float) -> None:
        assert self.before is not None  # noqa: S101 - the caller looked
        for person in self.people:
            person.face.advance(self.before[1], picture, seconds=seconds)
            person.unseen += 1
            person.unseen_seconds += seconds

    def _has_slipped(self, person: _Person) -> bool:
        """Whether a face that is reported can't be followed in this frame, as when it moves fast."""
        return person.id is not None and 0 < person.face.coasting_seconds <= self.settings.lost_seconds

    def _meet(self, detections: Sequence[Detection], picture: FlowPicture) -> list[_Person]:
        """Correct the known faces by `detections`, and return a new face for each detection that is none of them."""
        limits = [person.reach for person in self.people]
        detection_of = associate([person.face for person in self.people], detections, limits=limits)
        for row, person in enumerate(self.people):
            if row in detection_of:
                person.face.correct(detections[detection_of[row]], picture)
                person.hits += 1
                person.misses = person.unseen = 0
                person.unseen_seconds = 0.0
            else:
                person.misses += 1
        others = [detections[column] for column in range(len(detections)) if column not in detection_of.values()]
        return [_Person(FollowedFace.seen(other, picture)) for other in others]

    def _is_believed(self, person: _Person) -> bool:
        return person.face.score >= self.settings.sure_score or person.hits >= self.settings.doubtful_hits

    def _is_awaited(self, person: _Person, frame: Frame) -> bool:
        x, y = person.face.detection.box.centre
        if not (0 <= x < frame.width and 0 <= y < frame.height):
            return False
        if person.id is None:
            # Not believed yet. One miss is forgiven, since a detector wavers at its threshold.
            return person.misses < 2
        return person.unseen_seconds <= self.settings.patience_seconds


def _report_before(person: _Person, held: deque[_Held]) -> None:
    """Follow a new face back into the frames that are held, as far as it can be seen there."""
    face = replace(person.face)
    *earlier, later = held
    picture = FlowPicture.of(later.item.frame.planes)

    for unseen, entry in enumerate(reversed(earlier), start=1):
        # Before the cut there was another scene.
        if later.item.cut:
            return
        picture_before = FlowPicture.of(entry.item.frame.planes)
        face.advance(picture, picture_before, seconds=float(later.item.frame.time - entry.item.frame.time))
        taken = any(face.detection.box.iou(report.detection.box) > OVERLAP for report in entry.reports)
        if taken or face.coasting_seconds:
            return
        entry.reports.append(_Report(person, face.detection, unseen))
        later, picture = entry, picture_before


def associate(
    faces: Sequence[FollowedFace], detections: Sequence[Detection], *, limits: Sequence[float]
) -> dict[int, int]:
    """The position in `detections` of each face's detection, by the face's position in `faces`.

    The nearest pair is taken first, and every face and every detection once.

    `limits` are, for each face, how far a detection of it may be away, in distances between the eyes. Landmarks lie
    closer together than boxes do, so that two faces cheek by cheek are still told apart.
    """
    # All pairs that could be one face; a face that doubles its size in a frame is another one.
    pairs = sorted(
        (face.distance(detection), row, column)
        for row, face in enumerate(faces)
        for column, detection in enumerate(detections)
        if _similar_size(face, detection)
    )

    chosen: dict[int, int] = {}
    taken: set[int] = set()
    for distance, row, column in pairs:
        if distance <= limits[row] and row not in chosen and column not in taken:
            chosen[row] = column
            taken.add(column)
    return chosen


def _similar_size(face: FollowedFace, detection: Detection) -> bool:
    ratio = eye_distance(detection.landmarks.points.astype(np.float64)) / face.eye_distance
    return abs(math.log(ratio)) < math.log(LARGEST_CHANGE)
