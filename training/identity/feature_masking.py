"""Feature masking (FROM, Qiu et al., arXiv 2108.09468): what an occlusion corrupted in a feature map is turned down.

A decoder says for every number of the map how far it can be trusted. A predictor says from the decoder's answer alone
where the occlusion lies, which makes the decoder look at the occlusion. The paper's predictor names one of 101 patterns
that the decoder cannot see; our masks are drawn, so the share of every place that is mask is known and is what ours
learns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class FeatureMasking(nn.Module):
    """A map (N, channels, side, side) to the same map with its corrupted numbers turned down; at the beginning none."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(channels // 4, channels, 3, padding=1),
        )
        last = cast("nn.Conv2d", self.decoder[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast("Tensor", last.bias))
        self.predictor = nn.Conv2d(channels, 1, 1)

    def trust(self, value: Tensor) -> Tensor:
        """(N, channels, side, side) in [0, 1]: how far each number of the map can be trusted; 1/2 at the beginning."""
        return torch.sigmoid(self.decoder(value))

    def occlusion(self, trust: Tensor) -> Tensor:
        """(N, side, side) logits of how much of each place is hidden, seen from the trust alone."""
        return cast("Tensor", self.predictor(trust))[:, 0]

    def masked(self, value: Tensor, trust: Tensor) -> Tensor:
        """The map times twice the trust, so that it begins as it is."""
        return value * (2 * trust)

    def forward(self, value: Tensor) -> Tensor:
        """The masked map, when where the occlusion lies is not asked for."""
        return self.masked(value, self.trust(value))


def occlusion_loss(logits: Tensor, cover: Tensor) -> Tensor:
    """The binary cross entropy of predicted and true shares of each place that are hidden, both (N, side, side)."""
    return functional.binary_cross_entropy_with_logits(logits, cover)
