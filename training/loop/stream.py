"""Samples without end, in batches, for one process or several, and a batch as networks and losses see it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from pipeline.draw.segment import INPUT_SIZE
from pipeline.errors import ConfigError
from pipeline.geometry import CROP_SIZE
from training.data.samples import Faces, draw_sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Batch = tuple[Tensor, Tensor, Tensor]
"""Picture and truth (B, 3, S, S) uint8, alpha (B, 1, S, S) uint8 of 255."""

GROUP = 32
"""Batches whose pictures are mixed when each is seen several times."""


class MaskedFaces(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Samples without end, each decided by the seed and its number alone: picture, truth (3, S, S) and alpha (1, S, S).

    All are uint8, the alpha of 255. Whoever draws a number, in whichever process, draws the same.
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
    ) -> None:
        self.sets, self.size, self.seed = sets, size, seed
        self.bare, self.textures, self.plain = bare, textures, plain
        self.shares = np.array([share for _, share in sets]) / sum(share for _, share in sets)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, number])
        faces = self.sets[rng.choice(len(self.sets), p=self.shares)][0]
        index = faces.any_index(rng)
        sample = draw_sample(
            faces, index, rng, size=self.size, bare=self.bare, textures=self.textures, plain=self.plain
        )
        return (
            torch.from_numpy(sample.picture.transpose(2, 0, 1).copy()),
            torch.from_numpy(sample.truth.transpose(2, 0, 1).copy()),
            torch.from_numpy(np.rint(sample.alpha * 255).astype(np.uint8)[None]),
        )


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
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
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
        pictures, truths, alphas = (torch.cat(parts).to(self.device) for parts in zip(*drawn, strict=True))
        for turn in range(self.times):
            rng = np.random.default_rng([self.seed, group, turn])
            order = torch.from_numpy(rng.permutation(len(pictures))).to(self.device)
            for some in torch.chunk(order, len(drawn)):
                batch = pictures[some], truths[some], alphas[some]
                yield batch if turn % 2 == 0 else (batch[0].flip(3), batch[1].flip(3), batch[2].flip(3))


def picture(x: Tensor) -> Tensor:
    """uint8 to [-1, 1]."""
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


def segmenter_sized(x: Tensor) -> Tensor:
    """(B, C, S, S) at the size of the segmenter's input."""
    return shrunk(x, INPUT_SIZE)
