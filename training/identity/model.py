"""The Embedding Unmasking Model (arXiv 2103.01716, section 3.1): an embedding of a masked face in, a bare one's out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

SLOPE = 0.2
"""Of LeakyReLU below zero."""


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

    def forward(self, embedding: Tensor) -> Tensor:
        """(N, d) of unit length to (N, d) of unit length."""
        return functional.normalize(self.layers(embedding))
