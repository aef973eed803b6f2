"""The ways in which a recogniser learns to know masks: what is added to the network, and what it is trained with.

- MaskInv (arXiv 2112.05646): template distillation, and a margin loss between people.
- FROM (Qiu et al., arXiv 2108.09468): feature masking. A decoder says for every number of a feature map how far it can
  be trusted, and what an occlusion corrupted is turned down. A predictor says from the decoder's answer alone where the
  occlusion lies, which makes the decoder look at the occlusion. The paper's predictor names one of 101 patterns that
  the decoder cannot see; our masks are drawn, so ours learns the share of every place that is mask.
- FFR-Net (Hao et al., arXiv 2202.07358): feature rectification. From how alike the places of the last feature map are
  to each other, and its channels, a block predicts of which places, and of which channels, each new one is mixed.
- My Eyes Are Up Here (Neto et al., arXiv 2108.00996): a triplet loss tells people apart, and the squared difference of
  a photo's embeddings with and without its mask makes the network overlook the mask.

Embeddings are rows (N, d); the losses of embeddings give a scalar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional

from training.identity.networks import LAST_MAP, DlibNetwork, distance, pretrained

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from training.identity.faces import FaceBatch


DISTILLATION_WEIGHT = 100.0
"""The paper's weight of the distillation, whose squared differences are averaged over the numbers of an embedding."""
SOFTMAX_SCALE = 64.0
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
    return functional.cross_entropy(SOFTMAX_SCALE * cosine.scatter(1, person[:, None], wider), person)


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


CHANNEL_BRANCH_WIDTH = 32
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
        self.channel = nn.Sequential(
            nn.Linear(channels + places, CHANNEL_BRANCH_WIDTH), nn.PReLU(), nn.Linear(CHANNEL_BRANCH_WIDTH, channels)
        )
        self.merge = nn.Conv2d(3 * channels, channels, 3, padding=1)

        # Passes its input on at first, so that training begins at the network as it was.
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


TRIPLET_MARGIN = 0.2
"""The margin of the triplet loss, FaceNet's; the paper's is not known to us. dlib's strangers are about 0.33 apart, so
that the margin of 1 of the EUM could never be kept."""


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
    triplet = functional.relu(distance(masked, positive) - distance(masked, negative) + TRIPLET_MARGIN).mean()
    return triplet + distance(masked, bare).mean()


OCCLUSION_WEIGHT = 0.1


class Distillation:
    """MaskInv: the network as it is, taught by the frozen one, with a margin loss between people."""

    def __init__(self, identity: float, margin: float) -> None:
        self.identity, self.margin = identity, margin

    def network(self) -> DlibNetwork:
        """The network at its beginning: dlib's weights, and what the method adds."""
        return pretrained(DlibNetwork())

    def loss(self, network: DlibNetwork, batch: FaceBatch, frozen: int) -> Tensor:
        """The loss of a batch, a scalar; `frozen` blocks are computed already unless it is 0."""
        return self.taught(embedded(network, batch.value, frozen), batch)

    def taught(self, student: Tensor, batch: FaceBatch) -> Tensor:
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

    def loss(self, network: DlibNetwork, batch: FaceBatch, frozen: int) -> Tensor:
        """The loss of distillation, and of where the mask is."""
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

    def loss(self, network: DlibNetwork, batch: FaceBatch, frozen: int) -> Tensor:
        """The loss of thirds of a batch: masked photos, the same ones bare, and bare ones of the same people."""
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
"""Each method by its name in tables."""
