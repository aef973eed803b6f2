"""The loss of "My Eyes Are Up Here" (Neto et al., arXiv 2108.00996), on the network itself.

A triplet loss tells people apart, and the squared difference of a photo's embeddings with and without its mask makes
the network overlook the mask. Rows are (N, d) of unit length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from training.identity.model import distance

if TYPE_CHECKING:
    from torch import Tensor

MARGIN = 0.2
"""Of the triplet loss, FaceNet's; the paper's is not known to us. dlib's strangers are about 0.33 apart, so that the
margin of 1 of the EUM could never be kept."""


def nearest_stranger(positive: Tensor, person: Tensor) -> Tensor:
    """(N, d) of the rows of `positive` (N, d), for each the nearest one of another person; `person` (N,) says whose."""
    apart = torch.cdist(positive, positive)
    apart = apart.masked_fill(person[:, None] == person, torch.inf)
    return positive[apart.argmin(1)]


def my_eyes(masked: Tensor, bare: Tensor, positive: Tensor, person: Tensor) -> Tensor:
    """mean(max(0, d(m, p) - d(m, n) + 0.2)) + mean(d(m, b)), d being squared distances.

    m is a masked photo, b the same photo without its mask, p a bare photo of the same person, and n that of the other
    person in the batch who is nearest to p.
    """
    negative = nearest_stranger(positive, person)
    triplet = functional.relu(distance(masked, positive) - distance(masked, negative) + MARGIN).mean()
    return triplet + distance(masked, bare).mean()
