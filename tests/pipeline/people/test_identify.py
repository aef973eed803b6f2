"""People who are told apart by the colour of their light, in shots that are drawn; what the recogniser would say is put
in its place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.spec import TensorSpec
from pipeline.find.track import TrackFaces
from pipeline.frames import Cropped, FaceCrop, Skipped
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.people.embed import Embedder
from pipeline.people.identify import Identify
from pipeline.people.people import PeopleFilter
from pipeline.picture.pixels import align
from pipeline.recognisers import Recogniser, Thresholds
from tests.pipeline.faces import MadeEngine
from tests.pipeline.moving_faces import RATE, KnowingDetector, Path, Pose, Shot, detected, shot, still

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from engine.spec import Array
    from pipeline.frames import Tracked

HEAD_PX = 60
"""Width of a head in these shots."""
FLOAT = np.dtype(np.float32)
MIDDLE = Affine(np.array([[0.25, 0.0, -16.0], [0.0, 0.25, -16.0]]))
"""The middle of the crop, 32 pixels wide: the face without what is around it."""


def light(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """A direction by how red or blue a face is: the two people of a shot are about a right angle apart."""
    red, _, blue = feeds["face"].mean((2, 3)).T
    angle = 8 * (red - blue) / (red + blue)
    return {"embedding": np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)}


def embedder() -> Embedder:
    inputs = (TensorSpec("face", (None, 3, 32, 32), FLOAT),)
    engine = MadeEngine(light, inputs=inputs, outputs=(TensorSpec("embedding", (None, 2), FLOAT),))
    return Embedder(Recogniser(engine, 32, MIDDLE), unmasker=None, least=Thresholds(0.8, 0.8, 0.8))


def all_masked(stream: Iterable[Tracked]) -> Iterator[Cropped]:
    for tracked in stream:
        crops = []
        for track in tracked.tracks:
            image, crop_from_frame = align(tracked.frame, track)
            crops.append(FaceCrop(track, image, np.ones((CROP_SIZE, CROP_SIZE), np.float32), crop_from_frame))
        yield Cropped(tracked, tuple(crops), skipped=())


def identified(*shots: Shot, choice: PeopleFilter | None = None, every: int = 4) -> tuple[list[Cropped], Embedder]:
    """What becomes of shots, one cut after the other."""
    items = [item for made in shots for item in detected(made, KnowingDetector(made), every=every)]
    embed = embedder()
    identify = Identify(embed, choice or PeopleFilter(None, (), embed.least))
    return list(identify.answer(identify.ask(all_masked(TrackFaces()(iter(items)))))), embed


def ids_of(cropped: list[Cropped], *shots: Shot) -> list[list[int | None]]:
    """For each person the id under which they go in each frame, None where they are hidden or no track is near."""
    truth = np.concatenate([made.truth for made in shots])
    rows: list[list[int | None]] = []
    for person in range(truth.shape[1]):
        row: list[int | None] = []
        for item, everybody in zip(cropped, truth, strict=True):
            points, apart = everybody[person], np.abs(np.diff(everybody[:, 2, 0]))
            if (apart < HEAD_PX).any() and person == 0:  # those named later are in front
                row.append(None)
                continue
            away = {
                track.id: float(np.abs(track.detection.landmarks.points - points).mean())
                for track in item.tracked.tracks
            }
            nearest = min(away, key=lambda name: away[name], default=None)
            row.append(nearest if nearest is not None and away[nearest] < 8 else None)
        rows.append(row)
    return rows


def walk(start: float, speed: float, y: float = 110) -> Path:
    def path(seconds: float) -> Pose:
        return start + speed * seconds, y, 0.0, 0.7

    return path


def hidden(path: Path, start: float, end: float) -> Path:
    """Behind something between these seconds."""
    return lambda seconds: None if start <= seconds < end else path(seconds)


def embedded(embed: Embedder) -> int:
    """How many faces were embedded."""
    engine = embed.recogniser.engine
    assert isinstance(engine, MadeEngine)
    return sum(len(feeds["face"]) for feeds in engine.fed)


def test_two_who_cross_keep_their_ids() -> None:
    made = shot(walk(60, 50), walk(260, -50), frames=4 * RATE)
    cropped, _ = identified(made)
    one, two = ids_of(cropped, made)
    assert set(one) - {None} == {one[0]}
    assert set(two) == {two[0]} != {one[0]}
    assert one[-1] == one[0]


def test_two_seconds_behind_something_end_under_the_same_id() -> None:
    made = shot(hidden(walk(90, 20), 1.0, 3.0), walk(230, 5), frames=5 * RATE)
    cropped, _ = identified(made)
    one, two = ids_of(cropped, made)
    assert set(one) - {None} == {one[0]}
    assert one[-1] == one[0]
    assert set(two) == {two[0]} != {one[0]}


def test_without_identity_the_same_shot_ends_under_another_id() -> None:
    made = shot(hidden(walk(90, 20), 1.0, 3.0), frames=5 * RATE)
    tracked = list(TrackFaces()(detected(made)))
    assert tracked[0].tracks[0].id != tracked[-1].tracks[0].id


def test_two_who_change_places_in_the_dark_are_not_taken_for_each_other() -> None:
    """Both are hidden for two seconds and come back where the other one was."""

    def swapping(first: float, then: float) -> Path:
        return lambda seconds: None if 1 <= seconds < 3 else (first if seconds < 1 else then, 110, 0.0, 0.7)

    made = shot(swapping(90, 230), swapping(230, 90), frames=5 * RATE)
    cropped, _ = identified(made)
    for row in ids_of(cropped, made):
        assert set(row) - {None} == {row[0]}
        assert row[-1] == row[0]


def test_ids_last_over_a_cut() -> None:
    before = shot(still(90, zoom=0.7), still(230, zoom=0.7), frames=30)
    after = shot(still(240, zoom=0.6), still(80, zoom=0.6), frames=30, first=30, scenery=1)
    cropped, _ = identified(before, after)
    for row in ids_of(cropped, before, after):
        assert set(row) == {row[0]}


def test_only_the_chosen_one_is_left_to_be_drawn() -> None:
    made = shot(walk(60, 50), walk(260, -50), frames=4 * RATE)
    (first, *_), embed = identified(made)
    wanted = tuple(embed.looks(embed.submit([first.crops[0].image]), [True]))
    cropped, _ = identified(made, choice=PeopleFilter(wanted, (), embed.least))
    one, two = ids_of(cropped, made)
    for item in cropped:
        assert [crop.track.id for crop in item.crops] == [one[0]]
        assert [(track.id, why) for track, why in item.skipped] == [(two[0], Skipped.NOT_CHOSEN)]
    spared, _ = identified(made, choice=PeopleFilter(None, wanted, embed.least))
    assert [crop.track.id for crop in spared[-1].crops] == [two[-1]]


def test_a_face_followed_steadily_is_embedded_once_a_second() -> None:
    made = shot(still(), frames=6 * RATE)
    _, embed = identified(made)
    assert 6 <= embedded(embed) <= 6 + 3, "once a second, and twice more soon after it appeared"


def test_a_frame_that_the_recogniser_failed_on_shows_nobody_bare() -> None:
    (item, *_) = all_masked(TrackFaces()(detected(shot(still(), frames=1))))
    identify = Identify(embedder(), PeopleFilter(None, (), embedder().least))
    asking = identify.unasked(item)
    assert asking.answer is None
    failed = identify.unanswered(asking)
    assert failed.crops == ()
    assert [why for _, why in failed.skipped] == [Skipped.UNCERTAIN]


@pytest.mark.parametrize("masked", [True, False])
def test_only_masked_faces_are_repaired(masked: bool) -> None:
    unmasker = MadeEngine(lambda feeds: {"embedding": feeds["masked"][:, ::-1]})
    made = replace(embedder(), unmasker=unmasker)
    crop = np.full((CROP_SIZE, CROP_SIZE, 3), (200, 100, 100), np.uint8)
    plain = made.recogniser.embed([crop])
    (look,) = made.looks(made.submit([crop]), [masked])
    given = [None if embedding is None else embedding.tolist() for embedding in (look.bare, look.masked, look.repaired)]
    (before,) = plain.tolist()
    assert given == ([None, before, before[::-1]] if masked else [before, None, None])
