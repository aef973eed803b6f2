"""What a recogniser that knows masks is trained with: template distillation and a margin loss (MaskInv, 2112.05646).

Embeddings are rows (N, d); every function brings them to unit length itself and gives a scalar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

DISTILLATION_WEIGHT = 100.0
"""The paper's weight of the distillation, whose squared differences are averaged over the numbers of an embedding."""
SCALE = 64.0
"""What cosines are multiplied by before the softmax, as in the paper."""


def template_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean squared difference of the student's and the teacher's unit embeddings (MaskInv, equation 3)."""
    return functional.mse_loss(functional.normalize(student), functional.normalize(teacher))


def elastic_arc(
    student: Tensor,
    centres: Tensor,
    person: Tensor,
    *,
    margin: float,
    deviation: float = 0.0125,
    generator: torch.Generator | None = None,
) -> Tensor:
    """ElasticFace-Arc: the cross entropy of the scaled cosines to the people's `centres` (P, d), `person` (N,) being
    right, with a margin added to the angle to the right centre. Each row's margin is drawn from a normal distribution.
    """
    cosine = functional.normalize(student) @ functional.normalize(centres).T
    limit = 1 - 1e-6
    right = cosine.gather(1, person[:, None]).clamp(-limit, limit)
    drawn = margin + deviation * torch.randn(right.shape, generator=generator)
    wider = torch.cos((right.acos() + drawn).clamp(max=torch.pi))
    return functional.cross_entropy(SCALE * cosine.scatter(1, person[:, None], wider), person)
