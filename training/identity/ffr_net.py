"""Feature rectification (FFR-Net, Hao et al., arXiv 2202.07358): a feature map repaired by how alike its parts are.

A block looks at the last feature map of a recogniser. From how alike the map's places are to each other, and its
channels, it predicts two matrices that say of which places, and of which channels, each new one is mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN = 32
"""Width of the channel branch between its layers, as in the paper's code."""


def self_similarity(rows: Tensor) -> Tensor:
    """(N, R, L) to (N, R, R): the cosine of every two rows."""
    unit = functional.normalize(rows, dim=2)
    return unit @ unit.transpose(1, 2)


class RectificationBlock(nn.Module):
    """A map (N, channels, side, side) to a repaired one of the same shape.

    It differs from the paper's in three ways: it begins as the identity, because our photos are few; each branch has
    two layers in place of six; and a mix is a mean, so that both branches stay as large as the map.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        places = side * side
        self.space = nn.Sequential(
            nn.Conv2d(channels + places, 4 * places, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(4 * places, places, 3, padding=1),
        )
        self.channel = nn.Sequential(nn.Linear(channels + places, HIDDEN), nn.PReLU(), nn.Linear(HIDDEN, channels))
        self.merge = nn.Conv2d(3 * channels, channels, 3, padding=1)
        nn.init.zeros_(self.merge.weight)
        nn.init.dirac_(self.merge.weight[:, :channels])
        nn.init.zeros_(cast("Tensor", self.merge.bias))

    def space_matrix(self, value: Tensor) -> Tensor:
        """(N, places, places) in [0, 1]: how much of each place (row) goes into each new one (column)."""
        count, _, height, width = value.shape
        alike = self_similarity(value.flatten(2).transpose(1, 2)).reshape(count, -1, height, width)
        return torch.sigmoid(self.space(torch.cat([value, alike], 1))).flatten(2)

    def channel_matrix(self, value: Tensor) -> Tensor:
        """(N, channels, channels) in [0, 1]: how much of each channel (column) goes into each new one (row)."""
        rows = value.flatten(2)  # (N, channels, places)
        return torch.sigmoid(self.channel(torch.cat([rows, self_similarity(rows)], 2)))

    def forward(self, value: Tensor) -> Tensor:
        """Both rectified maps and the map itself, merged by a convolution."""
        rows, mirrored = value.flatten(2), value.flip(3).flatten(2)  # (N, channels, places)
        by_space = (rows @ self.space_matrix(value) / rows.shape[2]).reshape(value.shape)

        # A face's other half tells the same, so the channel branch sees the map and its mirror image.
        mixed = self.channel_matrix(value) @ (rows + mirrored) / (2 * rows.shape[1])
        by_channel = mixed.reshape(value.shape)
        return cast("Tensor", self.merge(torch.cat([value, by_space, by_channel], 1)))
