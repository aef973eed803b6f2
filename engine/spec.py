"""The protocols of an engine and of a backend, and the types that describe networks and what runs them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pipeline.errors import EngineError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.generic]"


class Precision(StrEnum):
    """The numbers in which a network computes. Inputs and outputs are float32 in every precision."""

    AUTO = "auto"
    """The fastest that the device computes in hardware and the network's scores were checked in."""
    F32 = "f32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True)
class Device:
    """The processor or GPU that runs a network."""

    kind: str = "cpu"
    """The kind of device: `cpu`, `cuda`, or one of those that only some backends know, such as `directml`."""
    index: int = 0
    """The number among devices of its kind, from 0."""

    @classmethod
    def named(cls, name: str) -> Device:
        """Parse the name of a device, such as `cpu`, `cuda`, `cuda:1` or `npu`."""
        kind, _, index = name.partition(":")
        return cls(kind, int(index or 0))

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.kind == "cuda" or self.index else self.kind


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and type of one input or output."""

    name: str
    shape: tuple[int | None, ...]
    """The sizes; None stands for any size."""
    dtype: np.dtype[np.generic]
    optional: bool = False
    """Whether it may be left out of the feeds, and is zeros then; all its sizes but the first are known."""

    def check(self, array: Array) -> None:
        """Raise `ShapeError` unless `array` has the shape, `EngineError` unless it has the type."""
        sizes = zip(self.shape, array.shape, strict=False)
        if array.ndim != len(self.shape) or any(want not in (None, have) for want, have in sizes):
            raise ShapeError(self.name, expected=self.shape, actual=array.shape)
        if array.dtype != self.dtype:
            raise EngineError(f"{self.name} holds {array.dtype}, expected {self.dtype}: convert it with .astype")


def checked_feeds(inputs: tuple[TensorSpec, ...], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Check the feeds, and give them in the order of `inputs`, C-contiguous; every engine does this first.

    What is left out is zeros, as many as the first input has. Raises `ShapeError`; `EngineError` for a type or name.
    """
    import numpy as np  # here, so that reading the words above loads nothing heavy

    missing = [spec for spec in inputs if spec.optional and spec.name not in feeds]
    if feeds.keys() != {spec.name for spec in inputs if spec not in missing}:
        raise EngineError(f"fed {sorted(feeds)}, expected {sorted(spec.name for spec in inputs)}")
    count = len(feeds[inputs[0].name])
    zeros = {spec.name: np.zeros((count, *(size or 1 for size in spec.shape[1:])), spec.dtype) for spec in missing}
    feeds = {**feeds, **zeros}
    for spec in inputs:
        spec.check(feeds[spec.name])

    return {spec.name: np.ascontiguousarray(feeds[spec.name]) for spec in inputs}


class Pending(Protocol):
    """The outputs of a submitted run, later."""

    def result(self) -> dict[str, Array]:
        """Wait for the outputs. Raises `EngineError` when the run failed."""
        ...


@dataclass(frozen=True)
class Done:
    """The outputs of an engine that computes inside `submit`."""

    outputs: dict[str, Array]

    def result(self) -> dict[str, Array]:
        """Give the outputs, which are there already."""
        return self.outputs


@dataclass(frozen=True)
class Working:
    """The outputs that a thread of the engine computes."""

    future: Future[dict[str, Array]]

    def result(self) -> dict[str, Array]:
        """Wait for the outputs. Raises what the run raised."""
        return self.future.result()


class Engine(Protocol):
    """A compiled network, which computes named arrays from named arrays.

    One thread at a time runs and submits; another may take the results.
    """

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs of the network."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs of the network."""
        ...

    @property
    def description(self) -> str:
        """Backend, version, device and real precision, such as `openvino 2026.4.1 cpu bf16`."""
        ...

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for `feeds`, every input by name. Raises `ShapeError` and `EngineError`."""
        ...

    def submit(self, feeds: Mapping[str, Array]) -> Pending:
        """Start a run; `run(feeds)` is `submit(feeds).result()`.

        The feeds must not change until the result is taken. Raises `ShapeError` and `EngineError`.
        """
        ...

    def close(self) -> None:
        """Release what the engine holds. Closing twice is fine; running after closing raises `EngineError`."""
        ...


@dataclass(frozen=True)
class Network:
    """A network that is not compiled. Two are the same where name and hash are."""

    name: str
    """The name in messages, reports and cache keys, such as `generator`."""
    sha256: str
    """The hash of `onnx`, in hexadecimal."""
    read: Callable[[], bytes] = field(repr=False, compare=False)
    """Gives the bytes that have this hash. Raises `CheckpointError` where they can no longer be had."""

    @classmethod
    def of(cls, name: str, onnx: bytes) -> Network:
        """Make a network of bytes whose hash nobody vouches for: it is computed from them."""
        return cls(name, hashlib.sha256(onnx).hexdigest(), partial(bytes, onnx))

    @property
    def onnx(self) -> bytes:
        """The ONNX bytes, read at each call: one that is compiled keeps none of them. Raises `CheckpointError`."""
        return self.read()

    def lacks_int8(self) -> str | None:
        """The reason why the network can't be computed in int8, or None when it was quantised for that."""
        if b"QuantizeLinear" in self.onnx:  # the operator's name, as the file holds it
            return None
        return f"precision int8 needs a network that was quantised for it, and {self.name} was not: see docs/install.md"


@dataclass(frozen=True)
class Offer:
    """What a backend offers on this machine."""

    version: str
    """The version of its runtime."""
    devices: tuple[str, ...]
    """The devices on which it can run, such as `cpu` and `cuda:0 NVIDIA GeForce RTX 3060`."""
    precisions: tuple[Precision, ...]
    """Its precisions, first the one that `auto` stands for; int8 needs a network that was quantised for it."""


class Backend(Protocol):
    """What a module in `engine/backends/` defines."""

    def missing(self) -> str | None:
        """The reason why the backend can't run here, with the cure, or None. Imports nothing heavy."""
        ...

    def offer(self) -> Offer:
        """What it offers here. Call it only where `missing()` is None."""
        ...

    def fastest(self) -> Precision:
        """The first precision of its offer, for which it need not look at what devices there are."""
        ...

    def load(self, network: Network, *, device: Device, precision: Precision, threads: int) -> Engine:
        """Compile `network`. `threads` is how many CPU threads the engine may use, 0 for the runtime's choice.

        Raises `BackendMissing` when it can't run here on `device` in `precision`: no other device takes its place.
        Raises `EngineError` when the network can't be compiled.
        """
        ...
