"""A recogniser that knows masks: `python -m training.identity.distil --faces FOLDER --run FOLDER`.

After MaskInv (arXiv 2112.05646): the student is dlib's network, made trainable, and looks at masked faces and at bare
ones; the teacher is the same network, frozen, and looked at the bare photo once (`training.identity.faces`). A run goes
on from its last checkpoint when the folder has one; the log is JSON lines.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.nn import functional

from pipeline.errors import CheckpointError
from training.identity.distillation_losses import DISTILLATION_WEIGHT, elastic_arc, template_distillation
from training.identity.dlib_network import pretrained
from training.identity.faces import BORDER, StoredFaces
from training.identity.metrics import summary
from training.needs import errors_told
from training.networks.checkpoints import State, restore, save

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from training.identity.dlib_network import DlibNetwork

    Rng = np.random.Generator

WARM_UP = 6_400
"""Pictures over which the step size rises."""
DECAY = 0.25
"""Part of the run, its end, over which the step size falls to nothing."""


@dataclass(frozen=True)
class DistilConfig:
    """One run's settings."""

    faces: Path
    """Folder of stored faces."""
    run: Path
    """Folder of checkpoints and log."""
    pictures: int = 200_000
    """How many pictures the student sees. A run that goes on may be given another number."""
    batch: int = 64
    rate: float = 3e-4
    """Adam's step size after the warm-up."""
    identity: float = 0.0
    """Weight of the margin loss beside the distillation's 100."""
    margin: float = 0.1
    """Of the margin loss, in radians."""
    masked: float = 0.5
    """Part of the pictures that wear a mask."""
    held_out: int = 600
    """Photos, the first, whose people are kept apart for the scores."""
    average: float = 0.998
    """Decay of the averaged weights, which are the run's result."""
    save_every: int = 12_800
    """Pictures between two checkpoints."""
    seed: int = 0


class Sampler:
    """Draws training pictures from stored faces, shifted, turned, mirrored and lit a little differently each time."""

    def __init__(self, faces: StoredFaces, rows: NDArray[np.int64]) -> None:
        self.faces, self.rows = faces, rows
        self.person = np.unique(faces.people[rows], return_inverse=True)[1]
        teacher = torch.from_numpy(np.asarray(faces.teacher[rows]))
        self.centres = torch.zeros(int(self.person.max()) + 1, teacher.shape[1])
        self.centres.index_add_(0, torch.from_numpy(self.person), teacher)
        self.centres = functional.normalize(self.centres)  # (people, d)

    def batch(self, count: int, masked: float, rng: Rng) -> tuple[Tensor, Tensor, Tensor]:
        """(count, 3, 150, 150) pictures, (count, d) the teacher's embeddings of the bare ones, (count,) the people."""
        places = rng.integers(0, len(self.rows), count)
        pictures = [self._picture(int(self.rows[place]), rng, masked=rng.random() < masked) for place in places]
        teacher = torch.from_numpy(np.asarray(self.faces.teacher[self.rows[places]]))
        return as_pictures(np.stack(pictures)), teacher, torch.from_numpy(self.person[places])

    def _picture(self, row: int, rng: Rng, *, masked: bool) -> NDArray[np.float32]:
        faces = self.faces
        chip = faces.masked[row, rng.integers(faces.masked.shape[1])] if masked else faces.bare[row]
        return varied(chip, rng)


def varied(chip: NDArray[np.uint8], rng: Rng) -> NDArray[np.float32]:
    """A picture (S - 2 BORDER wide) of a stored face (S, S, 3) as another frame might have shown it."""
    side, middle = chip.shape[0] - 2 * BORDER, (chip.shape[0] - 1) / 2
    matrix = np.array(cv2.getRotationMatrix2D((middle, middle), rng.normal(0, 2.0), rng.normal(1.0, 0.025)))
    matrix[:, 2] = matrix[:, 2] + rng.normal(0, 1.5, 2) - BORDER
    picture = cv2.warpAffine(chip, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101).astype(np.float32)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    lit = (picture - 128) * rng.uniform(0.8, 1.2) + 128 + rng.normal(0, 10)
    return np.asarray(np.clip(lit, 0, 255), np.float32)


def as_pictures(chips: NDArray[np.generic]) -> Tensor:
    """(N, S, S, 3) to (N, 3, S, S) float32, channels last in memory, which is what the CPU is quick with."""
    planes = torch.from_numpy(np.ascontiguousarray(chips, np.float32)).permute(0, 3, 1, 2)
    return planes.contiguous(memory_format=torch.channels_last)


def inner(chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stored faces (..., S, S, 3) without their border."""
    return chips[..., BORDER:-BORDER, BORDER:-BORDER, :]


@torch.no_grad()
def embedded(network: torch.nn.Module, chips: NDArray[np.uint8], batch: int = 50) -> NDArray[np.float32]:
    """(N, d) of unit length: what the network makes of stored faces (N, S, S, 3)."""
    parts = (inner(chips[first : first + batch]) for first in range(0, len(chips), batch))
    return torch.cat([functional.normalize(network(as_pictures(part))) for part in parts]).numpy()


def validate(network: torch.nn.Module, faces: StoredFaces, rows: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """The measures of bare against bare and of bare against masked, among other photos of people not trained on."""
    bare = embedded(network, faces.bare[rows])
    masked = embedded(network, faces.masked[rows, 0])
    person = faces.people[rows]
    same, other_photo = person[:, None] == person, ~np.eye(len(rows), dtype=bool)
    found = {"bare": bare @ bare.T, "masked": bare @ masked.T}
    return {name: summary(scores[same & other_photo], scores[~same]) for name, scores in found.items()}


def step_size(config: DistilConfig, seen: int) -> float:
    """Adam's step size after `seen` pictures: up, level, and down to nothing at the end."""
    end = max(0.0, min(1.0, (config.pictures - seen) / (DECAY * config.pictures)))
    return config.rate * min(1.0, (seen + config.batch) / WARM_UP) * end


class Run:
    """A student, its averaged weights, its optimiser, and how far it is."""

    def __init__(self, config: DistilConfig) -> None:
        self.config, self.seen = config, 0
        self.student, self.average = channels_last(pretrained()), channels_last(pretrained())
        self.average.requires_grad_(requires_grad=False)
        self.optimiser = torch.optim.Adam(self.student.parameters(), lr=config.rate)
        self.path = config.run / "checkpoint.pt"
        if self.path.exists():
            self._resume(restore(self.path))

    def _resume(self, state: State) -> None:
        apart = ("pictures", "run", "faces", "save_every")
        before, now = ({k: v for k, v in c.items() if k not in apart} for c in (state["config"], asdict(self.config)))
        if before != now:
            raise CheckpointError(f"{self.path} is of a run with other settings: give another --run, or remove it")
        self.student.load_state_dict(state["network"])
        self.average.load_state_dict(state["smooth"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.seen = state["step"]

    def step(self, sampler: Sampler, rng: Rng) -> tuple[float, float]:
        """Learn from one batch; the distillation loss and the margin loss, unweighted."""
        config = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = step_size(config, self.seen)
        pictures, teacher, person = sampler.batch(config.batch, config.masked, rng)
        with torch.autocast("cpu", torch.bfloat16):
            student = self.student(pictures)
        distilled = template_distillation(student.float(), teacher)
        margin = elastic_arc(student.float(), sampler.centres, person, margin=config.margin)
        self.optimiser.zero_grad()
        torch.autograd.backward(DISTILLATION_WEIGHT * distilled + config.identity * margin)
        self.optimiser.step()

        self.seen += config.batch
        decay = min(config.average, self.seen / (self.seen + 10 * config.batch))
        for mean, now in zip(self.average.parameters(), self.student.parameters(), strict=True):
            mean.lerp_(now.detach(), 1 - decay)
        return distilled.item(), margin.item()

    def save(self, scores: dict[str, dict[str, float]]) -> None:
        """Save all of it, and the averaged weights once more beside it, for the curve."""
        networks = {"network": self.student.state_dict(), "smooth": self.average.state_dict()}
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


def train(config: DistilConfig) -> dict[str, dict[str, float]]:
    """Train until the student has seen `config.pictures`; the scores of its averaged weights.

    Faces that are stored while it runs are taken in at the next checkpoint.
    """
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    config.run.mkdir(parents=True, exist_ok=True)
    run, scores = Run(config), {}
    with (config.run / "log.jsonl").open("a") as log:
        while run.seen < config.pictures:
            faces = StoredFaces.open(config.faces)
            unseen, seen = apart(faces, config.held_out)
            sampler, rng, began = Sampler(faces, seen), np.random.default_rng([config.seed, run.seen]), time.time()
            first, losses = run.seen, []
            while run.seen < min(config.pictures, first + config.save_every):
                losses.append(run.step(sampler, rng))
            scores = validate(run.average, faces, unseen)
            distilled, margin = np.mean(losses, 0)
            line = {"pictures": run.seen, "photos": len(seen), "seconds": round(time.time() - began, 1)}
            line |= {"distillation": round(float(distilled), 7), "margin": round(float(margin), 4)}
            log.write(json.dumps(line | {"validation": scores}) + "\n")
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
    for name in ("faces", "run"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("pictures", "batch", "held_out", "save_every", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(DistilConfig, name))
    for name in ("rate", "identity", "margin", "masked", "average"):
        parser.add_argument(f"--{name}", type=float, default=getattr(DistilConfig, name))
    options = vars(parser.parse_args())
    cv2.setNumThreads(1)
    with errors_told(parser):
        print(json.dumps(train(DistilConfig(**options))))  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
