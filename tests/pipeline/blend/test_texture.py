from __future__ import annotations

import numpy as np
import pytest

from pipeline.blend.texture import block_energies, gains_for, interplay, merge, normalised, split

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
