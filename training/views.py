"""A batch as the losses and the networks see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

from pipeline.geometry import CROP_SIZE
from pipeline.segment import INPUT_SIZE

if TYPE_CHECKING:
    from torch import Tensor


def picture(x: Tensor) -> Tensor:
    """uint8 to [-1, 1]."""
    return x.float() / 127.5 - 1


def hole_of(alpha: Tensor, *, grow: int) -> Tensor:
    """(B, 1, S, S) what the generator fills: the alpha, grown by `grow` pixels and softened."""
    return functional.avg_pool2d(grown((alpha > 0.15).float(), grow), 3, stride=1, padding=1)


def grown(hole: Tensor, pixels: int) -> Tensor:
    """The largest value within a square of `pixels` to each side, rows first and then columns."""
    side = 2 * pixels + 1
    rows = functional.max_pool2d(hole, (side, 1), stride=1, padding=(pixels, 0))
    return functional.max_pool2d(rows, (1, side), stride=1, padding=(0, pixels))


def scaled(pixels: int, size: int) -> int:
    """Pixels of a crop `size` wide for pixels of the canonical one; at least 1."""
    return max(1, round(pixels * size / CROP_SIZE))


def segmenter_sized(x: Tensor) -> Tensor:
    """(B, C, S, S) at the size of the segmenter's input."""
    return functional.avg_pool2d(x, x.shape[-1] // INPUT_SIZE)
