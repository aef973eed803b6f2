"""Checkpoint to ONNX and manifest: `python -m training.identity.export RUN FOLDER --name eum_srt`.

Nothing is written unless the exported network gives the eager one's embeddings.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from pipeline.recognisers.dlib_resnet import SIZE
from training.identity.distil import student
from training.identity.networks import EmbeddingUnmaskingModel
from training.needs import errors_in_one_line
from training.networks.checkpoints import halve, quarter, restore
from training.networks.export import Port, checked, to_onnx, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from engine.models import Manifest

ROUNDED = 0.02
"""How far a number of an embedding of about unit length may be off in a network whose weights were rounded."""
TERMS = "non-commercial research; embeddings are biometric data"


def export(run: Path, folder: Path, *, name: str, data: str) -> Manifest:
    """Write the weights of the run's checkpoint as `<name>.onnx` and `<name>.json`.

    The run is one of `training.identity.train`, or one of `training.identity.distil`, of which the averaged weights are
    written, in int8. Raises `CheckpointError` when the exported network does not give the eager one's embeddings.
    """
    state = restore(run / "checkpoint.pt")
    if "ema" in state:
        network: nn.Module = student(run)
        port, feeds = Port({"chip": (3, SIZE, SIZE)}, "embedding"), pictures
        state |= {"step": state["step"] // state["config"]["batch"], "scores": flat(state["scores"])}
    else:
        width = state["network"]["layers.0.weight"].shape[0]
        network = EmbeddingUnmaskingModel(width)
        network.load_state_dict(state["network"])
        port, feeds = Port({"masked": (width,)}, "embedding"), partial(unit_vectors, width)

    network.eval()
    smaller = quarter if "ema" in state else halve
    checked(name, to_onnx(network, port), network, port, feeds())
    exported = checked(name, smaller(to_onnx(network, port)), network, replace(port, tolerance=ROUNDED), feeds())
    return write(exported, folder, state, data=data, terms=TERMS)


def flat(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The scores of bare and of masked faces by one name each, such as `masked_eer`."""
    return {f"{look}_{name}": value for look, found in scores.items() for name, value in found.items()}


def pictures() -> Iterator[tuple[torch.Tensor]]:
    """Pictures of noise to compare on, in batches of 1 and 3."""
    for batch in (1, 3):
        yield (255 * torch.rand(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(batch)),)


def unit_vectors(width: int) -> Iterator[tuple[torch.Tensor]]:
    """Vectors to compare on, at random, in batches of 1 and 3."""
    for batch in (1, 3):
        vectors = torch.randn(batch, width, generator=torch.Generator().manual_seed(batch))
        yield (functional.normalize(vectors),)


def main() -> None:
    """Read the flags and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True, help="eum_srt, eum_t, …; what ends in _drawn repairs drawn faces")
    parser.add_argument("--data", required=True, help="what it was trained on, for the manifest")
    flags = parser.parse_args()
    with errors_in_one_line(parser):
        manifest = export(flags.run, flags.folder, name=flags.name, data=flags.data)
        print(manifest.dumps())  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
