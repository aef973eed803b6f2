"""Samples without end, in batches, for one process or several."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.data import Faces, draw_sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


class Masked(Dataset[tuple[Tensor, Tensor, Tensor]]):
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
    """Pictures to print on drawn masks, (256, 256, 3) RGB each; none when `folder` is None."""
    if folder is None:
        return []
    pictures = [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in sorted(folder.glob("*.jpg"))]
    return [
        np.asarray(cv2.resize(p, (256, 256), interpolation=cv2.INTER_AREA), np.uint8) for p in pictures if p is not None
    ]


def numbers(*, step: int, batch: int, rank: int = 0, processes: int = 1) -> Iterator[list[int]]:
    """The numbers of a process's samples, batch by batch from `step` on.

    Several processes take turns, so that together they see what one with a larger batch would.
    """
    for turn in count(step * processes + rank, processes):
        yield list(range(turn * batch, (turn + 1) * batch))


def batches(
    dataset: Masked, wanted: Iterator[list[int]], *, workers: int, pinned: bool = False
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
