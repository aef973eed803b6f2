from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")
pytest.importorskip("onnxscript", reason="training needs the extra `training`")

from torch import nn

from engine import models
from engine.select import load
from engine.spec import Precision
from pipeline.errors import CheckpointError
from training.networks.checkpoints import built, save
from training.networks.export import Port, checked, export, to_onnx, write
from training.settings import TrainConfig

PORT = Port({"numbers": (4,)}, "sums")
FEEDS = [(torch.arange(4.0 * batch).reshape(batch, 4),) for batch in (1, 3)]


def linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(4, 2).eval()


def test_what_is_written_is_read_as_a_network_with_its_run(tmp_path: Path) -> None:
    network = linear(0)
    exported = checked("adder", to_onnx(network, PORT), network, PORT, FEEDS)
    told = write(exported, tmp_path, {"step": 7, "scores": {"psnr": 19.12346}}, data="numbers", terms="none")
    assert models.manifest("adder", tmp_path) == told
    assert models.shipped("adder", tmp_path) == exported
    assert (told.steps, told.scores, told.inputs[0].shape) == (7, {"psnr": 19.1235}, (None, 4))


def test_a_network_that_gives_something_else_is_refused() -> None:
    with pytest.raises(CheckpointError, match="the exported adder differs from the eager one by"):
        checked("adder", to_onnx(linear(1), PORT), linear(0), PORT, FEEDS)


def trained(folder: Path, *, expression: float) -> Path:
    """A run whose small generator has no weight left at the zero it starts from."""
    config = TrainConfig(
        "generator", crops=folder, run=folder / "run", widths=(8, 8, 8), blocks=1, refined=8, expression=expression
    )
    torch.manual_seed(0)
    network = built(config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape) * 0.1)
    config.run.mkdir()
    state = {"network": {}, "ema": network.state_dict(), "step": 1, "scores": {}, "config": asdict(config)}
    save(config.run / "checkpoint.pt", state)
    return config.run


def drawn(folder: Path, backend: str, **feeds: np.ndarray) -> np.ndarray:
    with closing(
        load(models.shipped("generator", folder), backend=backend, precision=Precision.F32, threads=1)
    ) as engine:
        return np.asarray(engine.run(feeds)["face"], np.float32)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_generator_is_exported_with_its_expression_and_without(tmp_path: Path, backend: str) -> None:
    """Who gives none, and who gives one of which nothing is known, get the same face."""
    run = trained(tmp_path, expression=0.5)
    export(run, tmp_path / "plain", data="noise")
    told = export(run, tmp_path / "told", data="noise", expression=True)
    assert [spec.name for spec in told.inputs] == ["crop_and_mask", "expression"]

    crop = np.random.default_rng(0).uniform(-1, 1, (2, 4, 256, 256)).astype(np.float32)
    crop[:, 3] = crop[:, 3] > 0
    unknown, smile = np.zeros((2, 5), np.float32), np.tile(np.float32([0, 2, 1, -1, 1]), (2, 1))
    plain = drawn(tmp_path / "plain", backend, crop_and_mask=crop)
    same = drawn(tmp_path / "told", backend, crop_and_mask=crop, expression=unknown)
    other = drawn(tmp_path / "told", backend, crop_and_mask=crop, expression=smile)
    assert np.abs(plain - same).max() < 2 / 255
    assert np.abs(plain - other).max() > 10 / 255


def test_a_generator_that_learned_without_expressions_is_not_exported_with_them(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="trained without --expression"):
        export(trained(tmp_path, expression=0.0), tmp_path / "models", data="noise", expression=True)
