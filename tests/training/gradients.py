"""What one step comes to in each of the processes that `torchrun` started: FOLDER BATCH NETWORK ...."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from training.loop.objectives import GeneratorLoss, objective
from training.loop.stream import World, joined
from training.loop.train import drawn_batches
from training.networks.checkpoints import built
from training.settings import TrainConfig


def plan(folder: Path, network: str, batch: int) -> TrainConfig:
    """A small run without a discriminator."""
    size = 256 if network == "segmenter" else 128
    return TrainConfig(
        network, folder / "crops", folder / "run", size=size, batch=batch, workers=0, precision="f32", ms_ssim=0.3,
        sharpen_from=2.0, adversarial=0.0, perceptual=0.0, widths=(8, 8, 8), blocks=1,
    )  # fmt: skip


def write(folder: Path, network: str, batch: int, world: World) -> None:
    """The network's gradients, as `NETWORK-PROCESSES-RANK.pt`."""
    config = plan(folder, network, batch)
    torch.manual_seed(0)
    trained = built(config)
    with torch.no_grad():
        for weight in trained.parameters():  # some begin at zero, and what they multiply would have no gradient
            weight.add_(0.05 * torch.randn(weight.shape))
    loss_of = objective(config, trained, world)  # must outlive the backward pass: it holds what averages
    loss, _ = loss_of(next(drawn_batches(config, world, 3)), 0.0)
    torch.autograd.backward(loss)
    found = {name: weight.grad for name, weight in trained.named_parameters()}
    torch.save(found, folder / f"{network}-{world.size}-{world.rank}.pt")


def write_discriminator(folder: Path, world: World) -> None:
    """The discriminator's weights after its first step, as `discriminator-RANK.pt`."""
    config = replace(plan(folder, "trunk", 1), adversarial=0.01, r1=1.0, sharpen_from=0.0)
    torch.manual_seed(0)
    loss_of = GeneratorLoss(config, built(config), world)
    loss_of(next(drawn_batches(config, world, 0)), 0.5)
    torch.save(loss_of.state()["adversary"], folder / f"discriminator-{world.rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined("cpu") as here:
        for name in sys.argv[3:]:
            write(Path(sys.argv[1]), name, int(sys.argv[2]), here)
        write_discriminator(Path(sys.argv[1]), here)
