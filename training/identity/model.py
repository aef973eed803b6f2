"""The Embedding Unmasking Model (arXiv 2103.01716, section 3.1): an embedding of a masked face in, a bare one's out.

It is trained with three losses of triplets. Each takes an anchor (the repaired embedding of a masked face), a positive
(a bare embedding of the same person) and a negative (of somebody else), (N, d) of unit length, and gives a scalar.
Distances are squared Euclidean ones: d1 from anchor to positive, d2 from anchor to negative, d3 from positive to
negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


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


MARGIN_TRIPLET, MARGIN_SRT = 1.0, 2.0
"""As the paper's code has them."""


def distance(one: Tensor, other: Tensor) -> Tensor:
    """(N,) squared Euclidean distances of the rows of two (N, d)."""
    return (one - other).square().sum(1)


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """mean(max(0, d1 - d2 + 1)): Schroff et al., "FaceNet", equation 3."""
    apart = distance(anchor, positive) - distance(anchor, negative)
    return functional.relu(apart + MARGIN_TRIPLET).mean()


def self_restrained_triplet(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """The self-restrained triplet loss (arXiv 2103.01716, equation 3).

    Once anchors are, on average over the batch, as far from the negatives as the bare embeddings are, there is nothing
    more to be had there: the negative's place is taken by the constant mean(d3), and only the pull to the positive is
    left. Until then it is the plain triplet loss with a margin of 2.
    """
    to_positive, to_negative = distance(anchor, positive), distance(anchor, negative)
    between = distance(positive, negative).mean().detach()
    away = between if to_negative.mean() >= between else to_negative
    return functional.relu(to_positive - away + MARGIN_SRT).mean()


def mse_triplet(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """The plain triplet loss and the squared difference of anchor and positive: Neto et al., "My Eyes Are Up Here",
    arXiv 2108.00996. The difference is summed over the embedding and weighs 1; the paper's weight is not known to us.
    """
    return triplet(anchor, positive, negative) + distance(anchor, positive).mean()


LOSSES: Mapping[str, Loss] = {"srt": self_restrained_triplet, "t": triplet, "mse_triplet": mse_triplet}
"""By the names of tables: `eum_srt`, `eum_t`, and `mse_triplet`."""
