from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.people.people import Look, People, PeopleFilter, mean_of
from pipeline.recognisers import Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

ANN, BOB, EVE = (np.eye(4, dtype=np.float32)[number] for number in range(3))


LEAST = Thresholds(bare=0.8, mixed=0.7, masked=0.9)


def near(vector: NDArray[np.float32], away: float = 0.3) -> Look:
    """Somebody's bare face in another picture: `away` towards a direction that nobody has."""
    other = vector + np.float32(away) * np.eye(4, dtype=np.float32)[3]
    return Look(bare=np.asarray(other / np.linalg.norm(other), np.float32))


def bare(vector: NDArray[np.float32]) -> Look:
    return Look(bare=vector)


def known(people: People) -> dict[int, int]:
    return {track: person.id for track, person in people.of_track.items()}


@pytest.fixture
def people() -> People:
    """Track 1 shows Ann and track 2 Bob: persons 1 and 2."""
    made = People(LEAST)
    made.meet([1, 2], {1: bare(ANN), 2: bare(BOB)}, ())
    return made


def test_everybody_is_somebody_of_their_own(people: People) -> None:
    assert known(people) == {1: 1, 2: 2}


def test_a_new_track_of_somebody_known_gets_their_id_back(people: People) -> None:
    people.meet([], {}, ())
    people.meet([3], {3: near(BOB)}, ())
    assert people.of_track[3].id == 2


def test_a_stranger_gets_a_new_id(people: People) -> None:
    people.meet([1, 3], {3: bare(EVE)}, ())
    assert people.of_track[3].id not in (1, 2)


def test_nobody_is_twice_in_a_frame(people: People) -> None:
    people.meet([1, 2, 3], {3: near(ANN)}, ())
    assert people.of_track[3].id not in (1, 2)


def test_two_tracks_that_swapped_their_people_are_put_right(people: People) -> None:
    people.meet([1, 2], {1: near(BOB), 2: near(ANN)}, (1, 2))
    assert known(people) == {1: 2, 2: 1}


def test_a_followed_face_that_looks_bad_stays_who_it_was(people: People) -> None:
    people.meet([1, 2], {1: bare(EVE)}, ())
    assert people.of_track[1].id == 1


def test_a_face_that_came_back_as_somebody_else_is_somebody_new(people: People) -> None:
    people.meet([1, 2], {1: bare(EVE)}, (1,))
    assert people.of_track[1].id not in (1, 2)


def test_a_face_too_poor_to_embed_has_an_id_of_its_own_and_keeps_it(people: People) -> None:
    people.meet([1, 2, 3], {}, ())
    before = people.of_track[3].id
    people.meet([1, 2, 3], {3: bare(EVE)}, ())
    assert before not in (1, 2)
    assert people.of_track[3].id == before


def test_the_mean_of_views_tells_who_is_chosen(people: People) -> None:
    present = people.of_track
    assert PeopleFilter(None, (), LEAST)(present) == {1, 2}
    assert PeopleFilter((near(ANN),), (), LEAST)(present) == {1}
    assert PeopleFilter(None, (near(ANN),), LEAST)(present) == {2}
    assert PeopleFilter((bare(EVE),), (), LEAST)(present) == set()
    assert PeopleFilter(None, (bare(EVE),), LEAST)(present) == {1, 2}
    assert PeopleFilter((bare(ANN), bare(BOB)), (bare(BOB),), LEAST)(present) == {1}


def test_a_picture_names_only_the_one_who_is_most_alike(people: People) -> None:
    people.meet([1, 2, 3], {3: near(ANN, 0.5)}, ())
    assert PeopleFilter((bare(ANN),), (), LEAST)(people.of_track) == {1}


def test_looks_are_compared_by_what_they_have_in_common() -> None:
    masked = Look(masked=EVE, repaired=ANN)
    assert bare(ANN).margin(bare(ANN), LEAST) == pytest.approx(0.2)
    assert bare(ANN).margin(masked, LEAST) == pytest.approx(0.3)
    assert masked.margin(bare(ANN), LEAST) == pytest.approx(0.3)
    assert masked.margin(Look(masked=BOB, repaired=ANN), LEAST) == pytest.approx(-0.9), (
        "two repaired ones are all alike"
    )
    assert mean_of([bare(ANN), masked]).margin(bare(BOB), LEAST) == pytest.approx(-0.8), "bare faces tell most"


def test_somebody_who_takes_the_mask_off_stays_who_they_are(people: People) -> None:
    people.meet([1, 2], {1: Look(masked=EVE, repaired=near(ANN).bare)}, (1,))
    people.meet([5], {5: bare(ANN)}, ())
    people.meet([6], {6: Look(masked=EVE, repaired=near(ANN).bare)}, ())
    assert [people.of_track[track].id for track in (1, 5, 6)] == [1, 1, 1]
