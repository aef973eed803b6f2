"""Training pictures of a recogniser, drawn from stored faces, and what its frozen front makes of them.

A network whose first blocks stay as they are need not compute them again at every step: the front's output is computed
once for every stored face and kept on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch.nn import functional

from training.identity.faces import BORDER, COVER_SIDE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from training.identity.faces import StoredFaces
    from training.identity.networks import DlibNetwork

    Rows = NDArray[np.int64]
    Rng = np.random.Generator


FRONT_BATCH = 32


class Fronts:
    """The front's output for every stored face: bare and in each mask, as it is and mirrored; computed when first used.

    `looks` counts 0 for bare and k + 1 for mask k.
    """

    def __init__(self, faces: StoredFaces, folder: Path, network: DlibNetwork, blocks: int) -> None:
        self.faces, self.network, self.blocks = faces, network, blocks
        with torch.no_grad():
            shape = network.front(torch.zeros(1, 3, *(side - 2 * BORDER for side in faces.bare.shape[1:3])), blocks)
        entries = (len(faces.files), 1 + faces.masked.shape[1], 2)
        self.stored = _array(folder / f"front-{blocks}.npy", np.float16, (*entries, *shape.shape[1:]))
        self.done = _array(folder / f"front-{blocks}-done.npy", np.bool_, entries)

    def __call__(self, rows: NDArray[np.int64], looks: NDArray[np.int64], mirrored: NDArray[np.int64]) -> Tensor:
        """(N, channels, H, W) for N entries, channels last in memory."""
        missing = np.flatnonzero(~self.done[rows, looks, mirrored])
        for first in range(0, len(missing), FRONT_BATCH):
            some = missing[first : first + FRONT_BATCH]
            self._compute(rows[some], looks[some], mirrored[some])
        found = torch.from_numpy(self.stored[rows, looks, mirrored].astype(np.float32))
        return found.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _compute(self, rows: NDArray[np.int64], looks: NDArray[np.int64], mirrored: NDArray[np.int64]) -> None:
        pictures = as_pictures(chips_of(self.faces, rows, looks, mirrored))
        with torch.autocast("cpu", torch.bfloat16):
            value = self.network.front(pictures, self.blocks)
        self.stored[rows, looks, mirrored] = value.float().numpy()
        self.done[rows, looks, mirrored] = True


def _array(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """The array in `path`, or a new one of zeros; the system writes it to the disk when it likes."""
    if path.exists():
        return np.lib.format.open_memmap(path, "r+")
    return np.lib.format.open_memmap(path, "w+", kind, shape)


def as_pictures(chips: NDArray[np.generic]) -> Tensor:
    """(N, S, S, 3) to (N, 3, S, S) float32, channels last in memory, which is what the CPU is quick with."""
    planes = torch.from_numpy(np.ascontiguousarray(chips, np.float32)).permute(0, 3, 1, 2)
    return planes.contiguous(memory_format=torch.channels_last)


def chips_of(
    faces: StoredFaces,
    rows: NDArray[np.int64],
    looks: NDArray[np.int64],
    mirrored: NDArray[np.int64],
    *,
    border: int = 0,
) -> NDArray[np.uint8]:
    """(N, S, S, 3) stored faces, each in one of its looks, with `border` pixels more than the recogniser's picture."""
    chips = [faces.masked[row, look - 1] if look else faces.bare[row] for row, look in zip(rows, looks, strict=True)]
    turned = [chip[:, ::-1] if mirror else chip for chip, mirror in zip(chips, mirrored, strict=True)]
    off = BORDER - border
    return np.stack(turned)[:, off : len(chips[0]) - off, off : len(chips[0]) - off]


@dataclass(frozen=True)
class Batch:
    """N training pictures."""

    value: Tensor
    """(N, 3, 150, 150) pictures, or what the frozen front makes of them."""
    teacher: Tensor
    """(N, d) the teacher's embeddings of the bare photos."""
    person: Tensor
    """(N,) who it is, counted from 0."""
    centres: Tensor
    """(people, d) the mean of the teacher's embeddings of each person, of unit length."""
    cover: Tensor
    """(N, C, C) how much of each place of the picture is mask, in [0, 1]."""


class Sampler:
    """Draws training pictures from stored faces: half of them mirrored, and without `fronts` varied in other ways."""

    def __init__(self, faces: StoredFaces, rows: Rows, fronts: Fronts | None = None) -> None:
        self.faces, self.rows, self.fronts = faces, rows, fronts
        self.person = np.unique(faces.people[rows], return_inverse=True)[1]
        self.order = np.argsort(self.person, kind="stable")
        self.starts = np.searchsorted(self.person[self.order], np.arange(self.person.max() + 2))
        teacher = torch.from_numpy(np.asarray(faces.teacher[rows]))
        centres = torch.zeros(int(self.person.max()) + 1, teacher.shape[1])
        centres.index_add_(0, torch.from_numpy(self.person), teacher)
        self.centres = functional.normalize(centres)  # (people, d)

    def batch(self, count: int, masked: float, rng: Rng) -> Batch:
        """A batch of `count` pictures, a part of `masked` of which wear one of their masks."""
        places = rng.integers(0, len(self.rows), count)
        return self._of(places, np.where(rng.random(count) < masked, self._masks(count, rng), 0), rng)

    def thirds(self, count: int, rng: Rng) -> Batch:
        """A batch of `count` pictures in thirds: masked ones, the same photos bare, and bare ones of their people."""
        third = count // 3
        places = rng.integers(0, len(self.rows), third)
        person = self.person[places]
        others = self.order[rng.integers(self.starts[person], self.starts[person + 1])]
        looks = np.concatenate([self._masks(third, rng), np.zeros(2 * third, np.int64)])
        return self._of(np.concatenate([places, places, others]), looks, rng)

    def _masks(self, count: int, rng: Rng) -> Rows:
        return rng.integers(1, 1 + self.faces.masked.shape[1], count)

    def _of(self, places: Rows, looks: Rows, rng: Rng) -> Batch:
        rows, mirrored = self.rows[places], rng.integers(0, 2, len(places))
        if self.fronts is not None:
            value = self.fronts(rows, looks, mirrored)
        else:
            bordered = chips_of(self.faces, rows, looks, mirrored, border=BORDER)
            value = as_pictures(np.stack([varied(chip, rng) for chip in bordered]))
        teacher = torch.from_numpy(np.asarray(self.faces.teacher[rows]))
        cover = covers_of(self.faces, rows, looks, mirrored)
        return Batch(value, teacher, torch.from_numpy(self.person[places]), self.centres, cover)


def covers_of(faces: StoredFaces, rows: Rows, looks: Rows, mirrored: Rows) -> Tensor:
    """(N, C, C) in [0, 1]: how much of each place of the recogniser's picture, without its border, is mask."""
    covers = np.where(looks[:, None, None] > 0, faces.cover[rows, np.maximum(looks - 1, 0)], 0).astype(np.float32) / 255
    turned = np.where(mirrored[:, None, None] > 0, covers[:, :, ::-1], covers)
    edge = round(COVER_SIDE * BORDER / faces.bare.shape[1])
    return torch.from_numpy(np.ascontiguousarray(turned[:, edge : COVER_SIDE - edge, edge : COVER_SIDE - edge]))


def varied(chip: NDArray[np.uint8], rng: Rng) -> NDArray[np.float32]:
    """A picture (S - 2 BORDER wide) of a stored face (S, S, 3) as another frame might have shown it."""
    side, middle = chip.shape[0] - 2 * BORDER, (chip.shape[0] - 1) / 2
    matrix = np.array(cv2.getRotationMatrix2D((middle, middle), rng.normal(0, 2.0), rng.normal(1.0, 0.025)))
    matrix[:, 2] = matrix[:, 2] + rng.normal(0, 1.5, 2) - BORDER
    picture = cv2.warpAffine(chip, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101).astype(np.float32)
    lit = (picture - 128) * rng.uniform(0.8, 1.2) + 128 + rng.normal(0, 10)
    return np.asarray(np.clip(lit, 0, 255), np.float32)
