"""Checkpoint to ONNX and manifest: `python -m training.networks.export RUN FOLDER`.

Nothing is written unless the exported network gives the eager one's picture.
"""

from __future__ import annotations

import argparse
import warnings
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from onnxscript import optimizer
from torch import Tensor, nn

from engine.models import Manifest
from engine.onnx_file import OPTIONAL, read_interface
from engine.select import load
from engine.spec import Network, Precision
from pipeline.errors import CheckpointError
from pipeline.geometry import CROP_SIZE
from training.needs import errors_in_one_line
from training.networks.checkpoints import built, halve, restore, with_all_weights
from training.networks.generator import EXPRESSION
from training.settings import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import onnx

    Tensors = tuple[Tensor, ...]

OPSET = 18
TERMS = "non-commercial research; what is drawn is invented and identifies nobody"
MOST_FOLDED = 1 << 20
"""Numbers of a constant that may be computed at export."""


@dataclass(frozen=True)
class Port:
    """How a network meets the outside."""

    inputs: Mapping[str, tuple[int, ...]]
    """The shape of each without the batch, by name, in the order in which the network takes them."""
    output_name: str
    tolerance: float = 2e-3
    """The largest difference of an output between the exported network in float32 and the eager one. Of a picture it is
    one step of 255; nearly all of it is that weights are stored as float16."""


PORTS = {
    "generator": Port({"crop_and_mask": (4, CROP_SIZE, CROP_SIZE)}, "face", tolerance=2 / 255),
    "segmenter": Port({"crop": (3, CROP_SIZE, CROP_SIZE)}, "mask", tolerance=1 / 255),
}


def to_onnx(network: nn.Module, port: Port) -> onnx.ModelProto:
    """The network with a free batch size, weights in float32."""
    batch = torch.export.Dim("batch", min=1, max=64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "# The axis name: batch will not be used", UserWarning)  # inputs share it
        program = torch.onnx.export(
            network,
            tuple(torch.zeros(2, *shape) for shape in port.inputs.values()),
            input_names=list(port.inputs),
            output_names=[port.output_name],
            dynamic_shapes=tuple({0: batch} for _ in port.inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    model = cast("torch.onnx.ONNXProgram", program).model_proto  # dynamo=True gives one
    # Filters that are made of weights are computed here and now: the exporter leaves those of more than 1024 numbers.
    return optimizer.optimize(model, input_size_limit=MOST_FOLDED, output_size_limit=MOST_FOLDED)


def checked(name: str, model: onnx.ModelProto, network: nn.Module, port: Port, feeds: Iterable[Tensors]) -> Network:
    """`model`, made of `network`, once it gives what that gives.

    Raises `CheckpointError` when an output for one of `feeds` differs by more than the port's tolerance.
    """
    exported, worst = Network.of(name, model.SerializeToString()), 0.0
    with closing(load(exported, backend="onnxruntime", precision=Precision.F32)) as engine:
        for feed in feeds:
            with torch.no_grad():
                eager = network(*feed).numpy()
            named = {name: tensor.numpy() for name, tensor in zip(port.inputs, feed, strict=True)}
            given = engine.run(named)[port.output_name]
            worst = max(worst, float(np.abs(eager - given).max()))

    if worst > port.tolerance:
        raise CheckpointError(
            f"the exported {name} differs from the eager one by {worst:.2g}, more than {port.tolerance:.2g}"
        )
    return exported


def write(exported: Network, folder: Path, state: Mapping[str, Any], *, data: str, terms: str) -> Manifest:
    """`exported` as `<name>.onnx` and, with what the checkpoint's `state` says of its run, as `<name>.json`."""
    interface = read_interface(exported)
    manifest = Manifest(
        name=exported.name,
        sha256=exported.sha256,
        inputs=interface.inputs,
        outputs=interface.outputs,
        data=data,
        steps=state["step"],
        scores={key: round(value, 4) for key, value in state["scores"].items()},
        terms=terms,
    )

    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{exported.name}.onnx").write_bytes(exported.onnx)
    (folder / f"{exported.name}.json").write_text(manifest.dumps())
    return manifest


def smooth_noise(port: Port) -> Iterator[Tensors]:
    """Pictures to compare on, and vectors beside them where the port takes any, in batches of 1 and 3."""
    (channels, *size), *others = port.inputs.values()
    for batch in (1, 3):
        generator = torch.Generator().manual_seed(batch)
        small = torch.randn(batch, channels, 16, 16, generator=generator)
        feed = nn.functional.interpolate(small, tuple(size), mode="bicubic").clamp(-1, 1)
        feed[:, 3:] = (feed[:, 3:] > 0).float()
        yield feed, *(torch.rand(batch, *shape, generator=generator) for shape in others)


def export(run: Path, folder: Path, *, data: str, expression: bool = False) -> Manifest:
    """Write the averaged weights of the run's checkpoint as `<network>.onnx` and `<network>.json`.

    With `expression` the network takes what the mouth does as a second input; without, a run that learned to use it
    gives a network that is told nothing, as all others are. Raises `CheckpointError` when the exported network does not
    give the eager one's picture, or has no such input.
    """
    state = restore(run / "checkpoint.pt")
    config = TrainConfig(**state["config"])
    name, network = config.network, built(config)
    if name not in PORTS:
        raise CheckpointError(f"{run} trained {name}: {' and '.join(PORTS)} are what is exported")

    port = PORTS[name]
    if expression:
        if config.expression == 0:
            raise CheckpointError(f"{run} was trained without --expression, so its network takes none")
        port = replace(port, inputs={**port.inputs, "expression": (EXPRESSION,)})
    network.load_state_dict(state["ema"])
    network.eval()
    model = with_all_weights(halve(to_onnx(network, port)), network)
    for value in list(model.graph.input)[1:]:  # what the network draws without is what it was given zeros for
        value.doc_string = OPTIONAL
    exported = checked(name, model, network, port, smooth_noise(port))
    return write(exported, folder, state, data=data, terms=TERMS)


def main() -> None:
    """Read the flags and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", required=True, help="what it was trained on, for the manifest")
    parser.add_argument(
        "--expression", action="store_true", help="with the second input that a run with --expression learned to use"
    )
    flags = parser.parse_args()
    with errors_in_one_line(parser):
        print(export(flags.run, flags.folder, data=flags.data, expression=flags.expression).dumps())  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
