"""All of a run's state in one file, saved whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipeline.errors import CheckpointError
from pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

State = dict[str, Any]
"""`network`, `smooth` (the averaged weights), `optimiser`, `step`, `rng`, `config`, `scores`, and the adversary's."""


def save(path: Path, state: State) -> None:
    """All or nothing: a run that dies while saving keeps its last checkpoint."""
    with whole_file(path, overwrite=True) as unfinished:
        torch.save(state, unfinished)


def restore(path: Path) -> State:
    """The state in `path`, on the CPU. Raises `CheckpointError` when it is not ours."""
    try:
        state = torch.load(path, weights_only=False, map_location="cpu")
    except Exception as error:
        raise CheckpointError(f"{path} can't be read as a checkpoint: {error}") from error
    if not isinstance(state, dict) or "network" not in state or "step" not in state:
        raise CheckpointError(f"{path} is not a checkpoint of training.loop.train")
    return state
