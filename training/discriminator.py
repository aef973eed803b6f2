"""The patch discriminator: which parts of the lower face were drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from training import losses

if TYPE_CHECKING:
    from training.parallel import World
    from training.settings import TrainConfig


class PatchDiscriminator(nn.Module):
    """Composite and hole in, a map of scores out; each sees 46 pixels across."""

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
        part = (slice(None), slice(None), slice(size * 3 // 8, size), slice(size // 8, size * 7 // 8))
        scores: Tensor = self.layers(torch.cat([picture[part], hole[part]], 1))
        return scores


class DiscriminatorLoss(nn.Module):
    """What the discriminator learns from, as one forward pass."""

    def __init__(self, discriminator: PatchDiscriminator, config: TrainConfig) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.r1, self.r2, self.bf16 = config.r1, config.r2, config.precision == "bf16"

    def forward(self, truth: Tensor, made: Tensor, hole: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [-1, 1] and holes (B, 1, S, S) to the loss."""
        with torch.autocast(truth.device.type, torch.bfloat16, enabled=self.bf16):
            real, drawn = self.discriminator(truth, hole).float(), self.discriminator(made, hole).float()
        loss = losses.discriminator_hinge(real, drawn)
        for weight, pictures in ((self.r1, truth), (self.r2, made)):
            if weight > 0:  # in full precision: the slope of rounded products is rough
                loss = loss + weight * losses.slope_penalty(lambda x: self.discriminator(x, hole), pictures)
        return loss


class Adversary:
    """The discriminator with its optimiser, as the generator meets it."""

    def __init__(self, config: TrainConfig, world: World) -> None:
        self.network = PatchDiscriminator()
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
            loss = losses.generator_hinge(self.network(truth, hole).float(), self.network(made, hole).float())
        self.network.requires_grad_(requires_grad=True)
        return loss
