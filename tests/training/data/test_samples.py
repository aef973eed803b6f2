from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import models, select
from engine.spec import Precision
from pipeline.draw.segment import segmenter_input
from pipeline.errors import CheckpointError
from pipeline.picture.pixels import read_crop
from tests.pipeline.masked_scenes import Scene
from tests.training.made_faces import face, mesh, store
from training.data import masks, unusual
from training.data.mask_shape import flap
from training.data.mesh import FaceMesh, Point
from training.data.samples import ODDITIES, Faces, TrainingSample, close_up, draw_sample, loosely

FACES = 200
SIDE = 160


@pytest.fixture
def faces() -> Faces:
    """Faces whose chins and turns differ: each is stretched down from the nose, and to one side of it."""
    rng = np.random.default_rng(0)
    meshes = np.repeat(mesh()[None], FACES, axis=0)
    below = np.maximum(meshes[:, :, 1] - meshes[:, 4:5, 1], 0)
    meshes[:, :, 1] += below * rng.uniform(-0.3, 0.3, (FACES, 1))
    aside = meshes[:, :, 0] - meshes[:, 4:5, 0]
    meshes[:, :, 0] += np.abs(aside) * rng.uniform(-0.4, 0.4, (FACES, 1))
    crop = cv2.resize(np.pad(face(), ((32, 32), (32, 32), (0, 0)), mode="reflect"), (SIDE, SIDE))
    return Faces(np.repeat(crop[None], FACES, axis=0), meshes, np.zeros((FACES, 4), np.float32))


def linked(first: list[float], second: list[float]) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def test_geometry_of_a_mask_tells_how_the_head_is_held_and_hardly_where_the_chin_is(faces: Faces) -> None:
    rng = np.random.default_rng(1)
    worn = [loosely(faces, i % FACES, rng) for i in range(2 * FACES)]
    own = [faces.meshes[i % FACES] for i in range(2 * FACES)]
    assert linked([m[152, 1] for m in worn], [m[152, 1] for m in own]) < 0.4
    assert linked([FaceMesh(m).turn for m in worn], [FaceMesh(m).turn for m in own]) > 0.8
    assert np.abs(np.mean(worn, axis=0) - np.mean(own, axis=0)).max() < 3  # and masks lie where masks are worn


def test_masks_sit_as_on_others_only_for_who_never_sees_them(faces: Faces) -> None:
    """The segmenter learns of masks as they sit on their wearer."""
    smaller = faces.meshes * 0.7 + 0.3 * faces.meshes[:, 4:5]
    smaller[0] = faces.meshes[0]

    def alphas(of: Faces, *, plain: bool) -> list[np.ndarray]:
        rngs = (np.random.default_rng(seed) for seed in range(12))
        return [draw_sample(of, 0, rng, size=128, plain=plain).alpha for rng in rngs]

    for plain in (False, True):
        pairs = zip(
            alphas(faces, plain=plain), alphas(Faces(faces.crops, smaller, faces.expressions), plain=plain), strict=True
        )
        alike = [np.array_equal(*pair) for pair in pairs]
        assert sum(alike) == 12 if not plain else sum(alike) <= 6


def test_strands_run_from_the_mask_and_are_part_of_it() -> None:
    picture, alpha = np.full((SIDE, SIDE, 3), 90, np.uint8), np.zeros((SIDE, SIDE), np.float32)
    cv2.circle(alpha, (SIDE // 2, SIDE // 2), SIDE // 6, 1.0, -1)
    before = alpha.copy()
    reached = 0
    for seed in range(8):
        shown, covered = picture.copy(), before.copy()
        masks.strands(shown, covered, np.random.default_rng(seed))
        assert (covered >= before).all()
        assert np.array_equal(shown[covered == 0], picture[covered == 0])
        pieces, _ = cv2.connectedComponents((covered > 0).astype(np.uint8))
        assert pieces == 2  # the ground and one mask
        reached += (covered > before).any()
    assert reached >= 6


def test_without_a_mask_there_are_no_strands() -> None:
    picture, alpha = np.full((SIDE, SIDE, 3), 90, np.uint8), np.zeros((SIDE, SIDE), np.float32)
    masks.strands(picture, alpha, np.random.default_rng(0))
    assert (picture == 90).all()
    assert not alpha.any()


def test_crops_that_are_not_there_are_named_with_the_cure(tmp_path: Path) -> None:
    store(tmp_path, "train", count=2)
    assert Faces.read(tmp_path, "train").crops.shape == (2, 160, 160, 3)
    with pytest.raises(CheckpointError, match=r"no crops called val: training\.data\.crops writes them"):
        Faces.read(tmp_path, "val")
    np.savez(tmp_path / "train.npz", mesh=np.array([]))
    with pytest.raises(CheckpointError, match="found none in its photos"):
        Faces.read(tmp_path, "train")


def test_odd_samples_show_the_face_smaller_and_in_other_light(faces: Faces) -> None:
    """And none of it comes unasked."""
    usual, odd = (
        [draw_sample(faces, 0, np.random.default_rng(seed), size=128, odd=shares) for seed in range(40)]
        for shares in (None, ODDITIES)
    )
    assert np.mean([s.alpha.mean() for s in odd]) < 0.7 * np.mean([s.alpha.mean() for s in usual])
    assert np.mean([s.picture.std() for s in odd]) != np.mean([s.picture.std() for s in usual])
    again = [draw_sample(faces, 0, np.random.default_rng(seed), size=128).picture for seed in range(40)]
    assert all(np.array_equal(one, other.picture) for one, other in zip(again, usual, strict=True))


def test_an_unusual_mask_is_painted_where_its_alpha_says(faces: Faces) -> None:
    """But for a balaclava's upper part, which is worn and hides no face, and contact shadows."""
    truth = np.full((SIDE, SIDE, 3), 120, np.uint8)
    form = FaceMesh((faces.meshes[0] * SIDE / 256).astype(np.float32))
    beyond, unpainted = 0, []
    for seed in range(40):
        picture, alpha = unusual.worn(truth, form, np.random.default_rng(seed), textures=())
        changed = np.abs(picture.astype(int) - truth).max(axis=2) > 2
        unpainted.append(1 - changed[alpha > 0.9].mean())
        beyond += bool((alpha[-2:] > 0.5).any())
    assert np.median(unpainted) < 0.05
    assert beyond >= 8  # masks that go on below the crop


@pytest.fixture
def form(faces: Faces) -> FaceMesh:
    """The first face's mesh in a picture of `SIDE` pixels."""
    return FaceMesh((faces.meshes[0] * SIDE / 256).astype(np.float32))


def test_through_wire_and_plastic_the_face_shows_within_the_rim() -> None:
    truth, alpha = np.full((SIDE, SIDE, 3), 200, np.uint8), np.zeros((SIDE, SIDE), np.float32)
    cv2.circle(alpha, (SIDE // 2, SIDE // 2), SIDE // 4, 1.0, -1)
    worn = np.where(alpha[..., None] > 0, np.uint8(20), truth)
    rim = (alpha > 0) & (cv2.erode(alpha, np.ones((3, 3))) == 0)
    shown = [unusual._seen_through(worn, truth, alpha, np.random.default_rng(seed)) for seed in range(20)]
    changed = [(image != worn).any(2) for image in shown]
    assert np.median([where[alpha > 0].mean() for where in changed]) > 0.1
    assert not any(where[alpha == 0].any() for where in changed)
    assert not any(where[rim].any() for where in changed)


def test_shadow_and_print_lie_on_the_mask_alone_or_darken_all() -> None:
    picture, alpha = np.full((SIDE, SIDE, 3), 200, np.uint8), np.zeros((SIDE, SIDE), np.float32)
    cv2.circle(alpha, (SIDE // 2, SIDE // 2), SIDE // 4, 1.0, -1)
    printed = [masks.labelled(picture, alpha, np.random.default_rng(seed)) for seed in range(10)]
    assert not any((image != picture)[alpha == 0].any() for image in printed)
    assert sum((image != picture).any() for image in printed) >= 9
    shaded = [unusual._shaded(picture, alpha, np.random.default_rng(seed)) for seed in range(10)]
    assert all((image <= picture).all() for image in shaded)
    assert np.median([(picture - image)[alpha > 0].mean() for image in shaded]) > 5
    bare = np.zeros_like(alpha)
    assert (masks.labelled(picture, bare, np.random.default_rng(0)) == picture).all()
    assert (unusual._shaded(picture, bare, np.random.default_rng(0)) == picture).all()


def test_a_shield_lets_the_face_through_and_glasses_cut_the_mask(form: FaceMesh) -> None:
    picture, alpha = np.full((SIDE, SIDE, 3), 100, np.uint8), np.ones((SIDE, SIDE), np.float32)
    mouth = form[Point.UPPER_LIP].astype(int)
    seen = [
        int(unusual.shielded(picture, form, np.random.default_rng(seed))[mouth[1], mouth[0], 0]) for seed in range(20)
    ]
    assert np.median(seen) < 150
    for seed in range(10):
        shown, left = unusual._behind_glasses(picture, alpha, form, np.random.default_rng(seed))
        changed = (shown != picture).any(2)
        assert changed.any()
        assert (left[changed] < 1).all()
        assert (left[~changed] > 0.9).all()


def test_a_flap_that_stands_up_ends_above_the_ear_more_often(form: FaceMesh) -> None:
    tops = {
        standing: [flap(form, 1, np.random.default_rng(seed), standing=standing)[:, 1].min() for seed in range(40)]
        for standing in (False, True)
    }
    assert np.median(tops[True]) < np.median(tops[False]) - 0.03 * SIDE


def test_what_a_segmenter_is_shown_beyond_the_border_turns_grey() -> None:
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    whole = TrainingSample(white, white, np.zeros((SIDE, SIDE), np.float32))
    for seed in range(10):
        plain, grey = (close_up(whole, np.random.default_rng(seed), grey=grey).picture for grey in (False, True))
        assert (plain == 255).all()
        assert grey.min() >= 128
        assert (grey[SIDE // 2 - 5 : SIDE // 2 + 5, SIDE // 2 - 5 : SIDE // 2 + 5] == 255).all()
    darkest = [close_up(whole, np.random.default_rng(seed), grey=True).picture.min() for seed in range(20)]
    assert min(darkest) == 128


@pytest.mark.parametrize("what", list(unusual.BESIDE))
def test_things_beside_the_face_are_few_pixels_and_leave_its_middle(
    faces: Faces, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unusual, "BESIDE", {what: 1.0})
    truth = np.full((SIDE, SIDE, 3), 120, np.uint8)
    form = FaceMesh((faces.meshes[0] * SIDE / 256).astype(np.float32))
    shown = [unusual.beside_ears(truth, form, np.random.default_rng(seed)) for seed in range(20)]
    changed = [(image != truth).any(2) for image in shown]
    shares = [lines.mean() for lines in changed]
    assert 0.001 < np.median(shares) < 0.3
    assert np.count_nonzero(shares) >= 18
    mouth = np.s_[int(0.6 * SIDE) : int(0.7 * SIDE), int(0.45 * SIDE) : int(0.55 * SIDE)]
    assert np.mean([lines[mouth].mean() for lines in changed]) < 0.05


@pytest.mark.parametrize(("ear", "eye"), [(Point.RIGHT_EAR, Point.RIGHT_EYE), (Point.LEFT_EAR, Point.LEFT_EYE)])
def test_temples_of_glasses_end_at_the_ear(
    faces: Faces, ear: Point, eye: Point, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unusual, "BESIDE", {"glasses": 1.0})
    truth = np.full((SIDE, SIDE, 3), 120, np.uint8)
    form = FaceMesh((faces.meshes[0] * SIDE / 256).astype(np.float32))
    reached = 0
    for seed in range(20):
        drawn = np.argwhere((unusual.beside_ears(truth, form, np.random.default_rng(seed)) != truth).any(2))[:, ::-1]
        away = np.linalg.norm(drawn - form[ear], axis=1)
        reached += bool(away.min() < 0.15 * SIDE and np.linalg.norm(drawn - form[eye], axis=1).min() < 0.15 * SIDE)
    assert reached >= 16


def test_what_is_eaten_is_no_mask(faces: Faces) -> None:
    truth = np.full((SIDE, SIDE, 3), 120, np.uint8)
    form = FaceMesh((faces.meshes[0] * SIDE / 256).astype(np.float32))
    shown = [unusual.held_before(truth, form, np.random.default_rng(seed)) for seed in range(12)]
    shares = [float((np.abs(image.astype(int) - 120).max(axis=2) > 8).mean()) for image in shown]
    assert 0.005 < np.median(shares) < 0.2


@pytest.mark.parametrize(("what", "most"), [("headset", 320), ("glasses", 11.5), ("hair", 105)])
def test_what_is_beside_a_masked_face_is_seldom_taken_for_a_strap(
    what: str, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels of the crop that the network that ships calls mask away from a drawn one whose straps are hidden."""
    monkeypatch.setattr(unusual, "BESIDE", {what: 1.0})
    monkeypatch.setattr(masks, "FASTENINGS", {"hidden": 1.0})
    scene, form, made_up = Scene(), FaceMesh(mesh()), []
    portrait = read_crop(scene.picture(scene.bare()), scene.crop_from_frame(), size=256)

    segmenter = select.load(models.shipped("segmenter"), precision=Precision.F32, threads=1)
    for seed in range(20):
        rng = np.random.default_rng([7, seed])
        picture, alpha = masks.draw(unusual.beside_ears(portrait, form, rng), form, rng, fastened=True)
        (found,) = segmenter.run({"crop": segmenter_input([picture])})["mask"][0] > 0.5
        assert found[alpha > 0.5].mean() > 0.9
        made_up.append((found & (cv2.dilate(alpha, np.ones((15, 15))) < 0.2)).sum())
    segmenter.close()
    assert np.mean(made_up) < most


def test_under_a_plain_mask_of_unusual_cut_the_truth_is_what_it_hides(faces: Faces) -> None:
    """A collar below it is in the truth, for the generator is to draw it on; to the segmenter it is one more thing."""
    shares = np.array([0, 0, 1, 0, 0, 0, 0])
    other = {True: 0.0, False: 0.0}
    for plain in other:
        for seed in range(30):
            sample = draw_sample(faces, 0, np.random.default_rng(seed), size=128, plain=plain, odd=shares)
            clear = cv2.dilate(sample.alpha, np.ones((25, 25))) == 0  # beyond the mask and its contact shadow
            differ = np.abs(sample.picture.astype(int) - sample.truth).max(axis=2) > 60
            other[plain] += float((differ & clear).mean()) / 30
    assert 4 * other[True] < other[False]
