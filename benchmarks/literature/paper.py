"""The generator of the paper (`training.networks.mcsam_paper`) as a network that any engine loads.

Writing it needs torch.

Its authors' weights are not to be had: at its own size it is known by its speed alone. What `barefaced evaluate
generator --paper-seconds` trained, at the cost of ours, has scores too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.spec import Network
from training.needs import require

if TYPE_CHECKING:
    from pathlib import Path

    from training.networks.mcsam_paper import McsamPaper

NEEDED = ("torch", "onnx", "onnxscript")


def untrained() -> Network:
    """At its own size. Raises `ConfigError` where torch is not installed."""
    require("the paper's network", *NEEDED)
    from training.networks.mcsam_paper import McsamPaper

    return _exported(McsamPaper())


def trained(run: Path) -> Network:
    """As the training run in `run` left it. Raises `ConfigError` without torch, `CheckpointError` for a foreign run."""
    require("the paper's network", *NEEDED)
    from training.networks.checkpoints import restore
    from training.networks.mcsam_paper import McsamPaper
    from training.settings import TrainConfig

    state: dict[str, Any] = restore(run / "checkpoint.pt")
    network = McsamPaper(TrainConfig(**state["config"]).paper_width)
    network.load_state_dict(state["smooth"])
    return _exported(network)


def _exported(network: McsamPaper) -> Network:
    from training.networks.export import PORTS, to_onnx

    network.eval()
    return Network.of("mcsam-paper", to_onnx(network, PORTS["generator"]).SerializeToString())
