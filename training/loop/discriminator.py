"""The discriminator: which parts of the lower face were drawn."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from training.loop import losses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from training.loop.stream import World
    from training.settings import TrainConfig


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
        """As `PatchDiscriminator`: the scores of either scale."""
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
        loss = _of_both(losses.discriminator_hinge, real, drawn)
        few = slice(0, max(1, len(truth) // 4))  # the slopes of all of them would take a third of a step's time
        for weight, pictures in ((self.r1, truth), (self.r2, made)):
            if weight > 0:  # in full precision: the slope of rounded products is rough
                slopes = [
                    losses.slope_penalty(partial(judge, hole=hole[few]), pictures[few])
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
            loss = _of_both(losses.generator_hinge, self.network(truth, hole), self.network(made, hole))
        self.network.requires_grad_(requires_grad=True)
        return loss
