"""The patch discriminator: which parts of the lower face were drawn."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


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
        return self.layers(torch.cat([picture[part], hole[part]], 1))
