"""The state of a run in one file, the network that it trains, and the weights that it begins with."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from pipeline.errors import CheckpointError
from pipeline.whole_file import whole_file
from training.networks.generator import Generator, Segmenter, Trunk
from training.networks.mcsam_paper import McsamPaper

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from training.settings import TrainConfig


NEW = ("expression.", "trunk.expression.", "mend.2.", "fine.")
"""How the names of weights begin that a network may have learned nothing for: as they begin, they change nothing."""

State = dict[str, Any]
"""`network`, `ema` (the averaged weights), `optimiser`, `step`, `rng`, `config`, `scores`, and the adversary's."""


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


def built(config: TrainConfig) -> nn.Module:
    """The network of a run, as large as its settings say."""
    if config.network == "trunk":
        return Trunk(config.generator)
    if config.network == "generator":
        return Generator(config.generator)
    return Segmenter() if config.network == "segmenter" else McsamPaper(config.paper_width)


def begin_warm(network: nn.Module, path: Path) -> set[str]:
    """Give `network` the weights of a checkpoint, of a trunk's checkpoint, or of an exported network; their names.

    Raises `CheckpointError` when `path` is none of these or is of another network or another size of it.
    """
    weights = read_weights(path) if path.suffix == ".onnx" else restore(path).get("ema", {})
    of_trunk = isinstance(network, Generator) and _learned(weights) == _learned(network.trunk.state_dict())
    target = network.trunk if isinstance(network, Generator) and of_trunk else network
    if missing := sorted(_learned(target.state_dict()) - weights.keys()):
        raise CheckpointError(f"{path} holds no {missing[0]}: it is of another network than {type(network).__name__}")

    try:
        target.load_state_dict({name: weights.get(name, value) for name, value in target.state_dict().items()})
    except RuntimeError as error:
        raise CheckpointError(f"{path} is of another size than this {type(network).__name__}: {error}") from error
    given = target.state_dict().keys() & weights.keys()
    return {f"trunk.{name}" for name in given} if target is not network else given


def _learned(weights: Mapping[str, Tensor]) -> set[str]:
    """The names of the weights that a network can't do without."""
    return {name for name in weights if not name.startswith(NEW)}


LARGE = 256
"""Values from which on a weight is stored in fewer bytes."""
HALF = "_half"
"""Added to the name of a weight that is stored in float16."""
FOLDED = "folded weights"
"""Metadata: the few weights that the exporter computed away, as JSON: name to shape and base64 of little-endian
float16."""


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with its large weights stored in float16 behind a Cast: half the bytes, float32 all the same."""
    before = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + HALF))
        before.append(onnx.helper.make_node("Cast", [name + HALF], [name], to=onnx.TensorProto.FLOAT))
    return _beginning_with(before, model)


def quarter(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with its large weights stored in int8, a quarter of the bytes, and float32 all the same.

    Each output channel of a weight has a step of its own, by which a DequantizeLinear brings it back; the largest value
    of a channel is 127 steps.
    """
    before, steps = [], []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < LARGE or values.ndim < 2:
            continue
        name, channels = weight.name, values.reshape(len(values), -1)
        step = np.maximum(np.abs(channels).max(axis=1), 1e-12) / 127
        rounded = np.rint(channels / step[:, None]).astype(np.int8).reshape(values.shape)
        weight.CopyFrom(numpy_helper.from_array(rounded, name + "_int8"))
        steps.append(numpy_helper.from_array(step.astype(np.float32), name + "_step"))
        before.append(onnx.helper.make_node("DequantizeLinear", [name + "_int8", name + "_step"], [name], axis=0))
    model.graph.initializer.extend(steps)
    return _beginning_with(before, model)


def _beginning_with(before: list[onnx.NodeProto], model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with these nodes first."""
    # The exporter notes at each node from which lines it came, with the paths of the machine that exported it.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""

    nodes = [*before, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def with_all_weights(model: onnx.ModelProto, network: nn.Module) -> onnx.ModelProto:
    """`model` with those weights of `network` among its metadata that the exporter folded into constants."""
    stored = {weight.name.removesuffix(HALF) for weight in model.graph.initializer}
    folded = {name: _packed(values) for name, values in network.state_dict().items() if name not in stored}
    onnx.helper.set_model_props(model, {FOLDED: json.dumps(folded)})
    return model


def _packed(values: Tensor) -> tuple[list[int], str]:
    return list(values.shape), base64.b64encode(values.numpy().astype("<f2").tobytes()).decode()


def _unpacked(shape: list[int], packed: str) -> Tensor:
    values = np.frombuffer(base64.b64decode(packed), "<f2").astype(np.float32)
    return torch.from_numpy(values.reshape(shape))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of an exported network by name, as float32. Raises `CheckpointError` when it holds none."""
    try:
        model = onnx.load(path)
        folded = json.loads({entry.key: entry.value for entry in model.metadata_props}[FOLDED])
    except (OSError, DecodeError, KeyError) as error:
        raise CheckpointError(f"{path} is not a network that training.networks.export wrote: {error!r}") from error
    weights = {name: _unpacked(*packed) for name, packed in folded.items()}
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        weights[weight.name.removesuffix(HALF)] = torch.from_numpy(values.astype(np.float32))
    return weights
