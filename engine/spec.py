"""What a compiled network is: the Engine and Backend protocols, and the words that describe one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pipeline.errors import EngineError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.generic]"


class Precision(StrEnum):
    """In what numbers a network computes. Inputs and outputs stay float32 in every precision."""

    AUTO = "auto"
    """The fastest that the device computes in hardware and the network's scores were checked in."""
    F32 = "f32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True)
class Device:
    """Where a network runs."""

    kind: str = "cpu"
    """`cpu` or `cuda`."""
    index: int = 0
    """Which one of its kind, from 0."""

    @classmethod
    def named(cls, name: str) -> Device:
        """The device of a name such as `cpu`, `cuda` or `cuda:1`."""
        kind, _, index = name.partition(":")
        return cls(kind, int(index or 0))

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and type of one input or output."""

    name: str
    shape: tuple[int | None, ...]
    """None is any size."""
    dtype: np.dtype[np.generic]

    def check(self, array: Array) -> None:
        """Raise `ShapeError` unless `array` has the shape, `EngineError` unless it has the type."""
        fits = len(array.shape) == len(self.shape) and all(
            want is None or want == have for want, have in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            raise ShapeError(self.name, expected=self.shape, actual=array.shape)
        if array.dtype != self.dtype:
            raise EngineError(f"{self.name} holds {array.dtype}, expected {self.dtype}: convert it with .astype")


def checked_feeds(inputs: tuple[TensorSpec, ...], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The feeds in the order of `inputs`, each C-contiguous; what every backend does first.

    Raises `ShapeError` for a wrong shape and `EngineError` for a wrong type or name.
    """
    if feeds.keys() != {spec.name for spec in inputs}:
        raise EngineError(f"fed {sorted(feeds)}, expected {sorted(spec.name for spec in inputs)}")
    for spec in inputs:
        spec.check(feeds[spec.name])
    import numpy as np  # here, so that reading the words above loads nothing heavy

    return {spec.name: np.ascontiguousarray(feeds[spec.name]) for spec in inputs}


class Pending(Protocol):
    """The outputs of a submitted run, later."""

    def result(self) -> dict[str, Array]:
        """Wait for the outputs. Raises `EngineError` when the run failed."""
        ...


@dataclass(frozen=True)
class Done:
    """For engines that compute inside `submit`."""

    outputs: dict[str, Array]

    def result(self) -> dict[str, Array]:
        """The outputs, at once."""
        return self.outputs


@dataclass(frozen=True)
class Working:
    """For engines that compute in a thread."""

    future: Future[dict[str, Array]]

    def result(self) -> dict[str, Array]:
        """Wait for the outputs. Raises what the run raised."""
        return self.future.result()


class Engine(Protocol):
    """A compiled network: named arrays in, named arrays out.

    One thread at a time runs and submits; another may take the results.
    """

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives."""
        ...

    @property
    def description(self) -> str:
        """Backend, version, device and the precision it really computes in, such as `openvino 2026.4.1 cpu bf16`."""
        ...

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs for `feeds`: every input by name. Raises `ShapeError` and `EngineError`."""
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
    """A network as a file: ONNX bytes and what it is called."""

    name: str
    """Such as `generator`; used in messages, reports and cache keys."""
    onnx: bytes
    sha256: str
    """Of `onnx`, in hexadecimal."""

    @classmethod
    def of(cls, name: str, onnx: bytes) -> Network:
        """A network of bytes that nobody vouches for: the hash is taken from them."""
        return cls(name, onnx, hashlib.sha256(onnx).hexdigest())

    def __repr__(self) -> str:
        return f"Network({self.name}, {len(self.onnx)} bytes, sha256 {self.sha256[:12]})"

    def lacks_int8(self) -> str | None:
        """Why it can't be computed in int8: it was not quantised. None when it was."""
        if b"QuantizeLinear" in self.onnx:  # the operator's name, as the file holds it
            return None
        return f"precision int8 needs a network that was quantised for it, and {self.name} was not: see docs/install.md"


@dataclass(frozen=True)
class Offer:
    """What a backend has to offer here."""

    version: str
    """Of its runtime."""
    devices: tuple[str, ...]
    """Where it can run, such as `cpu` and `cuda:0 NVIDIA GeForce RTX 3060`."""
    precisions: tuple[Precision, ...]
    """What it computes in, `auto` aside, the one that `auto` means first; int8 takes a network quantised for it."""


class Backend(Protocol):
    """What a module in `engine/backends/` defines."""

    def missing(self) -> str | None:
        """Why the backend can't run here and how to get it, or None. Imports nothing heavy."""
        ...

    def offer(self) -> Offer:
        """What it has to offer here; asked only where `missing()` is None."""
        ...

    def load(self, network: Network, *, device: Device, precision: Precision, threads: int) -> Engine:
        """Compile `network`. `threads` is how many CPU threads it may use, 0 for the runtime's own choice.

        Raises `BackendMissing` when it can't run here on `device` in `precision` (never becomes another device in
        silence) and `EngineError` when the network can't be compiled.
        """
        ...
