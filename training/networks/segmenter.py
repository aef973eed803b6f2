"""The mask segmenter: which pixels of the canonical crop hide the face."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.networks.generator import Residual, down, up


class Segmenter(nn.Module):
    """A small U-Net with skips by addition. It enters through a pixel shuffle, so nothing runs at full resolution."""

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 64, 96)) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.enter = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, first, 3, padding=1), nn.LeakyReLU(0.2))
        self.down_second = nn.Sequential(down(first, second), Residual(second))
        self.down_third = nn.Sequential(down(second, third), Residual(third))
        self.down_fourth = nn.Sequential(down(third, fourth), Residual(fourth), nn.LeakyReLU(0.2), Residual(fourth))
        self.up_third = up(fourth, third)
        self.up_second = up(third, second)
        self.up_first = up(second, first)
        self.mend_third = nn.Sequential(nn.LeakyReLU(0.2), Residual(third))
        self.mend_second = nn.Sequential(nn.LeakyReLU(0.2), Residual(second))
        self.mend_first = nn.Sequential(nn.LeakyReLU(0.2), Residual(first), nn.LeakyReLU(0.2))
        self.leave = nn.Sequential(nn.Conv2d(first, 4, 3, padding=1), nn.PixelShuffle(2))

    def logits(self, crop: Tensor) -> Tensor:
        """(B, 3, S, S) RGB in [-1, 1] to (B, 1, S, S); S a multiple of 16."""
        first = self.enter(crop)  # (B, 24, S/2, S/2)
        second = self.down_second(first)  # (B, 48, S/4, S/4)
        third = self.down_third(second)  # (B, 64, S/8, S/8)
        deep = self.down_fourth(third)  # (B, 96, S/16, S/16)
        third = self.mend_third(self.up_third(deep) + third)
        second = self.mend_second(self.up_second(third) + second)
        logits: Tensor = self.leave(self.mend_first(self.up_first(second) + first))
        return logits

    def forward(self, crop: Tensor) -> Tensor:
        """The probability of mask, (B, 1, S, S) in [0, 1]."""
        return torch.sigmoid(self.logits(crop))


class Logits(nn.Module):
    """The segmenter as training runs it: its forward pass ends before the sigmoid."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, crop: Tensor) -> Tensor:
        """The logits, as `Segmenter.logits` gives them."""
        return self.segmenter.logits(crop)
