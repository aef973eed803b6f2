"""The training loop in full view: `python -m training.loop.train NETWORK --crops DIR --run DIR`.

The generator is trained in two runs: its trunk alone on small crops, then the whole, warm from that.

A run goes on bit for bit from its last checkpoint when the folder has one. The log is JSON lines, sample sheets are
PNGs beside it, `training.loop.plots` draws its curves.

With `--measure SECONDS` nothing is trained or kept. It is measured whether drawing keeps up with learning: how many
pictures a second the workers draw while nothing learns, each counted once whatever `--reuse` says; how many the network
takes of one batch again and again; and both together as a run does it, with the share of its time that a step waits for
data.

Several processes train one network when `torchrun` starts them (`training/loop/stream.py`).
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.errors import ConfigError
from training.data.real import RealMasks
from training.data.samples import DRAWN_OVER, SOUGHT, Faces
from training.loop.objectives import OPTIMISERS, fixed_samples, objective, pays_in_bf16, validate
from training.loop.stream import Batch, MaskedFaces, Reuse, World, batches, joined, numbers, read_textures
from training.needs import bar, errors_in_one_line
from training.networks.checkpoints import begin_warm, built, restore, save
from training.settings import add_flags, differences, given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from training.loop.objectives import Objective
    from training.networks.checkpoints import State
    from training.settings import TrainConfig

    Weights = tuple[Tensor, ...] | list[Tensor]


WARMING = 200
"""Steps over which the step size grows to its start; in a short run a tenth of its steps."""

LAST_SCALE = 0.05
"""What part of the step size is left at the end of a run."""

MOST_KEPT = 0.998
"""How much of the average of weights a step leaves, at most."""

LOGGED = 50
"""Steps between lines of the log."""

FREE = ("run", "crops", "real", "warm", "steps", "every", "samples", "device", "threads", "workers")
"""Settings with which a run may go on that are not those it was begun with."""

ENOUGH = 0.05
"""Share of a step that may be spent waiting before more workers pay."""


@dataclass
class TrainingRun:
    """All that a step changes."""

    config: TrainConfig
    world: World
    network: nn.Module
    ema: AveragedModel
    """The exponential moving average of the network's weights, which is what is validated and exported."""
    loss_of: Objective
    optimiser: torch.optim.Optimizer
    step: int = 0
    pictures: int = 0
    """Seen so far, by all processes."""

    @property
    def progress(self) -> float:
        """How much of the run is done, in [0, 1]."""
        return self.step / self.config.steps

    @property
    def lr_scale(self) -> float:
        """What the next step's size is multiplied by: it rises over `WARMING` steps, then falls along a cosine."""
        warming = max(1, min(WARMING, self.config.steps // 10))
        cosine = 0.5 + 0.5 * math.cos(math.pi * self.progress)
        return min(1, (self.step + 1) / warming) * (LAST_SCALE + (1 - LAST_SCALE) * cosine)

    def advance(self, batch: Batch) -> dict[str, Tensor]:
        """Take one step on a batch and give the terms of its loss, which nobody has waited for yet."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * self.lr_scale
        self.optimiser.zero_grad()
        here = Batch(*(tensor.to(self.world.device, non_blocking=True) for tensor in batch))
        loss, terms = self.loss_of(here, self.progress)

        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.ema.update_parameters(self.network)

        self.step += 1
        self.pictures += self.config.batch * self.world.size
        return terms

    def resume(self, state: State) -> None:
        """Stand where `save_checkpoint` stood."""
        self.network.load_state_dict(state["network"])
        self.ema.module.load_state_dict(state["ema"])
        # The average forgets by this count how fast it forgets: begun at 0, it would drop all that it knew.
        self.ema.n_averaged.fill_(state["step"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.loss_of.load(state)
        # Losses draw from it, so that a run that was cut off ends in the same weights.
        torch.set_rng_state(state["rng"])
        self.step, self.pictures = state["step"], state["pictures"]

    def save_checkpoint(self, scores: dict[str, float]) -> None:
        """Write all that `resume` needs."""
        state: State = {
            "network": self.network.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "pictures": self.pictures,
            "rng": torch.get_rng_state(),
            "config": asdict(self.config),
            "scores": scores,
        }
        save(self.config.run / "checkpoint.pt", state | self.loss_of.state())

    def log(self, line: Mapping[str, object]) -> None:
        """Add a line to the run's log."""
        with (self.config.run / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step, **line}) + "\n")


def averaged(network: nn.Module) -> AveragedModel:
    """The moving average of `network`'s weights; the first steps, which change most, are forgotten soon.

    What a normalisation has counted is an average already, and is copied.
    """

    def update(averages: Weights, weights: Weights, steps: Tensor | int) -> None:
        decay = min(MOST_KEPT, int(steps) / (int(steps) + 20))
        get_ema_multi_avg_fn(decay)(averages, weights, steps)  # type: ignore[no-untyped-call]

    return AveragedModel(network, multi_avg_fn=update).requires_grad_(requires_grad=False).eval()


def begun(config: TrainConfig, world: World) -> TrainingRun:
    """The run where its folder's checkpoint stands; a new one, perhaps warm, where there is none.

    Raises `ConfigError` for a checkpoint of a run with other settings, `CheckpointError` for weights that don't fit.
    """
    checkpoint = config.run / "checkpoint.pt"
    state = restore(checkpoint) if checkpoint.exists() else None

    torch.set_num_threads(config.threads)
    if config.precision == "auto":
        begun_in = None if state is None else state["config"]["precision"]
        faster = begun_in or ("bf16" if pays_in_bf16(world.device.type) else "f32")
        config = replace(config, precision=world.first_says(faster))

    torch.set_float32_matmul_precision("highest")  # in TF32 SSIM's slope in smooth skin is mostly noise
    torch.backends.cudnn.allow_tf32 = False  # convolutions whose slopes count lose as much by it
    torch.backends.cudnn.benchmark = True  # all batches are alike, so the fastest kernels are worth a search
    cv2.setNumThreads(0)  # a pool of threads would not survive the fork of the workers

    torch.manual_seed(config.seed)
    network = built(config)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # a sixth less time a step: the CPU's fast kernels want channels last
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    network.to(world.device)
    if config.warm is not None and state is None:
        begin_warm(network, config.warm)

    loss_of = objective(config, network, world)
    optimiser = OPTIMISERS[config.optimiser](network, config.rate, bf16=config.precision == "bf16")
    run = TrainingRun(config, world, network, averaged(network), loss_of, optimiser)
    if state is not None:
        if differs := differences(state["config"], config, free=FREE):
            raise ConfigError(
                f"{checkpoint} is of a run with another {', '.join(differs)}: "
                "give another --run, and --warm to begin with its weights"
            )
        run.resume(state)
    return run


def drawn_batches(config: TrainConfig, world: World, step: int) -> Iterator[Batch]:
    """What a run sees from `step` on."""
    judges = config.network == "segmenter"  # the others never see what is beneath the alpha
    sharp = 0.4 if judges else 0.1  # a strap is as thin as a camera shows it only in pictures as fine as a crop
    sets = [(Faces.read(config.crops, "train"), 1 - sharp)]
    if (config.crops / "sharp.npz").exists():
        sets.append((Faces.read(config.crops, "sharp"), sharp))
    bare, textures = (0.3, read_textures(config.textures)) if judges else (0.0, [])
    dataset = MaskedFaces(
        sets,
        size=config.size,
        seed=config.seed,
        bare=bare,
        textures=textures,
        plain=not judges,
        odd=SOUGHT if judges else DRAWN_OVER,
        expression=config.expression,
        real=None if config.real is None else RealMasks.read(config.real),
        real_share=config.real_share,
    )

    reuse = Reuse(config.reuse, seed=config.seed, device=world.device)
    wanted = numbers(step=reuse.first_drawn(step), batch=config.batch, rank=world.rank, processes=world.size)
    drawn = batches(dataset, wanted, workers=config.workers, pinned=world.device.type == "cuda")
    return reuse.seen(drawn, step)


def train(config: TrainConfig) -> None:
    """Run to `config.steps`, going on where the folder's checkpoint stands."""
    config.run.mkdir(parents=True, exist_ok=True)
    with joined(config.device) as world:
        run = begun(config, world)
        validation = fixed_samples(config) if world.writes else None
        stream = drawn_batches(config, world, run.step)
        started, waited = time.monotonic(), 0.0

        with bar(unit="step", total=config.steps, done=run.step, hidden=not world.writes) as shown:
            while run.step < config.steps:
                asked = time.monotonic()
                # What is waited for here is data: where it grows, drawing masks is the bottleneck.
                batch = next(stream)
                waited += time.monotonic() - asked
                terms = run.advance(batch)
                shown.update()
                if validation is None:
                    continue

                if run.step % LOGGED == 0:
                    seconds = {"seconds": round(time.monotonic() - started, 1), "waited": round(waited, 1)}
                    losses = {name: round(value.item(), 5) for name, value in terms.items()}
                    run.log({"pictures": run.pictures} | seconds | losses)
                    shown.set_postfix(losses)
                if run.step % config.every == 0 or run.step == config.steps:
                    scores = validate(config, run.ema.module, validation, run.step)
                    run.log({"validation": scores})
                    run.save_checkpoint(scores)
        world.wait()


@dataclass(frozen=True)
class Throughput:
    """Pictures a second, and what they cost each other."""

    drawn: float
    learned: float
    together: float
    waiting: float
    """Share of the time of both together that the step waited for data, in [0, 1]."""

    def summary(self, config: TrainConfig) -> str:
        """The figures and what they mean, as lines for a person."""
        verdict = "data keeps up" if self.waiting <= ENOUGH else "data is the bottleneck: give more --workers"
        return (
            f"{config.network} {config.size}x{config.size}, batch {config.batch}, "
            f"{config.threads} threads, {config.workers} workers\n"
            f"drawn alone     {self.drawn:8.1f} pictures/s\n"
            f"learned alone   {self.learned:8.1f} pictures/s\n"
            f"both together   {self.together:8.1f} pictures/s, {self.waiting:.1%} of the time waiting: {verdict}"
        )


def rate_of(work: Callable[[], object], seconds: float) -> float:
    """How often `work` is done a second; once before the clock starts, then for `seconds` at least."""
    work()
    began, done = time.monotonic(), 0
    while (taken := time.monotonic() - began) < seconds:
        work()
        done += 1
    return done / taken


def measure(config: TrainConfig, seconds: float) -> Throughput:
    """Each of the three for `seconds`, as a new run would have them; losses that join late are counted in.

    Nothing is kept, and `config.run` is left as it is. Raises as `train` does.
    """
    with joined(config.device) as world, tempfile.TemporaryDirectory() as aside:
        joining = 0.0 if config.sharpen_from <= 1 else config.sharpen_from
        config = replace(config, run=Path(aside), sharpen_from=joining)
        run = begun(config, world)

        def learn(batch: Batch) -> None:
            run.advance(batch)
            if world.device.type == "cuda":
                torch.cuda.synchronize(world.device)  # a step is over when the card has done it

        def drawing() -> Iterator[Batch]:
            return drawn_batches(replace(config, reuse=1), world, 0)

        batch = next(drawing())  # with a stream go its workers, and what they have drawn ahead
        learned = rate_of(lambda: learn(batch), seconds)
        drawn = rate_of(partial(next, drawing()), seconds)
        stream = drawn_batches(config, world, 0)
        next(stream)  # its workers are there
        waited = 0.0

        def step() -> None:
            nonlocal waited
            asked = time.monotonic()
            batch = next(stream)
            waited += time.monotonic() - asked
            learn(batch)

        began = time.monotonic()
        together = rate_of(step, seconds)
        waiting = waited / (time.monotonic() - began)
    return Throughput(drawn * config.batch, learned * config.batch, together * config.batch, waiting)


def main() -> None:
    """Read the flags, and train or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--measure",
        type=float,
        metavar="SECONDS",
        help="train nothing; measure for so long each how many pictures a second are drawn, learned from, and both",
    )
    add_flags(parser)
    options = parser.parse_args()
    seconds = vars(options).pop("measure")

    with errors_in_one_line(parser):
        config = given(options)
        if seconds is None:
            train(config)
        else:
            print(measure(config, seconds).summary(config))  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
