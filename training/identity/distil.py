"""A recogniser that knows masks: `python -m training.identity.distil maskinv --faces FOLDER --run FOLDER`.

After MaskInv (arXiv 2112.05646): the student is dlib's network, made trainable, and looks at masked faces and at bare
ones; the teacher is the same network, frozen, and looked at the bare photo once (`training.identity.faces`). The other
methods of `training.identity.methods` add layers or another loss. A run goes on from its last checkpoint when the
folder has one; the log is JSON lines.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.nn import functional

from pipeline.errors import CheckpointError
from pipeline.rules import Location, Number, Whole, required, setting, settings_in
from pipeline.settings import flags
from training.identity.faces import Fronts, Sampler, StoredFaces, as_pictures, chips_of
from training.identity.methods import METHODS
from training.identity.metrics import summary
from training.needs import bar, errors_in_one_line
from training.networks.checkpoints import State, restore, save

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.identity.networks import DlibNetwork

    Rng = np.random.Generator

WARM_UP = 6_400
"""Pictures over which the step size rises."""
DECAY = 0.25
"""Part of the run, its end, over which the step size falls to nothing."""


@dataclass(frozen=True)
class DistilConfig:
    """What a distillation may be told."""

    method: str
    """One of `training.identity.methods`."""
    faces: Path = required(Location(), "folder of stored faces")
    run: Path = required(Location(), "folder of the checkpoint and the log; a run in it is continued")
    pictures: int = setting(
        200_000, Whole(1), "how many pictures the student sees; a run that goes on may be given another number"
    )
    batch: int = setting(64, Whole(1), "pictures a step")
    rate: float = setting(3e-4, Number(), "Adam's step size after the warm-up")
    identity: float = setting(0.0, Number(), "weight of the margin loss beside the distillation's 100")
    margin: float = setting(0.1, Number(), "the margin of the margin loss, in radians")
    frozen: int = setting(
        0,
        Whole(0, 14),
        "blocks next to the picture that stay as they are; what they make of a face is computed once, and then faces "
        "are not varied but for mirroring; with 7 of 14 a step takes a third of the time",
    )
    masked: float = setting(0.5, Number(0, 1), "part of the pictures that wear a mask")
    held_out: int = setting(600, Whole(1), "photos, the first, whose people are kept apart for the scores")
    average: float = setting(0.998, Number(0, 1), "decay of the averaged weights, which are the run's result")
    save_every: int = setting(12_800, Whole(1), "pictures between two checkpoints")
    seed: int = setting(0, Whole(0), "random seed of the pictures and their masks")


def validate(
    network: DlibNetwork, faces: StoredFaces, rows: NDArray[np.int64], fronts: Fronts | None = None
) -> dict[str, dict[str, float]]:
    """The measures among other photos of people not trained on.

    `bare` and `masked` compare with the student's embeddings of bare photos, `switched` compares masked ones with the
    teacher's of bare photos: there the student is asked for masked faces alone.
    """
    bare, masked = (embedded(network, faces, rows, look, fronts) for look in (0, 1))
    person = faces.people[rows]
    same, other_photo = person[:, None] == person, ~np.eye(len(rows), dtype=bool)
    found = {"bare": bare @ bare.T, "masked": bare @ masked.T, "switched": faces.teacher[rows] @ masked.T}
    return {name: summary(scores[same & other_photo], scores[~same]) for name, scores in found.items()}


@torch.no_grad()
def embedded(
    network: DlibNetwork, faces: StoredFaces, rows: NDArray[np.int64], look: int, fronts: Fronts | None = None
) -> NDArray[np.float32]:
    """(N, d) of unit length: what the network makes of stored faces in one of their looks."""
    parts = []
    for some in np.array_split(rows, max(1, len(rows) // 50)):
        looks, straight = np.full(len(some), look), np.zeros(len(some), np.int64)
        if fronts is not None:
            found = network.back(fronts(some, looks, straight), fronts.blocks)
        else:
            found = network(as_pictures(chips_of(faces, some, looks, straight)))
        parts.append(functional.normalize(found))
    return torch.cat(parts).numpy()


def step_size(config: DistilConfig, seen: int) -> float:
    """Adam's step size after `seen` pictures: up, level, and down to nothing at the end."""
    end = max(0.0, min(1.0, (config.pictures - seen) / (DECAY * config.pictures)))
    return config.rate * min(1.0, (seen + config.batch) / WARM_UP) * end


class DistilRun:
    """A student, its averaged weights, its optimiser, and how far it is."""

    def __init__(self, config: DistilConfig) -> None:
        self.config, self.seen = config, 0
        self.method = METHODS[config.method](config.identity, config.margin)
        self.student, self.average = channels_last(self.method.network()), channels_last(self.method.network())
        self.average.load_state_dict(self.student.state_dict())
        self.average.requires_grad_(requires_grad=False)
        # The stem comes before all blocks, so that it is frozen with the first of them.
        for part in (self.student.stem, self.student.blocks[: config.frozen]) if config.frozen else ():
            part.requires_grad_(requires_grad=False)
        learned = [weight for weight in self.student.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.Adam(learned, lr=config.rate)
        self.path = config.run / "checkpoint.pt"
        if self.path.exists():
            self._resume(restore(self.path))

    def _resume(self, state: State) -> None:
        free = ("pictures", "run", "faces", "save_every")
        before, now = ({k: v for k, v in c.items() if k not in free} for c in (state["config"], asdict(self.config)))
        if before != now:
            raise CheckpointError(f"{self.path} is of a run with other settings: give another --run, or remove it")
        self.student.load_state_dict(state["network"])
        self.average.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.seen = state["step"]

    def step(self, sampler: Sampler, rng: Rng) -> float:
        """Learn from one batch; its loss."""
        config = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = step_size(config, self.seen)
        if config.method == "my_eyes":
            batch = sampler.thirds(config.batch, rng)
        else:
            batch = sampler.batch(config.batch, config.masked, rng)
        loss = self.method.loss(self.student, batch, config.frozen)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()

        self.seen += config.batch
        decay = min(config.average, self.seen / (self.seen + 10 * config.batch))
        for mean, now in zip(self.average.parameters(), self.student.parameters(), strict=True):
            mean.lerp_(now.detach(), 1 - decay)
        return loss.item()

    def save(self, scores: dict[str, dict[str, float]]) -> None:
        """Save all of it, and the averaged weights once more beside it, for the curve."""
        networks = {"network": self.student.state_dict(), "ema": self.average.state_dict()}
        state: State = {**networks, "optimiser": self.optimiser.state_dict(), "scores": scores}
        save(self.path, state | {"step": self.seen, "config": asdict(self.config)})
        halves = {name: values.half() for name, values in self.average.state_dict().items()}
        torch.save(halves, self.config.run / f"average-{self.seen:07d}.pt")


def channels_last(network: DlibNetwork) -> DlibNetwork:
    """The network with its kernels as the CPU is quick with, in place."""
    for weight in network.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


def student(run: Path) -> DlibNetwork:
    """The averaged weights of a run, in its method's network. Raises `CheckpointError` where there is no run."""
    state = restore(run / "checkpoint.pt")
    config = DistilConfig(**state["config"])
    network = METHODS[config.method](config.identity, config.margin).network()
    network.load_state_dict(state["ema"])
    return network.eval()


def train(config: DistilConfig) -> dict[str, dict[str, float]]:
    """Train until the student has seen `config.pictures`; the scores of its averaged weights.

    Faces that are stored while it runs are taken in at the next checkpoint.
    """
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    config.run.mkdir(parents=True, exist_ok=True)
    run, scores = DistilRun(config), {}

    shown = bar(unit="photo", total=config.pictures, done=run.seen)
    with (config.run / "log.jsonl").open("a") as log, shown:
        while run.seen < config.pictures:
            faces = StoredFaces.open(config.faces)
            unseen, seen = apart(faces, config.held_out)
            fronts = Fronts(faces, config.faces, run.student, config.frozen) if config.frozen else None
            sampler = Sampler(faces, seen, fronts)
            rng, began = np.random.default_rng([config.seed, run.seen]), time.process_time()

            first, losses = run.seen, []
            while run.seen < min(config.pictures, first + config.save_every):
                losses.append(run.step(sampler, rng))
                shown.update(run.seen - shown.n)

            scores = validate(run.average, faces, unseen, fronts)
            line = {"pictures": run.seen, "photos": len(seen), "seconds": round(time.process_time() - began, 1)}
            log.write(json.dumps(line | {"loss": float(np.mean(losses)), "validation": scores}) + "\n")
            log.flush()
            run.save(scores)
    return scores


def apart(faces: StoredFaces, held_out: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows for the scores, those of the people of the first `held_out` photos, and rows to train on."""
    rows, people = faces.rows, faces.people
    unseen = np.isin(people[rows], people[:held_out])
    if unseen.all() or not unseen.any():
        raise CheckpointError(f"{len(rows)} stored faces are too few to keep those of {held_out} photos apart")
    return rows[unseen], rows[~unseen]


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=list(METHODS))
    for item in settings_in(DistilConfig):
        flags.add_flag(parser, item)
    options = vars(parser.parse_args())
    cv2.setNumThreads(1)
    with errors_in_one_line(parser):
        print(json.dumps(train(DistilConfig(**options))))  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
