"""The Embedding Unmasking Model (arXiv 2103.01716, section 3.1): an embedding of a masked face in, a bare one's out."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

SLOPE = 0.2
"""Of LeakyReLU below zero."""


LIFT = 3.0
"""Standard deviations by which an input is lifted at the beginning."""


class EmbeddingUnmaskingModel(nn.Module):
    """Four full connections as wide as the embedding, each normalised over the batch; LeakyReLU behind the first three.

    It works on what a frozen recogniser gives, and is asked for masked faces only.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Linear(width, width), nn.BatchNorm1d(width), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Linear(width, width), nn.BatchNorm1d(width))

    def begin_as_they_are(self, bare: Tensor) -> None:
        """Begin at the identity but for mean and spread, which are those of the embeddings `bare` (N, d).

        Each connection passes its input on, and each normalisation lifts it to where LeakyReLU is a straight line.
        From random weights a few thousand faces are too few to find the way back to this (docs/identity.md).
        """
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.eye_(layer.weight)
                nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.BatchNorm1d):
                nn.init.constant_(layer.bias, LIFT)
        last = cast("nn.BatchNorm1d", self.layers[-1])
        last.weight.data.copy_(bare.std(0))
        last.bias.data.copy_(bare.mean(0))

    def forward(self, embedding: Tensor) -> Tensor:
        """(N, d) of unit length to (N, d) of unit length."""
        return functional.normalize(self.layers(embedding))
