"""Which network draws whom, for people whose looks are directions in a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.frames import Cropped, Drawer, DrawnBy, FaceCrop, Skipped, Track
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.people.people import MOST_UNSEEN, Look, People, PeopleFilter, Wearers, mean_of
from pipeline.recognisers import Thresholds
from tests.pipeline.faces import frame_of, track_of, tracked, upright

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


THRESHOLDS = Thresholds(0.9, 0.9, 0.9)
SHIPPED = None
FRAME = frame_of(np.zeros((480, 640, 3), np.uint8))


def look(degrees: float) -> Look:
    return Look(masked=np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], np.float32))


def track(number: int, *, x: float = 50.0, unseen: int = 0) -> Track:
    made = track_of(upright(x=x, y=50), number)
    return Track(made.id, made.detection, made.age, unseen)


def shown(*tracks: Track, held: bool = False) -> Cropped:
    image, mask = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8), np.ones((CROP_SIZE, CROP_SIZE), np.float32)
    crops = tuple(FaceCrop(one, image, mask, Affine(np.eye(2, 3)), held) for one in tracks)
    return Cropped(tracked(FRAME, *tracks), crops, skipped=())


def drawers(cropped: Cropped) -> dict[int, str | None]:
    return {crop.track.id: crop.drawn_by.face for crop in cropped.crops if crop.drawn_by is not None}


def one_face(*, only: bool = False) -> Wearers:
    return Wearers({"me": look(0)}, THRESHOLDS, only=only)


def unrecognisable() -> Wearers:
    return Wearers({"me": None}, None, only=False)


def test_one_person_without_a_recogniser_is_drawn_as_the_one_enrolled_face() -> None:
    found = unrecognisable().begin()(shown(track(1)), {})
    assert found.crops[0].drawn_by == DrawnBy("me", Drawer.ALONE)


def test_two_people_whom_nothing_tells_apart_are_drawn_by_the_shipped_network() -> None:
    found = unrecognisable().begin()(shown(track(1), track(2, x=400)), {})
    assert {crop.drawn_by for crop in found.crops} == {DrawnBy(SHIPPED, Drawer.IN_DOUBT)}


def test_who_came_alone_stays_drawn_when_somebody_else_comes_and_no_longer_when_they_touch() -> None:
    assign = unrecognisable().begin()
    assert drawers(assign(shown(track(1)), {})) == {1: "me"}
    assert drawers(assign(shown(track(1), track(2, x=400)), {})) == {1: "me", 2: SHIPPED}
    assert drawers(assign(shown(track(1), track(2, x=60)), {})) == {1: SHIPPED, 2: SHIPPED}
    assert drawers(assign(shown(track(1), track(2, x=400)), {})) == {1: SHIPPED, 2: SHIPPED}


def test_a_track_that_was_long_out_of_sight_may_be_somebody_else() -> None:
    assign = unrecognisable().begin()
    assert drawers(assign(shown(track(1)), {})) == {1: "me"}
    assert drawers(assign(shown(track(1, unseen=MOST_UNSEEN + 1)), {})) == {1: SHIPPED}
    assert drawers(assign(shown(track(1)), {})) == {1: SHIPPED}


def test_people_are_matched_to_the_enrolled_faces_that_they_are_like() -> None:
    assign = Wearers({"ann": look(0), "bob": look(90)}, THRESHOLDS, only=False).begin()
    people = [track(1), track(2, x=250), track(3, x=450)]
    found = assign(shown(*people), {1: look(85), 2: look(200), 3: look(10)})
    assert {crop.track.id: crop.drawn_by for crop in found.crops} == {
        1: DrawnBy("bob", Drawer.RECOGNISED),
        2: DrawnBy(SHIPPED, Drawer.NOT_RECOGNISED),
        3: DrawnBy("ann", Drawer.RECOGNISED),
    }


def test_of_two_people_who_are_like_one_face_the_likest_alone_is_drawn_with_it() -> None:
    found = one_face().begin()(shown(track(1), track(2, x=400)), {1: look(20), 2: look(5)})
    assert drawers(found) == {1: SHIPPED, 2: "me"}


def test_who_is_as_much_like_two_faces_is_in_doubt() -> None:
    assign = Wearers({"ann": look(0), "twin": look(20)}, THRESHOLDS, only=False).begin()
    found = assign(shown(track(1)), {1: look(10)})
    assert found.crops[0].drawn_by == DrawnBy(SHIPPED, Drawer.IN_DOUBT)


@pytest.mark.parametrize(
    ("degrees", "drawer"),
    [
        (10, DrawnBy("me", Drawer.RECOGNISED)),
        (28, DrawnBy("me", Drawer.ALONE)),  # a cosine of 0.88
        (40, DrawnBy(SHIPPED, Drawer.NOT_RECOGNISED)),
    ],
)
def test_who_is_alone_is_drawn_unless_clearly_somebody_else(degrees: float, drawer: DrawnBy) -> None:
    found = one_face().begin()(shown(track(1)), {1: look(degrees)})
    assert found.crops[0].drawn_by == drawer


def test_who_was_recognised_stays_so_just_below_the_threshold() -> None:
    assign, far = one_face().begin(), track(2, x=400)
    assert drawers(assign(shown(track(1), far), {1: look(20)})) == {1: "me", 2: SHIPPED}
    assert drawers(assign(shown(track(1), far), {1: look(27)})) == {1: "me", 2: SHIPPED}
    assert drawers(assign(shown(track(1), far), {1: look(40)})) == {1: SHIPPED, 2: SHIPPED}
    assert drawers(assign(shown(track(1), far), {1: look(27)})) == {1: SHIPPED, 2: SHIPPED}


def test_a_face_is_not_held_over_a_change_of_the_network_that_draws_it() -> None:
    assign, far = one_face().begin(), track(2, x=400)
    assign(shown(track(1), far), {1: look(5)})
    assert assign(shown(track(1), far, held=True), {1: look(5)}).crops[0].held
    assert not assign(shown(track(1), far, held=True), {1: look(90)}).crops[0].held


def test_a_face_behind_another_is_in_doubt_and_so_is_the_one_in_front() -> None:
    assign = one_face().begin()
    looks = {1: look(5), 2: look(90)}
    assert drawers(assign(shown(track(1), track(2, x=200)), looks)) == {1: "me", 2: SHIPPED}
    behind = assign(shown(track(1), track(2, x=80)), looks)
    assert {crop.drawn_by for crop in behind.crops} == {DrawnBy(SHIPPED, Drawer.IN_DOUBT)}
    assert drawers(assign(shown(track(1), track(2, x=200)), looks)) == {1: "me", 2: SHIPPED}


def test_others_keep_their_masks_when_only_enrolled_faces_are_drawn() -> None:
    found = one_face(only=True).begin()(shown(track(1), track(2, x=400)), {1: look(90), 2: look(5)})
    assert drawers(found) == {2: "me"}
    assert [(one.id, why) for one, why in found.skipped] == [(1, Skipped.NOT_CHOSEN)]
