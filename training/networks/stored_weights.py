"""The weights inside an exported network: stored in half the bytes, and read back to begin a run warm."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from pipeline.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

HALF = "_half"
"""Added to the name of a weight that is stored in float16."""
FOLDED = "folded weights"
"""Metadata: the few weights that the exporter computed away, as JSON: name to shape and base64 of little-endian
float16."""


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with its large weights stored in float16 behind a Cast: half the bytes, float32 all the same."""
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 256:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + HALF))
        casts.append(onnx.helper.make_node("Cast", [name + HALF], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
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
