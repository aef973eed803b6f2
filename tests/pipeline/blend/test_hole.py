from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.blend.hole import Sides, find_hole, place_of, sides_outside
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.picture.samples import Component, Grid


def square_mask(left: int = 96, top: int = 120, right: int = 160, bottom: int = 200) -> np.ndarray:
    mask = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    mask[top:bottom, left:right] = 1
    return mask


def test_nothing_is_painted_of_a_bare_face() -> None:
    hole = find_hole(np.zeros((CROP_SIZE, CROP_SIZE), np.float32), grow_px=4, feather_px=8)
    assert hole.box is None
    assert not hole.alpha.any()


def test_faint_doubts_of_the_segmenter_are_not_painted() -> None:
    assert find_hole(np.full((CROP_SIZE, CROP_SIZE), 0.12, np.float32), grow_px=4, feather_px=8).box is None


@settings(max_examples=30, deadline=None)
@given(grow=st.floats(2, 12), feather=st.floats(4, 16), left=st.integers(40, 120), top=st.integers(40, 120))
def test_the_mask_is_hidden_wholly_and_what_is_far_from_it_not_at_all(
    grow: float, feather: float, left: int, top: int
) -> None:
    mask = square_mask(left, top, left + 60, top + 50)
    hole = find_hole(mask, grow_px=grow, feather_px=feather)
    fine = hole.alpha.repeat(2, axis=0).repeat(2, axis=1)
    assert (fine[mask > 0.5] > 0.96).all()
    y, x = np.mgrid[0:CROP_SIZE, 0:CROP_SIZE]
    beside_x = np.maximum(np.maximum(left - x, x - (left + 59)), 0)
    beside_y = np.maximum(np.maximum(top - y, y - (top + 49)), 0)
    distance = np.hypot(beside_x, beside_y)
    assert (fine[distance > grow + 1.25 * feather + 6] == 0).all()
    assert (fine[distance < grow - 4] > 0.98).all()


@pytest.mark.parametrize("doubted_px", [4, 12])
def test_what_the_segmenter_takes_for_mask_with_doubt_is_hidden_too(doubted_px: int) -> None:
    """Beside a sure mask lies a rim of which three in ten such pixels are mask."""
    mask = square_mask()
    mask[120:200, 160 : 160 + doubted_px] = 0.31
    alpha = find_hole(mask, grow_px=3, feather_px=5).alpha
    assert (alpha[62:98, 48 : 80 + doubted_px // 2] > 0.96).all()


def test_alpha_falls_gradually_outside_the_mask() -> None:
    row = find_hole(square_mask(), grow_px=4, feather_px=12).alpha[80]
    falling = row[np.flatnonzero(row == 1)[-1] :]
    assert (np.diff(falling) <= 0).all()
    assert np.abs(np.diff(falling)).max() < 0.4


def test_a_mask_that_leaves_the_crop_fades_before_its_border() -> None:
    alpha = find_hole(square_mask(0, 120, 256, 256), grow_px=4, feather_px=8).alpha
    assert alpha[-1].max() <= 0.5
    assert alpha[:, 0].max() <= 0.5
    assert alpha[100, 64] == 1
    assert 0 < alpha[122, 64] < alpha[118, 64] < 1


def test_a_mask_that_ends_beside_the_crops_border_is_painted_whole() -> None:
    alpha = find_hole(square_mask(80, 120, 160, 240), grow_px=2, feather_px=4).alpha
    assert alpha[119, 60] > 0.96


def test_a_mask_that_leaves_the_frame_is_painted_up_to_the_border() -> None:
    mask = square_mask(0, 120, 256, 256)
    alpha = find_hole(mask, grow_px=4, feather_px=8, outside=Sides(bottom=True)).alpha
    assert alpha[-1, 40:-40].min() == 1
    assert alpha[:, 0].max() <= 0.5


def test_a_side_is_outside_when_all_of_it_is() -> None:
    shifted = Affine(np.array([[1.0, 0, 100.0], [0, 1.0, 300.0]]))
    assert sides_outside(shifted, width=640, height=480) == Sides(bottom=True)
    assert sides_outside(shifted, width=640, height=700) == Sides()
    assert sides_outside(shifted, width=200, height=480) == Sides(right=True, bottom=True)
    away = Affine(np.array([[1.0, 0, -400.0], [0, 1.0, -3.0]]))
    assert sides_outside(away, width=640, height=480) == Sides(left=True, top=True, right=True, bottom=True)
    turned = Affine(np.array([[0.0, 1.0, 50.0], [-1.0, 0.0, 265.0]]))  # the crop's left side is the lowest in the frame
    assert sides_outside(turned, width=400, height=200) == Sides(left=True)


@pytest.mark.parametrize("grow", [3, 9])
def test_the_box_holds_all_that_is_painted(grow: int) -> None:
    hole = find_hole(square_mask(), grow_px=grow, feather_px=8)
    assert hole.box is not None
    left, top, right, bottom = hole.box
    assert all(side % 4 == 0 for side in hole.box)
    outside = hole.alpha.copy()
    outside[top // 2 : bottom // 2, left // 2 : right // 2] = 0
    assert not outside.any()


def with_strap() -> np.ndarray:
    """A mask whose strap makes its box twice as wide."""
    mask = square_mask()
    mask[124:128, 20:236] = 1
    return mask


@settings(max_examples=30, deadline=None)
@given(
    turn=st.floats(-180, 180),
    scale=st.floats(1.2, 6),
    mask=st.sampled_from([square_mask(), with_strap(), square_mask(0, 100, 256, 256)]),
    outside=st.sampled_from([Sides(), Sides(bottom=True)]),
)
def test_the_parts_of_a_place_have_the_alpha_of_the_whole_place_between_them(
    turn: float, scale: float, mask: np.ndarray, outside: Sides
) -> None:
    hole = find_hole(mask, grow_px=2, feather_px=5, outside=outside)
    matrix = cv2.getRotationMatrix2D((CROP_SIZE / 2, CROP_SIZE / 2), turn, scale)
    luma = Component(np.zeros((1000, 1100), np.uint8), Grid())
    place = place_of(hole.box or (0, 0, 4, 4), luma, Affine.shift(400, 350).after(Affine(matrix)))
    assume(place is not None)
    assert place is not None
    left = place.alpha(hole)
    for part in place.parted(hole):
        rows, columns = part.part
        spot = left[
            rows.start - place.top : rows.stop - place.top, columns.start - place.left : columns.stop - place.left
        ]
        assert np.abs(part.alpha(hole) - spot).max() < 1e-3
        spot[...] = 0
    assert left.max() == 0


def test_what_a_strap_leaves_bare_is_in_no_part() -> None:
    hole = find_hole(with_strap(), grow_px=2, feather_px=5)
    luma = Component(np.zeros((1000, 1100), np.uint8), Grid())
    place = place_of(hole.box or (0, 0, 4, 4), luma, Affine.resize(3))
    assert place is not None
    parts = place.parted(hole)
    assert 1 < len(parts) < 6
    assert sum(part.width * part.height for part in parts) < 0.6 * place.width * place.height
