"""Samples without end, in batches, for one process or several that train one network; a batch as networks see it.

Several processes are torch's own DistributedDataParallel, started by `torchrun`:

    torchrun --standalone --nproc-per-node 4 -m -- training.loop.train generator --device cuda \
        --crops crops --run runs/wide

(Without the `--`, torchrun takes `--run` for a flag of its own.)
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from pipeline.errors import ConfigError
from pipeline.geometry import CROP_SIZE
from training.data.samples import ANYBODY, Faces, Variation, draw_sample
from training.networks.generator import EXPRESSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from training.data.real import RealMasks
    from training.data.samples import TrainingSample


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

    def first_says(self, word: str) -> str:
        """The `word` of the first process, in every process of the run."""
        said = [word]
        if self.size > 1:
            distributed.broadcast_object_list(said)
        return said[0]

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


class Batch(NamedTuple):
    """What a step sees; of one sample, the same without the first axis."""

    pictures: Tensor
    """(B, 3, S, S) uint8, masked."""
    truths: Tensor
    """(B, 3, S, S) uint8"""
    alphas: Tensor
    """(B, 1, S, S) uint8 of 255"""
    expressions: Tensor
    """(B, 5) what the mouths do, as `generator.EXPRESSION` has it."""
    known: Tensor
    """(B,) bool: whether the truth is what the mask hides. Of a real mask nobody knows that, and it is the picture."""

    def mirrored(self) -> Batch:
        """Samples with left and right exchanged, which leaves an expression as it is."""
        pictures, truths, alphas = (images.flip(3) for images in (self.pictures, self.truths, self.alphas))
        return self._replace(pictures=pictures, truths=truths, alphas=alphas)


TURNED_AMONG = 5
"""From among how many faces a turned head is chosen for those who look for masks: a far wing is seen on them alone."""

EXPRESSION_NOISE = 0.2
"""How far the numbers of an expression are off in training, in standard deviations of photos."""

GROUP = 32
"""Batches whose pictures are mixed when each is seen several times."""


class MaskedFaces(Dataset[Batch]):
    """Samples without end, each decided by the seed and its number alone.

    Whoever draws a number, in whichever process, draws the same.
    """

    def __init__(
        self,
        sets: Sequence[tuple[Faces, float]],
        *,
        size: int,
        seed: int,
        bare: float,
        textures: Sequence[NDArray[np.uint8]],
        plain: bool = False,
        odd: NDArray[np.float64] | None = None,
        expression: float = 0.0,
        variation: Variation = ANYBODY,
        real: RealMasks | None = None,
        real_share: float = 0.0,
    ) -> None:
        self.expression = expression
        self.real, self.real_share = real, real_share if real else 0.0
        self.sets, self.size, self.seed = sets, size, seed
        self.bare, self.textures, self.plain, self.odd, self.variation = bare, textures, plain, odd, variation

        self.shares = np.array([share for _, share in sets]) / sum(share for _, share in sets)

    def __getitem__(self, number: int) -> Batch:
        # A generator of its own for each number: it does not matter who draws a sample, or in which order.
        rng = np.random.default_rng([self.seed, number])
        # By number and not by chance: as many of each batch, so that no batch is without truths.
        if self.real is not None and int((number + 1) * self.real_share) > int(number * self.real_share):
            sample = self.real.draw(int(rng.integers(len(self.real))), rng, size=self.size, seeks=not self.plain)
            return _as_batch(sample, np.zeros(EXPRESSION, np.float32), known=False)

        faces = self.sets[rng.choice(len(self.sets), p=self.shares)][0]
        index = faces.any_index(rng, among=2 if self.plain else TURNED_AMONG)
        sample = draw_sample(
            faces,
            index,
            rng,
            size=self.size,
            bare=self.bare,
            textures=self.textures,
            plain=self.plain,
            odd=self.odd,
            variation=self.variation,
        )
        expression = expression_input(faces.expressions[index], rng, share=self.expression)
        return _as_batch(sample, expression, known=True)


def _as_batch(sample: TrainingSample, expression: NDArray[np.float32], *, known: bool) -> Batch:
    return Batch(
        torch.from_numpy(sample.picture.transpose(2, 0, 1).copy()),
        torch.from_numpy(sample.truth.transpose(2, 0, 1).copy()),
        torch.from_numpy(np.rint(sample.alpha * 255).astype(np.uint8)[None]),
        torch.from_numpy(expression),
        torch.tensor(known),
    )


def expression_input(numbers: NDArray[np.float32], rng: np.random.Generator, *, share: float) -> NDArray[np.float32]:
    """(5,) the numbers (4,) of an expression as something that guesses them would give them, and 1: they are known.

    In a `share` of the samples; in the others nothing is known, so that the network goes on drawing well without.
    """
    # A network that always knew the mouth would draw nothing without being told of it.
    if rng.random() >= share:
        return np.zeros(EXPRESSION, np.float32)
    noisy = numbers + rng.normal(0, EXPRESSION_NOISE, numbers.shape)
    return np.append(noisy, 1).astype(np.float32)


def read_textures(folder: Path | None) -> list[NDArray[np.uint8]]:
    """Pictures to print on drawn masks, (256, 256, 3) RGB each; none when `folder` is None.

    Raises `ConfigError` for a folder without any.
    """
    if folder is None:
        return []
    pictures = [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in sorted(folder.glob("*.jpg"))]
    found = [p for p in pictures if p is not None]
    if not found:
        raise ConfigError(f"--textures {folder}: there is no picture called *.jpg")
    return [np.asarray(cv2.resize(p, (256, 256), interpolation=cv2.INTER_AREA), np.uint8) for p in found]


def numbers(*, step: int, batch: int, rank: int = 0, processes: int = 1) -> Iterator[list[int]]:
    """The numbers of a process's samples, batch by batch from `step` on.

    Several processes take turns, so that together they see what one with a larger batch would.
    """
    for turn in count(step * processes + rank, processes):
        yield list(range(turn * batch, (turn + 1) * batch))


def batches(
    dataset: MaskedFaces, wanted: Iterator[list[int]], *, workers: int, pinned: bool = False
) -> Iterator[Batch]:
    """Batches of the samples with the `wanted` numbers, drawn by `workers` processes ahead of time; without any, here.

    `pinned` memory is what a GPU copies from without waiting.
    """

    own = torch.Generator()  # else the loader would take a number from the one that the losses draw from
    return iter(
        DataLoader(
            dataset,
            batch_sampler=wanted,
            num_workers=workers,
            prefetch_factor=6 if workers else None,
            generator=own,
            pin_memory=pinned,
        )
    )


@dataclass(frozen=True)
class Reuse:
    """Drawn pictures that are seen several times: drawing takes a CPU several times as long as a GPU learns.

    A group of `GROUP` batches is kept on `device` and gone through `times` times, every other time mirrored, each time
    mixed anew. All follows from seed and step.
    """

    times: int
    seed: int
    device: torch.device

    def first_drawn(self, step: int) -> int:
        """The batch with which drawing begins for a run that goes on at `step`."""
        return step if self.times == 1 else step // (GROUP * self.times) * GROUP

    def seen(self, drawn: Iterator[Batch], step: int) -> Iterator[Batch]:
        """The batches from `step` on, of those `drawn` from `first_drawn` on."""
        if self.times == 1:
            yield from drawn
            return
        skipped = step % (GROUP * self.times)
        for group in count(step // (GROUP * self.times)):
            yield from islice(self._mixed(list(islice(drawn, GROUP)), group), skipped, None)
            skipped = 0

    def _mixed(self, drawn: list[Batch], group: int) -> Iterator[Batch]:
        whole = Batch(*(torch.cat(tensors).to(self.device) for tensors in zip(*drawn, strict=True)))
        for turn in range(self.times):
            rng = np.random.default_rng([self.seed, group, turn])
            order = torch.from_numpy(rng.permutation(len(whole.pictures))).to(self.device)
            for some in torch.chunk(order, len(drawn)):
                batch = Batch(*(tensor[some] for tensor in whole))
                yield batch if turn % 2 == 0 else batch.mirrored()


def picture(x: Tensor) -> Tensor:
    """A picture of bytes in the range of networks, [-1, 1]."""
    return x.float() / 127.5 - 1


def hole_of(alpha: Tensor, *, grow: int) -> Tensor:
    """(B, 1, S, S) what the generator fills: the alpha, grown by `grow` pixels and softened."""
    return functional.avg_pool2d(grown((alpha > 0.15).float(), grow), 3, stride=1, padding=1)


def grown(hole: Tensor, pixels: int) -> Tensor:
    """The largest value within a square of `pixels` to each side; `hole` (B, 1, S, S) is nowhere negative.

    Of windows twice as wide each time: on a CPU a max pool as wide takes twenty times as long.
    """
    seen = functional.pad(hole, (pixels, pixels, pixels, pixels))
    for axis in (2, 3):
        wide = 1
        while wide <= 2 * pixels:
            step = min(wide, 2 * pixels + 1 - wide)
            rest = seen.shape[axis] - step
            seen = torch.maximum(seen.narrow(axis, 0, rest), seen.narrow(axis, step, rest))
            wide += step
    return seen


def scaled(pixels: int, size: int) -> int:
    """Pixels of a crop `size` wide for pixels of the canonical one; at least 1."""
    return max(1, round(pixels * size / CROP_SIZE))


def shrunk(x: Tensor, side: int) -> Tensor:
    """(B, C, S, S) to (B, C, side, side), means of squares; S a multiple of `side`. As it is where it has that size."""
    times = x.shape[-1] // side
    return x if times == 1 else functional.avg_pool2d(x, times)
