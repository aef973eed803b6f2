from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from engine.models import shipped
from engine.select import load
from engine.spec import Precision
from pipeline.errors import CheckpointError
from pipeline.recognisers import dlib_resnet
from training.identity.distil import WARM_UP, DistilConfig, apart, step_size, train
from training.identity.export import export
from training.identity.faces import (
    BORDER,
    COVER_SIDE,
    STORED,
    WITHOUT_FACE,
    Fronts,
    Sampler,
    StoredFaces,
    as_pictures,
    by_person,
    chips_of,
    covers_of,
    varied,
)
from training.identity.networks import DlibNetwork
from training.networks.checkpoints import save

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 150 + 2 * BORDER


def stored(folder: Path, people: int = 4, photos_each: int = 3) -> StoredFaces:
    """Faces of noise: person and photo decide them; the second photo of person 1 has none."""
    names = [f"{person}_{number}.jpg" for person in range(people) for number in range(photos_each)]
    faces = StoredFaces.create(folder, names, side=SIDE, masks=2, width=128)
    draw = np.random.default_rng(0)
    for row in range(len(names)):
        faces.bare[row] = draw.integers(0, 256, (SIDE, SIDE, 3))
        faces.masked[row] = faces.bare[row]
        faces.masked[row, :, SIDE // 2 :] = 20 * row
        faces.cover[row, :, COVER_SIDE // 2 :] = 255
        vector = draw.normal(size=128)
        faces.teacher[row] = vector / np.linalg.norm(vector)
        faces.state[row] = STORED
    faces.state[photos_each + 1] = WITHOUT_FACE
    faces.flush()
    return faces


def test_stored_faces_come_back_as_they_were_stored(tmp_path: Path) -> None:
    written = stored(tmp_path / "faces")
    again = StoredFaces.open(tmp_path / "faces")
    assert (again.bare == written.bare).all()
    assert again.rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert again.people.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    with pytest.raises(CheckpointError, match="holds no stored faces"):
        StoredFaces.open(tmp_path)


def test_people_are_shuffled_and_their_photos_stay_together() -> None:
    names = [f"{person}_{number}.jpg" for number in range(2) for person in range(30)]
    ordered = by_person(names, seed=1)
    assert sorted(ordered) == sorted(names)
    assert ordered == by_person(names[::-1], seed=1)
    people = [name.partition("_")[0] for name in ordered]
    assert people[::2] == people[1::2]
    assert people[::2] != sorted(people[::2])


def test_people_of_the_first_photos_are_kept_apart_with_all_their_photos(tmp_path: Path) -> None:
    faces = stored(tmp_path)
    unseen, seen = apart(faces, held_out=4)
    assert set(faces.people[unseen]) == {0, 1}
    assert set(faces.people[seen]) == {2, 3}
    with pytest.raises(CheckpointError, match="too few"):
        apart(faces, held_out=12)


def test_a_person_stands_at_the_mean_of_the_teachers_embeddings(tmp_path: Path) -> None:
    faces = stored(tmp_path)
    sampler = Sampler(faces, apart(faces, held_out=4)[1])
    mean = faces.teacher[6:9].sum(0)
    assert sampler.centres.shape == (2, 128)
    assert sampler.centres[0].numpy() == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    batch = sampler.batch(8, 1.0, np.random.default_rng(0))
    assert batch.value.shape == (8, 3, 150, 150)
    for vector, number in zip(batch.teacher.numpy(), batch.person.tolist(), strict=True):
        row = int(np.flatnonzero((faces.teacher == vector).all(1))[0])
        assert faces.people[row] == number + 2


def test_a_varied_picture_is_the_face_a_little_moved_and_lit() -> None:
    chip = np.zeros((SIDE, SIDE, 3), np.uint8)
    chip[60:100, 60:100] = 200
    centres = []
    for seed in range(40):
        picture = varied(chip, np.random.default_rng(seed))
        assert picture.shape == (150, 150, 3)
        assert picture.min() >= 0
        assert picture.max() <= 255
        centres.append(np.argwhere(picture[..., 0] > 150).mean(0))
    spread = np.std(centres, 0)
    assert np.mean(centres, 0) == pytest.approx([(60 + 99) / 2 - BORDER] * 2, abs=4)
    assert (spread > 0.5).all()


def test_thirds_are_masked_photos_the_same_ones_bare_and_others_of_their_people(tmp_path: Path) -> None:
    faces = stored(tmp_path)
    sampler = Sampler(faces, apart(faces, held_out=4)[1])
    batch = sampler.thirds(12, np.random.default_rng(0))
    assert batch.person[:4].tolist() == batch.person[4:8].tolist() == batch.person[8:].tolist()
    assert torch.equal(batch.teacher[:4], batch.teacher[4:8])
    assert not torch.equal(batch.teacher[:4], batch.teacher[8:])
    assert (batch.cover[:4] > 0).any()
    assert not batch.cover[4:].any()


def test_cover_is_cut_and_mirrored_like_the_picture(tmp_path: Path) -> None:
    faces = stored(tmp_path)
    faces.cover[6, 1] = 0
    faces.cover[6, 1, :, 2:5] = 255
    rows, looks = np.array([6, 6, 6]), np.array([2, 2, 0])
    found = covers_of(faces, rows, looks, np.array([0, 1, 0]))
    assert found.shape == (3, 36, 36)
    assert found[0, 0].nonzero().flatten().tolist() == [0, 1, 2]
    assert found[1, 0].nonzero().flatten().tolist() == [33, 34, 35]
    assert not found[2].any()


def test_pictures_keep_their_planes_apart(tmp_path: Path) -> None:
    faces = stored(tmp_path)
    rows, looks, mirrored = np.array([2, 2, 2]), np.array([0, 1, 0]), np.array([0, 0, 1])
    planes = as_pictures(chips_of(faces, rows, looks, mirrored))
    assert planes.shape == (3, 3, 150, 150)
    assert planes[0, 2, 0, 5] == faces.bare[2, BORDER, BORDER + 5, 2]
    assert planes[1, 1, 149, 7] == faces.masked[2, 0, BORDER + 149, BORDER + 7, 1] == 40
    assert torch.equal(planes[2], planes[0].flip(2))


def test_what_the_front_makes_of_a_face_is_computed_once(tmp_path: Path) -> None:
    faces = stored(tmp_path)
    network = DlibNetwork()
    fronts = Fronts(faces, tmp_path, network, blocks=7)
    entries = np.array([2, 3]), np.array([1, 0]), np.array([1, 0])
    found = fronts(*entries)
    with torch.no_grad():
        expected = network.front(as_pictures(chips_of(faces, *entries)), 7)
    assert found.shape == (2, 64, 17, 17)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max(), "stored in half precision"
    assert int(fronts.done.sum()) == 2

    other = Fronts(faces, tmp_path, DlibNetwork(), blocks=7)
    assert torch.equal(other(*entries), found), "another network's answer would differ"


def test_the_step_size_rises_stays_and_falls_to_nothing(tmp_path: Path) -> None:
    config = DistilConfig("maskinv", tmp_path, tmp_path, pictures=100_000, rate=1.0, batch=64)
    assert step_size(config, 0) == pytest.approx(64 / WARM_UP)
    assert step_size(config, 50_000) == 1.0
    assert step_size(config, 87_500) == pytest.approx(0.5)
    assert step_size(config, 100_000) == 0.0


@pytest.mark.skipif(dlib_resnet.missing() is not None, reason="the recogniser's weights are in the extra `identity`")
@pytest.mark.parametrize(("method", "frozen"), [("maskinv", 0), ("ffr_net", 13), ("from", 13), ("my_eyes", 7)])
def test_a_run_learns_and_goes_on_where_it_stopped(tmp_path: Path, method: str, frozen: int) -> None:
    stored(tmp_path / "faces")
    config = DistilConfig(
        method, tmp_path / "faces", tmp_path / "run", pictures=6, batch=6, frozen=frozen, held_out=4, save_every=6,
        identity=0.1, masked=1.0,
    )  # fmt: skip
    train(config)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=False)
    assert state["step"] == 6
    train(replace(config, pictures=12))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["pictures"] for line in lines] == [6, 12]
    assert lines[0]["validation"].keys() == {"bare", "masked", "switched"}

    later = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=False)
    changed = {name for name, value in later["network"].items() if not torch.equal(value, state["network"][name])}
    assert "head.weight" in changed
    assert ("stem.weight" in changed) == (frozen == 0)
    assert not torch.equal(later["network"]["head.weight"], later["ema"]["head.weight"])
    with pytest.raises(CheckpointError, match="other settings"):
        train(replace(config, rate=1.0, pictures=18))


@pytest.mark.skipif(dlib_resnet.missing() is not None, reason="the recogniser's weights are in the extra `identity`")
def test_what_is_exported_is_the_averaged_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    averaged, config = DlibNetwork(), DistilConfig("maskinv", tmp_path / "faces", tmp_path, batch=4)
    state = {"network": DlibNetwork().state_dict(), "ema": averaged.state_dict(), "config": asdict(config)}
    save(tmp_path / "checkpoint.pt", state | {"step": 64, "scores": {"masked": {"eer": 0.25}}})
    manifest = export(tmp_path, tmp_path / "models", name="maskinv", data="nothing")
    assert (manifest.steps, dict(manifest.scores)) == (16, {"masked_eer": 0.25})

    pictures = 255 * torch.rand(2, 3, 150, 150)
    engine = load(shipped("maskinv", tmp_path / "models"), backend="onnxruntime", precision=Precision.F32, threads=1)
    found = engine.run({"chip": pictures.numpy()})["embedding"]
    engine.close()
    with torch.no_grad():
        assert found == pytest.approx(averaged(pictures).numpy(), abs=2e-3)
