from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")

from PIL import Image

from pipeline.errors import SourceError
from pipeline.recognisers import dlib_resnet
from tests.pipeline.masked_scenes import portrait
from training.evaluation.product import looker
from training.identity import faces
from training.identity.faces import BORDER, COVER_SIDE, STORED, WITHOUT_FACE, StoredFaces, store_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from training.evaluation.product import Looker

MASK = np.s_[112:175, 195:252]
"""Where the tests cover the portrait's mouth and nose."""


@pytest.fixture(scope="module")
def look() -> Iterator[Looker]:
    if dlib_resnet.missing() is not None:
        pytest.skip("the recogniser's weights are in the extra `identity`")
    with looker() as found:
        yield found


def covered(photo: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The portrait with a mask of one colour, which stands in for `wear`: that needs the face mesh."""
    worn, alpha = photo.copy(), np.zeros(photo.shape[:2], np.float32)
    worn[MASK], alpha[MASK] = rng.integers(100, 200, 3), 1
    return worn, alpha


def test_a_face_is_stored_bare_and_with_each_mask(
    look: Looker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "wear", covered)
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(portrait()).save(photos / "ann_1.png")
    Image.new("RGB", (200, 200)).save(photos / "nobody_1.png")
    found = store_all(photos, tmp_path / "stored", look, masks=2, seed=0)
    assert sorted(found.state.tolist()) == [STORED, WITHOUT_FACE]
    (row,) = found.rows
    assert found.files[row] == "ann_1.png"

    embedding = look.embedding(portrait())
    assert embedding is not None
    assert found.teacher[row] == pytest.approx(embedding, abs=1e-6)
    chip = cv2.resize(found.bare[row, BORDER:-BORDER, BORDER:-BORDER], (150, 150)).astype(np.float32)
    again = look.recogniser.engine.run({"chip": chip.transpose(2, 0, 1)[None]})["embedding"][0]
    assert again @ embedding / np.linalg.norm(again) > 0.999, "the stored chip is what the recogniser looked at"

    cover = cv2.resize(found.cover[row, 0], found.bare.shape[1:3]) > 128
    assert 0.1 < cover.mean() < 0.5
    colours = [found.masked[row, mask][cover].mean(0) for mask in range(2)]
    assert np.abs(colours[0] - colours[1]).max() > 5, "the two masks are drawn apart"
    assert found.cover.shape[2:] == (COVER_SIDE, COVER_SIDE)


def test_a_second_run_stores_only_what_is_missing(
    look: Looker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(portrait()).save(tmp_path / "ann_1.png")
    stored = StoredFaces.create(tmp_path / "stored", ["ann_1.png"], side=166, masks=1, width=128)
    stored.state[0] = WITHOUT_FACE
    stored.flush()
    monkeypatch.setattr(faces, "read", lambda _: pytest.fail("the photo was read again"))
    assert not len(store_all(tmp_path, tmp_path / "stored", look, masks=1, seed=0).rows)


def test_a_folder_without_photos_is_an_error(look: Looker, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no photos"):
        store_all(tmp_path, tmp_path / "stored", look, masks=1, seed=0)
