"""What the Embedding Unmasking Model is trained with: three losses of triplets.

Each takes an anchor (the repaired embedding of a masked face), a positive (a bare embedding of the same person) and a
negative (of somebody else), (N, d) of unit length, and gives a scalar. Distances are squared Euclidean ones:
d1 from anchor to positive, d2 from anchor to negative, d3 from positive to negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

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
