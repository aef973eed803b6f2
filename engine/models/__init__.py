"""The networks that we ship: `<name>.onnx` beside `<name>.json`, its manifest.

Weights may be stored in float16 behind Cast nodes: half the bytes in the package, and float32 in and out all the same.
A network may have a version in int8, `<name>.int8.onnx` beside `<name>.int8.json`, that
`training.networks.quantise` made of it; what both have in common is stored once.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from engine.onnx_file import Interface, lending, read_interface
from engine.spec import Network, Precision, TensorSpec
from pipeline.errors import CheckpointError, EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

MAKE_INT8 = "python -m training.networks.quantise makes it (docs/training-log.md)"
INT8 = ".int8"
"""What the name of a network's int8 version ends with."""
PACKAGE = resources.files(__name__)


@dataclass(frozen=True)
class Manifest:
    """What is known of a network that we ship."""

    name: str
    sha256: str
    """The hash of the ONNX file, in hexadecimal."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    data: str
    """What it was trained on."""
    steps: int
    """How many optimiser steps it was trained for."""
    scores: Mapping[str, float]
    """On held-out faces, by the names that `barefaced evaluate` uses."""
    terms: str
    """Under which terms it may be used."""
    quantised_from: str = ""
    """SHA-256 of the network that this one is the int8 version of; empty where it is none."""
    borrowed: tuple[str, ...] = ()
    """The weights that both have in common: the file leaves them out and takes them from that network's."""

    def dumps(self) -> str:
        """The manifest as JSON; `inputs` and `outputs` are lists of name, shape (null is any size) and dtype."""
        told = vars(self) | {
            "inputs": [_told(spec) for spec in self.inputs],
            "outputs": [_told(spec) for spec in self.outputs],
            "scores": dict(self.scores),
        }
        return json.dumps({key: value for key, value in told.items() if value not in ("", ())}, indent=2) + "\n"

    @classmethod
    def loads(cls, text: str) -> Manifest:
        """Read JSON as `dumps` writes it. Raises `CheckpointError` for anything else."""
        try:
            told = json.loads(text)
            inputs, outputs = (tuple(_spec(**spec) for spec in told.pop(side)) for side in ("inputs", "outputs"))
            return cls(inputs=inputs, outputs=outputs, **told | {"borrowed": tuple(told.get("borrowed", ()))})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"not a network's manifest ({error!r}): export the network anew") from error


def names(folder: Traversable = PACKAGE) -> tuple[str, ...]:
    """The networks in `folder`, in alphabetical order, versions in int8 left out."""
    files = [entry.name for entry in folder.iterdir()]
    return tuple(
        sorted(
            file.removesuffix(".json") for file in files if file.endswith(".json") and not file.endswith(INT8 + ".json")
        )
    )


def manifest(name: str, folder: Traversable = PACKAGE) -> Manifest:
    """What is known of the network called `name`. Raises `CheckpointError` when it is absent or broken."""
    found = Manifest.loads(_read(folder, f"{name}.json").decode(errors="replace"))
    if found.name != name:
        raise CheckpointError(f"{name}.json is the manifest of {found.name}: reinstall barefaced")
    return found


def shipped(name: str, folder: Traversable = PACKAGE, *, precision: Precision = Precision.AUTO) -> Network:
    """The network called `name`, checked; for precision int8 its int8 version, under the same name.

    Raises `CheckpointError` when its file is not what its manifest says, and when there is no int8 version or it was
    made of another network.
    """
    if precision is not Precision.INT8:
        return _checked(name, folder)
    version = name + INT8
    if not has_int8(name, folder):
        raise CheckpointError(f"{name} has no int8 version here: {MAKE_INT8}, or use another precision")
    if manifest(version, folder).quantised_from != manifest(name, folder).sha256:
        raise CheckpointError(f"{version}.onnx was made of another {name}.onnx: {MAKE_INT8}")
    whole = Network.of(name, _completed(name, folder))
    return Network(name, whole.sha256, partial(_completed, name, folder))


def has_int8(name: str, folder: Traversable = PACKAGE) -> bool:
    """Whether there is an int8 version of the network called `name`."""
    return folder.joinpath(f"{name}{INT8}.json").is_file()


def _completed(name: str, folder: Traversable) -> bytes:
    """The int8 version of the network called `name`, with the weights that it takes from that network."""
    version = name + INT8
    onnx, borrowed = _checked(version, folder).onnx, manifest(version, folder).borrowed
    return onnx + lending(_checked(name, folder), borrowed) if borrowed else onnx


def _checked(name: str, folder: Traversable) -> Network:
    told = manifest(name, folder)
    read = partial(_read_whole, name, folder, told.sha256)
    try:
        interface = read_interface(Network(name, told.sha256, partial(bytes, read())))
    except EngineError as error:
        raise CheckpointError(f"{name}.onnx is what its manifest says, but no network: export it anew") from error
    if interface != Interface(told.inputs, told.outputs):
        raise CheckpointError(f"{name}.onnx has other inputs or outputs than its manifest says: export it anew")
    return Network(name, told.sha256, read)


def _read_whole(name: str, folder: Traversable, wanted: str) -> bytes:
    """The ONNX file of a network. Raises `CheckpointError` where its hash is not the one that is `wanted`."""
    onnx = _read(folder, f"{name}.onnx")
    sha256 = hashlib.sha256(onnx).hexdigest()
    if sha256 != wanted:
        raise CheckpointError(f"{name}.onnx has sha256 {sha256}, its manifest says {wanted}: reinstall barefaced")
    return onnx


def _read(folder: Traversable, file_name: str) -> bytes:
    try:
        return folder.joinpath(file_name).read_bytes()
    except OSError as error:
        have = ", ".join(names(folder)) or "none"
        raise CheckpointError(f"{file_name} is not among the networks here (there are: {have})") from error


def _told(spec: TensorSpec) -> dict[str, object]:
    told: dict[str, object] = {"name": spec.name, "shape": spec.shape, "dtype": spec.dtype.name}
    return told | {"optional": True} if spec.optional else told


def _spec(*, name: str, shape: list[int | None], dtype: str, optional: bool = False) -> TensorSpec:
    return TensorSpec(name, tuple(shape), np.dtype(dtype), optional)
