"""Joins chunks, each of which is computed by itself, so that neither the pictures nor the report show the joints.

In the pictures the last frames of a chunk pass over into what the next one draws. In the report ids last, though each
chunk counts its faces from 1: the frames before a joint are seen by both chunks, by the one as its last, by the other
as its lead, and boxes that lie on each other there are one face. Where people are told apart, somebody who comes back
in a later chunk is known by the embeddings that each chunk has of its people.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipeline.blend.paste import Copier, between
from pipeline.geometry import Box
from pipeline.people.people import MEMORY, Person, mean_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from fractions import Fraction

    import av
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.frames import Frame
    from pipeline.people.people import Crowd

ONE_FACE = 0.5
"""Intersection over union from which two boxes in one frame are one face."""

Sighting = tuple[float, int, Box]
"""The time of a frame in seconds, and the id and the box of a face in it."""


@dataclass(frozen=True)
class PassOver:
    """Stage: the last frames of a chunk pass over, more from frame to frame, into what the next chunk would draw.

    Each chunk draws a face by itself, and two drawings of one face differ by more than a still face changes.
    """

    drawn: Mapping[Fraction, av.VideoFrame]
    """The time of a frame to what the next chunk would make of it."""

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Raises `SourceError` for a format that can't be painted on."""
        copier, passed = Copier(), 0
        for frame in frames:
            other = self.drawn.get(frame.time)
            if other is None:
                yield frame
                continue
            passed += 1
            # Neither 0 nor 1: the frame before is ours alone, and the next chunk's first is its own.
            share = passed / (len(self.drawn) + 1)
            yield replace(frame, planes=between(frame.planes, other, share, copier))


@dataclass
class Ids:
    """The ids of a whole run, filled in chunk by chunk in their order."""

    crowd: list[Person] = field(default_factory=list)
    """The people of whom there is at least one view, with the run's ids."""
    _given: int = 0
    """How many ids were given."""
    _last: dict[float, list[tuple[int, Box]]] = field(default_factory=dict)
    """The faces in the last frames of the chunk before, with the run's ids."""

    def join(
        self, own: Iterable[int], lead: NDArray[np.float64], last: NDArray[np.float64], crowd: Crowd | None
    ) -> Mapping[int, int]:
        """Each of the next chunk's `own` ids to the run's id.

        `lead` and `last` are what was seen in its lead and in its last frames: (n, 6) of time, id and box.
        """
        people = () if crowd is None else crowd.people
        known = {person.id: person for person in self.crowd}
        names = self._followed(lead)
        if crowd is not None:
            names |= self._recognised(crowd, names)
        for number in sorted({*own, *_ids_in(last), *(person.id for person in people)} - names.keys()):
            self._given += 1
            names[number] = self._given

        for person in people:
            same = known.get(names[person.id])
            if same is None:
                self.crowd.append(Person(names[person.id], person.views, person.look))
            else:
                # Means count as many views as they are of, up to what `Person.add` remembers.
                parts = [*[same.look] * min(same.views, MEMORY), *[person.look] * min(person.views, MEMORY)]
                same.look, same.views = mean_of(parts), same.views + person.views
        self._last = defaultdict(list)
        for time, number, box in _sightings(last):
            self._last[time].append((names[number], box))
        return names

    def _followed(self, lead: NDArray[np.float64]) -> dict[int, int]:
        """The ids of the faces that the chunk before has seen in the same frames at the same places."""
        together = Counter(
            (number, before)
            for time, number, box in _sightings(lead)
            for before, there in self._last.get(time, ())
            if box.iou(there) >= ONE_FACE
        )
        return _one_to_one(pair for pair, _ in together.most_common())

    def _recognised(self, crowd: Crowd, names: Mapping[int, int]) -> dict[int, int]:
        """The ids of the people who look like somebody of an earlier chunk and were not followed over the joint."""
        pairs = [
            (person.look.margin(known.look, crowd.least), person.id, known.id)
            for person in crowd.people
            for known in self.crowd
            if person.id not in names and known.id not in names.values()
        ]
        return _one_to_one((own, known) for margin, own, known in sorted(pairs, reverse=True) if margin >= 0)


def _sightings(rows: NDArray[np.float64]) -> Iterable[Sighting]:
    """The rows of (n, 6) as sightings."""
    return ((time, int(number), Box(*box)) for time, number, *box in rows.tolist())


def _ids_in(rows: NDArray[np.float64]) -> set[int]:
    """The ids in (n, 6) rows of sightings."""
    return {int(number) for number in rows[:, 1]}


def _one_to_one(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """The first pair of each, so that no id stands in two pairs."""
    chosen: dict[int, int] = {}
    for own, other in pairs:
        if own not in chosen and other not in chosen.values():
            chosen[own] = other
    return chosen
