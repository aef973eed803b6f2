"""Who is who by their faces: a run's people, held in memory and gone with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

STAYS = 0.03
"""A track's own person is preferred to another by so much of the cosine: raise it and a swap is found less often."""
LOOSE = 0.04
"""And may be less alike than `same_person` by so much, once the track was lost from sight; a face that was followed all
the time stays who it was."""


@dataclass
class Person:
    """Somebody who was seen. Changed in place."""

    id: int
    total: Vector | float = 0.0
    """The sum of the embeddings so far."""
    views: int = 0

    @property
    def embedding(self) -> Vector:
        """(d,) of unit length: the mean of all views."""
        total = np.asarray(self.total)
        return np.asarray(total / np.linalg.norm(total), np.float32)

    def add(self, embedding: Vector) -> None:
        """One more view."""
        self.total = self.total + embedding
        self.views += 1


@dataclass
class People:
    """Everybody seen in a run, and which track shows whom. Changed in place, by one thread."""

    same_person: float
    """Cosine from which two faces are taken for one person."""
    of_track: dict[int, Person] = field(default_factory=dict)
    known: list[Person] = field(default_factory=list)
    """Those who were embedded at least once."""
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    def meet(self, present: Collection[int], found: Mapping[int, Vector], doubtful: Collection[int]) -> None:
        """Take in a frame: the tracks in it, the embeddings taken of some, and who of these were lost from sight.

        The likeliest pair of track and person is joined first, and everybody is in a frame once.
        """
        for track in present:
            if track not in self.of_track:
                self.of_track[track] = Person(next(self.ids))
        held = {self.of_track[track].id for track in present if track not in found}
        free = [person for person in self.known if person.id not in held]
        chosen: dict[int, Person] = {}
        taken: set[int] = set()
        for _, track, person in sorted(self._pairs(found, free, doubtful), key=lambda pair: -pair[0]):
            if track not in chosen and person.id not in taken:
                chosen[track] = person
                taken.add(person.id)
        for track, embedding in found.items():
            person = chosen.get(track) or self._newcomer(track, taken)
            if not person.views:
                self.known.append(person)
            person.add(embedding)
            self.of_track[track] = person

    def _pairs(
        self, found: Mapping[int, Vector], free: list[Person], doubtful: Collection[int]
    ) -> Iterator[tuple[float, int, Person]]:
        """How likely it is that a track shows a person, for those who may be."""
        for track, embedding in found.items():
            for person in free:
                alike = float(embedding @ person.embedding)
                own = self.of_track[track] is person
                least = self.same_person if not own else self.same_person - LOOSE if track in doubtful else -1.0
                if alike >= least:
                    yield alike + STAYS * own, track, person

    def _newcomer(self, track: int, taken: set[int]) -> Person:
        """Who a track shows when it is nobody known: whom it was given at first sight, or somebody new."""
        before = self.of_track[track]
        return before if not before.views and before.id not in taken else Person(next(self.ids))


@dataclass(frozen=True)
class Choice:
    """Whose masks are taken off, by pictures of them."""

    wanted: NDArray[np.float32] | None
    """(R, d) embeddings of those whose masks alone are taken off; None: everybody's."""
    spared: NDArray[np.float32] | None
    """(R, d) embeddings of those who keep theirs; None: nobody."""
    same_person: float

    def __call__(self, present: Mapping[int, Person]) -> set[int]:
        """The tracks among `present` whose masks are to be taken off."""
        wanted = set(present) if self.wanted is None else self._named(self.wanted, present)
        return wanted - (set() if self.spared is None else self._named(self.spared, present))

    def _named(self, pictures: NDArray[np.float32], present: Mapping[int, Person]) -> set[int]:
        """Those whom a picture shows: of all who are alike enough the most alike, as a picture names one person."""
        seen = [(track, person.embedding) for track, person in present.items() if person.views]
        named = set()
        for picture in pictures if seen else ():
            alike, track = max((float(embedding @ picture), track) for track, embedding in seen)
            if alike >= self.same_person:
                named.add(track)
        return named
