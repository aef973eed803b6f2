"""Which network a run trains, and with what weights it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import CheckpointError
from training.networks.checkpoints import restore
from training.networks.generator import Generator, Trunk
from training.networks.mcsam_paper import McsamPaper
from training.networks.segmenter import Segmenter
from training.networks.stored_weights import read_weights

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from training.settings import TrainConfig


def built(config: TrainConfig) -> nn.Module:
    """The network of a run, as large as its settings say."""
    if config.network == "trunk":
        return Trunk(config.generator)
    if config.network == "generator":
        return Generator(config.generator)
    return Segmenter() if config.network == "segmenter" else McsamPaper(config.paper_width)


def begin_warm(network: nn.Module, path: Path) -> None:
    """Give `network` the weights of a checkpoint, of a trunk's checkpoint, or of an exported network.

    Raises `CheckpointError` when `path` is none of these or is of another network or another size of it.
    """
    weights = read_weights(path) if path.suffix == ".onnx" else restore(path).get("smooth", {})
    wanted = network.state_dict().keys()
    if isinstance(network, Generator) and weights.keys() == network.trunk.state_dict().keys():
        _load(network.trunk, weights, path)
    elif missing := sorted(wanted - weights.keys()):
        raise CheckpointError(f"{path} holds no {missing[0]}: it is of another network than {type(network).__name__}")
    else:
        _load(network, {name: weights[name] for name in wanted}, path)


def _load(network: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is of another size than this {type(network).__name__}: {error}") from error
