"""Checkpoint to ONNX and manifest: `python -m training.identity.export RUN FOLDER --name eum_srt`.

Nothing is written unless the exported network gives the eager one's embeddings.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from training.identity.model import EmbeddingUnmaskingModel
from training.needs import errors_in_one_line
from training.networks.checkpoints import halve, restore
from training.networks.export import Port, checked, to_onnx, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.models import Manifest

TERMS = "non-commercial research; embeddings are biometric data"


def export(run: Path, folder: Path, *, name: str, data: str) -> Manifest:
    """Write the weights of the run's checkpoint as `<name>.onnx` and `<name>.json`.

    Raises `CheckpointError` when the exported network does not give the eager one's embeddings.
    """
    state = restore(run / "checkpoint.pt")
    width = state["network"]["layers.0.weight"].shape[0]
    network = EmbeddingUnmaskingModel(width)
    network.load_state_dict(state["network"])
    network.eval()
    port = Port({"masked": (width,)}, "embedding")
    exported = checked(name, halve(to_onnx(network, port)), network, port, unit_vectors(width))
    return write(exported, folder, state, data=data, terms=TERMS)


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
