"""The people of a run, told apart by their faces, and which enrolled face is in the picture.

People are held in memory and gone when the run ends. An enrolled face's own network draws it, and nobody else is ever
drawn with it; in doubt the shipped network draws.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.frames import Drawer, DrawnBy, Skipped
from pipeline.recognisers import Thresholds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    from pipeline.frames import Cropped, FaceCrop, Track


STAYS = 0.03
"""The bonus, in cosine, of the person whom a track showed so far. Raise it and a swap of two people is found less
often."""
LOOSE = 0.04
"""How far below the threshold, in cosine, a track's own person may be after the track was lost from sight. A face that
was followed all the time stays who it was, however unlike it looks."""
MEMORY = 20
"""The greatest weight of the mean so far, in views, when one more view is added to it."""


@dataclass(frozen=True)
class Look:
    """The embeddings of one look at a face, or means of several: (d,) vectors of unit length, None where unknown."""

    bare: Vector | None = None
    """The embedding of the bare face."""
    masked: Vector | None = None
    """The embedding of the masked face, as the recogniser gives it: to be compared with other masked ones."""
    repaired: Vector | None = None
    """The repaired embedding of the masked face: to be compared with bare ones. Two repaired ones are always alike."""

    def margin(self, other: Look, least: Thresholds) -> float:
        """How far the cosine of two looks is above the threshold for their kind: from 0 on they show one person.

        Two bare faces are the surest pair, then two masked ones, then a bare and a masked one.
        """
        pairs = (
            (self.bare, other.bare, least.bare),
            (self.masked, other.masked, least.masked),
            (self.bare, other.repaired, least.mixed),
            (self.repaired, other.bare, least.mixed),
        )
        return next(float(one @ two) - limit for one, two, limit in pairs if one is not None and two is not None)


def mean_of(looks: Sequence[Look]) -> Look:
    """Average the looks, each kind of embedding by itself."""
    return Look(
        bare=_mean([look.bare for look in looks]),
        masked=_mean([look.masked for look in looks]),
        repaired=_mean([look.repaired for look in looks]),
    )


def _mean(vectors: Sequence[Vector | None]) -> Vector | None:
    """The mean of the vectors that are there, brought to length 1; None when none is."""
    there = [vector for vector in vectors if vector is not None]
    if not there:
        return None
    total = np.sum(there, axis=0)
    return np.asarray(total / np.linalg.norm(total), np.float32)


@dataclass
class Person:
    """Somebody who was seen in this run. Changed in place."""

    id: int
    views: int = 0
    look: Look = field(default_factory=Look)
    """The mean of all views."""

    def add(self, look: Look) -> None:
        """Add a view to the mean. Old views fade once there are more than `MEMORY`: people turn, and light changes."""
        self.look = mean_of([*[self.look] * min(self.views, MEMORY), look])
        self.views += 1


@dataclass
class People:
    """Everybody who was seen in a run, and which track shows whom. One thread changes this in place."""

    least: Thresholds
    of_track: dict[int, Person] = field(default_factory=dict)
    known: list[Person] = field(default_factory=list)
    """The people of whom there is at least one view."""
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    def meet(self, present: Collection[int], found: Mapping[int, Look], doubtful: Collection[int]) -> None:
        """Take in a frame: the tracks in it, looks at some of them, and which of these were lost from sight before.

        The likeliest pair of track and person is joined first, and everybody is in a frame once.
        """
        for track in present:
            if track not in self.of_track:
                self.of_track[track] = Person(next(self.ids))

        # Who is in the frame already, in a track that nobody looked at, can't be in another track as well.
        held = {self.of_track[track].id for track in present if track not in found}
        free = [person for person in self.known if person.id not in held]
        chosen: dict[int, Person] = {}
        taken: set[int] = set()
        for _, track, person in sorted(self._pairs(found, free, doubtful), key=lambda pair: -pair[0]):
            if track not in chosen and person.id not in taken:
                chosen[track] = person
                taken.add(person.id)

        for track, look in found.items():
            person = chosen.get(track) or self._newcomer(track, taken)
            if not person.views:
                self.known.append(person)
            person.add(look)
            self.of_track[track] = person

    def _pairs(
        self, found: Mapping[int, Look], free: list[Person], doubtful: Collection[int]
    ) -> Iterator[tuple[float, int, Person]]:
        """Rate every pair of a track and a person it may show; the higher the number, the likelier the pair."""
        for track, look in found.items():
            for person in free:
                margin = look.margin(person.look, self.least)
                own = self.of_track[track] is person
                if margin >= (0.0 if not own else -LOOSE if track in doubtful else -2.0):
                    yield margin + STAYS * own, track, person

    def _newcomer(self, track: int, taken: set[int]) -> Person:
        """The person of a track that shows nobody known: the one it was given at first sight, or a new one."""
        before = self.of_track[track]
        return before if not before.views and before.id not in taken else Person(next(self.ids))


@dataclass(frozen=True)
class Crowd:
    """The people that were told apart in a stretch of a recording."""

    people: tuple[Person, ...]
    least: Thresholds

    def as_json(self) -> dict[str, object]:
        """The crowd as JSON holds it, embeddings and all."""
        known = [
            [
                one.id,
                one.views,
                {kind: list(map(float, look)) for kind, look in vars(one.look).items() if look is not None},
            ]
            for one in self.people
        ]
        return {"least": asdict(self.least), "known": known}

    @classmethod
    def of_json(cls, facts: Mapping[str, Any]) -> Crowd:
        """Read what `as_json` gave. Raises `KeyError`, `TypeError` and `ValueError` for anything else."""
        people = tuple(
            Person(number, views, Look(**{kind: np.array(vector, np.float32) for kind, vector in look.items()}))
            for number, views, look in facts["known"]
        )
        return cls(people, Thresholds(**facts["least"]))


@dataclass(frozen=True)
class PeopleFilter:
    """Chooses whose masks are taken off, by pictures of people."""

    wanted: tuple[Look, ...] | None
    """Pictures of the people whose masks alone are taken off; None takes off everybody's."""
    spared: tuple[Look, ...]
    """Pictures of the people who keep their masks."""
    least: Thresholds

    def __call__(self, present: Mapping[int, Person]) -> set[int]:
        """Choose the tracks among `present` whose masks are to be taken off."""
        wanted = set(present) if self.wanted is None else self._named(self.wanted, present)
        return wanted - self._named(self.spared, present)

    def _named(self, pictures: Sequence[Look], present: Mapping[int, Person]) -> set[int]:
        """The tracks that the pictures show: each picture names the one person who is most like it, if alike enough."""
        seen = [(track, person.look) for track, person in present.items() if person.views]
        named = set()
        for picture in pictures if seen else ():
            margin, track = max((look.margin(picture, self.least), track) for track, look in seen)
            if margin >= 0:
                named.add(track)
        return named


CLEARLY_OTHER = 0.03
"""A face that is alone in the picture counts as the enrolled one unless it is less alike than the threshold by so much
of the cosine. Raise it and a wearer whom the recogniser hardly knows is drawn; a stranger then is sooner, too."""
WEARERS_APART = 0.01
"""How much more a face must be like one enrolled face than like every other, in cosine."""
WEARER_LOOSE = 0.02
"""A face that was recognised stays so down to so much below the threshold."""
MOST_UNSEEN = 12
"""Frames without a detection behind which a track may have become somebody else's."""
OVERLAPPING = 0.1
"""Intersection over union from which one face is behind another, and a track may lie on the face in front."""
TOUCHING = 0.02
"""Intersection over union from which two faces may be taken for each other."""


@dataclass(frozen=True)
class Wearers:
    """The enrolled faces of a run, and what is done where none of them is seen."""

    looks: Mapping[str, Look | None]
    """What a recogniser makes of each enrolled face, by its name; None where the file or the run has no recogniser."""
    least: Thresholds | None
    """The cosines from which two faces are one person's; None where the run has no recogniser."""
    only: bool
    """Whether the masks of everybody else stay on."""

    def begin(self) -> Assignment:
        """Begin anew for one stream of frames."""
        return Assignment(self)

    def assign(self, stream: Iterator[Cropped]) -> Iterator[Cropped]:
        """Stage for a run without a recogniser: each frame with the drawer of each face."""
        assignment = self.begin()
        for cropped in stream:
            yield assignment(cropped, {})


@dataclass
class Assignment:
    """Gives each masked face of a stream the network that draws it. Changed in place, by one thread."""

    wearers: Wearers
    _alone: set[int] = field(default_factory=set)
    """The tracks that were alone in the picture when they came and touched no other face since."""
    _seen: set[int] = field(default_factory=set)
    _last: dict[int, str | None] = field(default_factory=dict)
    """Which enrolled face each track was drawn with in the last frame."""

    def __call__(self, cropped: Cropped, looks: Mapping[int, Look]) -> Cropped:
        """The frame with the drawer of each face; `looks` holds what is known of tracks, which may be nothing."""
        tracks = cropped.tracked.tracks
        self._note_alone(tracks)
        drawers = self._drawers([track.id for track in tracks], looks)
        drawers |= {
            track.id: DrawnBy(None, Drawer.IN_DOUBT)
            for track in tracks
            if _largest_overlap(track, tracks) > OVERLAPPING
        }
        crops = tuple(self._assigned(crop, drawers[crop.track.id]) for crop in cropped.crops)
        self._last = {crop.track.id: None if crop.drawn_by is None else crop.drawn_by.face for crop in crops}
        if not self.wearers.only:
            return replace(cropped, crops=crops)

        own = tuple(crop for crop in crops if crop.drawn_by is not None and crop.drawn_by.face is not None)
        others = tuple((crop.track, Skipped.NOT_CHOSEN) for crop in crops if crop not in own)
        return replace(cropped, crops=own, skipped=cropped.skipped + others)

    def _note_alone(self, tracks: tuple[Track, ...]) -> None:
        """Learn which tracks have had no chance to become somebody else's."""
        for track in tracks:
            if track.id not in self._seen and len(tracks) == 1:
                self._alone.add(track.id)
            self._seen.add(track.id)
            if _largest_overlap(track, tracks) > TOUCHING or track.unseen > MOST_UNSEEN:
                self._alone.discard(track.id)

    def _drawers(self, tracks: list[int], looks: Mapping[int, Look]) -> dict[int, DrawnBy]:
        """Who draws each of the tracks that are in the picture together."""
        margins = {track: self._margins(looks.get(track)) for track in tracks}
        # An enrolled face is one person: of all tracks that are like it the likest one alone is drawn with it.
        likest = {
            face: max((track for track in tracks if face in margins[track]), key=lambda track: margins[track][face])
            for face in {face for found in margins.values() for face in found}
        }
        return {track: self._drawer(track, margins[track], likest) for track in tracks}

    def _margins(self, look: Look | None) -> dict[str, float]:
        """How much more a face is like each enrolled face than the threshold; nothing where that is unknown."""
        least = self.wearers.least
        if look is None or least is None:
            return {}
        return {face: look.margin(known, least) for face, known in self.wearers.looks.items() if known is not None}

    def _drawer(self, track: int, margins: Mapping[str, float], likest: Mapping[str, int]) -> DrawnBy:
        """Who draws one track."""
        faces = sorted(margins, key=lambda face: -margins[face])
        if faces and likest[faces[0]] == track:
            best, next_best = margins[faces[0]], margins[faces[1]] if len(faces) > 1 else -1.0
            stays = WEARER_LOOSE if self._last.get(track) == faces[0] else 0.0
            if best >= -stays and best - next_best >= WEARERS_APART:
                return DrawnBy(faces[0], Drawer.RECOGNISED)

        (only, *others) = self.wearers.looks
        if not others and track in self._alone and margins.get(only, 0.0) >= -CLEARLY_OTHER:
            return DrawnBy(only, Drawer.ALONE)
        return DrawnBy(None, Drawer.NOT_RECOGNISED if faces and margins[faces[0]] < 0 else Drawer.IN_DOUBT)

    def _assigned(self, crop: FaceCrop, drawn_by: DrawnBy) -> FaceCrop:
        """The crop with its drawer; it is drawn anew where another network drew it in the last frame."""
        same = self._last.get(crop.track.id, drawn_by.face) == drawn_by.face
        return replace(crop, drawn_by=drawn_by, held=crop.held and same)


def _largest_overlap(track: Track, tracks: tuple[Track, ...]) -> float:
    """The largest intersection over union of a track's box with another's."""
    box = track.detection.box
    return max((box.iou(other.detection.box) for other in tracks if other.id != track.id), default=0.0)
