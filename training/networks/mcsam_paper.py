"""The generator of "Face Mask Removal with Region-attentive Face Inpainting" (arXiv 2409.06845), to compare with.

Gated convolutions down to a sixteenth of the side, three M-CSAM blocks there, gated convolutions up again with skips by
concatenation: 44.7 M weights and 25.9 G multiply-adds at 256x256. Two things differ from the code that was released
with the paper. Its last layer ends in a leaky rectifier and a batch normalisation, from which no picture in [-1, 1]
comes; ours ends in a tanh. And the second, unused pass of each training step, which only soiled the statistics of the
normalisation, is left out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.generator import DILATIONS, ChannelSpatialAttention

WIDTH = 64
"""Channels of the paper's first layer; those of all others are multiples of it."""

INNER, OUTER = 25.38e9, 0.528e9
"""Multiply-adds at the paper's width and 256x256 of the layers between features, which grow with the square of the
width, and of those that touch the picture, which grow with the width."""


def width_of(multiply_adds: float) -> int:
    """The width whose cost at 256x256 comes nearest to `multiply_adds`."""
    share = (math.sqrt(OUTER**2 + 4 * INNER * multiply_adds) - OUTER) / (2 * INNER)
    return max(1, round(WIDTH * share))


class Gated(nn.Module):
    """A 3x3 convolution whose every value another one lets through or holds back (Yu et al. 2019)."""

    def __init__(self, width: int, out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.feature = nn.Conv2d(width, out, 3, stride, padding=1)
        self.gate = nn.Conv2d(width, out, 3, stride, padding=1)
        self.norm = nn.BatchNorm2d(out)
        for layer in (self.feature, self.gate):
            nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to (B, out, H / stride, W / stride)."""
        through: Tensor = self.norm(functional.leaky_relu(self.feature(x), 0.2) * torch.sigmoid(self.gate(x)))
        return through


class Branch(nn.Module):
    """One dilation of a block: two 3x3 convolutions, the second to a quarter of the channels, borders mirrored."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, dilation=dilation, padding=dilation, padding_mode="reflect")
        self.second = nn.Conv2d(width, width // len(DILATIONS), 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C/4, H, W); H and W are larger than the dilation."""
        seen = functional.relu(functional.instance_norm(self.first(x)))
        return functional.instance_norm(self.second(seen))


class Block(nn.Module):
    """An M-CSAM block: the branches side by side, attended to jointly, added to what came in (section 3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(width, dilation) for dilation in DILATIONS)
        self.attention = ChannelSpatialAttention()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        change: Tensor = self.attention(torch.cat([branch(x) for branch in self.branches], dim=1))
        return x + change


class McsamPaper(nn.Module):
    """Picture and mask in, face out. `width` 64 is the paper's."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        first, second, third, fourth = (width * times for times in (1, 2, 4, 8))
        self.enter = Gated(4, first, stride=2)
        self.down_second = Gated(first, second, stride=2)
        self.down_third = Gated(second, third, stride=2)
        self.down_fourth = Gated(third, fourth, stride=2)
        self.bottom = nn.Sequential(*[Block(fourth) for _ in range(3)])
        self.up_third = Gated(2 * fourth, third)
        self.up_second = Gated(2 * third, second)
        self.up_first = Gated(2 * second, first)
        self.leave = nn.Conv2d(2 * first, 3, 3, padding=1)
        self.leave_gate = nn.Conv2d(2 * first, 3, 3, padding=1)

    def forward(self, crop_and_mask: Tensor) -> Tensor:
        """(B, 4, S, S), RGB in [-1, 1] and mask in [0, 1], to the face (B, 3, S, S) in [-1, 1].

        1 in the mask is hidden; as in the paper the mask is still painted on the picture. S is a multiple of 16 and,
        since the widest branch mirrors 8 of S/16 pixels, at least 144.
        """
        first = self.enter(crop_and_mask)  # (B, 64, S/2, S/2)
        second = self.down_second(first)  # (B, 128, S/4, S/4)
        third = self.down_third(second)  # (B, 256, S/8, S/8)
        fourth = self.down_fourth(third)  # (B, 512, S/16, S/16)
        x = self.up_third(twice(self.bottom(fourth), fourth))
        x = self.up_second(twice(x, third))
        x = twice(self.up_first(twice(x, second)), first)
        return torch.tanh(self.leave(x) * torch.sigmoid(self.leave_gate(x)))


def twice(x: Tensor, skipped: Tensor) -> Tensor:
    """Both beside each other at twice the side, by nearest neighbour."""
    return functional.interpolate(torch.cat([x, skipped], dim=1), scale_factor=2, mode="nearest")
