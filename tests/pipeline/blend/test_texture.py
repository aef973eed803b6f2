from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.blend.grain import FINER, SkinDetail, steeper
from pipeline.blend.hole import Sides, find_hole
from pipeline.blend.texture import (
    Region,
    block_energies,
    crispness,
    gains_for,
    interplay,
    map_skin,
    merge,
    normalised,
    split,
    visible_skin,
)
from pipeline.geometry import Affine

NOISE = np.random.default_rng(0).standard_normal((192, 256)).astype(np.float32)


def test_octaves_merge_into_what_was_split() -> None:
    coarse = np.outer(np.linspace(0, 50, 192), np.linspace(0, 1, 256)).astype(np.float32)
    detail = merge(split(NOISE + coarse, 4), np.ones(4, np.float32))
    assert np.abs((detail - merge(split(NOISE, 4), np.ones(4, np.float32)))[40:-40, 40:-40]).max() < 0.1


def test_a_picture_too_small_for_an_octave_has_fewer() -> None:
    assert len(split(NOISE[:6, :6], 5)) == 1


def test_normalised_octaves_have_a_mean_square_of_one() -> None:
    assert [float(np.mean(band**2)) for band in normalised(split(7 * NOISE, 3))] == pytest.approx([1, 1, 1], rel=1e-3)


@pytest.mark.parametrize("wanted", [[4.0, 2.0, 1.0, 0.5], [1.0, 1.0, 1.0, 1.0], [9.0, 0.0, 0.0, 0.0], [0.0] * 4])
def test_gains_bring_the_energies_that_were_wanted(wanted: list[float]) -> None:
    bands = normalised(split(NOISE, 4))
    merged = merge(bands, gains_for(np.array(wanted), interplay(bands)))
    found = np.array([float(np.mean(band**2)) for band in split(merged, 4)])
    reachable = np.array(wanted) > 0
    assert found[reachable] == pytest.approx(np.array(wanted)[reachable], rel=0.15)


def test_block_energies_tell_where_the_detail_is() -> None:
    values = NOISE.copy()
    values[:, 128:] *= 3
    centres = np.array([[40.0, 90.0], [200.0, 90.0]])
    energies = block_energies(values, centres, octaves=3, block_px=48)
    assert energies[:, 1] / energies[:, 0] == pytest.approx(np.full(3, 9.0), rel=0.5)


def skin_under(luma: np.ndarray) -> Region:
    """The plain skin found in a crop of 256 pixels with this luma, whose lower half is hidden."""
    mask = np.zeros((256, 256), np.float32)
    mask[128:] = 1
    grey = np.full((64, 64, 3), 128, np.float32)
    hole = find_hole(mask, grow_px=0, feather_px=4, outside=Sides(left=False, top=False, right=False, bottom=False))
    region = visible_skin(luma, Affine.resize(1), map_skin(grey, grey, hole))
    assert region is not None
    return region


def test_a_wall_of_the_skin_s_colour_is_no_skin() -> None:
    """Neither is texture measured on it, nor is what is drawn of it given pores."""
    mask = np.zeros((256, 256), np.float32)
    mask[128:] = 1
    hole = find_hole(mask, grow_px=0, feather_px=4)
    skin = np.full((64, 64, 3), (200, 150, 120), np.float32)
    ground = np.zeros((256, 256), np.uint8)
    ground[:, 128:] = 1

    known, unknown = map_skin(skin, skin, hole, ground), map_skin(skin, skin, hole)
    assert known.drawn[:, :32].min() == known.visible()[:28, :32].min() == 1
    assert known.drawn[:, 32:].max() == known.visible()[:, 32:].max() == 0
    assert unknown.drawn.min() == unknown.visible()[:28].min() == 1

    wall = skin.copy()
    wall[:, 20:] = 60
    ground[:, 80:] = 1
    assert np.array_equal(map_skin(skin, wall, hole, ground).middle, unknown.middle)


def test_hair_is_no_skin() -> None:
    grain = 128 + 3 * np.random.default_rng(1).standard_normal((256, 256)).astype(np.float32)
    hair = grain + 10 * np.sin(np.arange(256, dtype=np.float32))
    assert skin_under(grain).trust == 1
    assert skin_under(hair).trust == 0

    both = np.hstack([grain[:, :128], hair[:, 128:]])
    region = skin_under(both)
    assert 0.5 < region.trust <= 1
    assert (region.centres[:, 0] + region.left).max() < 140


def test_eyes_are_crisp_in_a_sharp_picture_and_not_in_one_that_was_enlarged() -> None:
    small = cv2.GaussianBlur(40 * NOISE, (0, 0), 2.0)
    enlarged = cv2.resize(small, (3 * 256, 3 * 192), interpolation=cv2.INTER_CUBIC)
    sharp, soft = (crispness(luma, Affine.resize(3)) for luma in (cv2.resize(100 * NOISE, (768, 576)), enlarged))
    assert sharp is not None
    assert soft is not None
    assert sharp > 0.45
    assert soft < 0.2


def test_nothing_is_said_of_eyes_outside_the_picture() -> None:
    assert crispness(NOISE, Affine.shift(1000, 0).after(Affine.resize(2))) is None


def test_edges_stay_as_drawn_beside_soft_eyes_and_in_small_faces() -> None:
    sharp, soft = 50 * NOISE, cv2.GaussianBlur(50 * NOISE, (0, 0), 4.0)
    assert SkinDetail(1).steepness(cv2.resize(sharp, (640, 480)), Affine.resize(2.5)) == 1
    assert SkinDetail(1).steepness(cv2.resize(soft, (640, 480)), Affine.resize(2.5)) == 0
    assert SkinDetail(1).steepness(sharp, Affine.resize(1.2)) == 0
    assert 0 < SkinDetail(1).steepness(cv2.resize(sharp, (384, 288)), Affine.resize(1.5)) < 1


def drawn_edge(*, sigma: float) -> np.ndarray:
    """(96, 96) 60 on the left and 140 on the right, with a soft edge."""
    return cv2.GaussianBlur(
        np.repeat(np.where(np.arange(96) < 48, 60, 140)[None], 96, axis=0).astype(np.float32), (0, 0), sigma
    )


def test_a_soft_edge_becomes_steeper_without_an_outline() -> None:
    edge = drawn_edge(sigma=2.0)
    plain = cv2.resize(edge, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_CUBIC)
    better = plain + steeper(edge)
    assert np.abs(np.diff(better, axis=1)).max() > 1.4 * np.abs(np.diff(plain, axis=1)).max()
    assert better.max() < 140 + 5
    assert better.min() > 60 - 5


def test_grain_shades_and_a_faint_lattice_are_not_raised() -> None:
    rows, columns = np.mgrid[:96, :96].astype(np.float32)
    shade, lattice = 0.5 * columns, np.cos(np.pi / 4 * columns) * np.cos(np.pi / 4 * rows)
    assert np.abs(steeper(100 + shade)).max() < 0.5
    assert np.sqrt(np.mean(steeper(100 + lattice) ** 2)) < 0.1
    assert np.sqrt(np.mean(steeper(100 + NOISE[:96, :96]) ** 2)) < 0.2
