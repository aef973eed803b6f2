"""A mask that goes on beyond the crop, or is doubted, on a grey frame in which red is mask."""

from collections.abc import Mapping

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.spec import Array
from pipeline.draw.beyond import INSIDE, mask_around
from pipeline.draw.segment import Segment
from pipeline.frames import FaceCrop
from pipeline.geometry import CROP_SIZE, VIEW_FROM_CROP
from tests.pipeline.draw.test_segment import red_is_mask
from tests.pipeline.faces import MadeEngine, frame_of, track_of, tracked, upright

LEFT, TOP = 192, 60
"""Where the crop lies in the frame, at the frame's own size."""

RED = (200, 40, 40)


def worn(image: NDArray[np.uint8]) -> tuple[FaceCrop, MadeEngine]:
    """The face as it is found, and the network that was asked."""
    engine = MadeEngine(red_is_mask)
    segment = Segment(engine)
    face = tracked(frame_of(image), track_of(upright(x=LEFT, y=TOP)))
    (crop,) = next(segment.answer(segment.ask(iter([face])))).crops
    return crop, engine


def ground() -> NDArray[np.uint8]:
    return np.full((480, 640, 3), 60, np.uint8)


def with_red(*boxes: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """The ground with red boxes: left, top, right, bottom, from the crop's upper left corner."""
    image = ground()
    for left, top, right, bottom in boxes:
        image[TOP + top : TOP + bottom, LEFT + left : LEFT + right] = RED
    return image


def test_a_crop_lies_in_the_middle_of_its_view() -> None:
    corners = VIEW_FROM_CROP.apply([[-0.5, -0.5], [CROP_SIZE - 0.5, CROP_SIZE - 0.5]])
    assert np.allclose(corners, [[63.5, 63.5], [191.5, 191.5]])


def test_a_mask_within_the_crop_is_not_looked_for_beyond() -> None:
    crop, engine = worn(with_red((70, 110, 190, 220)))
    assert crop.beyond is None
    assert len(engine.fed) == 1


@pytest.mark.parametrize("box", [(60, 120, 200, 330), (-50, 120, 190, 200), (60, 120, 310, 200)])
def test_a_mask_that_goes_on_is_found_to_its_end(box: tuple[int, int, int, int]) -> None:
    image = with_red(box)
    crop, engine = worn(image)
    assert len(engine.fed) == 2
    assert crop.beyond is not None

    frame_from_view = crop.beyond.view_from_frame.inverse()
    rows, columns = np.mgrid[:CROP_SIZE, :CROP_SIZE]
    x, y = np.rint(frame_from_view.apply(np.stack([columns, rows], axis=-1))).astype(int).transpose(2, 0, 1)
    inside = (x >= 0) & (x < 640) & (y >= 0) & (y < 480)
    red = np.zeros((CROP_SIZE, CROP_SIZE), bool)
    red[inside] = image[y[inside], x[inside], 0] == RED[0]
    assert np.mean((crop.beyond.mask > 0.5) != red) < 0.01


def test_what_does_not_hang_together_with_the_mask_is_left() -> None:
    wall = (-120, 60, -60, 200)
    crop, engine = worn(with_red((12, 120, 190, 220), wall))
    assert len(engine.fed) == 2
    assert crop.beyond is None


@pytest.mark.parametrize("box", [(4, 120, 190, 200), (60, 120, 252, 200), (60, 120, 200, 252)])
def test_a_mask_at_which_its_paint_fades_is_known_beyond_though_it_ends_in_the_crop(
    box: tuple[int, int, int, int],
) -> None:
    crop, _ = worn(with_red(box))
    assert crop.beyond is not None
    hidden = crop.beyond.mask > 0.5
    assert hidden[INSIDE, INSIDE].sum() == hidden.sum() > 0


def test_a_gown_in_the_colour_of_the_mask_is_no_mask() -> None:
    crop, engine = worn(with_red((60, 120, 200, 256), (-150, 250, 400, 420)))
    assert len(engine.fed) == 2
    assert crop.beyond is None


def test_beyond_the_frame_there_is_nothing_though_its_border_goes_on() -> None:
    image = with_red((60, 120, 200, 330))[: TOP + 240]  # ends before the crop does
    crop, engine = worn(image)
    assert len(engine.fed) == 2
    assert crop.beyond is None


CUT = 150
"""The column of the crop at which the frame ends, in what follows."""


def cut_off(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[:, : LEFT + CUT])


def test_the_network_is_shown_grey_where_the_frame_has_ended() -> None:
    image = with_red((60, 120, 200, 200))
    whole, cut = (worn(frame)[1].fed[0]["crop"][0] for frame in (image, cut_off(image)))
    assert np.array_equal(cut[..., :CUT], whole[..., :CUT])
    assert np.abs(cut[..., CUT + 50 :]).max() < 0.01
    beside = cut[:, 160, CUT : CUT + 40]
    assert (np.diff(np.abs(beside), axis=-1) < 0.005).all()  # from the mask's red to grey, without a step


def test_a_mask_that_the_frame_cuts_off_goes_on_in_its_crop_as_the_picture_does() -> None:
    crop, _ = worn(cut_off(with_red((60, 120, 200, 200))))
    assert (crop.mask[122:198, 62:] > 0.5).all()
    assert (crop.mask[:118] == 0).all()
    assert (crop.mask[202:] == 0).all()


def test_what_the_network_takes_for_mask_beyond_the_frame_is_none() -> None:
    """The border of the frame is bare skin, and all beyond it is called mask."""
    answer = np.zeros((1, 1, CROP_SIZE, CROP_SIZE), np.float32)
    answer[..., 120:200, 60:130] = answer[..., CUT:] = 1
    segment = Segment(MadeEngine(lambda _: {"mask": answer}))
    face = tracked(frame_of(cut_off(ground())), track_of(upright(x=LEFT, y=TOP)))
    (crop,) = next(segment.answer(segment.ask(iter([face])))).crops
    assert (crop.mask[122:198, 62:128] == 1).all()
    assert (crop.mask[:, 134:] == 0).all()


def unsure_of_the_left(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Red is mask, but of the left half of what it is shown this network is only half sure."""
    mask = red_is_mask(feeds)["mask"]
    mask[..., : mask.shape[-1] // 2] *= 0.5
    return {"mask": mask}


def soft(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Red is mask, with a rim that is eight pixels wide."""
    ((mask,),) = red_is_mask(feeds)["mask"]
    return {"mask": cv2.blur(mask, (9, 9))[None, None]}


def test_where_the_network_doubts_much_what_it_sees_in_the_mirror_image_counts_too() -> None:
    engine = MadeEngine(unsure_of_the_left)
    face = tracked(frame_of(with_red((70, 110, 190, 220))), track_of(upright(x=LEFT, y=TOP)))
    segment = Segment(engine)
    (crop,) = next(segment.answer(segment.ask(iter([face])))).crops
    assert (crop.mask[112:218, 72:188] > 0.99).all()
    first, second = (feeds["crop"] for feeds in engine.fed)
    assert np.array_equal(second, first[..., ::-1])


def blind_to_the_left(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Red is mask, but in the left quarter of what it is shown this network sees none."""
    mask = red_is_mask(feeds)["mask"]
    mask[..., : mask.shape[-1] // 4] = 0
    return {"mask": mask}


@pytest.mark.parametrize("thorough", [False, True])
def test_a_strap_in_the_mirror_image_counts_where_there_is_time_to_look_and_what_is_broad_does_not(
    thorough: bool,
) -> None:
    strap, flap = (30, 130, 64, 136), (30, 150, 64, 190)
    engine = MadeEngine(blind_to_the_left)
    segment = Segment(engine, thorough=thorough)
    image = with_red((64, 120, 190, 220), strap, flap)
    (crop,) = next(
        segment.answer(segment.ask(iter([tracked(frame_of(image), track_of(upright(x=LEFT, y=TOP)))])))
    ).crops
    assert len(engine.fed) == (2 if thorough else 1)
    assert (crop.mask[131:135, 32:62] > 0.5).all() == (crop.mask[131:135, 32:62] > 0.3).any() == thorough
    assert (crop.mask[154:186, 36:58] == 0).all()
    assert (crop.mask[122:218, 66:188] > 0.5).all()


@pytest.mark.parametrize("red", [(70, 110, 190, 220), (0, 0, 0, 0)])
def test_the_doubted_rim_of_a_mask_and_a_bare_face_cost_no_second_look(red: tuple[int, int, int, int]) -> None:
    engine = MadeEngine(soft)
    segment = Segment(engine)
    next(segment.answer(segment.ask(iter([tracked(frame_of(with_red(red)), track_of(upright(x=LEFT, y=TOP)))]))))
    assert len(engine.fed) == 1


def test_a_face_that_is_left_costs_no_second_look_however_much_is_doubted() -> None:
    engine = MadeEngine(lambda _: {"mask": np.full((1, 1, CROP_SIZE, CROP_SIZE), 0.4, np.float32)})
    segment = Segment(engine)
    found = next(segment.answer(segment.ask(iter([tracked(frame_of(ground()), track_of(upright(x=LEFT, y=TOP)))]))))
    assert not found.crops
    assert len(engine.fed) == 1


def test_the_eyes_are_never_added_to_the_mask() -> None:
    """A view in which all is mask, as a coarse look at glasses may say."""
    lower, whole_crop = np.zeros((2, 1, 1, 128, 128), np.float32)
    lower[..., 40:, :] = whole_crop[..., 32:96, 32:96] = 1
    answers = iter([lower, whole_crop])
    engine = MadeEngine(lambda _: {"mask": next(answers)})
    segment = Segment(engine)
    face = tracked(frame_of(ground()), track_of(upright(x=LEFT, y=TOP)))
    (crop,) = next(segment.answer(segment.ask(iter([face])))).crops
    assert crop.mask[60, 96] == crop.mask[60, 160] == 0
    assert crop.mask[60, 10] > 0.5


@pytest.mark.parametrize(
    ("beside", "counts"),
    [
        ((90, 90, 104, 94), False),  # the end of a temple of glasses, 40 pixels above the mask
        ((196, 140, 230, 144), True),  # a strap, behind hair for 4 pixels
        ((76, 90, 190, 104), True),  # as much as a hand leaves of a mask above it
    ],
)
def test_a_small_piece_counts_only_near_to_the_mask(beside: tuple[int, int, int, int], counts: bool) -> None:
    crop, _ = worn(with_red((64, 130, 192, 200), beside))
    left, top, right, bottom = beside
    piece = crop.mask[top + 1 : bottom - 1, left + 1 : right - 1]
    assert (piece > 0.5).all() == (piece > 0.3).any() == counts
    assert (crop.mask[134:196, 68:188] > 0.5).all()


@pytest.mark.parametrize("box", [(60, 120, 200, 330), (-50, 120, 190, 200), (-80, 120, 340, 200), (60, 120, 200, 252)])
def test_a_mask_is_drawn_in_a_square_that_holds_the_crop_and_all_of_it(box: tuple[int, int, int, int]) -> None:
    crop, _ = worn(with_red(box))
    assert crop.beyond is not None
    here_from_crop, mask = mask_around(crop.mask, crop.beyond, width=640, height=480)
    corners = here_from_crop.apply([[0, 0], [CROP_SIZE - 1, CROP_SIZE - 1]])
    assert corners.min() >= -0.01
    assert corners.max() <= CROP_SIZE - 0.99

    (left, top), (right, bottom) = here_from_crop.apply([box[:2], box[2:]])
    found = np.flatnonzero((mask > 0.5).any(axis=0)), np.flatnonzero((mask > 0.5).any(axis=1))
    ends = [found[0][0], found[1][0], found[0][-1], found[1][-1]]
    assert ends == pytest.approx([left, top, right, bottom], abs=2)
    assert min(ends) > 5
    assert max(ends) < CROP_SIZE - 5


def test_a_mask_in_its_square_goes_on_where_the_frame_has_ended() -> None:
    """There the picture is the mask's border in stripes, by which nothing is to be drawn."""
    crop, _ = worn(with_red((-50, 120, 190, 256 + 20))[: TOP + 256 + 10])
    assert crop.beyond is not None
    here_from_crop, mask = mask_around(crop.mask, crop.beyond, width=640, height=TOP + 256 + 10)
    below = here_from_crop.apply([100, 256 + 30])
    assert mask[round(below[1]) :, round(below[0])].min() > 0.5
