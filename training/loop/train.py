"""The training loop in full view: `python -m training.loop.train NETWORK --crops DIR --run DIR`.

The generator is trained in two runs: its trunk alone on small crops, then the whole, warm from that.

A run goes on bit for bit from its last checkpoint when the folder has one. The log is JSON lines, sample sheets are
PNGs beside it, `training.loop.plots` draws its curves.

Several processes train one network, by torch's own DistributedDataParallel, when `torchrun` starts them:

    torchrun --standalone --nproc-per-node 4 -m -- training.loop.train generator --device cuda \
        --crops crops --run runs/wide

(Without the `--`, torchrun takes `--run` for a flag of its own.) Each process draws pictures of its own, `--batch` of
them a step; gradients are averaged, so weights are the same everywhere. What is random in a step is drawn alike in all.
Process 0 alone writes.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import cv2
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipeline.errors import ConfigError
from training.data.samples import Faces
from training.loop.objectives import fixed_samples, objective, validate
from training.loop.optimisers import OPTIMISERS
from training.loop.stream import Masked, Reuse, batches, numbers, read_textures
from training.needs import errors_told
from training.networks.checkpoints import begin_warm, built, restore, save
from training.settings import add_flags, differences, given

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from training.loop.objectives import Objective
    from training.loop.stream import Batch
    from training.networks.checkpoints import State
    from training.settings import TrainConfig


WARMING = 200
"""Steps over which the step size grows to its start; in a short run a tenth of its steps."""

LOGGED = 50
"""Steps between lines of the log."""

FREE = ("run", "crops", "warm", "steps", "every", "samples", "device", "threads", "workers")
"""Settings with which a run may go on that are not those it was begun with."""


@dataclass(frozen=True)
class World:
    """The processes of a run, as one of them sees them."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def writes(self) -> bool:
        """Whether this process writes log, sheets and checkpoints."""
        return self.rank == 0

    def shared(self, module: nn.Module) -> nn.Module:
        """`module` on this process's device; where there are several, its gradients are averaged over all of them.

        Run the forward pass of what is given back, once before each backward pass, and keep it until that is done: a
        method of `module` that is called by its own name escapes the averaging.
        """
        module.to(self.device)
        return module if self.size == 1 else DistributedDataParallel(module)

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """This process's place among those that `torchrun` started; alone where it did not.

    Raises `ConfigError` when there is no card for `device` "cuda".
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda" and torch.cuda.device_count() <= local:
        raise ConfigError(
            f"--device cuda: process {local} of this machine finds {torch.cuda.device_count()} cards; "
            "start no more processes than cards, or take --device cpu"
        )
    place = torch.device("cuda", local) if device == "cuda" else torch.device("cpu")
    if size == 1:
        yield World(device=place)
        return
    if device == "cuda":
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield World(rank, size, place)
    finally:
        distributed.destroy_process_group()


@dataclass
class Run:
    """All that a step changes."""

    config: TrainConfig
    world: World
    network: nn.Module
    smooth: nn.Module
    """The network with averaged weights, which is what is validated and exported."""
    loss_of: Objective
    optimiser: torch.optim.Optimizer
    step: int = 0
    pictures: int = 0
    """Seen so far, by all processes."""

    @property
    def part(self) -> float:
        """How much of the run is done, in [0, 1]."""
        return self.step / self.config.steps

    def advance(self, batch: Batch) -> dict[str, Tensor]:
        """One step on a batch; the terms of its loss, which nobody has waited for yet."""
        warming = max(1, min(WARMING, self.config.steps // 10))
        pace = min(1, (self.step + 1) / warming) * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * self.part)))
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * pace
        self.optimiser.zero_grad()
        here = [each.to(self.world.device, non_blocking=True) for each in batch]
        loss, terms = self.loss_of((here[0], here[1], here[2]), self.part)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self.pictures += self.config.batch * self.world.size
        self._average()
        return terms

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(0.998, self.step / (self.step + 20))
        average = get_ema_multi_avg_fn(keep)  # type: ignore[no-untyped-call]
        average(list(self.smooth.parameters()), list(self.network.parameters()), self.step)
        for held, buffer in zip(self.smooth.buffers(), self.network.buffers(), strict=True):
            held.copy_(buffer)  # what a normalisation has counted is an average already

    def resume(self, state: State) -> None:
        """Stand where `keep` stood."""
        self.network.load_state_dict(state["network"])
        self.smooth.load_state_dict(state["smooth"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.loss_of.load(state)
        torch.set_rng_state(state["rng"])
        self.step, self.pictures = state["step"], state["pictures"]

    def keep(self, scores: dict[str, float]) -> None:
        """Write all that `resume` needs."""
        state: State = {
            "network": self.network.state_dict(),
            "smooth": self.smooth.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        state |= {
            "step": self.step,
            "pictures": self.pictures,
            "rng": torch.get_rng_state(),
            "config": asdict(self.config),
            "scores": scores,
        }
        save(self.config.run / "checkpoint.pt", state | self.loss_of.state())

    def tell(self, line: Mapping[str, object]) -> None:
        """Add a line to the log."""
        with (self.config.run / "log.jsonl").open("a") as log:
            log.write(json.dumps({"step": self.step, **line}) + "\n")


def begun(config: TrainConfig, world: World) -> Run:
    """The run where its folder's checkpoint stands; a new one, perhaps warm, where there is none.

    Raises `ConfigError` for a checkpoint of a run with other settings, `CheckpointError` for weights that don't fit.
    """
    torch.set_num_threads(config.threads)
    torch.set_float32_matmul_precision("highest")  # in TF32 SSIM's slope in smooth skin is mostly noise
    torch.backends.cudnn.allow_tf32 = False  # nor are convolutions whose slopes count asked for in less
    torch.backends.cudnn.benchmark = True  # all batches are alike, so the fastest kernels are worth a search
    cv2.setNumThreads(0)  # a pool of threads would not survive the fork of the workers
    torch.manual_seed(config.seed)
    network = built(config)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # a sixth less time a step: the CPU's fast kernels want channels last
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    network.to(world.device)
    smooth = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
    loss_of = objective(config, network, world)
    run = Run(config, world, network, smooth, loss_of, OPTIMISERS[config.optimiser](network, config.rate))
    checkpoint = config.run / "checkpoint.pt"
    if checkpoint.exists():
        state = restore(checkpoint)
        if differs := differences(state["config"], config, free=FREE):
            raise ConfigError(
                f"{checkpoint} is of a run with another {', '.join(differs)}: "
                "give another --run, and --warm to begin with its weights"
            )
        run.resume(state)
    elif config.warm is not None:
        begin_warm(network, config.warm)
        smooth.load_state_dict(network.state_dict())
    return run


def drawn_batches(config: TrainConfig, world: World, step: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """What a run sees from `step` on."""
    sets = [(Faces.read(config.crops, "train"), 0.9)]
    if (config.crops / "sharp.npz").exists():
        sets.append((Faces.read(config.crops, "sharp"), 0.1))
    judges = config.network == "segmenter"  # the others never see what is beneath the alpha
    bare, textures = (0.3, read_textures(config.textures)) if judges else (0.0, [])
    dataset = Masked(sets, size=config.size, seed=config.seed, bare=bare, textures=textures, plain=not judges)
    reuse = Reuse(config.reuse, seed=config.seed, device=world.device)
    wanted = numbers(step=reuse.first_drawn(step), batch=config.batch, rank=world.rank, processes=world.size)
    drawn = batches(dataset, wanted, workers=config.workers, pinned=world.device.type == "cuda")
    return reuse.seen(drawn, step)


def train(config: TrainConfig) -> None:
    """Run to `config.steps`, going on where the folder's checkpoint stands."""
    config.run.mkdir(parents=True, exist_ok=True)
    with joined(config.device) as world:
        run = begun(config, world)
        fixed = fixed_samples(config) if world.writes else None
        stream = drawn_batches(config, world, run.step)
        started, waited = time.monotonic(), 0.0
        while run.step < config.steps:
            asked = time.monotonic()
            batch = next(stream)
            waited += time.monotonic() - asked
            terms = run.advance(batch)
            if fixed is None:
                continue
            if run.step % LOGGED == 0:
                seconds = {"seconds": round(time.monotonic() - started, 1), "waited": round(waited, 1)}
                told = {name: round(value.item(), 5) for name, value in terms.items()}
                run.tell({"pictures": run.pictures} | seconds | told)
            if run.step % config.every == 0 or run.step == config.steps:
                scores = validate(config, run.smooth, fixed, run.step)
                run.tell({"validation": scores})
                run.keep(scores)
        world.wait()


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_flags(parser)
    options = parser.parse_args()
    with errors_told(parser):
        train(given(options))


if __name__ == "__main__":
    main()
