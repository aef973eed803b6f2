from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from engine.spec import TensorSpec
from pipeline.draw.segment import Holder, Segment
from pipeline.errors import EngineError
from pipeline.frames import Cropped, Skipped, Tracked
from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE
from pipeline.picture.pixels import align, turned_away
from tests.pipeline.faces import MadeEngine, frame_of, track_of, tracked, upright

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from engine.spec import Array


SIDE = 128
"""Of the picture that the made network gives."""


def frame_with_square(size: tuple[int, int] = (480, 640)) -> NDArray[np.uint8]:
    image = np.full((*size, 3), 60, np.uint8)
    image[150:230, 100:200] = (200, 40, 40)
    return image


def red_is_mask(feeds: Mapping[str, Array]) -> dict[str, Array]:
    crop = np.asarray(feeds["crop"], np.float32)
    return {"mask": ((crop[:, :1] > 0.2) & (crop[:, 1:2] < 0)).astype(np.float32)}


def says(value: float, height: int = SIDE) -> MadeEngine:
    def answer(feeds: Mapping[str, Array]) -> dict[str, Array]:
        mask = np.zeros((len(feeds["crop"]), 1, SIDE, SIDE), np.float32)
        if height < SIDE:  # a band far from the sides, beyond which nobody looks
            mask[:, :, SIDE // 2 - height : SIDE // 2, 12:-12] = value
        else:
            mask[:] = value
        return {"mask": mask}

    return MadeEngine(answer)


def look(segment: Segment, *points: NDArray[np.float32]) -> Cropped:
    tracks = [track_of(p, number) for number, p in enumerate(points)]
    return next(segment.answer(segment.ask(iter([tracked(frame_of(frame_with_square()), *tracks)]))))


def test_crop_shows_the_face_upright_where_training_puts_it() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (CANONICAL_LANDMARKS - 128) @ turn.T + [300, 200]
    for x, y in np.rint(points[:2]).astype(int):
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    crop, crop_from_frame = align(frame_of(image), track_of(points))
    bright = np.argwhere(crop[..., 0] > 100)[:, ::-1]
    for eye in CANONICAL_LANDMARKS[:2]:
        assert np.abs(bright - eye).sum(1).min() < 3
    assert np.allclose(crop_from_frame.apply(points), CANONICAL_LANDMARKS, atol=0.01)


def test_mask_lies_on_the_pixels_that_the_network_named() -> None:
    cropped = look(Segment(MadeEngine(red_is_mask)), upright(x=20, y=40))
    (crop,) = cropped.crops
    red = (crop.image[..., 0] > 150) & (crop.image[..., 1] < 100)
    assert red.mean() > 0.1
    mask = cv2.resize(crop.mask, red.shape, interpolation=cv2.INTER_AREA) > 0.5
    assert np.abs(mask.astype(float) - red).mean() < 0.02


@pytest.mark.parametrize(("asks", "gets"), [(128, 128), (256, 256), (None, 256)])
def test_network_sees_crops_between_minus_one_and_one_all_in_one_batch(asks: int | None, gets: int) -> None:
    """As large as it asks for; one that takes any size gets them as they are."""
    engine = says(1.0)
    engine.inputs = (TensorSpec("crop", (None, 3, asks, asks), np.dtype(np.float32)),)
    look(Segment(engine), upright(), upright(x=200, y=100, scale=0.5))
    fed = engine.fed[0]
    assert fed["crop"].shape == (2, 3, gets, gets)
    assert fed["crop"].dtype == np.float32
    assert -1 <= fed["crop"].min() <= fed["crop"].max() <= 1


@pytest.mark.parametrize(
    ("engine", "points", "reason"),
    [
        (says(0.0), upright(), Skipped.BARE),
        (says(0.55), upright(), Skipped.UNCERTAIN),
        (says(1.0), upright(scale=0.08), Skipped.TOO_SMALL),
        (says(1.0), upright() * [0.15, 1], Skipped.TURNED_AWAY),
    ],
)
def test_faces_that_are_left_say_why(engine: MadeEngine, points: NDArray[np.float32], reason: Skipped) -> None:
    cropped = look(Segment(engine), points)
    assert cropped.crops == ()
    assert [why for _, why in cropped.skipped] == [reason]


def test_network_is_not_run_without_a_face() -> None:
    engine = says(1.0)
    assert look(Segment(engine)).crops == ()
    assert engine.fed == []


def test_masked_face_stays_masked_while_its_mask_is_barely_there() -> None:
    heights = iter([3, 30, 3, 1, 1])  # 0.02, 0.19, 0.02 and twice 0.006 of the crop

    def answer(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return says(1.0, next(heights)).run(feeds)

    frames = [tracked(frame_of(frame_with_square(), i), track_of(upright(), 7)) for i in range(5)]
    segment = Segment(MadeEngine(answer), least_mask=0.03, every=1)
    results = list(segment.answer(segment.ask(iter(frames))))
    assert [len(result.crops) for result in results] == [0, 1, 1, 1, 0]


def test_one_look_that_finds_no_mask_does_not_drop_a_drawn_face_and_a_second_one_does() -> None:
    """A hand that passes, or a blur; a face that was never drawn is not drawn for it."""
    found = iter([0, 30, 0, 30, 0, 0, 0])

    def answer(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return says(1.0, next(found)).run(feeds)

    frames = [tracked(frame_of(frame_with_square(), i), track_of(upright(), 7)) for i in range(7)]
    segment = Segment(MadeEngine(answer), every=1)
    results = list(segment.answer(segment.ask(iter(frames))))
    assert [len(result.crops) for result in results] == [0, 1, 1, 1, 1, 0, 0]


def still(count: int) -> list[Tracked]:
    return [tracked(frame_of(frame_with_square(), i), track_of(upright(x=20, y=40), 7)) for i in range(count)]


def test_a_face_is_read_as_the_network_looks_at_it_and_in_half_while_it_is_held() -> None:
    segment = Segment(MadeEngine(red_is_mask), every=4)
    crops = [cropped.crops[0] for cropped in segment.answer(segment.ask(iter(still(5))))]
    assert [crop.held for crop in crops] == [False, True, True, True, False]
    whole, half = (CROP_SIZE, CROP_SIZE, 3), (CROP_SIZE // 2, CROP_SIZE // 2, 3)
    assert [crop.image.shape for crop in crops] == [whole, whole, half, half, whole]
    assert all(crop.mask.shape == (CROP_SIZE, CROP_SIZE) for crop in crops)


def test_a_still_face_is_searched_in_every_n_th_frame_and_keeps_its_mask_between() -> None:
    engine = MadeEngine(red_is_mask)
    segment = Segment(engine, every=4)
    crops = [cropped.crops[0] for cropped in segment.answer(segment.ask(iter(still(6))))]
    assert len(engine.fed) == 2
    assert [crop.held for crop in crops] == [False, True, True, True, False, True]
    assert all(crop.mask is crops[0].mask for crop in crops[1:4])


def test_a_bare_face_that_is_held_is_left_for_the_same_reason() -> None:
    segment = Segment(says(0.0))
    assert [c.skipped[0][1] for c in segment.answer(segment.ask(iter(still(3))))] == [Skipped.BARE] * 3


def test_a_face_held_from_a_frame_that_the_network_failed_on_fails_too() -> None:
    segment = Segment(says(1.0))
    first, second = segment.ask(iter(still(2)))
    assert first.masks is not None
    with pytest.raises(EngineError, match="face 7 is held from"):
        next(segment.answer(iter([second])))


def test_turned_away_grows_from_a_frontal_face_to_a_profile() -> None:
    turns = [turned_away(track_of(upright() * [width, 1])) for width in (1.0, 0.7, 0.4, 0.1, 0.0)]
    assert turns == sorted(turns)
    assert turns[0] < 0.1
    assert turns[-1] == pytest.approx(1.0, abs=1e-3)


def test_turning_the_picture_does_not_turn_the_head() -> None:
    angle = 1.2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert turned_away(track_of(upright() @ turn.T)) == pytest.approx(turned_away(track_of(upright())), abs=1e-3)


def face(seed: int = 0) -> NDArray[np.uint8]:
    """Soft blotches, as a face has them."""
    small = np.random.default_rng(seed).integers(40, 220, (12, 12, 3), np.uint8)
    return np.asarray(cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC), np.uint8)


def noisy(image: NDArray[np.uint8], sigma: float, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_a_still_face_is_held_until_its_time_is_up() -> None:
    holder = Holder(every=3)
    assert [holder.holds(1, face()) for _ in range(7)] == [False, True, True, False, True, True, False]


def test_every_frame_is_looked_at_when_asked_for() -> None:
    holder = Holder(every=1)
    assert not any(holder.holds(1, face()) for _ in range(3))


def test_the_noise_of_a_camera_is_no_change() -> None:
    holder = Holder(every=100)
    held = [holder.holds(1, noisy(face(), 8.0, seed)) for seed in range(20)]
    assert held == [False] + [True] * 19


def test_a_blink_is_a_change() -> None:
    holder = Holder(every=100)
    shut = face()
    shut[80:100, 80:110] = 90
    assert [holder.holds(1, image) for image in (face(), shut, shut, face())] == [False, False, True, False]


def test_slow_changes_add_up() -> None:
    holder = Holder(every=100)
    held = [holder.holds(1, (face().astype(int) * (400 - i) // 400).astype(np.uint8)) for i in range(24)]
    assert True in held
    assert held.count(False) >= 3


def test_another_face_a_new_one_and_a_cut_are_looked_at() -> None:
    holder = Holder(every=100)
    assert not holder.holds(1, face())
    assert not holder.holds(2, face())
    holder.keep([1, 2], cut=False)
    assert holder.holds(1, face())
    assert not holder.holds(2, face(seed=1))
    holder.keep([1], cut=False)
    assert not holder.holds(2, face(seed=1))
    holder.keep([1, 2], cut=True)
    assert not holder.holds(1, face())
