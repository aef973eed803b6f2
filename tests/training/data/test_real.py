"""Pictures of people in real masks: how they are written, read and drawn from, and who learns from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs the extra `training`")

from pipeline.demo.clip import mask_alpha, masked_portrait, portrait
from pipeline.errors import CheckpointError, SourceError
from pipeline.geometry import CROP_SIZE, face_crop
from pipeline.video.stills import still_frame
from tests.training.made_faces import store, store_real
from training.data.crops import finder
from training.data.real import SIDE, STORED_FROM_CANONICAL, RealMasks, going_on, greyed, write_all
from training.data.samples import Faces
from training.loop.objectives import genuine
from training.loop.stream import MaskedFaces

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos of a masked face; the last would be kept apart."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(masked_portrait()).save(folder / f"{name}.png")
    return folder


def test_faces_are_written_with_the_masks_that_are_found_but_those_kept_apart(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "real"
    assert write_all(photos, folder) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["a-0-mask.png", "a-0.png", "b-0-mask.png", "b-0.png"]
    assert write_all(photos, tmp_path / "apart", apart=True) == 1
    assert [path.name for path in sorted((tmp_path / "apart").iterdir())] == ["c-0-mask.png", "c-0.png"]

    found = RealMasks.read(folder)
    assert (len(found), found.pictures[0].shape, found.masks[0].shape) == (2, (SIDE, SIDE, 4), (SIDE, SIDE))
    picture, mask = found.pictures[0], found.masks[0]
    assert not mask[picture[..., 3] == 0].any()
    assert set(np.unique(picture[..., 3])) == {0, 255}  # the portrait ends within the picture

    # The mask lies where the demo drew it.
    (face,) = finder()(still_frame(masked_portrait()))
    stored_from_portrait = STORED_FROM_CANONICAL.after(face_crop(face.landmarks))
    true = cv2.warpAffine(mask_alpha(), stored_from_portrait.matrix, (SIDE, SIDE))
    sure, want = mask > 127, true > 0.5
    assert (sure & want).sum() / (sure | want).sum() > 0.85


def test_a_mask_that_was_corrected_stays(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "real"
    write_all(photos, folder)
    Image.fromarray(np.full((SIDE, SIDE), 255, np.uint8)).save(folder / "a-0-mask.png")
    for part in ("", "-mask"):
        (folder / f"b-0{part}.png").unlink()
    assert write_all(photos, folder) == 2
    assert np.asarray(Image.open(folder / "a-0-mask.png")).min() == 255
    assert (folder / "b-0.png").exists()


def test_a_photo_in_which_no_mask_is_found_is_written_to_be_corrected(tmp_path: Path) -> None:
    photos, folder = tmp_path / "photos", tmp_path / "real"
    photos.mkdir()
    Image.fromarray(portrait()).save(photos / "bare.png")
    assert write_all(photos, folder) == 1
    assert np.asarray(Image.open(folder / "bare-0-mask.png")).mean() < 5


def test_what_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds too few pictures"):
        write_all(tmp_path, tmp_path / "real")
    assert not (tmp_path / "real").exists()
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(SourceError, match=r"a\.jpg can't be read as a picture"):
        write_all(tmp_path, tmp_path / "real")
    with pytest.raises(CheckpointError, match=r"holds no \*-mask\.png"):
        RealMasks.read(tmp_path)
    with pytest.raises(CheckpointError, match=f"must have {SIDE} pixels a side"):
        RealMasks.read(store_real(tmp_path / "small", size=100))
    lone = store_real(tmp_path / "lone")
    (lone / "0.png").unlink()
    with pytest.raises(CheckpointError, match=r"0\.png or its mask can't be read"):
        RealMasks.read(lone)


def test_the_segmenter_sees_grey_beyond_the_photo(tmp_path: Path) -> None:
    masks, rng = RealMasks.read(store_real(tmp_path / "real")), np.random.default_rng(3)
    samples = [masks.draw(0, rng, size=CROP_SIZE, seeks=True) for _ in range(12)]
    assert any(sample.alpha.mean() < 0.1 for sample in samples)  # a wider view
    for sample in samples:
        inside, covered = sample.alpha > 0.9, sample.alpha < 0.1
        red, green = (sample.picture[..., channel].astype(int) for channel in (0, 1))
        assert (red - green)[inside].mean() > 20
        assert (green - red)[covered].mean() > 20

    closest = masks.draw(0, np.random.default_rng(4), size=CROP_SIZE, seeks=False)
    assert (closest.alpha > 0.5).mean() > 0.15
    assert closest.truth[closest.alpha > 0.9, 0].mean() > closest.truth[closest.alpha > 0.9, 1].mean()


def test_grey_begins_at_the_border_and_is_all_there_is_far_away() -> None:
    inside = np.zeros((100, 100), bool)
    inside[:, 50:] = True
    shown = greyed(np.full((100, 100, 3), 10, np.uint8), inside)
    assert (shown[:, 50:] == 10).all()
    assert (shown[:, :30] == 128).all()
    assert (np.diff(shown[0, 30:50, 0].astype(int)) <= 0).all()


def test_a_mask_that_the_photo_cuts_off_goes_on_half_of_the_way_to_grey() -> None:
    inside = np.zeros((100, 100), bool)
    inside[:, :60] = True
    alpha = np.zeros((100, 100), np.float32)
    alpha[40:60, :60], alpha[40:60, 59] = 1, 0.4  # what is seen of it at the border is mixed with nothing
    found = going_on(alpha, inside)
    assert (found[42:58, :66] == 1).all()
    assert not found[:, 69:].any()
    assert not found[:38].any()
    assert np.array_equal(going_on(alpha, inside | True), alpha)
    assert not going_on(alpha, inside & False).any()


def test_the_same_share_of_each_batch_is_of_real_masks(tmp_path: Path) -> None:
    store(tmp_path, "train")
    faces, masks = Faces.read(tmp_path, "train"), RealMasks.read(store_real(tmp_path / "real"))
    drawn = MaskedFaces(
        [(faces, 1.0)], size=128, seed=5, bare=0.0, textures=[], plain=True, real=masks, real_share=0.25
    )
    known = [[bool(drawn[number].known) for number in range(start, start + 8)] for start in (0, 8, 16)]
    assert [sum(batch) for batch in known] == [6, 6, 6]
    without = MaskedFaces([(faces, 1.0)], size=128, seed=5, bare=0.0, textures=[], plain=True, real_share=0.25)
    assert all(bool(without[number].known) for number in range(8))
    # Whoever is drawn without real masks is drawn the same beside them.
    assert torch.equal(drawn[0].pictures, without[0].pictures)
    of_real = next(sample for number in range(8) if not (sample := drawn[number]).known)
    assert not of_real.expressions.any()


def test_bare_faces_stand_in_for_truths_that_nobody_knows() -> None:
    truths = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    found = genuine(truths, torch.tensor([True, False, True, False]))
    assert found[:, 0, 0, 0].tolist()[::2] == [0, 2]
    assert set(found[:, 0, 0, 0].tolist()) <= {0.0, 2.0}
