"""Ids of faces and people last over the joints between chunks."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.people.people import Crowd, Look, Person
from pipeline.picture.planes import arrays
from pipeline.recognisers import Thresholds
from pipeline.run import assemble, chunks
from pipeline.run.joints import Ids, PassOver
from pipeline.run.process import process
from pipeline.run.report import Tally
from pipeline.video.decode import FileSource
from tests.pipeline.chunked_clips import SETTINGS, Job, Watching, build, masked_clip, run_in_chunks
from tests.pipeline.faces import frame_of
from tests.stand_ins import StandInEngine, stand_in_networks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.spec import Array
    from pipeline.frames import Frame

LEAST = Thresholds(bare=0.5, mixed=0.5, masked=0.5)
NOTHING = np.zeros((0, 6))
ANN, BEN = np.eye(3, dtype=np.float32)[:2]


def rows(*faces: tuple[float, int, float]) -> NDArray[np.float64]:
    """Sightings of faces that are 100 pixels wide: time, id, and how far to the right."""
    return np.array([(time, number, left, 0, left + 100, 100) for time, number, left in faces]).reshape(-1, 6)


def crowd(**faces: NDArray[np.float32]) -> Crowd:
    """People with the ids 1, 2 and so on, each seen once, bare."""
    return Crowd(tuple(Person(number, 1, Look(bare=look)) for number, look in enumerate(faces.values(), 1)), LEAST)


def test_a_face_at_one_place_in_the_same_frames_keeps_its_id_over_the_joint() -> None:
    ids = Ids()
    assert ids.join([1, 2], NOTHING, rows((1.9, 1, 0), (1.9, 2, 300)), None) == {1: 1, 2: 2}
    # The next chunk has met them in the other order, and somebody new comes in it.
    names = ids.join([1, 2, 3], rows((1.9, 1, 310), (1.9, 2, 5)), rows((3.9, 3, 600)), None)
    assert names == {1: 2, 2: 1, 3: 3}


def test_another_place_or_another_frame_is_another_face() -> None:
    ids = Ids()
    ids.join([1], NOTHING, rows((1.9, 1, 0)), None)
    assert ids.join([1], rows((1.9, 1, 90)), rows((3.9, 1, 90)), None) == {1: 2}
    assert ids.join([1], rows((3.8, 1, 90)), NOTHING, None) == {1: 3}


def test_what_more_frames_say_counts_where_faces_cross() -> None:
    ids = Ids()
    ids.join([1, 2], NOTHING, rows((1.7, 1, 0), (1.7, 2, 300), (1.8, 1, 20), (1.8, 2, 280), (1.9, 1, 150)), None)
    names = ids.join(
        [1, 2], rows((1.7, 1, 0), (1.7, 2, 300), (1.8, 1, 20), (1.8, 2, 280), (1.9, 2, 150)), NOTHING, None
    )
    assert names == {1: 1, 2: 2}


def test_somebody_who_comes_back_in_a_later_chunk_is_known_again() -> None:
    ids = Ids()
    ids.join([1, 2], NOTHING, NOTHING, crowd(ann=ANN, ben=BEN))
    ids.join([], NOTHING, NOTHING, crowd())
    assert ids.join([], NOTHING, NOTHING, crowd(ben=BEN)) == {1: 2}
    assert ids.join([], NOTHING, NOTHING, crowd(carl=np.float32([0, 0, 1]), ann=ANN)) == {1: 3, 2: 1}
    assert [(person.id, person.views) for person in ids.crowd] == [(1, 2), (2, 2), (3, 1)]


def test_who_was_followed_over_the_joint_is_not_somebody_else_who_looks_alike() -> None:
    ids = Ids()
    ids.join([1, 2], NOTHING, rows((1.9, 1, 0)), crowd(ann=ANN, ben=BEN))
    assert ids.join([], rows((1.9, 1, 0)), NOTHING, crowd(ann=BEN)) == {1: 1}


def test_a_mask_that_stays_on_over_joints_is_one_stretch_as_in_one_pass(tmp_path: Path) -> None:
    clip = masked_clip(60).write(tmp_path / "in.mp4")
    left = {"segment.least-eye-distance-px": 1000.0}
    once = process(
        Job(clip, tmp_path / "once.mp4"), build(SETTINGS | left), stand_in_networks(), watcher=Watching()
    ).report.as_json()["masks_left"]
    assert run_in_chunks(clip, tmp_path / "out.mp4", **left).report.as_json()["masks_left"] == once
    assert [(one["reason"], one["frames"]) for one in once] == [("too small", 60)]  # type: ignore[index]


def test_people_are_read_as_they_were_written() -> None:
    told = crowd(ann=ANN, ben=BEN)
    back = Crowd.of_json(json.loads(json.dumps(told.as_json())))
    assert back.least == told.least
    assert [(one.id, one.views) for one in back.people] == [(1, 1), (2, 1)]
    assert all((one.look.bare == other.look.bare).all() for one, other in zip(told.people, back.people, strict=True))  # type: ignore[union-attr]
    assert back.people[0].look.masked is None


def grey(level: int, time: int) -> Frame:
    frame = frame_of(np.full((48, 64, 3), 90, np.uint8))
    frame.planes.pts, frame.planes.time_base = time, Fraction(1)
    arrays(frame.planes)[0][10:20, 10:20] = level
    return replace(frame, time=Fraction(time))


def test_the_last_frames_pass_over_into_what_the_next_chunk_draws() -> None:
    frames = [grey(100, time) for time in range(5)]
    drawn = {Fraction(time): grey(200, time).planes for time in (2, 3, 4)}
    passed = list(PassOver(drawn)(iter(frames)))
    assert [int(arrays(frame.planes)[0][15, 15, 0]) for frame in passed] == [100, 100, 125, 150, 175]
    for before, after in zip(frames, passed, strict=True):
        outside = np.ones((48, 64), bool)
        outside[10:20, 10:20] = False
        assert (arrays(before.planes)[0][outside] == arrays(after.planes)[0][outside]).all()
        assert all(
            (one == two).all() for one, two in zip(arrays(before.planes)[1:], arrays(after.planes)[1:], strict=True)
        )


def test_where_both_draw_the_same_the_decoders_own_picture_goes_on() -> None:
    frame = grey(100, 0)
    (passed,) = PassOver({Fraction(0): grey(100, 0).planes})(iter([frame]))
    assert passed.planes is frame.planes


def test_what_a_chunk_passes_over_into_is_what_the_next_one_draws(tmp_path: Path) -> None:
    """The generator draws another grey for every crop, so that another state of any stage would show."""
    path, config = masked_clip(60).write(tmp_path / "in.mp4"), build({"redraw-every": 120})

    def another_grey(crops: Array) -> Array:
        grey = (3e3 * np.mean(crops, axis=(1, 2, 3))) % 1.8 - 0.9
        return np.broadcast_to(grey[:, None, None, None], (len(crops), 3, 256, 256)).astype(np.float32)

    networks = replace(stand_in_networks(), generator=StandInEngine("face", another_grey))
    first, second = chunks.plan(FileSource(path), config, seconds=Fraction(1)).chunks
    drawn, _ = chunks._next_draws(path, first, config, networks, None, lambda _run: None)
    with assemble.stretch(chunks.source_of(path, second, config), config, networks, Tally()).run() as run:
        lead = {frame.time: frame.planes for frame in run if frame.time < 1}
    assert list(drawn) == list(lead) == [Fraction(number, 30) for number in range(15, 30)]
    for time, picture in drawn.items():
        assert all((one == two).all() for one, two in zip(arrays(picture), arrays(lead[time]), strict=True))

    part = chunks.cut(path, first, config)
    elsewhere, _ = chunks._next_draws(Path("elsewhere"), first, config, networks, part, lambda _run: None)
    for time, picture in drawn.items():
        assert all((one == two).all() for one, two in zip(arrays(picture), arrays(elsewhere[time]), strict=True))
