"""dlib's face recogniser as a trainable network: the same weights as `pipeline.recognisers.dlib_resnet` reads."""

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
    from torch import Tensor


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

    dlib's affine layers, what is left of its batch normalisation, are folded into the convolutions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STAGES[0][0], 7, stride=2)
        blocks, inputs = [], STAGES[0][0]
        for outputs, count, halves in STAGES:
            for number in range(count):
                blocks.append(Block(inputs, outputs, halves=halves and number == 0))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, DIMENSION, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1), persistent=False)

    def features(self, pictures: Tensor) -> Tensor:
        """(N, 256, 4, 4): the map of the last block but one, the last that has more than one place."""
        value = (pictures - cast("Tensor", self.mean)) / SCALE
        value = functional.max_pool2d(functional.relu(self.stem(value)), 3, stride=2)  # (N, 32, 35, 35)
        return cast("Tensor", self.blocks[:-1](value))

    def embedding(self, features: Tensor) -> Tensor:
        """(N, 256, 4, 4) of `features` to (N, 128)."""
        return cast("Tensor", self.head(self.blocks[-1](features).mean((2, 3))))

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, 150, 150) to (N, 128)."""
        return self.embedding(self.features(pictures))


def pretrained() -> DlibNetwork:
    """The network with dlib's weights. Raises `CheckpointError` when their package is not installed."""
    network, tensors = DlibNetwork(), read_tensors(stored_weights())
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            weights, biases = read_convolution(tensors, layer.in_channels, layer.out_channels, layer.kernel_size[0])
            layer.load_state_dict({"weight": torch.from_numpy(weights), "bias": torch.from_numpy(biases)})
    head = torch.from_numpy(next(tensors).reshape(network.head.in_features, DIMENSION).copy())
    network.head.load_state_dict({"weight": head.T})
    if next(tensors, None) is not None:
        raise CheckpointError("dlib's file holds more layers than the network has")
    return network
