"""The Embedding Unmasking Model, trained: `python -m training.identity.train srt --embeddings FOLDER --run FOLDER`.

Minutes on a CPU, since the recogniser is frozen and its embeddings were stored once (`training.identity.embeddings`).
A run resumes from its last checkpoint when the folder has one; the log is JSON lines.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.errors import CheckpointError
from pipeline.rules import Location, Number, OneOf, Whole, required, setting, settings_in
from pipeline.settings import flags
from training.identity.embeddings import Embedded
from training.identity.metrics import summary
from training.identity.networks import LOSSES, EmbeddingUnmaskingModel
from training.needs import bar, errors_in_one_line
from training.networks.checkpoints import restore, save

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

MOMENTUM = 0.9
EVERY = 10
"""How many epochs lie between two validations."""


@dataclass(frozen=True)
class EumConfig:
    """One run's settings; where the paper says something, the default is the paper's."""

    loss: str
    """`srt`, `t` or `mse_triplet`."""
    embeddings: Path = required(Location(), "folder of stored embeddings")
    run: Path = required(Location(), "folder of the checkpoint and the log; a run in it is continued")
    source: str = setting(
        "masked",
        OneOf(("masked", "drawn")),
        "what is repaired: embeddings of masked faces, or of faces drawn over masks",
    )
    epochs: int = setting(40, Whole(1), "length of the run; the paper: 10, over some hundred times as many faces")
    batch: int = setting(256, Whole(1), "photos a step; the paper: 512")
    rate: float = setting(
        0.3, Number(), "learning rate at the start, a tenth of it after each three tenths of the run; the paper: 0.1"
    )
    candidates: int = setting(
        64,
        Whole(1),
        "random photos of which the nearest to the positive is the negative; the paper takes any photo",
    )
    held_out: float = setting(0.1, Number(0, 1), "share of the people who are kept apart, for the scores")
    seed: int = setting(0, Whole(0), "random seed of the triplets and the first weights")


@dataclass(frozen=True)
class EmbeddedPeople:
    """Embeddings of N photos, bare and to be repaired, and who is in each."""

    number: NDArray[np.int64]
    """(N,) which person, counted from 0."""
    bare: Tensor
    """(N, d)"""
    masked: Tensor
    """(N, K, d)"""

    @classmethod
    def of(cls, stored: Embedded, source: str) -> EmbeddedPeople:
        """The photos of `stored` whose `source` embeddings are there. Raises `CheckpointError` when there are none."""
        masked = stored.masked if source == "masked" else stored.drawn
        there = ~np.isnan(masked).any((1, 2))
        if not there.any():
            raise CheckpointError(f"no {source} embeddings are stored: training.identity.embeddings --draw makes them")
        number = np.unique(stored.people[there], return_inverse=True)[1]
        return cls(number, torch.from_numpy(stored.bare[there]), torch.from_numpy(masked[there]))

    def split(self, held_out: float) -> tuple[EmbeddedPeople, EmbeddedPeople]:
        """Split them into those to train on and the people who are kept apart, always the same."""
        shuffled = np.random.default_rng(0).permutation(self.number.max() + 1)
        apart = np.isin(self.number, shuffled[: max(2, round(held_out * len(shuffled)))])
        return self.only(~apart), self.only(apart)

    def only(self, which: NDArray[np.bool_]) -> EmbeddedPeople:
        """The photos that `which` names, with people counted anew."""
        number = np.unique(self.number[which], return_inverse=True)[1]
        mask = torch.from_numpy(which)
        return EmbeddedPeople(number, self.bare[mask], self.masked[mask])

    def triplets(
        self, anchors: NDArray[np.int64], rng: np.random.Generator, candidates: int
    ) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
        """The triplets of the photos `anchors`: (B, d) masked, (B, d) a bare photo of the same person, and `candidates`
        photos, of which `nearest_other` chooses negatives.
        """
        order = np.argsort(self.number, kind="stable")
        starts = np.searchsorted(self.number[order], np.arange(self.number.max() + 2))
        person = self.number[anchors]
        positive = order[rng.integers(starts[person], starts[person + 1])]
        mask = rng.integers(0, self.masked.shape[1], len(anchors))
        pool = rng.choice(len(order), min(candidates, len(order)), replace=False)
        return self.masked[anchors, mask], self.bare[positive], pool

    @torch.no_grad()
    def nearest_other(self, vectors: Tensor, anchors: NDArray[np.int64], pool: NDArray[np.int64]) -> Tensor:
        """(B, d): of the bare photos `pool` the one nearest to each of `vectors` (B, d) that is not of the person in
        the photo of `anchors` (B,)."""
        alike = vectors @ self.bare[pool].T
        alike[torch.from_numpy(self.number[pool] == self.number[anchors][:, None])] = -torch.inf
        return self.bare[pool][alike.argmax(1)]


def rate_at(part: float) -> float:
    """What the step size is multiplied by, `part` of the run through: a tenth after each three tenths."""
    return float(0.1 ** math.floor(part / 0.3 + 1e-9))


@torch.no_grad()
def validate(network: EmbeddingUnmaskingModel, people: EmbeddedPeople) -> dict[str, float]:
    """The measures of bare against repaired embeddings of other photos, over people who were not trained on."""
    network.eval()
    repaired = network(people.masked[:, 0])
    network.train()
    scores = (people.bare @ repaired.T).numpy()
    same = people.number[:, None] == people.number
    other_photo = ~np.eye(len(same), dtype=bool)
    return summary(scores[same & other_photo], scores[~same])


def train(config: EumConfig) -> dict[str, float]:
    """Run to `config.epochs`, resuming where the folder's checkpoint stands; the scores of the last epoch.

    The paper takes the best epoch; here the steps have become so small by then that the last ones are alike.
    """
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    config.run.mkdir(parents=True, exist_ok=True)
    seen, unseen = EmbeddedPeople.of(Embedded.read(config.embeddings), config.source).split(config.held_out)

    network = EmbeddingUnmaskingModel(seen.bare.shape[1])
    network.begin_as_they_are(seen.bare)
    optimiser = torch.optim.SGD(network.parameters(), lr=config.rate, momentum=MOMENTUM, nesterov=True)

    checkpoint, epoch = config.run / "checkpoint.pt", 0
    scores: dict[str, float] = {}
    if checkpoint.exists():
        state = restore(checkpoint)
        if state["config"] != asdict(config):
            raise CheckpointError(f"{checkpoint} is of a run with other settings: give another --run, or remove it")
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        epoch, scores = state["epoch"], state["scores"]
    with (config.run / "log.jsonl").open("a") as log, bar(unit="epoch", total=config.epochs, done=epoch) as shown:
        while epoch < config.epochs:
            for group in optimiser.param_groups:
                group["lr"] = config.rate * rate_at(epoch / config.epochs)
            loss = one_epoch(network, optimiser, seen, config, epoch)
            epoch += 1
            shown.update()
            line: dict[str, object] = {"epoch": epoch, "loss": round(loss, 5)}
            if epoch % EVERY == 0 or epoch == config.epochs:
                scores = validate(network, unseen)
                line["validation"] = scores
            log.write(json.dumps(line) + "\n")
            log.flush()
            state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "scores": scores}
            save(checkpoint, state | {"step": epoch * steps(seen, config), "epoch": epoch, "config": asdict(config)})
    return scores


def steps(seen: EmbeddedPeople, config: EumConfig) -> int:
    """Optimiser steps in an epoch."""
    return max(1, len(seen.number) // config.batch)


def one_epoch(
    network: EmbeddingUnmaskingModel,
    optimiser: torch.optim.Optimizer,
    seen: EmbeddedPeople,
    config: EumConfig,
    epoch: int,
) -> float:
    """Show every photo once; the mean loss. The epoch's number and the seed decide all that is random."""
    rng, loss, count = np.random.default_rng([config.seed, epoch]), 0.0, steps(seen, config)
    for anchors in np.array_split(rng.permutation(len(seen.number)), count):
        masked, positive, pool = seen.triplets(anchors, rng, config.candidates)
        negative = seen.nearest_other(positive, anchors, pool)
        optimiser.zero_grad()
        found = LOSSES[config.loss](network(masked), positive, negative)
        torch.autograd.backward(found)
        optimiser.step()
        loss += found.item() / count
    return loss


def main() -> None:
    """Read the flags and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loss", choices=list(LOSSES))
    for item in settings_in(EumConfig):
        flags.add_flag(parser, item)
    options = vars(parser.parse_args())
    with errors_in_one_line(parser):
        print(json.dumps(train(EumConfig(**options))))  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
