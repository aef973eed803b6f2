"""Computes no network: gives outputs of the right shape, made from the inputs. For tests, ours and our users'.

A picture comes out as the picture that went in, resized to the output's size without blending: the pipeline runs
end to end in no time, and what it should draw is known beforehand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.onnx_file import Interface, read_interface
from engine.spec import Array, Device, Done, Network, Offer, Precision, TensorSpec, checked_feeds
from pipeline.errors import BackendMissing, EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "identity"


def missing() -> str | None:
    """Give None, since it needs nothing."""
    return None


def offer() -> Offer:
    """The device and the precision; it has no version of its own."""
    return Offer("built in", ("cpu",), (Precision.F32,))


def fastest() -> Precision:
    """The only precision."""
    return Precision.F32


def load(network: Network, *, device: Device, precision: Precision, threads: int) -> IdentityEngine:
    """Read the inputs and outputs of `network`; `threads` means nothing here.

    Raises `BackendMissing` for another device than the CPU or another precision than float32, `EngineError` when the
    file is broken.
    """
    del threads
    if device.kind != "cpu" or precision not in (Precision.AUTO, Precision.F32):
        reason = f"runs on the cpu in f32 only, not on {device} in {precision}"
        raise BackendMissing(f"backend {NAME} {reason}", reasons={NAME: reason})
    return IdentityEngine(network, read_interface(network))


class IdentityEngine:
    """An engine that gives its inputs as outputs."""

    def __init__(self, network: Network, interface: Interface) -> None:
        self.inputs = interface.inputs
        self.outputs = interface.outputs
        self._name = network.name
        self._closed = False

    @property
    def description(self) -> str:
        """The name of the backend."""
        return NAME

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Make each output from the first input. Raises `ShapeError` and `EngineError`."""
        if self._closed:
            raise EngineError(f"engine {NAME} of {self._name} is closed")
        first = next(iter(checked_feeds(self.inputs, feeds).values()))
        return {spec.name: fitted(first, spec) for spec in self.outputs}

    def submit(self, feeds: Mapping[str, Array]) -> Done:
        """Run at once. Raises `ShapeError` and `EngineError`."""
        return Done(self.run(feeds))

    def close(self) -> None:
        """Refuse runs from now on."""
        self._closed = True


def fitted(array: Array, spec: TensorSpec) -> Array:
    """Bring `array` to the output's shape and type; sizes that the output leaves open stay the input's.

    Channels (axis 1) are the first ones, repeated when there are too few; along the other axes the nearest value.
    """
    rank = len(spec.shape)
    source = array.reshape(array.shape + (1,) * (rank - array.ndim)) if array.ndim <= rank else array
    source = source[(slice(None),) * rank + (0,) * (source.ndim - rank)]
    for axis, wanted in enumerate(spec.shape):
        have = source.shape[axis]
        size = have if wanted is None else wanted
        where = np.arange(size) % have if axis == 1 else np.arange(size) * have // size
        source = source.take(where, axis)
    return source.astype(spec.dtype)
