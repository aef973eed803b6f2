"""Views of the portrait in made recordings: the detector knows its place, and the segmenter is told what it sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from engine.spec import TensorSpec
from pipeline.draw.mouth import AHEAD, OPENING
from pipeline.draw.sound import heard
from pipeline.errors import SourceError
from pipeline.frames import Detection
from pipeline.geometry import Affine, Box, Landmarks
from pipeline.people.embed import Embedder
from pipeline.people.people import Look
from pipeline.recognisers import Recogniser, Thresholds
from pipeline.video.stills import still_frame
from tests.pipeline.clips import Clip
from tests.pipeline.draw import made_sounds
from tests.pipeline.draw.made_sounds import write_sound
from tests.pipeline.draw.test_mouth import FRAMES as MOMENTS
from tests.pipeline.draw.test_mouth import loudness, mouths, voice
from tests.pipeline.faces import MadeEngine, frame_of
from tests.training.enrol.portraits import pose, view
from training.enrol.gather import (
    SIDE,
    Gather,
    Gathered,
    better_than_the_rule,
    learned_voices,
    of_one_person,
    people_in,
    sharpness,
    speaking_most,
)
from training.evaluation.mouths import LEARNED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from engine.spec import Array
    from pipeline.frames import Frame

FLOAT = np.dtype(np.float32)


def found(points: np.ndarray) -> Detection:
    left, top = points.min(axis=0) - 40
    right, bottom = points.max(axis=0) + 40
    return Detection(Box(float(left), float(top), float(right), float(bottom)), Landmarks(points), 0.99)


@dataclass
class Knowing:
    """A detector that knows where the faces of each frame are."""

    faces: list[tuple[Detection, ...]]

    def __call__(self, frame: Frame) -> tuple[Detection, ...]:
        return self.faces[frame.index]


def segmenter(mask: float = 0.0) -> MadeEngine:
    return MadeEngine(lambda feeds: {"mask": np.full((len(feeds["crop"]), 1, 128, 128), mask, np.float32)})


def recording(count: int, *, blurred: frozenset[int] = frozenset(), number: int = 1) -> tuple[list[Frame], Knowing]:
    """Frames of one pose, 25 a second, some of them blurred, and a detector for them."""
    image, points = pose(number)
    soft = np.asarray(cv2.GaussianBlur(image, (0, 0), 6), np.uint8)
    frames = [
        replace(frame_of(soft if index in blurred else image, index), time=Fraction(index, 25))
        for index in range(count)
    ]
    return frames, Knowing([(found(points),)] * count)


def gathered_from(frames: list[Frame], detector: Knowing, mask: float = 0.0) -> Gathered:
    gathered = Gathered()
    assert list(Gather(detector, segmenter(mask)).video(frames, "talk.mp4", gathered)) == frames
    return gathered


def test_a_bare_face_is_seen_in_every_frame() -> None:
    gathered = gathered_from(*recording(12))
    assert gathered.pictures == len(gathered.views) == 12
    assert gathered.views[3].crop.shape == (SIDE, SIDE, 3)
    assert gathered.views[3].time == pytest.approx(0.12)
    assert np.abs(gathered.views[0].landmarks - view(1).landmarks).max() < 1.5
    assert gathered.explained() == ""


def test_blurred_frames_are_left_out_and_counted() -> None:
    gathered = gathered_from(*recording(12, blurred=frozenset({4, 5})))
    assert [round(one.time * 25) for one in gathered.views] == [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]
    assert gathered.explained() == "2 blurred"


def test_masked_faces_are_left_out_and_counted() -> None:
    gathered = gathered_from(*recording(6), mask=1.0)
    assert gathered.views == []
    assert gathered.explained() == "6 masked or covered"


def test_a_face_that_is_too_small_is_left_out() -> None:
    frames, detector = recording(4)
    small = [replace(frame, planes=frame_of(cv2.resize(frame.image, (100, 100))).planes) for frame in frames]
    places = [found(faces[0].landmarks.points * (100 / 512)) for faces in detector.faces]
    gathered = gathered_from(small, Knowing([(place,) for place in places]))
    assert gathered.views == []
    assert "too small" in gathered.explained()


def test_a_photo_is_one_view() -> None:
    gathered = Gathered()
    frames, detector = recording(1)
    assert len(list(Gather(detector, segmenter()).photo(frames, "me.jpg", gathered))) == 1
    assert [(one.source, one.still) for one in gathered.views] == [("me.jpg", True)]


def test_blur_takes_detail_and_light_does_not() -> None:
    crop = view(2).canonical
    dark = (crop * 0.5).astype(np.uint8)
    assert sharpness(dark) == pytest.approx(sharpness(crop), rel=0.2)
    assert sharpness(np.asarray(cv2.GaussianBlur(crop, (0, 0), 4), np.uint8)) < 0.5 * sharpness(crop)


def two_people() -> Gathered:
    """The same person dark, and somebody bright."""
    dark = [replace(view(number), track=1, crop=view(number).crop // 3) for number in range(6)]
    bright = [replace(view(number), track=2, crop=view(number).crop // 2 + 127) for number in range(4)]
    return Gathered([*dark, *bright], pictures=6, several=4)


def by_brightness() -> Embedder:
    def angle(feeds: Mapping[str, Array]) -> dict[str, Array]:
        turns = feeds["face"].mean((1, 2, 3)) / 255 * np.pi
        return {"embedding": np.stack([np.cos(turns), np.sin(turns)], 1).astype(np.float32)}

    outputs = (TensorSpec("embedding", (None, 2), FLOAT),)
    engine = MadeEngine(angle, inputs=(TensorSpec("face", (None, 3, 256, 256), FLOAT),), outputs=outputs)
    return Embedder(Recogniser(engine, 256, Affine(np.eye(2, 3))), None, Thresholds(0.9, 0.9, 0.9))


def test_several_people_are_refused_unless_somebody_says_who() -> None:
    with pytest.raises(SourceError, match="several people"):
        of_one_person(two_people(), None, None)
    with pytest.raises(SourceError, match="several people"):
        of_one_person(two_people(), by_brightness(), None)

    bright = by_brightness()
    wanted = bright.looks(bright.submit([view(0).canonical // 2 + 127]), [False])[0]
    gathered = two_people()
    assert {one.track for one in of_one_person(gathered, bright, wanted)} == {2}
    assert gathered.left["somebody else"] == 6


def test_a_passer_by_is_left_out() -> None:
    gathered = two_people()
    gathered.views = [*gathered.views[:6]] * 8 + gathered.views[6:7]
    assert {one.track for one in of_one_person(gathered, by_brightness(), None)} == {1}


def test_of_a_few_photos_the_one_that_is_unlike_the_others_is_left_out() -> None:
    """The first one, by which all others were once judged, may be the odd one; of two, nobody knows which is meant."""
    views = two_people().views
    photos = [replace(views[6], source="0", still=True)]
    photos += [replace(views[number], source=str(number), still=True) for number in (1, 2, 3)]
    gathered = Gathered(list(photos), pictures=4)
    assert [one.source for one in of_one_person(gathered, by_brightness(), None)] == ["1", "2", "3"]
    assert gathered.left["somebody else"] == 1
    with pytest.raises(SourceError, match="several people"):
        of_one_person(Gathered(photos[:2], pictures=2), by_brightness(), None)


def test_nobody_is_nobody() -> None:
    assert of_one_person(Gathered(), by_brightness(), Look(bare=np.array([1, 0], np.float32))) == []


def test_the_people_of_a_clip_are_those_who_are_bare_for_long_enough() -> None:
    gathered = two_people()
    dark, bright = gathered.views[:6], gathered.views[6:]
    gathered.views = [*dark * 5, *bright * 6]  # 30 and 24 views
    assert [{one.track for one in views} for views in people_in(gathered, by_brightness())] == [{1}, {2}]
    gathered.views = [*dark * 5, *bright * 5]
    assert [len(views) for views in people_in(gathered, by_brightness())] == [30]


def test_without_a_recogniser_one_person_is_learned_and_of_several_none() -> None:
    gathered = two_people()
    gathered.views = gathered.views[:6] * 5
    assert people_in(gathered, None) == []
    gathered.several = 0
    assert people_in(gathered, None) == [gathered.views]
    gathered.views = gathered.views[:6]
    assert people_in(gathered, None) == []


def test_a_voice_is_kept_where_it_beats_the_rule() -> None:
    sound, numbers = heard([voice(0.3)]), mouths(loudness(MOMENTS))
    voices = better_than_the_rule(sound, MOMENTS, numbers)
    assert voices.alike > voices.alike_by_rule
    assert voices.recorded is not None
    assert voices.recorded.ahead == AHEAD
    found = voices.recorded(sound, MOMENTS)[:, OPENING]
    assert np.corrcoef(found, numbers[:, OPENING])[0, 1] > 0.9


def test_a_mouth_that_does_something_else_than_the_voice_teaches_nothing() -> None:
    numbers = np.random.default_rng(0).normal(size=(len(MOMENTS), 4)).astype(np.float32)
    # Where the rule is right, nothing that was learned of chance beats it.
    last = round(LEARNED * len(MOMENTS))
    numbers[last:, OPENING] = loudness(MOMENTS[last:])
    with pytest.raises(SourceError, match=r"what was learned correlates with the true mouth by .*, and the rule by"):
        better_than_the_rule(heard([voice()]), MOMENTS, numbers)


def test_the_recording_that_speaks_most_is_learned_from(tmp_path: Path) -> None:
    write_sound(tmp_path / "short.wav", made_sounds.syllables(8, 4))
    write_sound(tmp_path / "long.wav", made_sounds.syllables(12, 4))
    write_sound(tmp_path / "music.wav", made_sounds.chords(20))
    mute = Clip(frames=3, width=64, height=64).write(tmp_path / "mute.mp4")
    path, sound = speaking_most([tmp_path / "short.wav", mute, tmp_path / "long.wav", tmp_path / "music.wav"])
    assert path.name == "long.wav"
    assert len(sound.speech) == pytest.approx(1200, abs=5)
    with pytest.raises(SourceError, match="0 s of speech are heard, and 5 are needed"):
        speaking_most([mute, tmp_path / "music.wav"])


def test_the_voice_goes_by_the_mouth_that_the_pictures_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mesh is read off the pictures: each is as bright as the mouth is open."""
    monkeypatch.setattr("training.enrol.gather.central_face", lambda image: (None, image[0, 0, 0] / 200))
    monkeypatch.setattr("training.enrol.gather.expression_of", lambda mesh: mouths(np.array([mesh]))[0])
    sound = heard([voice(0.3)])

    def frames(count: int) -> Iterator[Frame]:
        for number in range(count):
            bright = np.full((2, 2, 3), 200 * loudness(np.array(number / 30)), np.uint8)
            yield replace(still_frame(bright), time=Fraction(number, 30))

    assert learned_voices(sound, frames(330)).recorded is not None
    with pytest.raises(SourceError, match="50 pictures show the mouth, and 150 are needed"):
        learned_voices(sound, frames(100))
