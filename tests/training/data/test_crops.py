"""Photos to stored crops: what is refused before a photo is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from pipeline.errors import SourceError
from training.data.crops import cut_all

if TYPE_CHECKING:
    from pathlib import Path


def test_a_set_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    photos, folder = tmp_path / "photos", tmp_path / "crops"
    photos.mkdir()
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(photos / "one.png")
    (folder / "train.npz").write_bytes(b"cut before")
    with pytest.raises(SourceError, match=r"train\.npz is there already: give the set another name"):
        cut_all(photos, folder, "train", size=208, workers=1)
    assert (folder / "train.npz").read_bytes() == b"cut before"
    assert [path.name for path in folder.iterdir()] == ["train.npz"]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(SourceError, match="holds no pictures"):
        cut_all(tmp_path, tmp_path / "crops", "train", size=208, workers=1)
    assert not (tmp_path / "crops").exists()
