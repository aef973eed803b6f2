"""The people of a run, told apart by their faces: they are held in memory and gone when the run ends."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.recognisers import Thresholds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

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
        """By how much the cosine of two looks is above the threshold for their kind: from 0 on they show one person.

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
