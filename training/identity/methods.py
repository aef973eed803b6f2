"""The ways in which a recogniser learns to know masks: what is added to the network, and what it is trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from training.identity.distillation_losses import DISTILLATION_WEIGHT, elastic_arc, template_distillation
from training.identity.dlib_network import LAST_MAP, DlibNetwork, pretrained
from training.identity.feature_masking import FeatureMasking, occlusion_loss
from training.identity.ffr_net import RectificationBlock
from training.identity.my_eyes import my_eyes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from training.identity.sampler import Batch

OCCLUSION_WEIGHT = 0.1


class Distillation:
    """MaskInv: the network as it is, taught by the frozen one, with a margin loss between people."""

    def __init__(self, identity: float, margin: float) -> None:
        self.identity, self.margin = identity, margin

    def network(self) -> DlibNetwork:
        """The network at its beginning: dlib's weights, and what the method adds."""
        return pretrained(DlibNetwork())

    def loss(self, network: DlibNetwork, batch: Batch, frozen: int) -> Tensor:
        """The loss of a batch, a scalar; `frozen` blocks are computed already unless it is 0."""
        return self.taught(embedded(network, batch.value, frozen), batch)

    def taught(self, student: Tensor, batch: Batch) -> Tensor:
        """Distillation and margin loss of the student's embeddings (N, d)."""
        distilled = DISTILLATION_WEIGHT * template_distillation(student, batch.teacher)
        if not self.identity:
            return distilled
        return distilled + self.identity * elastic_arc(student, batch.centres, batch.person, margin=self.margin)


class Rectified(Distillation):
    """FFR-Net: a rectification block behind the last map."""

    def network(self) -> DlibNetwork:
        """The network with the block."""
        return pretrained(DlibNetwork(RectificationBlock(*LAST_MAP)))


class Occluded(Distillation):
    """FROM: a decoder that turns corrupted features down, and learns where the mask is."""

    def network(self) -> DlibNetwork:
        """The network with the decoder."""
        return pretrained(DlibNetwork(FeatureMasking(LAST_MAP[0])))

    def loss(self, network: DlibNetwork, batch: Batch, frozen: int) -> Tensor:
        """As for distillation, and where the mask is."""
        masking = network.inserted
        if not isinstance(masking, FeatureMasking):
            raise TypeError(f"a network with feature masking is needed, not {type(masking).__name__}")
        with torch.autocast("cpu", torch.bfloat16):
            last_map = network.last_map(batch.value, frozen)
            trust = masking.trust(last_map)
            student = network.from_last_map(masking.masked(last_map, trust)).float()
            occlusion = masking.occlusion(trust).float()
        cover = functional.adaptive_avg_pool2d(batch.cover[:, None], occlusion.shape[-1])[:, 0]
        return self.taught(student, batch) + OCCLUSION_WEIGHT * occlusion_loss(occlusion, cover)


class MyEyes(Distillation):
    """My Eyes Are Up Here: a triplet loss, and the same embedding with and without the mask; without a teacher."""

    def loss(self, network: DlibNetwork, batch: Batch, frozen: int) -> Tensor:
        """Of thirds of a batch: masked photos, the same ones bare, and bare ones of the same people."""
        unit = functional.normalize(embedded(network, batch.value, frozen))
        masked, bare, positive = unit.chunk(3)
        return my_eyes(masked, bare, positive, batch.person[: len(masked)])


def embedded(network: DlibNetwork, value: Tensor, frozen: int) -> Tensor:
    """(N, d) float32 of pictures, or of what the frozen blocks made of them."""
    with torch.autocast("cpu", torch.bfloat16):
        found = network.back(value, frozen) if frozen else network(value)
    return found.float()


METHODS: Mapping[str, type[Distillation]] = {
    "maskinv": Distillation,
    "ffr_net": Rectified,
    "from": Occluded,
    "my_eyes": MyEyes,
}
"""By the names of tables."""
