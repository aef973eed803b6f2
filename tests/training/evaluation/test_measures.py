import math
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage", reason="the measures are those of scikit-image")

from tests.stand_ins import StandInEngine
from tests.training.made_faces import store_real
from training.data.real import RealMasks
from training.evaluation.measures import VIEWS, Found, found_in, main, nearness, squared


def picture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (256, 256, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)


def hole() -> np.ndarray:
    hidden = np.zeros((256, 256), bool)
    hidden[64:128, 64:192] = True
    return hidden


def test_figures_by_hand() -> None:
    """Eight steps too bright in one eighth of the picture, in all channels."""
    truth = (picture() // 2).astype(np.uint8)
    result = truth.copy()
    result[hole()] += 8
    found = nearness(result, truth, hole())
    assert found.hole_psnr == pytest.approx(20 * math.log10(255 / 8), abs=1e-6)
    assert found.psnr - found.hole_psnr == pytest.approx(10 * math.log10(8), abs=1e-6)
    assert found.l1 == pytest.approx(8 / 8 / 255, abs=1e-9)


def test_grey_l1_does_not_see_a_change_of_hue_alone() -> None:
    truth = np.full((256, 256, 3), 100, np.uint8)
    result = truth.copy()
    result[hole()] += np.array([9, 0, 247], np.uint8)  # red up by 9, blue down by 9
    found = nearness(result, truth, hole())
    assert found.l1 == pytest.approx(0, abs=1e-9)
    assert found.hole_psnr == pytest.approx(10 * math.log10(255**2 / 54), abs=1e-6)


def test_ssim_is_the_mean_over_windows_of_eleven() -> None:
    """From its definition (Wang et al. 2004), with a plain window and unbiased variances as scikit-image takes them."""
    truth, result = picture(1), picture(2)
    found = nearness(result, truth, np.ones((256, 256), bool))
    channels = []
    for a, b in zip(np.float64(truth).transpose(2, 0, 1), np.float64(result).transpose(2, 0, 1), strict=True):
        mean_a, mean_b, aa, bb, ab = (cv2.blur(x, (11, 11))[5:-5, 5:-5] for x in (a, b, a * a, b * b, a * b))
        whole = 121 / 120
        spread_a, spread_b = whole * (aa - mean_a**2), whole * (bb - mean_b**2)
        shared = whole * (ab - mean_a * mean_b)
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        above, below = (2 * mean_a * mean_b + c1) * (2 * shared + c2), mean_a**2 + mean_b**2 + c1
        channels.append((above / (below * (spread_a + spread_b + c2))).mean())
    assert found.ssim == pytest.approx(np.mean(channels), abs=1e-6)


def test_hole_ssim_sees_the_hole_only() -> None:
    truth = picture()
    inside, outside = truth.copy(), truth.copy()
    inside[80:112, 80:176] = 0
    outside[200:240, 80:176] = 0
    assert nearness(inside, truth, hole()).hole_ssim < 0.8
    assert nearness(outside, truth, hole()).hole_ssim == pytest.approx(1)


def test_nothing_to_measure_is_refused() -> None:
    truth = picture()
    with pytest.raises(ValueError, match="truth itself"):
        nearness(truth.copy(), truth, hole())
    with pytest.raises(ValueError, match="no pixel is hidden"):
        nearness(picture(1), truth, np.zeros((256, 256), bool))


def test_pictures_are_brought_to_size_without_mixing_pixels() -> None:
    narrow = picture()[:218, :178]
    square = squared(narrow)
    assert square.shape == (256, 256, 3)
    assert set(map(tuple, square.reshape(-1, 3))) <= set(map(tuple, narrow.reshape(-1, 3)))
    assert np.array_equal(square[0, 0], narrow[0, 0])
    assert np.array_equal(square[-1, -1], narrow[-1, -1])


def red_is_mask(crops: np.ndarray) -> np.ndarray:
    return (np.asarray(crops, np.float32)[:, :1] > 0.2).astype(np.float32)


def test_real_masks_are_scored_where_the_photo_is(tmp_path: Path) -> None:
    masks = RealMasks.read(store_real(tmp_path / "real"))
    for view in VIEWS.values():
        for face in found_in(StandInEngine("mask", red_is_mask), masks, view):
            assert face.iou > 0.95
            assert face.true.any()
            assert not face.true[:, 0].any() or view is VIEWS["crop"]  # there the photo has ended
    (one, _) = found_in(StandInEngine("mask", lambda crops: red_is_mask(crops) * 0), masks, VIEWS["crop"])
    assert (one.iou, one.found.any()) == (0, False)
    assert (one.marked()[one.true][:, 0] > 150).all()
    assert np.array_equal(one.marked()[~one.true], one.picture[~one.true])


def test_what_is_found_of_real_straps() -> None:
    true = np.zeros((256, 256), bool)
    true[150:220, 80:180], true[90:150, 178:182] = True, True
    blank = np.zeros((256, 256, 3), np.uint8)
    found = true.copy()
    found[90:120] = False
    assert Found(blank, true, found).thin == pytest.approx(0.5, abs=0.05)
    assert math.isnan(Found(blank, found & False, found).thin)
    assert Found(blank, found & False, found & False).iou == 1


def test_the_command_scores_the_network_that_ships_and_writes_a_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(store_real(tmp_path / "real")), "--sheet", str(tmp_path / "sheet.png")])
    crop, wide = capsys.readouterr().out.splitlines()
    assert "crop" in crop and "IoU" in crop
    assert "wide view" in wide
    assert (tmp_path / "sheet.png").stat().st_size > 0
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "training.data.real writes them" in capsys.readouterr().err
