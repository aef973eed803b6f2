"""The networks that ship. The M-CSAM generator: multi-scale channel-spatial attention at a CPU's video rate.

After "Face Mask Removal with Region-attentive Face Inpainting" (arXiv 2409.06845). What we keep: four parallel dilated
convolutions a block (1, 2, 4, 8), their joint channel-spatial attention, the composite as the thing that is supervised.
What differs: a trunk draws the face at half the side, a shallow stage refines that at the full one, so depth costs a
quarter and what the trunk learned small is used as it is; pictures are shuffled to a quarter of their side and back, so
nothing runs at full resolution; skips are added, not concatenated; there is no normalisation, residual branches start
at zero instead; and the pixels under the mask are removed before the first convolution, so that a real mask cannot look
different from a drawn one.

The segmenter, which pixels of the canonical crop hide the face, is a small U-Net of the same parts, refined likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

DILATIONS = (1, 2, 4, 8)


@dataclass(frozen=True)
class GeneratorConfig:
    """How large the generator is."""

    widths: tuple[int, int, int] = (96, 160, 256)
    """The trunk's channels at a quarter, an eighth and a sixteenth of its picture's side."""
    blocks: int = 4
    """M-CSAM blocks at the trunk's bottom."""
    dilations: tuple[int, ...] = DILATIONS
    """The dilations of a block's branches, which share its channels; as many as divide them."""
    refined: int = 64
    """Channels of the refining stage."""
    mended: int = 2
    """Residual layers of the refining stage."""
    expression: bool = False
    """Whether the trunk takes what the mouth does as a second input."""


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


class Dilated(nn.Conv2d):
    """A 3x3 convolution with holes, as large as what comes in.

    In training it is run without them on the d x d pictures that take every d-th row and column, which gives the same
    sums: backwards, a CPU takes many times as long for taps that lie apart.
    """

    def __init__(self, width: int, out: int, dilation: int) -> None:
        super().__init__(width, out, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out, H, W)."""
        d, (count, channels, high, wide) = self.dilation[0], x.shape
        if not self.training or d == 1 or high % d or wide % d:
            return super().forward(x)
        rows, columns = high // d, wide // d
        apart = x.reshape(count, channels, rows, d, columns, d).permute(0, 3, 5, 1, 2, 4)
        apart = apart.reshape(-1, channels, rows, columns)
        small = rows == columns <= 2  # almost all taps lie outside
        seen = self._densely(apart) if small else functional.conv2d(apart, self.weight, self.bias, padding=1)
        together = seen.reshape(count, d, d, -1, rows, columns).permute(0, 3, 4, 1, 5, 2)
        return together.reshape(count, -1, high, wide)

    def _densely(self, x: Tensor) -> Tensor:
        """The 3x3 convolution of pictures (B, C, n, n), n at most 2, as one product with a matrix."""
        side = x.shape[3]
        places = torch.arange(side, device=x.device)
        row, column = torch.meshgrid(places, places, indexing="ij")
        away = [place.flatten() - place.flatten()[:, None] + 1 for place in (row, column)]  # out to in
        matrix = self.weight[:, :, away[0], away[1]].permute(0, 2, 1, 3)  # out, its place, channel, its place
        bias = None if self.bias is None else self.bias.repeat_interleave(side * side)
        seen = functional.linear(x.flatten(1), matrix.flatten(2).flatten(0, 1), bias)
        return seen.view(-1, self.out_channels, side, side)


class McsamBlock(nn.Module):
    """Dilated branches side by side, attended to jointly, added to what came in (section 3 of the paper)."""

    def __init__(self, width: int, dilations: tuple[int, ...] = DILATIONS) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Dilated(width, width // len(dilations), d) for d in dilations)
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
    """Twice the side: (B, width, H, W) to (B, out, 2H, 2W).

    A 1x1 convolution and a pixel shuffle, as one operator: moving the pixels took twice the convolution's time.
    """
    return nn.ConvTranspose2d(width, out, 2, stride=2)


EXPRESSION = 5
"""Numbers of an expression: the four of `training.data.mesh`, and how much of them is known, in [0, 1]."""


class ExpressionMaps(nn.Module):
    """An expression as small maps that are added to the features of three scales, which costs as good as nothing.

    Faces lie alike in every crop, so a map says where lips part. There are no constants in it: an expression of which
    nothing is known adds zero. The layers that leave it begin at zero: a network that has learned without it draws the
    same face until it learns to use it.
    """

    SIDE = 16
    """Side of the map. The trunk's middle scale has as many cells at 128 pixels, the generator's at 256."""

    def __init__(self, widths: tuple[int, ...], hidden: int = 32, maps: int = 12) -> None:
        super().__init__()
        coarse, middle, fine = widths
        self.maps = maps
        self.enter = nn.Linear(EXPRESSION, hidden, bias=False)
        self.spread = nn.Linear(hidden, maps * self.SIDE**2, bias=False)
        self.to_coarse = nn.Conv2d(maps, coarse, 2, stride=2, bias=False)
        self.to_middle = nn.Conv2d(maps, middle, 1, bias=False)
        self.to_fine = nn.ConvTranspose2d(maps, fine, 2, stride=2, bias=False)
        for layer in (self.to_coarse, self.to_middle, self.to_fine):
            nn.init.zeros_(layer.weight)

    def forward(self, expression: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 5) to what is added to the coarse, middle and fine scale, the middle one `side` cells wide."""
        numbers, known = expression[:, : EXPRESSION - 1], expression[:, EXPRESSION - 1 :]
        given = torch.cat([numbers * known, known], dim=1)
        # As convolutions, which every engine knows and computes in int8 too.
        given = given[..., None, None]  # (B, 5, 1, 1)
        hidden = functional.leaky_relu(functional.conv2d(given, self.enter.weight[..., None, None]), 0.2)
        found = functional.conv2d(hidden, self.spread.weight[..., None, None])  # (B, maps * 256, 1, 1)
        maps = found.reshape(-1, self.maps, self.SIDE, self.SIDE)  # (B, maps, 16, 16)
        if side != self.SIDE:
            maps = functional.interpolate(maps, size=(side, side), mode="bilinear")
        return self.to_coarse(maps), self.to_middle(maps), self.to_fine(maps)


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
        self.expression = ExpressionMaps((coarse, middle, fine)) if config.expression else None

    def forward(self, crop_and_mask: Tensor, expression: Tensor | None = None) -> Tensor:
        """Draw as `Generator.forward`, at any S that is a multiple of 16: how the trunk is trained alone."""
        return torch.tanh(self.draw(self.enter(without_hole(crop_and_mask)), expression)[0])

    def enter_halved(self, cells: Tensor) -> Tensor:
        """What `enter` gives for a picture (B, 4, S, S) shrunk to half its side; S a multiple of 32.

        `cells`, (B, 64, S/4, S/4), is the whole picture behind a pixel unshuffle by 4.
        """
        entered: Tensor = self.enter[1:](halved(cells, 4))
        return entered

    def draw(self, fine: Tensor, expression: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What `enter` gave, (B, fine, S/4, S/4), to the face (B, 3, S, S) before its tanh and features like `fine`."""
        middle = self.to_middle(fine)  # S/8
        to_coarse: Tensor | float = 0.0
        to_middle: Tensor | float = 0.0
        to_fine: Tensor | float = 0.0
        if expression is not None and self.expression is not None:
            to_coarse, to_middle, to_fine = self.expression(expression, middle.shape[-1])

        deep = self.bottom(self.to_coarse(middle) + to_coarse)  # S/16
        middle = self.mend_middle(self.from_coarse(deep) + middle + to_middle)
        fine = self.mend_fine(self.from_middle(middle) + fine + to_fine)
        return self.leave(fine), fine


class Generator(nn.Module):
    """Picture and mask in, face out; perhaps with what the mouth beneath the mask does."""

    def __init__(self, config: GeneratorConfig = GeneratorConfig()) -> None:
        super().__init__()
        self.trunk = Trunk(config)
        width = config.refined
        self.enter = nn.Conv2d(64, width, 3, padding=1)
        self.widen = up(config.widths[0], width)
        layers = [Residual(width) for _ in range(config.mended)]
        self.mend = nn.Sequential(nn.LeakyReLU(0.2), *layers, nn.LeakyReLU(0.2))
        # In two steps: a shuffle by 4 at once left combs of its own period in lips and nostrils.
        refine = nn.Conv2d(width // 2, 12, 3, padding=1)
        zeroed(refine)
        self.leave = nn.Sequential(up(width, width // 2), nn.LeakyReLU(0.2), refine)

    def forward(self, crop_and_mask: Tensor, expression: Tensor | None = None) -> Tensor:
        """(B, 4, S, S), RGB in [-1, 1] and mask in [0, 1], to the face (B, 3, S, S) in [-1, 1]; S a multiple of 32.

        1 in the mask is hidden. `expression` (B, 5) holds the numbers of `EXPRESSION`; None: nothing is known.
        """
        cells = functional.pixel_unshuffle(without_hole(crop_and_mask), 4)
        coarse, known = self.trunk.draw(self.trunk.enter_halved(cells), expression)
        fine = self.mend(self.enter(cells) + self.widen(known))  # (B, refined, S/4, S/4)
        return torch.tanh(functional.pixel_shuffle(doubled(coarse) + self.leave(fine), 2))


def halved(cells: Tensor, side: int) -> Tensor:
    """A picture shrunk to half its side: (B, C, H, W) to (B, C, H/2, W/2), both behind a pixel unshuffle by `side`.

    As a convolution, and a dense one: a cell of the half lies over 2x2 cells of the whole. A tenth of the time that
    shrinking the picture and sorting its pixels would take.
    """
    row = torch.eye(side, dtype=cells.dtype, device=cells.device).repeat_interleave(2, 1) / 2  # over 2 * side rows
    row = row.reshape(side, 2, side)  # row of the half, cell, row in the cell
    itself = torch.eye(cells.shape[1] // side**2, dtype=cells.dtype, device=cells.device)
    filters = torch.einsum("oi,ray,cbx->orciyxab", itself, row, row).reshape(*cells.shape[1:2] * 2, 2, 2)
    return functional.conv2d(cells, filters, stride=2)


def doubled(picture: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 4 C, H, W): enlarged to twice its side, bilinear, before a pixel shuffle by 2.

    As a convolution, and a dense one: runtimes take several times as long for a resize or for groups of one channel.
    """
    nearer = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]], dtype=picture.dtype, device=picture.device)
    channels = picture.shape[1]
    itself = torch.eye(channels, dtype=picture.dtype, device=picture.device)
    filters = torch.einsum("oi,ay,bx->oabiyx", itself, nearer, nearer).reshape(4 * channels, channels, 3, 3)
    return functional.conv2d(functional.pad(picture, (1, 1, 1, 1), mode="replicate"), filters)


def without_hole(crop_and_mask: Tensor) -> Tensor:
    """(B, 4, S, S): the crop with nothing under its mask, and the mask."""
    crop, mask = crop_and_mask[:, :3], crop_and_mask[:, 3:]
    return torch.cat([crop * (1 - mask), mask], dim=1)


def multiply_adds(network: nn.Module, *shape: int) -> int:
    """How many multiply-adds one run on an input of `shape` costs: convolutions, as the literature counts them."""
    learning = network.training
    network.eval()  # a normalisation that counts would count these zeros
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(shape))
    network.train(learning)
    return int(counter.get_total_flops()) // 2


class Fine(nn.Module):
    """What the whole picture adds to the logits of its half: a strap is two pixels wide there, and one in the half."""

    def __init__(self, known: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, width, 3, padding=1))
        self.widen = up(known, width)
        self.mend = nn.Sequential(nn.LeakyReLU(0.2), Residual(width), nn.LeakyReLU(0.2))
        self.leave = nn.Conv2d(width, 4, 3, padding=1)
        zeroed(self.leave)

    def forward(self, cells: Tensor, known: Tensor) -> Tensor:
        """(B, 12, S/2, S/2) and the half's finest features (B, known, S/4, S/4) to (B, 4, S/2, S/2)."""
        added: Tensor = self.leave(self.mend(self.enter[1:](cells) + self.widen(known)))
        return added


class Segmenter(nn.Module):
    """A small U-Net with skips by addition on half the picture, and a shallow stage on the whole that finds straps.

    Both enter through a pixel shuffle, so nothing runs at full resolution. A network that has learned without the fine
    stage, on pictures of half the side, begins as it was.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 64, 96), fine: int = 16) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.enter = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, first, 3, padding=1), nn.LeakyReLU(0.2))
        self.down_second = nn.Sequential(down(first, second), Residual(second))
        self.down_third = nn.Sequential(down(second, third), Residual(third))
        self.down_fourth = nn.Sequential(down(third, fourth), Residual(fourth), nn.LeakyReLU(0.2), Residual(fourth))
        self.up_third = up(fourth, third)
        self.up_second = up(third, second)
        self.up_first = up(second, first)
        self.mend_third = nn.Sequential(nn.LeakyReLU(0.2), Residual(third))
        self.mend_second = nn.Sequential(nn.LeakyReLU(0.2), Residual(second))
        self.mend_first = nn.Sequential(nn.LeakyReLU(0.2), Residual(first), nn.LeakyReLU(0.2))
        self.leave = nn.Sequential(nn.Conv2d(first, 4, 3, padding=1), nn.PixelShuffle(2))
        self.fine = Fine(first, fine)

    def logits(self, crop: Tensor) -> Tensor:
        """(B, 3, S, S) RGB in [-1, 1] to (B, 1, S, S); S a multiple of 32."""
        cells = functional.pixel_unshuffle(crop, 2)  # (B, 12, S/2, S/2)
        coarse, known = self.coarse(halved(cells, 2))
        return functional.pixel_shuffle(doubled(coarse) + self.fine(cells, known), 2)

    def coarse(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Of a picture (B, 3, H, H), H a multiple of 16: logits (B, 1, H, H) and the finest features (B, 24, H/2, H/2).

        `cells`, (B, 12, H/2, H/2), is the picture behind a pixel unshuffle by 2.
        """
        first = self.enter[1:](cells)  # (B, 24, H/2, H/2)
        second = self.down_second(first)  # (B, 48, H/4, H/4)
        third = self.down_third(second)  # (B, 64, H/8, H/8)
        deep = self.down_fourth(third)  # (B, 96, H/16, H/16)
        third = self.mend_third(self.up_third(deep) + third)
        second = self.mend_second(self.up_second(third) + second)
        first = self.mend_first(self.up_first(second) + first)
        return self.leave(first), first

    def forward(self, crop: Tensor) -> Tensor:
        """The probability of mask, (B, 1, S, S) in [0, 1]."""
        return torch.sigmoid(self.logits(crop))


class Logits(nn.Module):
    """The segmenter as training runs it: its forward pass ends before the sigmoid."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, crop: Tensor) -> Tensor:
        """The logits, as `Segmenter.logits` gives them."""
        return self.segmenter.logits(crop)
