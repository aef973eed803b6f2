from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from engine.spec import Array, TensorSpec
from pipeline.draw.beyond import view_of
from pipeline.draw.figure import FIGURE_SIDE
from pipeline.draw.hole import GROW_PX, generator_input, hole_of
from pipeline.draw.inpaint import Inpaint
from pipeline.draw.mouth import AT_REST, Mouth, Spoken
from pipeline.errors import EngineError
from pipeline.frames import Beyond, Cropped, Drawer, DrawnBy, FaceCrop, Inpainted
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import align
from tests.pipeline.faces import MadeEngine, frame_of, track_of, tracked, upright


def masked(*, low: int = 150, number: int = 1) -> FaceCrop:
    image = np.random.default_rng(number).integers(0, 256, (480, 640, 3), np.uint8)
    track = track_of(upright(x=50, y=50), number)
    crop, crop_from_frame = align(frame_of(image), track)
    mask = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    mask[low:200, 60:200] = 1.0
    return FaceCrop(track=track, image=crop, mask=mask, crop_from_frame=crop_from_frame)


def cropped(*crops: FaceCrop) -> Cropped:
    frame = frame_of(np.zeros((480, 640, 3), np.uint8))
    return Cropped(tracked=tracked(frame, *(crop.track for crop in crops)), crops=crops, skipped=())


def echo(feeds: Mapping[str, Array]) -> dict[str, Array]:
    return {"face": np.asarray(feeds["crop_and_mask"])[:, :3]}


def drawn(engine: MadeEngine, stream: list[Cropped]) -> list[Inpainted]:
    inpaint = Inpaint(engine)
    return list(inpaint.answer(inpaint.ask(iter(stream))))


def test_network_that_repeats_its_input_draws_the_crop_exactly() -> None:
    crop = masked()
    (result,) = drawn(MadeEngine(echo), [cropped(crop)])
    assert np.array_equal(result.patches[0].image, crop.image)
    assert result.patches[0].crop.track is crop.track


def test_faces_of_a_frame_are_one_batch_in_order() -> None:
    engine = MadeEngine(echo)
    crops = [masked(number=n) for n in (1, 2, 3)]
    (result,) = drawn(engine, [cropped(*crops)])
    assert [len(fed["crop_and_mask"]) for fed in engine.fed] == [3]
    assert [patch.crop.track.id for patch in result.patches] == [1, 2, 3]


def test_network_that_asks_what_the_mouth_does_is_told_that_nothing_is_known() -> None:
    engine = asking()
    drawn(engine, [cropped(masked(number=1), masked(number=2))])
    (fed,) = engine.fed
    for spec in engine.inputs:
        spec.check(fed[spec.name])
    assert fed["expression"].shape == (2, 5)
    assert not fed["expression"].any()


def asking() -> MadeEngine:
    """A generator that takes an expression."""
    floats = np.dtype(np.float32)
    inputs = (TensorSpec("crop_and_mask", (None, 4, 256, 256), floats), TensorSpec("expression", (None, 5), floats))
    return MadeEngine(echo, inputs=inputs)


def test_network_is_told_what_the_mouths_do() -> None:
    engine = asking()
    inpaint = Inpaint(engine, mouth=Mouth(AT_REST, smile=1.0))
    list(inpaint.answer(inpaint.ask(iter([cropped(masked(number=1), masked(number=2))]))))
    (fed,) = engine.fed
    assert fed["expression"] == pytest.approx(np.array([[-0.7, 0.7, 1, 0, 1]] * 2))


def test_a_still_face_is_drawn_anew_when_its_mouth_moves() -> None:
    numbers = np.zeros((20, 4))
    numbers[10:, 0] = 2
    spoken = Spoken.measured(np.arange(20) / 30, numbers)
    crop, frames = masked(), 20
    stream = [
        replace(cropped(crop), tracked=tracked(frame_of(np.zeros((480, 640, 3), np.uint8), place), crop.track))
        for place in range(frames)
    ]
    still, moving = asking(), asking()
    for engine, mouth in ((still, Mouth(AT_REST)), (moving, Mouth(spoken=spoken))):
        inpaint = Inpaint(engine, mouth=mouth, every=frames)
        list(inpaint.answer(inpaint.ask(iter(stream))))
    assert len(still.fed) == 1
    assert [fed["expression"][0, 0] for fed in moving.fed] == pytest.approx([0, 2], abs=0.5)


def test_a_mouth_that_never_rests_is_drawn_no_more_often_than_it_may() -> None:
    numbers = np.zeros((20, 4))
    numbers[::2, 0] = 2
    crop = masked()
    stream = [
        replace(cropped(crop), tracked=tracked(frame_of(np.zeros((480, 640, 3), np.uint8), place), crop.track))
        for place in range(12)
    ]
    often, seldom = asking(), asking()
    for engine, every in ((often, 1), (seldom, 3)):
        spoken = Mouth(spoken=Spoken(0.0, np.repeat(numbers, 3, axis=0).astype(np.float32)))
        inpaint = Inpaint(engine, mouth=spoken, every=50, mouth_every=every)
        list(inpaint.answer(inpaint.ask(iter(stream))))
    assert len(often.fed) > 2 * len(seldom.fed)
    assert len(seldom.fed) == pytest.approx(4, abs=1)


def test_network_is_not_run_without_a_masked_face() -> None:
    engine = MadeEngine(echo)
    (result,) = drawn(engine, [cropped()])
    assert result.patches == ()
    assert engine.fed == []


def test_a_held_face_is_drawn_once_and_shown_as_it_was_drawn() -> None:
    engine = MadeEngine(echo)
    new, moving = masked(number=1), masked(number=2)
    stream = [cropped(new, moving), cropped(replace(new, held=True), replace(moving, image=moving.image // 2))]
    first, second = drawn(engine, stream)
    assert [len(fed["crop_and_mask"]) for fed in engine.fed] == [2, 1]
    assert second.patches[0].image is first.patches[0].image
    assert np.array_equal(second.patches[1].image, moving.image // 2)


def test_the_figure_is_asked_of_new_drawings_alone_and_parts_them() -> None:
    """The right half of each is background, of another grey than the face."""
    plain = replace(masked(), image=np.full((CROP_SIZE, CROP_SIZE, 3), 100, np.uint8))
    plain.image[:, 128:] = 200
    smear = np.interp(np.arange(CROP_SIZE), [120, 136], [-0.2, 0.57]).astype(np.float32)
    generator = MadeEngine(lambda feeds: {"face": np.tile(smear, (len(feeds["crop_and_mask"]), 3, CROP_SIZE, 1))})
    left = np.repeat((np.arange(128) < 64).astype(np.float32)[None], 128, axis=0)
    figure = MadeEngine(lambda feeds: {"figure": np.repeat(left[None, None], len(feeds["drawn"]), axis=0)})

    inpaint = Inpaint(generator, figure=figure)
    results = list(inpaint.answer(inpaint.ask(iter([cropped(plain), cropped(plain)]))))
    assert [fed["drawn"].shape for fed in figure.fed] == [(1, 3, 256, 256)]
    first, second = (result.patches[0].image for result in results)
    assert second is first
    slopes = np.diff(first[175, :, 0].astype(int))
    assert slopes.max() > 3 * np.diff(127.5 * smear).max()


def test_what_is_painted_reaches_farther_where_the_ground_is_and_stays_the_same_array_while_a_face_is_held() -> None:
    left_is_figure = np.zeros((1, 1, FIGURE_SIDE, FIGURE_SIDE), np.float32)
    left_is_figure[..., : FIGURE_SIDE // 2] = 1
    inpaint = Inpaint(MadeEngine(echo), figure=MadeEngine(lambda _: {"figure": left_is_figure}))
    crop = masked()  # from column 60 to 200
    held, moving = replace(crop, held=True), replace(crop, mask=np.roll(crop.mask, 1, axis=0))
    first, second, third = inpaint.answer(inpaint.ask(iter([cropped(crop), cropped(held), cropped(moving)])))

    row = first.patches[0].crop.mask[170]
    assert [int(column) for column in np.flatnonzero(row)[[0, -1]]] == [60, 203]
    assert np.array_equal(row[:128], crop.mask[170, :128])
    assert second.patches[0].crop.mask is first.patches[0].crop.mask
    assert np.array_equal(third.patches[0].crop.mask[1:, 128:], first.patches[0].crop.mask[:-1, 128:])


def test_a_moving_face_is_carried_on_with_its_new_mask_until_its_time_is_up() -> None:
    engine = MadeEngine(echo)
    first = masked()
    moving = [replace(first, image=first.image // 4 + step, mask=first.mask.copy()) for step in (100, 102, 103, 100)]
    inpaint = Inpaint(engine, every=4)
    results = list(inpaint.answer(inpaint.ask(iter([cropped(crop) for crop in (*moving, moving[0])]))))
    assert [patch.crop.carried for result in results for patch in result.patches] == [False, True, True, True, False]
    assert len(engine.fed) == 2
    assert results[2].patches[0].image is results[0].patches[0].image
    assert results[2].patches[0].crop.mask is moving[2].mask
    assert not results[2].patches[0].crop.held


def test_a_face_is_read_whole_where_it_is_drawn_and_not_where_its_drawing_is_carried_on() -> None:
    engine, track = MadeEngine(echo), track_of(upright(x=50, y=50))
    frame = frame_of(np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8))
    (fine, crop_from_frame), (coarse, _) = align(frame, track), align(frame, track, size=CROP_SIZE // 2)
    crop = FaceCrop(track, coarse, masked().mask, crop_from_frame)
    results = drawn(engine, [Cropped(tracked(frame, track), (crop,), skipped=()) for _ in range(2)])
    assert np.array_equal(results[0].patches[0].image, fine)
    assert [result.patches[0].crop.image.shape for result in results] == [fine.shape, coarse.shape]


def test_the_more_a_face_changes_the_sooner_it_is_drawn() -> None:
    first = masked()
    calm = replace(first, image=first.image // 4 + 100)
    moved = replace(first, image=first.image // 4 + 106)
    results = drawn(MadeEngine(echo), [cropped(crop) for crop in (calm, moved, moved)])
    assert [patch.crop.carried for result in results for patch in result.patches] == [False, True, False]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"mask": masked(low=120).mask}, "the mask reaches beyond what was filled"),
        ({"drawn_by": DrawnBy("Ana", Drawer.RECOGNISED)}, "another network is to draw it"),
    ],
)
def test_a_drawing_is_not_carried_on_where_it_does_not_serve(change: dict[str, object], why: str) -> None:
    inpaint = Inpaint(MadeEngine(echo), {"Ana": MadeEngine(echo)})
    stream = [cropped(masked()), cropped(replace(masked(), **change))]  # type: ignore[arg-type]
    assert not list(inpaint.answer(inpaint.ask(iter(stream))))[1].patches[0].crop.carried, why


def test_a_drawing_is_not_carried_on_where_the_background_beside_the_mask_changes() -> None:
    plain = replace(masked(), image=np.full((CROP_SIZE, CROP_SIZE, 3), 100, np.uint8))
    beside, far = plain.image.copy(), plain.image.copy()
    beside[140:200, 206:216], far[140:200, 240:250] = 250, 250
    for image, carried in ((far, True), (beside, False)):
        results = drawn(MadeEngine(echo), [cropped(plain), cropped(replace(plain, image=image))])
        assert results[1].patches[0].crop.carried == carried


def test_every_frame_is_drawn_when_asked_for() -> None:
    engine = MadeEngine(echo)
    inpaint = Inpaint(engine, every=1)
    list(inpaint.answer(inpaint.ask(iter([cropped(masked())] * 3))))
    assert len(engine.fed) == 3


def test_a_held_face_that_the_frame_before_did_not_have_is_drawn() -> None:
    engine = MadeEngine(echo)
    stream = [cropped(masked(number=1)), cropped(replace(masked(number=2), held=True))]
    _, second = drawn(engine, stream)
    assert len(engine.fed) == 2
    assert not second.patches[0].crop.held


def test_a_face_held_from_a_frame_that_the_network_failed_on_fails_too() -> None:
    inpaint = Inpaint(MadeEngine(echo))
    _, second = inpaint.ask(iter([cropped(masked()), cropped(replace(masked(), held=True))]))
    with pytest.raises(EngineError, match="face 1 is held from"):
        next(inpaint.answer(iter([second])))


def test_hole_covers_the_mask_and_a_rim_and_nothing_far() -> None:
    crop = masked()
    hole = hole_of(crop.mask)
    assert hole[crop.mask > 0.5].min() == 1.0
    assert hole[150 - GROW_PX + 1, 128] == 1.0
    assert hole[150 - GROW_PX - 2, 128] == 0.0
    assert np.array_equal(generator_input([crop.image], [hole_of(crop.mask)])[0, 3], hole)


@pytest.mark.parametrize(("drawn_value", "shown"), [(1.5, 255), (-1.5, 0)])
def test_values_beyond_the_range_are_clipped(drawn_value: float, shown: int) -> None:
    def loud(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return {"face": np.full((len(feeds["crop_and_mask"]), 3, CROP_SIZE, CROP_SIZE), drawn_value, np.float32)}

    (result,) = drawn(MadeEngine(loud), [cropped(masked())])
    assert (result.patches[0].image == shown).all()


def test_each_face_is_drawn_by_the_network_that_is_to_draw_it() -> None:
    def brighter(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return {"face": np.clip(np.asarray(feeds["crop_and_mask"])[:, :3] + 0.5, -1, 1)}

    shipped, own = MadeEngine(echo), MadeEngine(brighter)
    crops = [
        replace(masked(number=1), drawn_by=DrawnBy(None, Drawer.NOT_RECOGNISED)),
        replace(masked(number=2), drawn_by=DrawnBy("me", Drawer.RECOGNISED)),
        replace(masked(number=3), drawn_by=DrawnBy(None, Drawer.IN_DOUBT)),
    ]
    inpaint = Inpaint(shipped, {"me": own})
    (result,) = inpaint.answer(inpaint.ask(iter([cropped(*crops)])))
    assert [len(fed["crop_and_mask"]) for fed in (*shipped.fed, *own.fed)] == [2, 1]
    pictures = [patch.image for patch in result.patches]
    assert np.array_equal(pictures[0], crops[0].image)
    assert np.array_equal(pictures[2], crops[2].image)
    assert pictures[1].mean() > crops[1].image.mean() + 20


def wide(*, low: int = 220, mask: FaceCrop | None = None) -> FaceCrop:
    """A face whose mask goes on below the crop, down to row `low` of the view."""
    crop = masked() if mask is None else mask
    whole = crop.mask.copy()
    whole[150:, 60:200] = 1
    view = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    view[139:low, 94:164] = 1
    return replace(crop, mask=whole, beyond=Beyond(view, view_of(crop.crop_from_frame)))


def counting() -> MadeEngine:
    """A generator that fills each hole with a brighter grey than the one before."""
    calls = iter(range(1, 9))

    def fill(feeds: Mapping[str, Array]) -> dict[str, Array]:
        grey = np.float32(0.2 * next(calls) - 1)
        return {"face": np.full((len(feeds["crop_and_mask"]), 3, CROP_SIZE, CROP_SIZE), grey, np.float32)}

    return MadeEngine(fill)


FIRST, SECOND = 26, 51
"""What it fills with."""


def test_what_lies_around_a_wide_mask_is_drawn_before_the_face_and_makes_its_rim() -> None:
    engine = counting()
    (result,) = drawn(engine, [cropped(wide())])
    (patch,) = result.patches
    assert [fed["crop_and_mask"].shape for fed in engine.fed] == [(1, 4, CROP_SIZE, CROP_SIZE)] * 2
    assert patch.image[-5:, 70:190] == pytest.approx(FIRST, abs=1)
    assert patch.image[160:240, 70:190] == pytest.approx(SECOND, abs=1)
    assert engine.fed[1]["crop_and_mask"][0, 3, -4:].max() == 0

    assert patch.around is not None
    x, y = np.rint(patch.around.here_from_crop.apply([130, 290])).astype(int)
    assert patch.around.image[y, x] == pytest.approx(FIRST, abs=1)
    assert patch.around.image[5, 5].max() == 0  # the frame


def test_a_mask_within_the_crop_is_drawn_once_and_beside_a_wide_one_in_its_batch() -> None:
    engine = counting()
    (result,) = drawn(engine, [cropped(masked(number=1), wide(mask=masked(number=2)))])
    assert [len(fed["crop_and_mask"]) for fed in engine.fed] == [1, 2]
    assert [patch.around is None for patch in result.patches] == [True, False]


@pytest.mark.parametrize(("second", "carried"), [(wide(), True), (wide(low=235), False), (masked(), True)])
def test_what_was_drawn_around_is_carried_on_while_it_covers_the_mask(second: FaceCrop, carried: bool) -> None:
    first, later = drawn(counting(), [cropped(wide()), cropped(second)])
    assert later.patches[0].crop.carried == carried
    assert (later.patches[0].around is first.patches[0].around) == carried


def test_a_mask_that_was_within_the_crop_and_goes_on_beyond_it_is_drawn_anew() -> None:
    within = replace(wide(), beyond=None)
    _, later = drawn(counting(), [cropped(within), cropped(wide())])
    assert later.patches[0].around is not None


def test_what_lies_around_is_drawn_by_the_network_that_draws_the_face() -> None:
    shipped, own = counting(), counting()
    inpaint = Inpaint(shipped, {"me": own})
    list(inpaint.answer(inpaint.ask(iter([cropped(replace(wide(), drawn_by=DrawnBy("me", Drawer.RECOGNISED)))]))))
    assert (len(shipped.fed), len(own.fed)) == (0, 2)
