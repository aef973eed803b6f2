"""What the frozen front of a recogniser makes of stored faces, computed once and kept on the disk.

A network whose first blocks stay as they are need not compute them again at every step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from training.identity.faces import BORDER

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from training.identity.dlib_network import DlibNetwork
    from training.identity.faces import StoredFaces

BATCH = 32


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
        for first in range(0, len(missing), BATCH):
            some = missing[first : first + BATCH]
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
