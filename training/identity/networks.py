"""The networks of recognition as PyTorch trains them: the Embedding Unmasking Model, and dlib's face recogniser.

The Embedding Unmasking Model (arXiv 2103.01716, section 3.1) turns an embedding of a masked face into a bare one's.
It is trained with three losses of triplets. Each takes an anchor (the repaired embedding of a masked face), a positive
(a bare embedding of the same person) and a negative (of somebody else), (N, d) of unit length, and gives a scalar.
Distances are squared Euclidean ones: d1 from anchor to positive, d2 from anchor to negative, d3 from positive to
negative.

dlib's recogniser has the same weights as `pipeline.recognisers.dlib_resnet` reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional

from pipeline.errors import CheckpointError
from pipeline.recognisers.dlib_resnet import (
    DIMENSION,
    MEAN,
    SCALE,
    STAGES,
    read_convolution,
    read_tensors,
    stored_weights,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


SLOPE = 0.2
"""The slope of LeakyReLU below zero."""


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
"""The margins of the losses, as the paper's code has them."""


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
"""Each loss by its name in tables: `eum_srt`, `eum_t`, and `mse_triplet`."""


LAST_MAP = (256, 4)
"""Channels and side of the last feature map that has more than four places, that of the last block but one."""


class Block(nn.Module):
    """Two convolutions of 3x3 and what came in added to them; the first of a stage may halve the picture.

    Where the convolutions and the averaged input differ in size or channels, dlib adds as if the smaller one went on
    with zeros.
    """

    def __init__(self, inputs: int, outputs: int, *, halves: bool) -> None:
        super().__init__()
        self.halves, self.more_channels = halves, outputs - inputs
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2 if halves else 1, padding=0 if halves else 1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, value: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W), or half of H and W rounded down."""
        inner = self.second(functional.relu(self.first(value)))
        if self.halves:
            value = functional.avg_pool2d(value, 2)
            missing = value.shape[2] - inner.shape[2]
            inner = functional.pad(inner, (0, missing, 0, missing))
            value = functional.pad(value, (0, 0, 0, 0, 0, self.more_channels))
        return functional.relu(inner + value)


class DlibNetwork(nn.Module):
    """Pictures (N, 3, 150, 150) RGB in [0, 255] to embeddings (N, 128), which are not yet of unit length.

    dlib's affine layers, what is left of its batch normalisation, are folded into the convolutions. `inserted` is a
    layer of a method's own behind the last map.
    """

    def __init__(self, inserted: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STAGES[0][0], 7, stride=2)
        blocks, inputs = [], STAGES[0][0]
        for outputs, count, halves in STAGES:
            for number in range(count):
                blocks.append(Block(inputs, outputs, halves=halves and number == 0))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.inserted = inserted or nn.Identity()
        self.head = nn.Linear(inputs, DIMENSION, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1), persistent=False)

    def front(self, pictures: Tensor, blocks: int) -> Tensor:
        """(N, 3, 150, 150) to the output of the first `blocks` blocks: (N, 64, 17, 17) of 7, (N, 256, 4, 4) of 13."""
        value = (pictures - cast("Tensor", self.mean)) / SCALE
        value = functional.max_pool2d(functional.relu(self.stem(value)), 3, stride=2)  # (N, 32, 35, 35)
        return cast("Tensor", self.blocks[:blocks](value))

    def last_map(self, value: Tensor, blocks: int) -> Tensor:
        """Pictures, or the output of `front` where `blocks` is not 0, to the last map (N, 256, 4, 4)."""
        if not blocks:
            value = self.front(value, 0)
        return cast("Tensor", self.blocks[blocks:-1](value))

    def from_last_map(self, value: Tensor) -> Tensor:
        """The last map, after what was inserted, to embeddings (N, 128)."""
        return cast("Tensor", self.head(self.blocks[-1](value).mean((2, 3))))

    def back(self, value: Tensor, blocks: int) -> Tensor:
        """What `last_map` takes, to embeddings (N, 128)."""
        return self.from_last_map(self.inserted(self.last_map(value, blocks)))

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, 150, 150) to (N, 128)."""
        return self.back(pictures, 0)


def pretrained(network: DlibNetwork | None = None) -> DlibNetwork:
    """The network, a new one unless it is given, with dlib's weights; what is inserted keeps its own.

    Raises `CheckpointError` when the package of the weights is not installed.
    """
    network, tensors = network or DlibNetwork(), read_tensors(stored_weights())
    for layer in (network.stem, *network.blocks.modules()):
        if isinstance(layer, nn.Conv2d):
            weights, biases = read_convolution(tensors, layer.in_channels, layer.out_channels, layer.kernel_size[0])
            layer.load_state_dict({"weight": torch.from_numpy(weights), "bias": torch.from_numpy(biases)})

    head = torch.from_numpy(next(tensors).reshape(network.head.in_features, DIMENSION).copy())
    network.head.load_state_dict({"weight": head.T})
    if next(tensors, None) is not None:
        raise CheckpointError("dlib's file holds more layers than the network has")
    return network
