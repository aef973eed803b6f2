from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import SourceError
from pipeline.geometry import CANONICAL_LANDMARKS, CROP_SIZE
from tests.pipeline.masked_scenes import portrait
from training.data import masks
from training.data.mesh import FaceMesh, Point
from training.enrol.judge import mesh_of_landmarks
from training.evaluation.photos import DrawnPairs, FixedPairs, disguised, read_labels, wear
from training.needs import MaskKind


def pair(folder: Path, name: str = "one_cloth", *, size: tuple[int, int] = (40, 50), alpha: int = 255) -> None:
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    mask[height // 2 :] = alpha
    parts = {
        "truth": np.full((height, width, 3), 200, np.uint8),
        "paint": np.full((height, width, 3), 50, np.uint8),
        "mask": mask,
    }
    for part, image in parts.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        suffix = "png" if part == "mask" else "jpg"
        Image.fromarray(image).save(folder / part / f"{name}.{suffix}", quality=100)


def test_pair_is_mixed_by_its_alpha(tmp_path: Path) -> None:
    pair(tmp_path, alpha=204)
    (masked,) = (FixedPairs.of(tmp_path)[number] for number in range(len(FixedPairs.of(tmp_path))))
    assert (masked.name, masked.kind) == ("one_cloth", "cloth")
    assert masked.image.shape == (50, 40, 3)
    assert np.all(masked.image[:25] == 200)
    assert np.all(masked.image[25:] == round(200 * 0.2 + 50 * 0.8))
    assert masked.hole_fraction == pytest.approx(0.4)


def test_pairs_are_taken_in_order_up_to_the_limit(tmp_path: Path) -> None:
    for name in ("c_scarf", "a_cloth", "b_gaiter"):
        pair(tmp_path, name)
    assert FixedPairs.of(tmp_path).names == ("a_cloth", "b_gaiter", "c_scarf")
    assert FixedPairs.of(tmp_path, limit=2).names == ("a_cloth", "b_gaiter")


def test_what_is_wrong_with_a_pair_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"truth/\*\.jpg"):
        FixedPairs.of(tmp_path)
    pair(tmp_path)
    (tmp_path / "mask" / "one_cloth.png").unlink()
    with pytest.raises(SourceError, match=r"one_cloth\.png is not there"):
        FixedPairs.of(tmp_path)[0]
    (tmp_path / "mask" / "one_cloth.png").write_bytes(b"none")
    with pytest.raises(SourceError, match=r"one_cloth\.png can't be read"):
        FixedPairs.of(tmp_path)[0]
    pair(tmp_path, alpha=100)
    with pytest.raises(SourceError, match="hides nothing"):
        FixedPairs.of(tmp_path)[0]
    pair(tmp_path)
    Image.new("L", (10, 10), 255).save(tmp_path / "mask" / "one_cloth.png")
    with pytest.raises(SourceError, match="differ in size"):
        FixedPairs.of(tmp_path)[0]


@pytest.mark.usefixtures("_mesh")
def test_drawn_mask_hides_the_mouth_of_the_photo_and_nothing_far_from_it(tmp_path: Path) -> None:
    Image.fromarray(portrait()).save(tmp_path / "a.png")
    Image.fromarray(portrait()[:, ::-1]).save(tmp_path / "b.png")
    photos = DrawnPairs.of(tmp_path, seed=5)
    first, second = photos[0], photos[1]
    assert first is not None
    assert second is not None
    assert [first.kind, second.kind] == ["surgical", "cloth"]
    assert first.alpha.shape == portrait().shape[:2]
    assert first.alpha[140, 222] > 0.9  # between the corners of the mouth
    assert first.alpha[:90].max() == 0
    assert np.array_equal(first.image[300:], portrait()[300:])
    again = DrawnPairs.of(tmp_path, seed=5)[0]
    other = DrawnPairs.of(tmp_path, seed=6)[0]
    assert again is not None
    assert other is not None
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.usefixtures("_mesh")
def test_face_at_the_border_wears_the_part_of_its_mask_that_is_inside() -> None:
    cut = portrait()[:150, 150:]
    drawn = wear(cut, np.random.default_rng(0), MaskKind.SCARF)
    assert drawn is not None
    assert drawn[0].shape == cut.shape
    assert drawn[1][-1].max() > 0.9


@pytest.mark.usefixtures("_mesh")
def test_photo_without_a_face_gives_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), (90, 120, 90)).save(tmp_path / "wall.png")
    assert DrawnPairs.of(tmp_path, seed=0)[0] is None
    (tmp_path / "wall.png").unlink()
    with pytest.raises(SourceError, match="holds no pictures"):
        DrawnPairs.of(tmp_path, seed=0)


def test_labels_are_read_and_empty_cells_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("name,age,glasses\na,old,yes\nb,,no\n")
    assert read_labels(path, ["a", "b", "c"]) == {"a": {"age": "old", "glasses": "yes"}, "b": {"glasses": "no"}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "needs a first line"),
        ("photo,age\na,old\n", "column 'name'"),
        ("name,age\nz,old\n", "none of the photos"),
        ("name,age\na,old,tall\n", "more or fewer cells"),
        ("name,age\na\n", "more or fewer cells"),
    ],
)
def test_table_that_says_nothing_of_the_photos_is_an_error(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(content)
    with pytest.raises(SourceError, match=why):
        read_labels(path, ["a", "b"])


def test_table_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="can't be read"):
        read_labels(tmp_path / "none.csv", ["a"])


def test_near_infrared_light_shows_skin_bright_whatever_its_colour() -> None:
    patches = np.zeros((90, 90, 3), np.uint8)
    patches[:, :30], patches[:, 30:60], patches[:, 60:] = (224, 172, 150), (120, 74, 52), (40, 60, 120)
    seen = masks.near_infrared(patches, np.random.default_rng(0))
    assert (seen[..., 0] == seen[..., 1]).all()
    assert (seen[..., 0] == seen[..., 2]).all()
    light, dark, cloth = (float(seen[40:50, left : left + 10].mean()) for left in (10, 40, 70))
    assert light > dark > cloth
    assert dark / light > 1.2 * (120 / 224)


def test_a_face_that_is_worn_leaves_the_eyes_and_what_is_around() -> None:
    form = FaceMesh(mesh_of_landmarks(CANONICAL_LANDMARKS))
    mine, theirs = np.full((CROP_SIZE, CROP_SIZE, 3), 60, np.uint8), np.full((CROP_SIZE, CROP_SIZE, 3), 190, np.uint8)
    worn = disguised(mine, form, theirs, form, np.random.default_rng(0))
    for kept in (form[Point.RIGHT_EYE], form[Point.LEFT_EYE], (2, 2)):
        column, row = np.rint(kept).astype(int)
        assert np.abs(worn[row, column].astype(int) - 60).max() <= 1
    for place in (form[Point.NOSE_TIP], form[Point.CHIN] * 0.9 + form[Point.NOSE_TIP] * 0.1):
        column, row = np.rint(place).astype(int)
        assert worn[row, column].mean() > 150
