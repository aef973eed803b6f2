from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="evaluating needs the extra `training`")

from pipeline.errors import SourceError
from pipeline.frames import Landmarks
from training.groups import read_labels, tone, typology_angle

POINTS = Landmarks(np.array([[40.0, 40.0], [80.0, 40.0], [60.0, 60.0], [44.0, 84.0], [76.0, 84.0]]))


def photo(skin: tuple[int, int, int], *, elsewhere: int = 0) -> np.ndarray:
    image = np.full((120, 120, 3), elsewhere, np.uint8)
    image[50:75, 30:90] = skin
    return image


def test_angle_is_high_for_light_skin_and_falls_with_it() -> None:
    """sRGB of the patches of a skin-tone scale, from light to dark."""
    shades = [(246, 237, 228), (247, 234, 208), (215, 189, 150), (160, 126, 86), (96, 65, 52), (41, 36, 32)]
    angles = [typology_angle(photo(shade), POINTS) for shade in shades]
    assert angles == sorted(angles, reverse=True)
    assert [tone(angle) for angle in (angles[0], angles[3], angles[-1])] == ["light", "medium", "dark"]


def test_angle_is_that_of_scikit_images_lab_and_of_the_cheeks_alone() -> None:
    skin = (200, 160, 130)
    colour = pytest.importorskip("skimage.color", reason="scikit-image is the reference")
    lightness, _, yellow = colour.rgb2lab(np.array([[skin]], np.uint8))[0, 0]
    wanted = np.degrees(np.arctan2(lightness - 50, yellow))
    for elsewhere in (0, 250):
        assert typology_angle(photo(skin, elsewhere=elsewhere), POINTS) == pytest.approx(wanted, abs=0.3)


def test_labels_are_read_and_empty_cells_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("name,age,glasses\na,old,yes\nb,,no\n")
    assert read_labels(path, ["a", "b", "c"]) == {"a": {"age": "old", "glasses": "yes"}, "b": {"glasses": "no"}}


@pytest.mark.parametrize(
    ("content", "why"),
    [("", "needs a first line"), ("photo,age\na,old\n", "column 'name'"), ("name,age\nz,old\n", "none of the photos")],
)
def test_table_that_says_nothing_of_the_photos_is_an_error(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(content)
    with pytest.raises(SourceError, match=why):
        read_labels(path, ["a", "b"])
    with pytest.raises(SourceError, match="can't be read"):
        read_labels(tmp_path / "none.csv", ["a"])
