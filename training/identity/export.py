"""Checkpoint to ONNX and manifest: `python -m training.identity.export RUN FOLDER --name eum_srt`.

Nothing is written unless the exported network gives the eager one's embeddings.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import numpy as np
import torch

from engine.interface import read_interface
from engine.models import Manifest
from engine.select import load
from engine.spec import Network, Precision
from pipeline.errors import CheckpointError
from training.checkpoints import restore
from training.export import OPSET
from training.identity.model import EmbeddingUnmaskingModel
from training.stored_weights import halve

TERMS = "non-commercial research; embeddings are biometric data"
TOLERANCE = 2e-3
"""The largest difference of a number of unit-length embeddings between both; weights are stored in float16."""


def export(run: Path, folder: Path, *, name: str, data: str) -> Manifest:
    """Write the weights of the run's checkpoint as `<name>.onnx` and `<name>.json`.

    Raises `CheckpointError` when the exported network does not give the eager one's embeddings.
    """
    state = restore(run / "checkpoint.pt")
    width = state["network"]["layers.0.weight"].shape[0]
    network = EmbeddingUnmaskingModel(width)
    network.load_state_dict(state["network"])
    network.eval()
    program = torch.onnx.export(
        network,
        (torch.zeros(2, width),),
        input_names=["masked"],
        output_names=["embedding"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    exported = Network.of(name, halve(cast("torch.onnx.ONNXProgram", program).model_proto).SerializeToString())
    worst = difference(network, exported, width)
    if worst > TOLERANCE:
        raise CheckpointError(f"the exported {name} differs from the eager one by {worst:.2g}, more than {TOLERANCE}")
    interface = read_interface(exported)
    manifest = Manifest(
        name=name,
        sha256=exported.sha256,
        inputs=interface.inputs,
        outputs=interface.outputs,
        data=data,
        steps=state["step"],
        scores={key: round(value, 4) for key, value in state["scores"].items()},
        terms=TERMS,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(exported.onnx)
    (folder / f"{name}.json").write_text(manifest.dumps())
    return manifest


def difference(network: EmbeddingUnmaskingModel, exported: Network, width: int) -> float:
    """The largest difference of an output between both, over batches of 1 and 3 of random unit vectors."""
    worst = 0.0
    engine = load(exported, engine="onnxruntime", precision=Precision.F32, threads=1)
    for batch in (1, 3):
        feed = torch.randn(batch, width, generator=torch.Generator().manual_seed(batch))
        feed = torch.nn.functional.normalize(feed)
        with torch.no_grad():
            eager = network(feed).numpy()
        given = engine.run({"masked": feed.numpy()})["embedding"]
        worst = max(worst, float(np.abs(eager - given).max()))
    engine.close()
    return worst


def main() -> None:
    """Read the flags and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True, help="eum_srt, eum_t, …; what ends in _drawn repairs drawn faces")
    parser.add_argument("--data", required=True, help="what it was trained on, for the manifest")
    flags = parser.parse_args()
    print(export(flags.run, flags.folder, name=flags.name, data=flags.data).dumps())  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
