"""A smear at a jaw, as a generator draws it, and what becomes of it and of the ground behind."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine import models
from engine.select import load
from engine.spec import Precision
from pipeline.demo.clip import LANDMARKS, portrait
from pipeline.draw.figure import FIGURE_SIDE, edged, figure_input, wider_on_ground
from pipeline.draw.hole import composite
from pipeline.geometry import CROP_SIZE, Landmarks, face_crop
from tests.pipeline.jaws import GROUND, HOLE, JAW, SKIN, SMEAR_PX, picture, worn


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


def test_paint_reaches_farther_over_the_ground_beside_the_cloth_alone() -> None:
    """Beside a strap the drawing may have no ear where the frame shows one."""
    mask = worn(strap_px=6)
    wide = wider_on_ground(mask, np.ones(mask.shape, np.uint8))
    assert np.array_equal(wide[100:120], mask[100:120])
    assert np.flatnonzero(wide[200, :]).tolist() == list(range(60 - 4, 215 + 4))
    assert wider_on_ground(mask, None) is mask
