from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import SourceError
from tests.shared import DATA
from training.identity.sets import photo_set

if TYPE_CHECKING:
    from pathlib import Path


def photos(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)
    return folder


def test_people_side_by_side(tmp_path: Path) -> None:
    found = photo_set(photos(tmp_path, "Ann_Lee_1.png", "Ann_Lee_2.png", "Bob_1.png"))
    assert found.people.tolist() == [0, 0, 1]
    assert found.genuine.tolist() == [[0, 1]]
    assert found.masked is None


def test_people_in_folders_with_labels(tmp_path: Path) -> None:
    photos(tmp_path, "Ann/Ann_0001.png", "Ann/Ann_0002.png", "Ann/Ann_0003.png", "Bob/Bob_0001.png")
    (tmp_path / "labels.csv").write_text("Ann, 1, surgical\nAnn, 2, no-mask\nAnn, 3, KN95\nBob, 1, no-mask\n")
    found = photo_set(tmp_path)
    assert found.masked is not None
    assert found.masked.tolist() == [True, False, True, False]
    assert found.genuine.tolist() == [[0, 1], [0, 2], [1, 2]]


def test_pairs_say_what_is_compared(tmp_path: Path) -> None:
    photos(tmp_path, "Ann_1.png", "Ann_2.png", "Ann_3.png", "Bob_1.png", "Eve_1.png")
    (tmp_path / "pairs.csv").write_text("fold,same,a,b\n1,1,Ann_1.png,Ann_3.png\n1,0,Ann_1.png,Bob_1.png\n")
    found = photo_set(tmp_path)
    assert [path.name for path in found.files] == ["Ann_1.png", "Ann_3.png", "Bob_1.png"]
    assert found.genuine.tolist() == [[0, 1]]
    assert found.probes.tolist() == [False, True, False]


def test_a_limit_counts_people(tmp_path: Path) -> None:
    photos(tmp_path, "Ann_1.png", "Ann_2.png", "Bob_1.png", "Eve_1.png")
    assert len(photo_set(tmp_path, limit=2).files) == 3


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="photos of 0 people: name them"):
        photo_set(tmp_path)
    photos(tmp_path, "Ann_1.png", "Bob_1.png")
    (tmp_path / "labels.csv").write_text("Ann, 1, no-mask\n")
    with pytest.raises(SourceError, match=r"no line for every photo: \('Bob', 1\)"):
        photo_set(tmp_path)
    (tmp_path / "pairs.csv").write_text("left,right\na,b\n")
    with pytest.raises(SourceError, match="needs the columns"):
        photo_set(tmp_path)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")
def test_shared_sets_are_what_they_are_said_to_be() -> None:
    folds = photo_set(DATA / "lfw")
    assert len(folds.files) == 3811
    assert len(folds.genuine) == 1500
    real = photo_set(DATA / "mfr2")
    assert real.masked is not None
    assert int(real.people.max()) + 1 == 26
    assert np.bincount(real.masked).tolist() == [49, 85]
