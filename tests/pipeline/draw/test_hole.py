"""A made figure before a plain ground, its jaw ragged or a smear as a generator draws it, and what becomes of it."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine import models
from engine.select import load
from engine.spec import Precision
from pipeline.demo.clip import LANDMARKS, portrait
from pipeline.draw.hole import (
    FIGURE_SIDE,
    GROW_PX,
    Shown,
    along_edges,
    composite,
    edged,
    figure_input,
    hole_of,
    wider_on_ground,
)
from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE, MOUTH, Landmarks, face_crop

SKIN, GROUND = np.array([205.0, 150.0, 120.0], np.float32), np.array([250.0, 250.0, 250.0], np.float32)
JAW = 150
"""The first column beyond the figure."""
SMEAR_PX = 14

HOLE = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
HOLE[120:220, 60:190] = 1


def picture(width_px: float, ground: NDArray[np.float32] = GROUND) -> NDArray[np.uint8]:
    """(S, S, 3) skin to the left of the jaw, the ground to its right, over so many pixels something between."""
    columns = np.arange(CROP_SIZE, dtype=np.float32) - (JAW - 0.5)
    share = np.clip(0.5 - columns / width_px, 0, 1)[None, :, None]
    row = ground + share * (SKIN - ground)
    return np.rint(np.repeat(row, CROP_SIZE, axis=0)).astype(np.uint8)


def figure(jaw: int = JAW) -> NDArray[np.float32]:
    """(S/2, S/2) 1 to the left of the jaw; the network is as little sure of it as the generator was."""
    columns = np.arange(FIGURE_SIDE, dtype=np.float32) * 2 + 0.5 - (jaw - 0.5)
    return np.repeat(np.clip(0.5 - columns / SMEAR_PX, 0, 1)[None], FIGURE_SIDE, axis=0).astype(np.float32)


def parted(found: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What was drawn, and what became of it."""
    face = picture(SMEAR_PX)
    return face, edged(face, composite(picture(1), face, HOLE), HOLE, found)


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


def test_a_smeared_jaw_becomes_an_edge_between_the_faces_colour_and_the_grounds() -> None:
    face, changed = parted(figure())
    assert steepest(changed, 170) > 3 * steepest(face, 170)
    assert np.abs(changed[140:200, JAW - 5 : JAW - 3] - SKIN).max() < 6
    assert np.abs(changed[140:200, JAW + 3 : JAW + 5] - GROUND).max() < 6


@pytest.mark.parametrize(("levels", "stays"), [(0, False), (25, True)])
def test_a_plain_ground_goes_on_in_the_place_of_a_haze_that_was_drawn(levels: int, stays: bool) -> None:
    noise = np.random.default_rng(0).normal(0, levels, (CROP_SIZE // 8, CROP_SIZE // 8)).astype(np.float32)
    ground = np.clip(200 + cv2.resize(noise, (CROP_SIZE, CROP_SIZE))[..., None], 0, 255).astype(np.uint8)
    seen = picture(1)
    seen[:, JAW:] = ground[:, JAW:]
    face = seen.copy()
    face[:, JAW + 25 : JAW + 33] -= 12  # far from the jaw
    changed = edged(face, composite(seen, face, HOLE), HOLE, figure())
    haze = np.s_[140:200, JAW + 26 : JAW + 32]
    left = np.abs(changed[haze].astype(int) - seen[haze]).mean()
    assert left > 8 if stays else left < 2


@pytest.mark.parametrize("off", [-4, 4])
def test_network_and_drawing_both_say_where_the_edge_lies(off: int) -> None:
    _, changed = parted(figure(JAW + off))
    edge = int(np.flatnonzero(changed[170, :, 2] > (SKIN[2] + GROUND[2]) / 2)[0]) - JAW
    assert 0 < abs(edge) < abs(off)
    assert edge * off > 0


def test_outside_the_hole_and_far_from_the_edge_the_drawing_stays_as_it_is() -> None:
    face, changed = parted(figure())
    assert np.array_equal(changed[HOLE == 0], face[HOLE == 0])
    assert np.array_equal(changed[:, : JAW - 21], face[:, : JAW - 21])
    assert np.array_equal(changed[:, JAW + 13 :], face[:, JAW + 13 :])


@pytest.mark.parametrize("jaw", [192, CROP_SIZE + 20])
def test_a_hole_that_does_not_reach_beyond_the_head_costs_no_change(jaw: int) -> None:
    face, changed = parted(figure(jaw))
    assert changed is face


@pytest.mark.parametrize("rows", [0, 20])
def test_a_figure_that_is_nowhere_near_the_hole_changes_nothing(rows: int) -> None:
    """The network sees nobody, or somebody whose edge is far above the hole."""
    found = np.zeros((FIGURE_SIDE, FIGURE_SIDE), np.float32)
    found[:rows] = 1
    face, changed = parted(found)
    assert changed is face


def test_a_ground_that_changes_along_the_jaw_goes_on_where_it_is() -> None:
    """Above it is white, below it is black: neither is carried over to the other."""
    seen, face = (
        np.concatenate([picture(width)[:170], picture(width, ground=SKIN * 0)[170:]]) for width in (1, SMEAR_PX)
    )
    changed = edged(face, composite(seen, face, HOLE), HOLE, figure())
    beside = changed[:, JAW + 4].astype(int).mean(axis=1)
    assert beside[125:150].min() > 200
    assert beside[190:215].max() < 60


def test_the_network_sees_the_drawn_face_in_its_surroundings() -> None:
    image, face = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8), np.full((CROP_SIZE, CROP_SIZE, 3), 255, np.uint8)
    feed = figure_input([composite(image, face, HOLE)] * 2)
    assert feed.shape == (2, 3, CROP_SIZE, CROP_SIZE)
    assert feed.dtype == np.float32
    assert np.allclose(feed[1, 2], HOLE)


def test_the_network_that_ships_tells_a_face_with_its_hair_and_shoulders_from_the_wall_behind() -> None:
    crop_from_portrait = face_crop(Landmarks(LANDMARKS.astype(np.float32)))
    crop = cv2.warpAffine(portrait(), crop_from_portrait.matrix, (CROP_SIZE, CROP_SIZE))
    engine = load(models.shipped("figure"), backend="onnxruntime", precision=Precision.F32, threads=1)
    (figure,) = engine.run({"drawn": figure_input([crop.astype(np.float32)])})["figure"][:, 0]
    engine.close()
    assert figure[15:105, 35:85].min() > 0.9
    assert max(figure[:70, :4].max(), figure[:70, -4:].max(), figure[75:85, :15].max()) < 0.1


def worn(strap_px: int) -> NDArray[np.float32]:
    """(S, S) a mask with a strap that runs up from it at column 200."""
    mask = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    mask[150:230, 60:215] = 1
    mask[90:150, 200 : 200 + strap_px] = 1
    return mask


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


def test_paint_reaches_farther_over_the_ground_beside_the_cloth_alone() -> None:
    """Beside a strap the drawing may have no ear where the frame shows one."""
    mask = worn(strap_px=6)
    wide = wider_on_ground(mask, np.ones(mask.shape, np.uint8))
    assert np.array_equal(wide[100:120], mask[100:120])
    assert np.flatnonzero(wide[200, :]).tolist() == list(range(60 - 4, 215 + 4))
    assert wider_on_ground(mask, None) is mask


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
