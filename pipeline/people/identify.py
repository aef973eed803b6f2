"""Stages that find out who each face is, so that ids last through cuts and only chosen people's masks come off.

A face is embedded when it appears, a few times soon after, when it is apart again from another that it touched, when it
is back from behind something, and else once a second. The first stage hands the crops to the network and the second
takes the answer, so that nobody waits for it who has something else to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.frames import Cropped, Skipped, Tracked
from pipeline.people.embed import clear_faces
from pipeline.people.people import People
from pipeline.rules import Number, setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.spec import Pending
    from pipeline.frames import Frame, Track
    from pipeline.people.embed import Embedder
    from pipeline.people.people import PeopleFilter, Person, Wearers

FIRST_LOOKS = 3
"""How many times a new face is embedded in quick succession, since one look may be blurred."""
QUICK_SECONDS = Fraction(1, 8)
"""The least time between two looks at a new face."""
TOUCHING = 0.02
"""Intersection over union from which two faces may be taken for each other."""


@dataclass(frozen=True)
class Asking:
    """A frame of which some faces are being embedded."""

    cropped: Cropped
    asked: tuple[tuple[int, bool], ...]
    """Which tracks are embedded, and whether they are masked."""
    doubtful: frozenset[int]
    """The embedded tracks that were lost from sight or close to another face since they were embedded last."""
    answer: Pending | None
    """The embeddings, later; None when no face is embedded."""

    @property
    def frame(self) -> Frame:
        """The frame of the faces."""
        return self.cropped.frame


@dataclass
class _Seen:
    """How often and when a track was embedded. Changed in place."""

    looks: int = 0
    last: Fraction = Fraction(0)
    touched: bool = False
    """Whether another face overlaps it in this frame."""
    doubt: bool = False
    """Whether it may be somebody else since: it was out of sight, or touched."""
    present: int = -1
    """The number of the frame in which it was seen last, counted from 0."""


@dataclass(frozen=True)
class Identify:
    """Gives each face the id of a person, and leaves the masks of people who are not chosen."""

    embedder: Embedder
    choice: PeopleFilter
    wearers: Wearers | None = None
    """The enrolled faces; None where there are none."""
    every_seconds: float = setting(
        1.0,
        Number(0.05, 60),
        "how often a face that is followed steadily is embedded again; raise it and it costs less, and a face that "
        "turned into somebody else's unnoticed is found out later",
    )
    people: dict[int, Person] = field(default_factory=dict, compare=False)
    """The people told apart so far, by id; read it in any thread."""

    def ask(self, stream: Iterator[Cropped]) -> Iterator[Asking]:
        """Stage: choose the faces to embed and hand them to the network. Raises `EngineError`."""
        seen: dict[int, _Seen] = {}
        for number, cropped in enumerate(stream):
            tracks = cropped.tracked.tracks
            for track in tracks:
                known = seen.setdefault(track.id, _Seen())
                known.touched = _touched(track, tracks)
                # Out of sight, or close to another face: the tracker may have mixed them up since.
                known.doubt |= known.touched or known.present not in (-1, number - 1)
                known.present = number

            faces = clear_faces(cropped)
            due = {track: face for track, face in faces.items() if self._is_due(seen[track], face.track, cropped.frame)}
            doubtful = frozenset(track for track in due if seen[track].doubt)
            for track_id in due:
                seen[track_id].looks += 1
                seen[track_id].last = cropped.frame.time
                seen[track_id].doubt = False

            crops = [face.image(cropped) for face in due.values()]
            asked = tuple((track_id, face.masked) for track_id, face in due.items())
            yield Asking(cropped, asked, doubtful, self.embedder.submit(crops) if crops else None)

    def answer(self, stream: Iterator[Asking]) -> Iterator[Cropped]:
        """Stage: each frame with people's ids, and only the chosen ones' masks to be drawn over.

        Raises `EngineError`.
        """
        people, before = People(self.embedder.least), dict[int, int]()
        assign = None if self.wearers is None else self.wearers.begin()
        for asking in stream:
            tracks = [track.id for track in asking.cropped.tracked.tracks]
            found = {}
            if asking.answer is not None:
                views = self.embedder.looks(asking.answer, [masked for _, masked in asking.asked])
                found = {track: view for (track, _), view in zip(asking.asked, views, strict=True)}
            people.meet(tracks, found, asking.doubtful)

            present = {track: people.of_track[track] for track in tracks}
            chosen = self.choice(present)
            self.people.update((person.id, person) for person in present.values() if person.views)

            names = {track: person.id for track, person in present.items()}
            cropped = renamed(asking.cropped, names, chosen, before)
            looks = {person.id: person.look for person in present.values() if person.views}
            yield cropped if assign is None else assign(cropped, looks)
            before = names

    def unasked(self, cropped: Cropped) -> Asking:
        """The frame as it goes on when `ask` failed on it: nobody in it is embedded."""
        return Asking(cropped, (), frozenset(), None)

    def unanswered(self, asking: Asking) -> Cropped:
        """The frame as it goes on when `answer` failed on it: nobody is known to be chosen, so all faces are left."""
        unknown = tuple((crop.track, Skipped.UNCERTAIN) for crop in asking.cropped.crops)
        return replace(asking.cropped, crops=(), skipped=asking.cropped.skipped + unknown)

    def _is_due(self, seen: _Seen, track: Track, frame: Frame) -> bool:
        """Whether a face is to be embedded in this frame."""
        if not seen.looks:
            return True
        since = frame.time - seen.last
        if track.unseen or seen.touched:  # its crop may show what hides it
            return False
        return since >= self.every_seconds or seen.doubt or (seen.looks < FIRST_LOOKS and since >= QUICK_SECONDS)


def _touched(track: Track, tracks: tuple[Track, ...]) -> bool:
    """Whether another face overlaps this one."""
    box = track.detection.box
    return any(box.iou(other.detection.box) > TOUCHING for other in tracks if other.id != track.id)


def renamed(cropped: Cropped, names: dict[int, int], chosen: set[int], before: dict[int, int]) -> Cropped:
    """Give a frame's tracks other ids, and leave the masked faces that are not `chosen` as they are.

    A face whose id was another one `before` is not held, since what was drawn for the new id may be of somebody else.
    """

    def named(track: Track) -> Track:
        return replace(track, id=names[track.id])

    tracked = Tracked(cropped.tracked.detected, tuple(map(named, cropped.tracked.tracks)))
    skipped = [(named(track), why) for track, why in cropped.skipped]
    skipped += [(named(crop.track), Skipped.NOT_CHOSEN) for crop in cropped.crops if crop.track.id not in chosen]
    crops = [
        replace(crop, track=named(crop.track), held=crop.held and before.get(crop.track.id) == names[crop.track.id])
        for crop in cropped.crops
        if crop.track.id in chosen
    ]
    return Cropped(tracked, tuple(crops), tuple(skipped))
