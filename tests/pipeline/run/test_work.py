"""What somebody changes while a run goes on takes effect with the next frame, and no frame is lost over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.blend.blend import Blend
from pipeline.blend.smooth import Smooth
from pipeline.draw.mouth import AT_REST, CORNERS, OPENING, UNTOLD
from pipeline.frames import Cropped, FaceCrop, Skipped
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.run.batch import Job
from pipeline.run.process import process
from pipeline.run.resume import process_in_chunks
from pipeline.run.work import Adjustable, Controls, Wishes
from pipeline.settings.values import build
from tests.pipeline.chunked_clips import Watching
from tests.pipeline.clips import Clip
from tests.pipeline.faces import frame_of, track_of, tracked, upright
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def crop(number: int) -> FaceCrop:
    image = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    return FaceCrop(
        track_of(upright(), number), image, np.ones((CROP_SIZE, CROP_SIZE), np.float32), Affine(np.eye(2, 3))
    )


def two_faces() -> Cropped:
    frame = frame_of(np.zeros((48, 64, 3), np.uint8))
    faces = (crop(1), crop(2))
    bare = track_of(upright(), 3)
    return Cropped(tracked(frame, *(face.track for face in faces), bare), faces, ((bare, Skipped.BARE),))


def chosen(controls: Controls) -> Cropped:
    (only,) = controls.choose(iter([two_faces()]))
    return only


def test_the_defaults_are_those_of_the_stages() -> None:
    assert Wishes().pace == pytest.approx(Smooth.pace)
    assert Wishes().feather_px == Blend.feather_px
    assert Wishes(smoothing=0).pace == 1


def test_a_face_that_is_switched_off_is_not_drawn_and_says_why() -> None:
    cropped = chosen(Controls(Wishes(faces={2: False})))
    assert [crop.track.id for crop in cropped.crops] == [1]
    assert [(track.id, reason) for track, reason in cropped.skipped] == [(3, Skipped.BARE), (2, Skipped.SWITCHED_OFF)]


def test_all_others_can_be_off_but_one() -> None:
    cropped = chosen(Controls(Wishes(faces={2: True}, others=False)))
    assert [crop.track.id for crop in cropped.crops] == [2]


def test_the_faces_to_choose_from_are_those_of_the_last_frame() -> None:
    controls = Controls(Wishes(faces={1: False}))
    chosen(controls)
    assert [(face.track.id, face.skipped) for face in controls.seen] == [
        (1, Skipped.SWITCHED_OFF),
        (2, None),
        (3, Skipped.BARE),
    ]
    assert controls.seen_size == (64, 48)


def test_a_choice_takes_effect_with_the_next_frame() -> None:
    controls = Controls()
    stream = controls.choose(iter([two_faces(), two_faces()]))
    assert len(next(stream).crops) == 2
    controls.choice = Wishes(others=False)
    assert not next(stream).crops


def test_a_mouth_smiles_as_it_was_chosen_last_and_else_is_left_to_the_network() -> None:
    controls = Controls()
    told, frame = controls.mouth(UNTOLD), two_faces().frame
    assert not told.numbers(frame, 2).any()
    controls.choice = Wishes(smile=1.5, mouth_open=2)
    assert told.numbers(frame, 2)[[OPENING, CORNERS]] == pytest.approx([AT_REST[OPENING] + 2, 1.5])
    controls.choice = Wishes()
    assert not told.numbers(frame, 2).any()


def test_what_the_settings_say_of_mouths_is_where_the_sliders_begin() -> None:
    wishes = Wishes.of(build({"smile": 1.5, "mouth-open": -1.0}))
    assert (wishes.smile, wishes.mouth_open) == (1.5, -1.0)


def stages(begun: list[float]) -> Callable[[float], Callable[[Iterator[str]], Iterator[tuple[str, float, int]]]]:
    """A stage for each setting; what it gives says which one it was and how many items that one has had."""

    def stage_for(value: float) -> Callable[[Iterator[str]], Iterator[tuple[str, float, int]]]:
        def stage(items: Iterator[str]) -> Iterator[tuple[str, float, int]]:
            begun.append(value)
            for count, item in enumerate(items, start=1):
                yield item, value, count

        return stage

    return stage_for


def test_a_changed_setting_begins_the_stage_anew_and_loses_nothing() -> None:
    value = [0.5]
    begun: list[float] = []
    stream = Adjustable(lambda: value[0], stages(begun))(iter("abcde"))
    given = [next(stream), next(stream)]
    value[0] = 0.7
    given += [next(stream), next(stream)]
    value[0] = 0.5
    given += list(stream)
    assert given == [("a", 0.5, 1), ("b", 0.5, 2), ("c", 0.7, 1), ("d", 0.7, 2), ("e", 0.5, 1)]
    assert begun == [0.5, 0.7, 0.5]


def test_a_setting_that_never_changes_begins_the_stage_once() -> None:
    begun: list[float] = []
    assert len(list(Adjustable(lambda: 1.0, stages(begun))(iter("abc")))) == 3
    assert begun == [1.0]


def test_an_end_without_items_is_an_end() -> None:
    assert list(Adjustable(lambda: 1.0, stages([]))(iter(""))) == []


def test_closing_closes_the_stage_of_the_moment() -> None:
    ended: list[str] = []

    def stage_for(_value: float) -> Callable[[Iterator[str]], Iterator[str]]:
        def stage(items: Iterator[str]) -> Iterator[str]:
            try:
                yield from items
            finally:
                ended.append("ended")

        return stage

    stream = Adjustable(lambda: 1.0, stage_for)(iter("abc"))
    assert next(stream) == "a"
    stream.close()
    assert ended == ["ended"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_run_over_large_frames_says_which_faces_are_often_missed(whole: bool, tmp_path: Path) -> None:
    source = Clip(frames=8, width=640, height=128).write(tmp_path / "in.mp4")
    for size, said in ((128, True), (320, False)):
        config = build({"detect-size": size, "preset": "ultrafast", "overwrite": True})
        run = process if whole else process_in_chunks
        ended = run(Job(source, tmp_path / "out.mp4"), config, stand_in_networks(), watcher=Watching())
        assert ended.error is None
        assert any("shrunk from 640x128 to 128 pixels" in sentence for sentence in ended.report.warnings) is said
