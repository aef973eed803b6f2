"""The optimisers of the training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

MOMENTUM = 0.95


def orthogonalised(gradients: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The matrices nearest in shape to (N, R, C) `gradients` with singular values near 1.

    Five steps of the quintic Newton-Schulz iteration with the coefficients of Jordan et al. 2024 ("Muon: an optimizer
    for hidden layers in neural networks"), computed in `dtype`.
    """
    x: Tensor = gradients.to(dtype)
    if tall := x.shape[1] > x.shape[2]:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Muon for convolutions, seen as matrices (outputs, inputs x taps); Adam for gains, biases and tiny filters.

    At equal pictures it learns faster than Adam alone: docs/training-log.md has the figure.
    """

    def __init__(self, network: nn.Module, rate: float, *, bf16: bool = True) -> None:
        self.dtype = torch.bfloat16 if bf16 else torch.float32  # without bf16 in hardware it takes ten times as long
        matrices = [p for p in network.parameters() if p.ndim == 4]
        others = [p for p in network.parameters() if p.ndim != 4]
        groups = [{"params": matrices, "lr": rate}, {"params": others, "lr": rate}]
        super().__init__(groups, {"lr": rate, "initial_lr": rate})
        self.adam = torch.optim.Adam(others, lr=rate, betas=(0.9, 0.99))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; `closure` isn't supported."""
        if closure is not None:
            raise NotImplementedError("Muon takes no closure")
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for parameter in self.param_groups[0]["params"]:
            velocity = self.state[parameter].setdefault("velocity", torch.zeros_like(parameter))
            velocity.lerp_(parameter.grad, 1 - MOMENTUM)
            ahead = parameter.grad.lerp(velocity, MOMENTUM).flatten(1)
            alike.setdefault(ahead.shape, []).append((parameter, ahead))
        for shape, pairs in alike.items():  # matrices of one shape in one product: a GPU waits less
            changes = orthogonalised(torch.stack([ahead for _, ahead in pairs]), self.dtype)
            # 0.2 sqrt(larger side): as large an update as Adam's (Liu et al. 2025, "Muon is scalable")
            step_size = -self.param_groups[0]["lr"] * 0.2 * max(shape) ** 0.5
            for (parameter, _), change in zip(pairs, changes, strict=True):
                parameter.add_(change.view_as(parameter), alpha=step_size)
        self.adam.param_groups[0]["lr"] = self.param_groups[1]["lr"]
        self.adam.step()

    def state_dict(self) -> dict[str, object]:
        """Velocities and Adam's moments."""
        return {"muon": super().state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, dict[str, object]]) -> None:
        """Restore what `state_dict` gave."""
        super().load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Adam for all weights alike."""
    return torch.optim.Adam([{"params": list(network.parameters()), "initial_lr": rate}], lr=rate, betas=(0.9, 0.99))


OPTIMISERS: dict[str, Callable[[nn.Module, float], torch.optim.Optimizer]] = {"muon": Muon, "adam": adam}
