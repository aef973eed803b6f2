from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

import training.identity.train
from engine.models import shipped
from engine.select import load
from engine.spec import Precision
from pipeline.errors import CheckpointError
from training.identity.embeddings import Embedded, person_of
from training.identity.export import export
from training.identity.train import EmbeddedPeople, EumConfig, rate_at, train

WIDTH = 16


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """60 people with four photos each; a mask turns embeddings by a fixed rotation and adds noise."""
    draw = np.random.default_rng(0)
    owner = np.repeat(np.arange(60), 4)
    bare = draw.normal(size=(60, WIDTH))[owner] + 0.3 * draw.normal(size=(240, WIDTH))
    turn = np.linalg.qr(draw.normal(size=(WIDTH, WIDTH)))[0]
    masked = bare @ turn + 0.2 * draw.normal(size=bare.shape)
    people = np.array([f"person{number:02d}" for number in owner])
    whole = Embedded(people, unit(bare), unit(masked)[:, None], np.full((240, 1, WIDTH), np.nan, np.float32))
    folder = tmp_path / "embeddings"
    folder.mkdir()
    for number, part in enumerate((slice(0, 100), slice(100, 240))):
        np.savez(folder / f"part-{number:04d}.npz", **{name: value[part] for name, value in vars(whole).items()})
    return folder


def config(stored: Path, **more: object) -> EumConfig:
    plain = EumConfig(loss="srt", embeddings=stored, run=stored.parent / "run", epochs=30, batch=64)
    return replace(plain, **more)


def test_parts_are_read_in_order(stored: Path) -> None:
    found = Embedded.read(stored)
    assert found.bare.shape == (240, WIDTH)
    assert found.people[0] == "person00"
    assert found.people[-1] == "person59"
    with pytest.raises(CheckpointError, match="holds no embeddings"):
        Embedded.read(stored / "absent")


def test_a_person_is_what_stands_before_the_last_underscore() -> None:
    assert person_of(Path("photos/Ann_Lee_0001.jpg")) == "Ann_Lee"


def test_triplets_are_of_one_person_and_of_another(stored: Path) -> None:
    people = EmbeddedPeople.of(Embedded.read(stored), "masked")
    owner = {vector.tobytes(): number for vector, number in zip(people.bare.numpy(), people.number, strict=True)}
    anchors = np.arange(240)
    _, positive, pool = people.triplets(anchors, np.random.default_rng(0), candidates=100)
    negative = people.nearest_other(positive, anchors, pool)
    for anchor, one, other in zip(anchors, positive.numpy(), negative.numpy(), strict=True):
        assert owner[one.tobytes()] == people.number[anchor]
        assert owner[other.tobytes()] != people.number[anchor]


def test_the_negative_is_the_nearest_of_the_pool(stored: Path) -> None:
    people = EmbeddedPeople.of(Embedded.read(stored), "masked")
    anchors, pool = np.array([0, 100]), np.array([0, 1, 40, 80, 120])
    found = people.nearest_other(people.bare[anchors], anchors, pool)
    for row, anchor in enumerate(anchors):
        others = [row for row in pool if people.number[row] != people.number[anchor]]
        best = max(others, key=lambda row: float(people.bare[row] @ people.bare[anchor]))
        assert torch.equal(found[row], people.bare[best])


def test_people_held_out_are_never_trained_on(stored: Path) -> None:
    people = EmbeddedPeople.of(Embedded.read(stored), "masked")
    seen, unseen = people.split(0.2)
    assert len(seen.bare) + len(unseen.bare) == 240
    assert not {embedding.tobytes() for embedding in seen.bare.numpy()} & {
        embedding.tobytes() for embedding in unseen.bare.numpy()
    }
    assert unseen.number.max() + 1 == 12


def test_steps_shrink_by_a_tenth_three_times() -> None:
    assert [rate_at(part) for part in (0, 0.29, 0.3, 0.6, 0.9)] == pytest.approx([1, 1, 0.1, 0.01, 0.001])


def test_training_repairs_what_a_mask_did(stored: Path) -> None:
    best = train(config(stored))
    assert best["genuine_mean"] > 0.6, "the turned embeddings have a mean cosine near 0"
    assert best["eer"] < 0.2


def test_a_run_that_was_cut_off_ends_as_one_that_was_not(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(config(stored, run=stored.parent / "whole", epochs=6))
    kept = training.identity.train.save

    def cut_off(path: Path, state: dict[str, object]) -> None:
        kept(path, state)
        if state["epoch"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.identity.train, "save", cut_off)
        train(config(stored, epochs=6))
    assert train(config(stored, epochs=6)) == whole
    one, two = (torch.load(stored.parent / name / "checkpoint.pt", weights_only=False) for name in ("whole", "run"))
    for name, value in one["network"].items():
        assert torch.equal(value, two["network"][name]), name


def test_a_checkpoint_of_other_settings_is_not_gone_on_with(stored: Path) -> None:
    train(config(stored, epochs=1))
    with pytest.raises(CheckpointError, match="other settings"):
        train(config(stored, epochs=1, loss="t"))


def test_nothing_to_repair_is_an_error(stored: Path) -> None:
    with pytest.raises(CheckpointError, match="no drawn embeddings"):
        train(config(stored, source="drawn"))


def test_what_is_exported_is_loaded_checked_and_gives_the_same(stored: Path, tmp_path: Path) -> None:
    train(config(stored, epochs=2))
    manifest = export(stored.parent / "run", tmp_path / "models", name="eum_srt", data="made vectors")
    assert manifest.outputs[0].shape == (None, WIDTH)
    engine = load(shipped("eum_srt", tmp_path / "models"), backend="onnxruntime", precision=Precision.F32, threads=1)
    found = engine.run({"masked": Embedded.read(stored).masked[:3, 0]})["embedding"]
    engine.close()
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3), abs=1e-4)
