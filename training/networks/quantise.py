"""A network's version in int8: `python -m training.networks.quantise NETWORK --crops CROPS [--folder FOLDER]`.

Convolutions are computed in 8 bits, weights with a step for each channel, activations with steps found on training
faces. Steps are symmetric, as TensorRT asks for, so one file serves every engine. Nothing is written unless the int8
version loses less than `MOST_LOST` on held-out faces and a generator draws nearly the same; else the first, the
last and the deepest layers, whose errors go farthest or are seen most, stay as they are.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import tempfile
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from engine import models
from engine.models import INT8, Manifest
from engine.onnx_file import read_interface
from engine.select import load
from engine.spec import Network, Precision, checked_feeds
from pipeline.draw.hole import hole_of
from pipeline.draw.segment import segmenter_input
from pipeline.errors import CheckpointError
from pipeline.geometry import CROP_SIZE
from training.data.samples import Faces, draw_sample, hole_psnr
from training.needs import errors_in_one_line
from training.networks.checkpoints import halve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from engine.spec import Array, TensorSpec
    from training.data.samples import TrainingSample

MOST_LOST = {"generator": 0.03, "segmenter": 0.002}
"""How much of the score on held-out faces may be lost: decibels inside the hole, and intersection over union.

A generator that loses nothing of either may draw otherwise all the same.
"""
LEAST_NEAR_DB = 41.0
"""How near a generator's int8 version draws to what it was made of, inside the hole, on the mean: it is 2 dB less on
single faces, and from 39 dB on no difference is seen."""


class Kept(NamedTuple):
    """Which convolutions stay in floating point."""

    first: int
    """How many from the beginning."""
    last: int
    """How many up to the end."""
    deepest: int = 0
    """On how many of the smallest scales, from the bottom up: cheap ones, where one value is seen in many pixels."""


LADDER = (Kept(0, 0), Kept(2, 2), Kept(5, 2), Kept(5, 2, deepest=1), Kept(5, 2, deepest=2))
"""What is tried, one after the other."""
COVERED_PERCENT = 99.999
"""Part of an activation's values that its steps reach: the few beyond would make all steps coarser. For the generator
this is worth 3 dB of `LEAST_NEAR_DB`."""


@dataclass(frozen=True)
class Trial:
    """An int8 version and how well it does."""

    onnx: bytes
    kept: Kept
    """What stayed in floating point."""
    score: float
    lost: float
    """How much less than the network that it was made of."""
    near_db: float | None = None
    """How near a generator draws to the one that it was made of, inside the hole, in decibels."""

    def serves(self, network: str) -> bool:
        """Whether it does nearly what the network does that it was made of."""
        return self.lost < MOST_LOST[network] and (self.near_db is None or self.near_db >= LEAST_NEAR_DB)


class Feeds(CalibrationDataReader):  # type: ignore[misc]  # it comes without types
    """Calibration inputs, one by one."""

    def __init__(self, ports: Sequence[TensorSpec], inputs: Sequence[NDArray[np.float32]]) -> None:
        first = ports[0].name
        self._waiting = iter([checked_feeds(tuple(ports), {first: feed[None]}) for feed in inputs])

    def get_next(self) -> dict[str, Array] | None:
        """The next one; None at the end."""
        return next(self._waiting, None)


def inputs_of(network: str, port: TensorSpec, samples: Sequence[TrainingSample]) -> NDArray[np.float32]:
    """What the network is fed at its first `port` for these faces, as the pipeline would: (N, channels, S, S)."""
    side = port.shape[-1] or CROP_SIZE
    shrunk = [cv2.resize(sample.picture, (side, side), interpolation=cv2.INTER_AREA) for sample in samples]
    pictures = segmenter_input([np.asarray(picture, np.uint8) for picture in shrunk])
    if network == "segmenter":
        return pictures
    return np.concatenate([pictures, np.stack([hole_of(sample.alpha)[None] for sample in samples])], axis=1)


def answers(network: Network, samples: Sequence[TrainingSample], precision: Precision) -> list[NDArray[np.float32]]:
    """What the network answers to each face: (channels, S, S)."""
    with closing(load(network, precision=precision, threads=1)) as engine:
        port = engine.inputs[0]
        runs = (engine.run({port.name: inputs_of(network.name, port, [sample])}) for sample in samples)
        return [np.asarray(next(iter(run.values())), np.float32)[0] for run in runs]


def score(network: str, seen: Sequence[NDArray[np.float32]], samples: Sequence[TrainingSample]) -> float:
    """On faces with masks: PSNR inside the hole in dB for the generator, intersection over union for the segmenter."""
    scored = _overlap if network == "segmenter" else _nearness
    return float(np.mean([scored(answer, sample) for answer, sample in zip(seen, samples, strict=True)]))


def near_db(
    drawn: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.float32]], samples: Sequence[TrainingSample]
) -> float:
    """PSNR of what a generator has drawn from what another has, inside the holes of all faces together."""
    errors = [
        (one - other)[:, hole_of(sample.alpha) > 0.5]
        for one, other, sample in zip(drawn, expected, samples, strict=True)
    ]
    return float(10 * np.log10(4 / max(float(np.mean(np.concatenate(errors, axis=1) ** 2)), 1e-12)))


def _nearness(drawn: NDArray[np.float32], sample: TrainingSample) -> float:
    truth = sample.truth.astype(np.float32) / 127.5 - 1
    return hole_psnr(drawn.transpose(1, 2, 0), truth, hole_of(sample.alpha), span=2)


def _overlap(guess: NDArray[np.float32], sample: TrainingSample) -> float:
    want = cv2.resize(sample.alpha, guess.shape[1:], interpolation=cv2.INTER_AREA) > 0.5
    found = guess[0] > 0.5
    return float((found & want).sum() / max(1, (found | want).sum()))


def whole(network: Network) -> onnx.ModelProto:
    """The graph with weights in float32 where they are stored in float16 behind a Cast."""
    model = onnx.load_from_string(network.onnx)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        half = weights.get(node.input[0]) if node.op_type == "Cast" else None
        if half is None or half.data_type != onnx.TensorProto.FLOAT16:
            kept.append(node)
            continue
        half.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(half).astype(np.float32), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return onnx.shape_inference.infer_shapes(model)


def _reached(model: onnx.ModelProto) -> set[str]:
    """The values of a graph that depend on its first input."""
    found = {model.graph.input[0].name}
    for node in model.graph.node:
        if not found.isdisjoint(node.input):
            found |= set(node.output)
    return found


def _deepest(model: onnx.ModelProto, seen: set[str], scales: int) -> list[str]:
    """The convolutions of what is `seen` on the smallest scales: from the last that halves the side upwards."""
    every = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    nodes = [node for node in every if node.input[0] in seen]
    convolutions = [(place, node) for place, node in enumerate(nodes) if node.op_type == "Conv"]
    halving = [place for place, node in convolutions if _stride(node) > 1 and not _shrinks(node)]
    doubling = [place for place, node in enumerate(nodes) if node.op_type == "ConvTranspose"]
    if scales == 0 or not halving or not doubling:
        return []
    return [node.name for node in nodes[halving[-1] + 1 : doubling[min(scales, len(doubling)) - 1]]]


def _stride(node: onnx.NodeProto) -> int:
    return next((max(value.ints) for value in node.attribute if value.name == "strides"), 1)


def _shrinks(node: onnx.NodeProto) -> bool:
    """Whether a convolution takes means of 2x2 cells, as `training.networks.generator.halved` does."""
    return any(value.name == "kernel_shape" and list(value.ints) == [2, 2] for value in node.attribute)


def quantised(network: Network, feeds: NDArray[np.float32], *, kept: Kept) -> bytes:
    """The ONNX bytes of an int8 version, calibrated on `feeds`; the `kept` convolutions stay in floating point.

    What every layer gives for all `feeds` is in memory at a time: some 100 MB a face for the generator.
    """
    model = whole(network)
    for place, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{place}"
    seen = _reached(model)
    every = [node for node in model.graph.node if node.op_type == "Conv"]
    # Neither those of inputs that calibration leaves at zero, nor means of 2x2 pixels, which have learned nothing.
    convolutions = [node.name for node in every if node.input[0] in seen and not _shrinks(node)]
    beside = [node.name for node in every if node.name not in convolutions]
    stay = convolutions[: kept.first] + convolutions[len(convolutions) - kept.last :] + beside
    stay += _deepest(model, seen, kept.deepest)

    # What the quantiser prints is not the command's answer.
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        target = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            target,
            Feeds(read_interface(network).inputs, list(feeds)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=stay,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "CalibPercentile": COVERED_PERCENT,
                "CalibNumBins": 2048,
            },
        )
        return bytes(halve(onnx.load(target)).SerializeToString())


def trials(
    network: Network, calibration: Sequence[TrainingSample], held_out: Sequence[TrainingSample]
) -> Iterator[Trial]:
    """Int8 versions, from the one in which most is quantised."""
    expected = answers(network, held_out, Precision.F32)
    before, port = score(network.name, expected, held_out), read_interface(network).inputs[0]
    feeds = inputs_of(network.name, port, calibration)

    for kept in LADDER:
        made = quantised(network, feeds, kept=kept)
        seen = answers(Network.of(network.name, made), held_out, Precision.INT8)
        now = score(network.name, seen, held_out)
        yield Trial(
            made,
            kept,
            score=now,
            lost=before - now,
            near_db=near_db(seen, expected, held_out) if network.name == "generator" else None,
        )


def leaving_out(version: bytes, network: Network) -> tuple[bytes, tuple[str, ...]]:
    """The version without the weights that `network` stores alike, and their names."""
    base, model = onnx.load_from_string(network.onnx), onnx.load_from_string(version)
    theirs = {tensor.name: tensor.SerializeToString() for tensor in base.graph.initializer}
    ours = list(model.graph.initializer)
    common = [tensor.name for tensor in ours if theirs.get(tensor.name) == tensor.SerializeToString()]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensor for tensor in ours if tensor.name not in common)
    return bytes(model.SerializeToString()), tuple(common)


def write(network: Network, manifest: Manifest, trial: Trial, folder: Path) -> Manifest:
    """Write the int8 version, without what both have in common, beside its manifest."""
    stored, borrowed = leaving_out(trial.onnx, network)
    version = Network.of(network.name + INT8, stored)
    name = next(iter(manifest.scores))
    described = replace(
        manifest,
        name=version.name,
        sha256=version.sha256,
        scores={name: round(trial.score, 4), f"{name}_lost": round(trial.lost, 4)}
        | ({} if trial.near_db is None else {"near_db": round(trial.near_db, 2)}),
        quantised_from=network.sha256,
        borrowed=borrowed,
    )

    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{version.name}.onnx").write_bytes(stored)
    (folder / f"{version.name}.json").write_text(described.dumps())
    return described


def drawn(faces: Faces, count: int, *, seed: int) -> list[TrainingSample]:
    """The first faces, each wearing a mask."""
    rng = np.random.default_rng(seed)
    return [draw_sample(faces, index % len(faces), rng) for index in range(count)]


def main() -> None:
    """Read the flags and quantise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted(MOST_LOST))
    parser.add_argument(
        "--crops", type=Path, required=True, help="faces cut by training.data.crops: train.npz and val.npz"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(str(models.PACKAGE)), help="holds the network (default: ours)"
    )
    parser.add_argument("--calibrate", type=int, default=16, metavar="N", help="faces to find the steps on")
    parser.add_argument("--check", type=int, default=96, metavar="N", help="held-out faces to measure the loss on")

    flags = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises on the root logger
    with errors_in_one_line(parser):
        _quantise(flags)


def _quantise(flags: argparse.Namespace) -> None:
    """Write the first version that loses little. Raises `CheckpointError` when all lose more."""
    network, manifest = models.shipped(flags.network, flags.folder), models.manifest(flags.network, flags.folder)
    calibration = drawn(Faces.read(flags.crops, "train"), flags.calibrate, seed=1)
    held_out = drawn(Faces.read(flags.crops, "val"), flags.check, seed=2)
    for trial in trials(network, calibration, held_out):
        outcome = {"kept": trial.kept._asdict(), "score": trial.score, "lost": trial.lost, "near_db": trial.near_db}
        print(json.dumps(outcome), flush=True)  # noqa: T201 (the command's answer)
        if trial.serves(flags.network):
            print(write(network, manifest, trial, flags.folder).dumps())  # noqa: T201 (the command's answer)
            return
    raise CheckpointError(
        f"every int8 version of {flags.network} loses {MOST_LOST[flags.network]} or more, or draws otherwise; "
        "none is written"
    )


if __name__ == "__main__":
    main()
