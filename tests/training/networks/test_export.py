from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")
pytest.importorskip("onnxscript", reason="training needs the extra `training`")

from torch import nn

from engine import models
from pipeline.errors import CheckpointError
from training.networks.export import Port, checked, to_onnx, write

PORT = Port("numbers", (4,), "sums")
FEEDS = [torch.arange(4.0 * batch).reshape(batch, 4) for batch in (1, 3)]


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
