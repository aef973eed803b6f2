from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from engine.select import load
from pipeline.demo.clip import masked_portrait
from pipeline.detectors import DEFAULT, detector_file
from pipeline.find.detect import (
    CutFinder,
    Detect,
    DetectInPicture,
    merged,
    often_missed,
    tile_starts,
    upright_from_turned,
)
from pipeline.frames import Detection
from pipeline.geometry import Box, Landmarks
from pipeline.video.stills import still_frame
from tests.pipeline.moving_faces import HEIGHT, WIDTH, KnowingDetector, background, shot, still

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.detectors import Detector


@pytest.mark.parametrize("every", [1, 3, 4])
def test_looks_at_the_first_frame_and_every_kth(every: int) -> None:
    made = shot(still(), frames=10)
    detector = KnowingDetector(made)
    items = list(Detect(detector, every=every, calm_times=1)(iter(made.frames)))
    assert detector.looks == list(range(0, 10, every))
    assert [item.frame for item in items] == made.frames
    assert [item.detections is None for item in items] == [place % every != 0 for place in range(10)]
    assert [item.cut for item in items] == [True] + [False] * 9


def test_whoever_follows_may_have_a_frame_looked_at_that_was_left_out() -> None:
    made = shot(still(), frames=6)
    detector = KnowingDetector(made)
    items = list(Detect(detector, every=4)(iter(made.frames)))
    assert detector.looks == [0, 4]
    assert [item.look is None for item in items] == [item.detections is not None for item in items]
    look = items[2].look
    assert look is not None
    assert [face.score for face in look()] == [face.score for face in detector(made.frames[2])]
    assert detector.looks == [0, 4, 2, 2]


def test_looks_at_once_where_a_shot_begins_and_counts_from_there() -> None:
    one, other = shot(still(), frames=6), shot(still(), frames=7, first=6, scenery=1)
    both = chain(one.frames, other.frames)
    looks: list[int] = []

    def detector(frame: object) -> tuple[()]:
        looks.append(frame.index)  # type: ignore[attr-defined]
        return ()

    items = list(Detect(detector, every=4)(both))
    assert looks == [0, 4, 6, 10]
    assert [place for place, item in enumerate(items) if item.cut] == [0, 6]
    assert items[4].detections == ()


def test_looks_half_as_often_while_sure_faces_hardly_move() -> None:
    made = shot(still(), frames=22)
    for score, looks in ((0.95, [0, 4, 12, 20]), (0.6, [0, 4, 8, 12, 16, 20])):
        detector = KnowingDetector(made, score=score)
        list(Detect(detector, every=4)(iter(made.frames)))
        assert detector.looks == looks


def test_looks_at_every_frame_when_asked_for() -> None:
    made = shot(still(), frames=9)
    detector = KnowingDetector(made)
    list(Detect(detector, every=1)(iter(made.frames)))
    assert detector.looks == list(range(9))


def test_looks_as_often_as_ever_while_a_face_moves_or_none_is_there() -> None:
    moving = shot(lambda seconds: (40 + 400 * seconds, 120, 0, 0.8), frames=14)
    detector = KnowingDetector(moving)
    list(Detect(detector, every=4)(iter(moving.frames)))
    assert detector.looks == [0, 4, 8, 12]
    empty: list[object] = []
    list(Detect(lambda frame: (empty.append(frame), ())[1], every=4)(iter(moving.frames)))
    assert len(empty) == 4


def test_no_frames_are_no_items() -> None:
    assert list(Detect(lambda _: ())(iter(()))) == []


@pytest.mark.parametrize(("step", "looks"), [(Fraction(1, 2), 8), (Fraction(1, 30), 2)])
def test_frames_that_are_far_apart_are_all_looked_at_where_time_counts(step: Fraction, looks: int) -> None:
    made = shot(still(), frames=8)
    apart = [replace(frame, time=frame.index * step) for frame in made.frames]
    detector = KnowingDetector(made)
    list(Detect(detector, every=4, longest_seconds=4 / 30)(iter(apart)))
    assert len(detector.looks) == looks


def picture(image: NDArray[np.floating]) -> av.VideoFrame:
    limited = np.clip(image, 0, 255).astype(np.uint8)
    return av.VideoFrame.from_ndarray(limited, format="rgb24").reformat(format="yuv420p")


def cuts(images: list[NDArray[np.floating]]) -> list[int]:
    """Places where a shot begins, but for the first."""
    begins_shot = CutFinder()
    return [place for place, image in enumerate(images) if begins_shot(picture(image))][1:]


def scene(number: int) -> NDArray[np.float32]:
    return background(number)


def test_the_first_picture_begins_a_shot() -> None:
    assert CutFinder()(picture(scene(0)))


@pytest.mark.parametrize("other", range(1, 9))
def test_a_cut_is_found_where_it_is(other: int) -> None:
    assert cuts([scene(0)] * 5 + [scene(other)] * 5) == [5]


def test_every_cut_of_a_fast_montage_is_found() -> None:
    assert cuts([scene(number) for number in range(9)]) == list(range(1, 9))


@pytest.mark.parametrize(("gain", "offset"), [(1.5, 10), (2.5, 40), (0.3, 0), (1.0, 90), (20, 200), (0, 0)])
def test_a_flash_or_a_dark_moment_is_no_cut(gain: float, offset: float) -> None:
    for length in (1, 3):
        assert cuts([scene(0)] * 4 + [scene(0) * gain + offset] * length + [scene(0)] * 4) == []


def test_a_flash_that_hides_a_cut_hides_it_for_its_length_only() -> None:
    white = np.full((HEIGHT, WIDTH, 3), 255.0)
    assert cuts([scene(0)] * 3 + [white] * 2 + [scene(1)] * 3) == [5]


def test_fading_out_and_in_again_is_no_cut_but_into_another_scene_is() -> None:
    levels = [*np.linspace(1, 0, 12), *np.linspace(0, 1, 12)]
    assert cuts([scene(0) * level for level in levels]) == []
    halves = [scene(0) * level for level in levels[:12]] + [scene(1) * level for level in levels[12:]]
    found = cuts(halves)
    assert len(found) == 1
    assert 12 < found[0] < 18


@pytest.mark.parametrize("step", [4, 12, 24])
def test_a_pan_is_no_cut(step: int) -> None:
    wide = cv2.resize(np.concatenate([scene(0), scene(1), scene(2)], axis=1), None, fx=2, fy=2)
    views = [wide[100 : 100 + HEIGHT, x : x + WIDTH] for x in range(0, wide.shape[1] - WIDTH, step)][:30]
    assert cuts(views) == []


def test_a_zoom_is_no_cut() -> None:
    views = []
    for zoom in 1.05 ** np.arange(15):
        matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 0, zoom)
        views.append(cv2.warpAffine(scene(3), matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT))
    assert cuts(views) == []


def test_noise_and_black_are_no_cuts() -> None:
    draw = np.random.default_rng(0)
    assert cuts([scene(0) + draw.normal(0, 12, (HEIGHT, WIDTH, 3)) for _ in range(12)]) == []
    assert cuts([np.zeros((HEIGHT, WIDTH, 3))] * 5) == []


@pytest.fixture(scope="module")
def shipped_detector() -> Iterator[Detector]:
    """The detector that ships, compiled."""
    file = detector_file(DEFAULT)
    with closing(load(file.network(), threads=1)) as engine:
        yield file.detector(engine, size=640, threshold=0.5)


def crowd() -> NDArray[np.uint8]:
    """(2160, 3840, 3) twelve masked heads, some 110 pixels high, over a wall."""
    heads = cv2.resize(masked_portrait(), (330, 330), interpolation=cv2.INTER_AREA)
    picture = np.full((2160, 3840, 3), 120, np.uint8)
    for row in range(3):
        for column in range(4):
            top, left = 180 + 640 * row, 250 + 900 * column
            picture[top : top + 330, left : left + 330] = heads
    return picture


def found_in(picture: NDArray[np.uint8], detector: Detector) -> tuple[Detection, ...]:
    (seen,) = DetectInPicture(detector, 640)(iter([still_frame(picture)]))
    return seen.detections or ()


def test_a_large_picture_is_searched_in_tiles(shipped_detector: Detector) -> None:
    picture = crowd()
    faces = found_in(picture, shipped_detector)
    assert len(shipped_detector(still_frame(picture))) < len(faces) == 12
    centres = sorted((round(face.box.centre[1] / 640), round(face.box.centre[0] / 900)) for face in faces)
    assert len(set(centres)) == 12


@pytest.mark.parametrize("quarters", [1, 3])
def test_small_heads_that_lie_are_found_in_a_large_picture(shipped_detector: Detector, quarters: int) -> None:
    picture = np.ascontiguousarray(np.rot90(crowd()[:900, :2000], quarters))
    assert len(shipped_detector(still_frame(picture))) < len(found_in(picture, shipped_detector)) == 2


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_head_that_is_turned_is_found_where_it_is(shipped_detector: Detector, quarters: int) -> None:
    upright = masked_portrait()
    (expected, *_) = found_in(upright, shipped_detector)
    turned = np.ascontiguousarray(np.rot90(upright, -quarters))  # np.rot90 by `quarters` makes it upright again
    (face, *others) = found_in(turned, shipped_detector)
    assert not others
    frame_from_upright = upright_from_turned(quarters, turned.shape[1], turned.shape[0])
    eyes = frame_from_upright.apply(expected.landmarks.eyes)
    assert face.landmarks.eyes == pytest.approx(eyes, abs=8)


@pytest.mark.parametrize(
    ("size", "searched", "found", "cure"),
    [
        ((3840, 2160), 640, True, "below about 288 pixels .* --detect-size 1920, .* below 96$"),
        ((1080, 1920), 640, False, "below about 144 pixels .* --detect-size 1920, .* below 48$"),
        ((7680, 4320), 640, True, "--detect-size 3840"),
        ((8192, 4320), 4096, False, None),
        ((1920, 1080), 640, True, None),
        ((3840, 2160), 1920, True, None),
        ((800, 600), 640, False, None),
    ],
)
def test_large_frames_in_which_small_faces_are_missed_are_said(
    size: tuple[int, int], searched: int, found: bool, cure: str | None
) -> None:
    sentence = often_missed(*size, searched, found=found)
    assert sentence is None if cure is None else re.search(cure, sentence or "")


def test_tiles_overlap_and_cover_everything() -> None:
    for length in (100, 640, 641, 2160, 3840):
        starts = tile_starts(length, 640)
        assert starts[0] == 0
        assert starts[-1] + 640 >= length
        assert all(later - earlier <= 480 for earlier, later in pairwise(starts))


def test_a_face_that_several_looks_find_counts_once_and_one_inside_another_too() -> None:
    points = Landmarks(np.zeros((5, 2), np.float32))
    large, small, apart = Box(0, 0, 100, 100), Box(10, 10, 60, 60), Box(200, 0, 300, 100)
    faces = [Detection(small, points, 0.7), Detection(large, points, 0.9), Detection(apart, points, 0.8)]
    assert [face.box for face in merged(faces)] == [large, apart]
