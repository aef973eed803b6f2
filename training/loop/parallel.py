"""Several processes that train one network: torch's own DistributedDataParallel, started by `torchrun`.

    torchrun --standalone --nproc-per-node 4 -m -- training.loop.train generator --device cuda \
        --crops crops --run runs/wide

(Without the `--`, torchrun takes `--run` for a flag of its own.)
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


@dataclass(frozen=True)
class World:
    """The processes of a run, as one of them sees them."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def writes(self) -> bool:
        """Whether this process writes log, sheets and checkpoints."""
        return self.rank == 0

    def shared(self, module: nn.Module) -> nn.Module:
        """`module` on this process's device; where there are several, its gradients are averaged over all of them.

        Run the forward pass of what is given back, once before each backward pass, and keep it until that is done: a
        method of `module` that is called by its own name escapes the averaging.
        """
        module.to(self.device)
        return module if self.size == 1 else DistributedDataParallel(module)

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """This process's place among those that `torchrun` started; alone where it did not.

    Raises `ConfigError` when there is no card for `device` "cuda".
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda" and torch.cuda.device_count() <= local:
        raise ConfigError(
            f"--device cuda: process {local} of this machine finds {torch.cuda.device_count()} cards; "
            "start no more processes than cards, or take --device cpu"
        )

    place = torch.device("cuda", local) if device == "cuda" else torch.device("cpu")
    if size == 1:
        yield World(device=place)
        return

    if device == "cuda":
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield World(rank, size, place)
    finally:
        distributed.destroy_process_group()
