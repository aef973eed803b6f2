"""A batch as the losses and the networks see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from pipeline.draw.segment import INPUT_SIZE
from pipeline.geometry import CROP_SIZE

if TYPE_CHECKING:
    from torch import Tensor


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
