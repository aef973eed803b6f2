"""Holes of masks, and a jaw that is ragged as a generator draws it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.draw.hole import GROW_PX, Shown, along_edges, hole_of
from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE, MOUTH
from tests.pipeline.jaws import GROUND, HOLE, JAW, SKIN, worn


def steepest(image: NDArray[np.uint8], row: int) -> int:
    return int(np.abs(np.diff(image[row, :, 2].astype(int))).max())


def ragged() -> NDArray[np.uint8]:
    """(S, S, 3) a jaw that is an edge, in places a pixel and a half too far in or out."""
    columns = np.arange(CROP_SIZE, dtype=np.float32) - (JAW - 0.5)
    jag = 1.5 * np.sin(np.arange(CROP_SIZE, dtype=np.float32) * (2 * np.pi / 7))[:, None]
    share = np.clip(0.5 - (columns + jag) / 3, 0, 1)[..., None]
    return np.rint(GROUND + share * (SKIN - GROUND)).astype(np.uint8)


def outline(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How far the figure reaches in each row below the mouth, to a part of a pixel."""
    share = (GROUND[2] - image[182:210, 60:190, 2].astype(np.float64)) / (GROUND[2] - SKIN[2])
    return share.sum(axis=1)


def test_a_ragged_jaw_becomes_a_line_that_is_as_steep() -> None:
    face = ragged()
    smooth = along_edges(face, HOLE, 2.0)
    assert np.std(outline(smooth)) < 0.5 * np.std(outline(face))
    assert abs(np.mean(outline(smooth)) - np.mean(outline(face))) < 0.1
    assert steepest(smooth, 200) > 0.6 * steepest(face, 200)


def test_a_small_face_stays_as_drawn_and_a_larger_one_is_smoothed_little_by_little() -> None:
    face = ragged()
    small, middle, large = (np.std(outline(along_edges(face, HOLE, finer))) for finer in (0.7, 1.0, 1.3))
    assert small == np.std(outline(face))
    assert large < 0.9 * middle < 0.9 * small


def test_what_leads_no_one_way_and_what_lies_outside_the_hole_is_not_smoothed() -> None:
    rows, columns = np.mgrid[:CROP_SIZE, :CROP_SIZE]
    face = np.repeat((128 + 40 * np.sin(rows) * np.sin(columns))[..., None], 3, axis=2).astype(np.uint8)
    smooth = along_edges(face, HOLE, 2.0).astype(int)
    assert np.abs(smooth[130:210, 60:90] - face[130:210, 60:90])[8:-8, 8:-8].max() <= 8  # beside the mouth
    assert np.array_equal(smooth[:120], face[:120])
    assert along_edges(face, np.zeros_like(HOLE), 2.0) is face


def test_gaps_between_teeth_stay_though_they_run_across_the_lips() -> None:
    x, y = np.rint(CANONICAL_LANDMARKS[MOUTH].mean(axis=0)).astype(int)
    face = np.full((CROP_SIZE, CROP_SIZE, 3), 120, np.uint8)
    face[y - 5 : y + 6, x - 20 : x + 20] = 230
    face[y - 5 : y + 6, x - 20 : x + 20 : 5] = 190
    mouth, chin = np.s_[y - 4 : y + 5, x - 20 : x + 20], np.s_[y + 44 : y + 53, x - 20 : x + 20]
    assert np.array_equal(along_edges(face, HOLE, 2.0)[mouth], face[mouth])

    # The same elsewhere is taken for grain.
    moved = np.roll(face, 48, axis=0)
    assert not np.array_equal(along_edges(moved, HOLE, 2.0)[chin], moved[chin])


def test_the_hole_reaches_less_far_beyond_a_strap_so_that_the_ear_behind_it_is_seen() -> None:
    hole = hole_of(worn(strap_px=6)) > 0.5
    assert np.flatnonzero(hole[110, :]).tolist() == list(range(200 - 3, 206 + 3))
    assert np.flatnonzero(hole[200, :]).tolist() == list(range(60 - GROW_PX, 215 + GROW_PX))
    flap = hole_of(worn(strap_px=15)) > 0.5
    assert np.flatnonzero(flap[110, :]).tolist() == list(range(200 - GROW_PX, 215 + GROW_PX))
    assert np.flatnonzero((hole_of(worn(strap_px=6), 2) > 0.5)[110, :]).tolist() == list(range(200 - 2, 206 + 2))


def test_the_hole_grows_little_over_an_eye_that_is_seen_in_part() -> None:
    eye = np.rint(CANONICAL_LANDMARKS[0]).astype(int)
    mask = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    mask[eye[1] + 4 :, 40:216] = 1
    hole = hole_of(mask) > 0.5
    assert not hole[eye[1] + 1, eye[0] - 15 : eye[0] + 16].any()
    assert hole[eye[1] + 2 :, eye[0]].all()
    assert hole[eye[1] + 4 - GROW_PX, CROP_SIZE // 2]  # between the eyes it grows on
    assert (hole_of(mask, aligned=False) > 0.5)[eye[1] + 1, eye[0]]  # nor is an eye known in a wider view
    assert np.array_equal(hole_of(mask, 1), hole_of(mask, 1, aligned=False))


@pytest.mark.parametrize(("spread", "left"), [(0, 0.0), (6, 0.0), (60, 1.0)])
def test_what_is_drawn_in_a_black_and_white_picture_is_black_and_white(spread: int, left: float) -> None:
    """Whatever the colour of the mask itself, and though a codec leaves a little of colour."""
    image = np.full((CROP_SIZE, CROP_SIZE, 3), 120, np.uint8)
    image[..., 0] += np.uint8(spread)
    image[HOLE > 0] = (200, 40, 160)
    face = np.full((CROP_SIZE, CROP_SIZE, 3), (140, 120, 110), np.uint8)
    drawn = Shown(image, HOLE, 1.0).coloured(face)
    assert np.ptp(drawn[0, 0].astype(int)) == left * 30
    assert drawn[0, 0] @ np.array([0.299, 0.587, 0.114]) == pytest.approx(124.8, abs=1)


def test_a_picture_of_few_colours_keeps_a_part_of_them_so_that_none_come_and_go_at_once() -> None:
    image = np.full((CROP_SIZE, CROP_SIZE, 3), 120, np.uint8)
    face = np.full((CROP_SIZE, CROP_SIZE, 3), (140, 120, 110), np.uint8)
    kept = []
    for rows in (0, 8, 16, 32):
        image[:rows, :, 0] = 200
        kept.append(int(np.ptp(Shown(image, HOLE, 1.0).coloured(face)[0, 0].astype(int))))
    assert kept[0] == 0
    assert kept[-1] == 30
    assert sorted(set(kept)) == kept
