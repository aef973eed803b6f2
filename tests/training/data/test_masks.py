import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `training`")

from tests.training.made_faces import face, mesh
from training.data import masks
from training.data.mask_shape import curve
from training.data.masks import draw
from training.data.mesh import FaceMesh, Point
from training.needs import MaskKind

MESH = FaceMesh(mesh())


def turn_of(points: np.ndarray) -> float:
    return FaceMesh(points).turn


@pytest.mark.parametrize("kind", list(MaskKind))
def test_mask_hides_the_mouth_and_leaves_the_eyes(kind: MaskKind) -> None:
    hidden = []
    for seed in range(12):
        _, alpha = draw(face(), MESH, np.random.default_rng(seed), kind=kind)
        x, y = np.rint(MESH[Point.UPPER_LIP]).astype(int)
        hidden.append(alpha[y, x] > 0.9)
        assert alpha[: int(256 * 0.36), 100:156].max() < 0.05
    assert np.mean(hidden) > 0.8  # some are worn on the chin


@pytest.mark.parametrize("kind", list(MaskKind))
def test_picture_changes_under_the_mask_and_in_its_shadow_only(kind: MaskKind) -> None:
    image = face()
    picture, alpha = draw(image, MESH, np.random.default_rng(3), kind=kind)
    changed = np.abs(picture.astype(int) - image).max(2) > 2
    assert changed[alpha > 0.9].mean() > 0.8
    assert not changed[:60].any()
    assert ((alpha >= 0) & (alpha <= 1)).all()


def test_neck_masks_end_below_the_chin() -> None:
    chin = int(MESH[Point.CHIN][1])
    for kind, below in ((MaskKind.GAITER, True), (MaskKind.SURGICAL, False)):
        _, alpha = draw(face(), MESH, np.random.default_rng(1), kind=kind)
        assert bool(alpha[chin + 25, 118:138].mean() > 0.5) is below


def test_same_seed_draws_the_same_mask() -> None:
    first, second = (draw(face(), MESH, np.random.default_rng(9)) for _ in range(2))
    other = draw(face(), MESH, np.random.default_rng(10))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_mask_of_any_kind_is_drawn_like_one_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the folds of its kind, and with a valve now and then; NumPy's choice of a kind is a plain string."""
    folded, valves = [], []
    folds, valve = masks.folds, masks.valve
    monkeypatch.setattr(masks, "folds", lambda kind, *rest: folded.append(kind) or folds(kind, *rest))
    monkeypatch.setattr(masks, "valve", lambda *all_: valves.append(1) or valve(*all_))
    for seed in range(40):
        draw(face(64), FaceMesh(mesh(64)), np.random.default_rng(seed))
    assert all(isinstance(kind, MaskKind) for kind in folded)
    assert set(folded) == set(MaskKind)
    assert valves


@pytest.mark.parametrize("kind", list(MaskKind))
def test_plain_mask_is_worn_as_others_are_and_has_one_colour(kind: MaskKind) -> None:
    whole, plain = (
        draw(face(), MESH, np.random.default_rng(6), kind=kind, plain=is_plain) for is_plain in (False, True)
    )
    both = (whole[1] > 0.9) & (plain[1] > 0.9)
    assert both.sum() > 0.75 * max((whole[1] > 0.9).sum(), (plain[1] > 0.9).sum())  # the straps are other ones
    deep = cv2.erode(plain[1], np.ones((25, 25))) > 0.99
    shades = plain[0][deep].astype(float)
    brightness = shades.mean(1, keepdims=True) + 1
    assert (shades / brightness).std(0).max() < 0.02


def lines_of(mask: np.ndarray) -> np.ndarray:
    """(256, 256) the part of a mask in which no square of 11 pixels has room: straps, loops and ties."""
    inside = (mask > 0.5).astype(np.uint8)
    return (inside > 0) & (cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((11, 11), np.uint8)) == 0)


def test_a_fastened_mask_has_more_straps_and_shows_them() -> None:
    """In the picture and in the alpha; on the far side of a turned head most are hidden."""
    counts = {}
    for fastened in (False, True):
        lengths, contrast = [], []
        for seed in range(24):
            picture, alpha = draw(face(), MESH, np.random.default_rng(seed), kind=MaskKind.SURGICAL, fastened=fastened)
            thin = lines_of(alpha)
            lengths.append(int(thin.sum()))
            changed = np.abs(picture.astype(int) - face()).max(2)
            contrast.append(float((changed[thin] > 2).mean()) if thin.any() else 1.0)
        counts[fastened] = np.mean(lengths)
        assert np.median(contrast) > 0.8
    assert counts[True] > 1.1 * counts[False]


@pytest.mark.parametrize("held", [held for held in masks.FASTENINGS if held != "hidden"])
def test_what_holds_a_mask_begins_at_its_corners_and_ends_beside_the_face(
    held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "FASTENINGS", {held: 1.0})
    corners = np.array([[70, 150], [186, 150]], np.float32), np.array([[80, 190], [176, 190]], np.float32)
    outside = 0
    for seed in range(12):
        band = masks.fastening(256, *corners, MESH, np.random.default_rng(seed))
        assert band.shape == (256, 256)
        assert 0 <= band.min() <= band.max() <= 1
        y, x = np.nonzero(band > 0.3)
        near = min(np.hypot(x - cx, y - cy).min() for cx, cy in np.concatenate(corners)) if len(x) else 0
        assert near < 4
        outside += bool((x < MESH[Point.RIGHT_EAR][0] - 4).any() or (x > MESH[Point.LEFT_EAR][0] + 4).any())
        assert (band > 0.3).mean() < 0.12
    assert outside >= 6


def test_what_holds_a_mask_may_be_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "FASTENINGS", {"hidden": 1.0})
    corners = np.array([[70, 150], [186, 150]], np.float32), np.array([[80, 190], [176, 190]], np.float32)
    assert not masks.fastening(256, *corners, MESH, np.random.default_rng(0)).any()


def test_near_infrared_shows_no_dye_in_cloth() -> None:
    image, alpha = face(), np.zeros((256, 256), np.float32)
    alpha[140:200, 80:176] = 1
    image[140:200, 80:176] = (20, 40, 200)
    pale = masks.pale_cloth(image, alpha, np.random.default_rng(0))
    assert np.array_equal(pale[alpha == 0], image[alpha == 0])
    assert np.ptp(pale[150:190, 90:160].astype(int), axis=2).max() <= 1


def test_dark_face_wears_a_darker_mask() -> None:
    levels = []
    for dim in (1.0, 0.35):
        picture, alpha = draw((face() * dim).astype(np.uint8), MESH, np.random.default_rng(4), kind=MaskKind.SURGICAL)
        levels.append(picture[alpha > 0.95].mean())
    assert levels[1] < 0.7 * levels[0]


def test_curve_passes_through_its_points() -> None:
    points = [np.array(p, np.float32) for p in ((0, 0), (10, 5), (20, 0))]
    drawn = curve(points, 201)
    for point in points:
        assert np.abs(drawn - point).sum(1).min() < 0.2


def test_position_between_two_mesh_points_lies_between_them() -> None:
    points = mesh()
    assert np.allclose(FaceMesh(points).along((13, 152), 0.25), points[13] * 0.75 + points[152] * 0.25)
    assert np.allclose(FaceMesh(points).along((13, 152), 9.0), points[152])


def test_turn_of_the_head_shows_in_the_mesh() -> None:
    frontal, turned = mesh(), mesh()
    turned[:, 0] = np.where(turned[:, 0] > 128, 128 + (turned[:, 0] - 128) * 0.4, turned[:, 0])
    assert turn_of(frontal) == pytest.approx(0, abs=0.05)
    assert turn_of(turned) < -0.3
    turned[:, 0] = 255 - turned[:, 0]
    assert abs(turn_of(turned)) > 0.3


def test_mask_stands_off_the_far_cheek_of_a_turned_head() -> None:
    turned = mesh()
    turned[:, 0] = np.where(turned[:, 0] > 128, 128 + (turned[:, 0] - 128) * 0.4, turned[:, 0])
    outline_px = int(turned[454, 0])
    beyond = []
    for seed in range(12):
        _, alpha = draw(face(), FaceMesh(turned), np.random.default_rng(seed), kind=MaskKind.SURGICAL)
        columns = np.flatnonzero((alpha > 0.9).sum(0) > 8)  # a strap covers less
        beyond.append(columns.max() - outline_px)
    assert max(beyond) > 15
    assert min(beyond) < 6
