"""The M-CSAM generator: multi-scale channel-spatial attention at a size that a CPU runs at video rate.

After "Face Mask Removal with Region-attentive Face Inpainting" (arXiv 2409.06845). What we keep: four parallel dilated
convolutions a block (1, 2, 4, 8), their joint channel-spatial attention, the composite as the thing that is supervised.
What differs: a trunk draws the face at half the side, a shallow stage refines that at the full one, so depth costs a
quarter and what the trunk learned small is used as it is; pictures enter and leave through a pixel shuffle by 4, so
nothing runs at full resolution; skips are added, not concatenated; there is no normalisation, residual branches start
at zero instead; and the pixels under the mask are removed before the first convolution, so that a real mask cannot look
different from a drawn one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

DILATIONS = (1, 2, 4, 8)


@dataclass(frozen=True)
class GeneratorConfig:
    """How large the generator is."""

    widths: tuple[int, int, int] = (64, 128, 192)
    """The trunk's channels at a quarter, an eighth and a sixteenth of its picture's side."""
    blocks: int = 4
    """M-CSAM blocks at the trunk's bottom."""
    dilations: tuple[int, ...] = DILATIONS
    """Of a block's branches, which share its channels; as many as divide them."""
    refined: int = 64
    """Channels of the refining stage."""


def zeroed(layer: nn.Conv2d) -> None:
    """Let a layer begin with weights of zero, so that what it is added to comes through as it is."""
    for weight in layer.parameters():
        nn.init.zeros_(weight)


class ChannelSpatialAttention(nn.Module):
    """Attention over channels, rows and columns at once: the features as one volume through a single 3x3x3 filter.

    The filter is run as three depthwise convolutions over neighbouring channels, which gives the same sums: runtimes
    have no fast path for a 3-D convolution of one channel, and four of them took half of the generator's time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv3d(1, 1, 3, padding=1)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x + self.gain * x * torch.sigmoid(self.filtered(x))

    def filtered(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same: `filter` over the volume (C, H, W)."""
        channels = x.shape[1]
        nearby = functional.pad(x, (0, 0, 0, 0, 1, 1))  # (B, C + 2, H, W)
        slices = self.filter.weight[0, 0].unbind()
        return cast("Tensor", self.filter.bias) + sum(
            functional.conv2d(nearby[:, k : k + channels], kernel.expand(channels, 1, 3, 3), padding=1, groups=channels)
            for k, kernel in enumerate(slices)
        )


class McsamBlock(nn.Module):
    """Dilated branches side by side, attended to jointly, added to what came in (section 3 of the paper)."""

    def __init__(self, width: int, dilations: tuple[int, ...] = DILATIONS) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(width, width // len(dilations), 3, padding=d, dilation=d) for d in dilations
        )
        self.attention = ChannelSpatialAttention()
        self.fuse = nn.Conv2d(width, width, 1)
        zeroed(self.fuse)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        seen = torch.cat([branch(x) for branch in self.branches], dim=1)
        change: Tensor = self.fuse(self.attention(functional.leaky_relu(seen, 0.2)))
        return x + change


class Residual(nn.Module):
    """Two 3x3 convolutions added to what came in; the second starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        zeroed(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        change: Tensor = self.second(functional.leaky_relu(self.first(x), 0.2))
        return x + change


def down(width: int, out: int) -> nn.Module:
    """Half the side: (B, width, H, W) to (B, out, H/2, W/2)."""
    return nn.Sequential(nn.Conv2d(width, out, 3, stride=2, padding=1), nn.LeakyReLU(0.2))


def up(width: int, out: int) -> nn.Module:
    """Twice the side: (B, width, H, W) to (B, out, 2H, 2W)."""
    return nn.Sequential(nn.Conv2d(width, 4 * out, 1), nn.PixelShuffle(2))


class Trunk(nn.Module):
    """A U-Net with M-CSAM blocks at its bottom: picture without its hole in, face out, and what it knows of it."""

    def __init__(self, config: GeneratorConfig = GeneratorConfig()) -> None:
        super().__init__()
        fine, middle, coarse = config.widths
        self.enter = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(64, fine, 3, padding=1), nn.LeakyReLU(0.2))
        self.to_middle = nn.Sequential(down(fine, middle), Residual(middle))
        self.to_coarse = down(middle, coarse)
        self.bottom = nn.Sequential(*[McsamBlock(coarse, config.dilations) for _ in range(config.blocks)])
        self.from_coarse = up(coarse, middle)
        self.mend_middle = nn.Sequential(nn.LeakyReLU(0.2), Residual(middle))
        self.from_middle = up(middle, fine)
        self.mend_fine = nn.Sequential(nn.LeakyReLU(0.2), Residual(fine), nn.LeakyReLU(0.2))
        self.leave = nn.Sequential(nn.Conv2d(fine, 48, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, crop_and_mask: Tensor) -> Tensor:
        """As `Generator.forward`, at any S that is a multiple of 16: how the trunk is trained alone."""
        return torch.tanh(self.draw(without_hole(crop_and_mask))[0])

    def draw(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 4, S, S) of `without_hole` to the face (B, 3, S, S) before its tanh and features (B, fine, S/4, S/4)."""
        fine = self.enter(seen)
        middle = self.to_middle(fine)  # S/8
        deep = self.bottom(self.to_coarse(middle))  # S/16
        middle = self.mend_middle(self.from_coarse(deep) + middle)
        fine = self.mend_fine(self.from_middle(middle) + fine)
        return self.leave(fine), fine


class Generator(nn.Module):
    """Picture and mask in, face out."""

    def __init__(self, config: GeneratorConfig = GeneratorConfig()) -> None:
        super().__init__()
        self.trunk = Trunk(config)
        width = config.refined
        self.enter = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(64, width, 3, padding=1))
        self.widen = up(config.widths[0], width)
        self.mend = nn.Sequential(nn.LeakyReLU(0.2), Residual(width), nn.LeakyReLU(0.2))
        # In two steps: a shuffle by 4 at once left combs of its own period in lips and nostrils.
        refine = nn.Conv2d(width // 2, 12, 3, padding=1)
        zeroed(refine)
        self.leave = nn.Sequential(up(width, width // 2), nn.LeakyReLU(0.2), refine, nn.PixelShuffle(2))

    def forward(self, crop_and_mask: Tensor) -> Tensor:
        """(B, 4, S, S), RGB in [-1, 1] and mask in [0, 1], to the face (B, 3, S, S) in [-1, 1]; S a multiple of 32.

        1 in the mask is hidden.
        """
        seen = without_hole(crop_and_mask)
        coarse, known = self.trunk.draw(functional.avg_pool2d(seen, 2))
        fine = self.mend(self.enter(seen) + self.widen(known))  # (B, 64, S/4, S/4)
        whole = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        return torch.tanh(whole + self.leave(fine))


def without_hole(crop_and_mask: Tensor) -> Tensor:
    """(B, 4, S, S): the crop with nothing under its mask, and the mask."""
    crop, mask = crop_and_mask[:, :3], crop_and_mask[:, 3:]
    return torch.cat([crop * (1 - mask), mask], dim=1)


def multiply_adds(network: nn.Module, *shape: int) -> int:
    """How many multiply-adds one run on an input of `shape` costs: convolutions only, as the literature counts them."""
    total = 0

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            total += output.numel() * module.weight[0].numel()

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    with torch.no_grad():
        network(torch.zeros(shape))
    for hook in hooks:
        hook.remove()
    return total
