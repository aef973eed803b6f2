"""Runs a plan in either TensorRT: with pinned buffers, a stream, and a CUDA graph for each shape.

Written against the documented interface; never run so far, for want of a GPU (docs/adding-a-backend.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from engine.cuda import Buffer, Context, CudaDriver, CudaGraph, Stream
from engine.spec import Array, Done, TensorSpec, checked_feeds
from engine.tensorrt_plan import MAX_BATCH, make_logger, ranges
from pipeline.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from engine.onnx_file import Interface

Shapes: TypeAlias = tuple[tuple[int, ...], ...]

MAX_GRAPHS = 4
"""How many shapes, the first ones met, get a context and a CUDA graph of their own; a context holds GPU memory."""


@dataclass(frozen=True)
class Launch:
    """What runs the network once, for the shapes that it was made for."""

    context: Any
    """The execution context of TensorRT. A graph's context must not be used for other shapes: that spoils the graph."""
    shapes: dict[str, tuple[int, ...]]
    """The shapes of all inputs and outputs."""
    graph: CudaGraph | None
    """The captured graph; None where the shapes share a context with others."""


class TensorRtEngine:
    """A network in TensorRT, on one GPU."""

    def __init__(
        self,
        trt: ModuleType,
        plan: bytes,
        interface: Interface,
        *,
        card_index: int,
        description: str,
        context_of: Callable[[ModuleType, Any], Any],
        captured: bool,
    ) -> None:
        """Load a plan. `context_of` makes an execution context; `captured` records runs as CUDA graphs.

        Raises `EngineError` when the plan can't be loaded.
        """
        self.inputs, self.outputs = interface.inputs, interface.outputs
        self.description, self._captured = description, captured
        self._buffers: dict[str, Buffer] = {}
        self._launches: dict[Shapes, Launch] = {}
        self._stream: Stream | None = None
        self._new_context: Callable[[], Any] | None = None
        self._shared: Any = None

        self._driver = CudaDriver.load()
        self._gpu: Context | None = Context(self._driver, card_index)
        self._logger = make_logger(trt)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            self.close()
            raise EngineError(f"{trt.__name__} can't load the engine: {self._logger.last_error or 'no reason given'}")

        self._new_context = partial(context_of, trt, self._engine)
        self._shared = context_of(trt, self._engine)
        self._stream = Stream(self._driver)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for `feeds`; more than `MAX_BATCH` pictures take several runs.

        Raises `ShapeError`, and `EngineError` for sizes that it was not compiled for.
        """
        if self._gpu is None:
            raise EngineError(f"engine {self.description} is closed")
        arrays = checked_feeds(self.inputs, feeds)
        self._gpu.activate()

        count = next(iter(arrays.values())).shape[0]
        if count <= MAX_BATCH or self.inputs[0].shape[0] is not None:
            return self._run(arrays)
        groups = [slice(begin, begin + MAX_BATCH) for begin in range(0, count, MAX_BATCH)]
        parts = [self._run({name: array[group] for name, array in arrays.items()}) for group in groups]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def submit(self, feeds: Mapping[str, Array]) -> Done:
        """Run at once. Raises `ShapeError` and `EngineError`."""
        return Done(self.run(feeds))

    def close(self) -> None:
        """Release the GPU's memory and the engine."""
        if self._gpu is None:
            return
        self._forget_launches()
        for buffer in self._buffers.values():
            buffer.close()
        self._buffers.clear()
        if self._stream is not None:
            self._stream.close()
        # In this order: a context keeps its engine, an engine its runtime.
        self._new_context = self._shared = self._engine = self._runtime = None
        self._gpu.close()
        self._gpu = None

    def _run(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """Compute the outputs for at most `MAX_BATCH` pictures."""
        stream = self._opened_stream()
        launch = self._launch(tuple(array.shape for array in arrays.values()), arrays)
        for name, array in arrays.items():
            self._buffers[name].host(array.shape, array.dtype)[...] = array

        if launch.graph is None:
            self._set_shapes(launch.context, launch.shapes)
            self._enqueue(launch)
        else:
            launch.graph.launch(stream)
        stream.wait()

        return {
            spec.name: self._buffers[spec.name].host(launch.shapes[spec.name], spec.dtype).copy()
            for spec in self.outputs
        }

    def _launch(self, key: Shapes, arrays: Mapping[str, Array]) -> Launch:
        """Find the launch for these input shapes, or make it when they are first met."""
        if key not in self._launches:
            self._launches[key] = self._prepared(arrays)
        return self._launches[key]

    def _prepared(self, arrays: Mapping[str, Array]) -> Launch:
        """Make the launch for the shapes of `arrays`, with a CUDA graph while there are not too many."""
        self._check_ranges(arrays)
        graphs = sum(launch.graph is not None for launch in self._launches.values())
        own = self._new_context if self._captured and graphs < MAX_GRAPHS else None
        context = self._shared if own is None else own()
        shapes = {name: array.shape for name, array in arrays.items()}
        self._set_shapes(context, shapes)
        shapes |= {spec.name: tuple(context.get_tensor_shape(spec.name)) for spec in self.outputs}
        self._make_room(shapes)

        launch = Launch(context, shapes, None)
        self._enqueue(launch)  # the first run of a shape compiles and allocates, which can't be recorded
        stream = self._opened_stream()
        stream.wait()
        if own is None:
            return launch

        stream.begin_capture()
        self._enqueue(launch)
        return Launch(context, shapes, stream.end_capture())

    def _check_ranges(self, arrays: Mapping[str, Array]) -> None:
        """Raise `EngineError` for sizes that the plan was not compiled for."""
        for spec in self.inputs:
            least, _, largest = ranges(spec)
            shape = arrays[spec.name].shape
            if any(not low <= size <= high for low, size, high in zip(least, shape, largest, strict=True)):
                reason = f"{self.description} was compiled for {spec.name} from {least} to {largest}, not for {shape}"
                raise EngineError(f"{reason}: use a smaller --detect-size, or another backend")

    def _set_shapes(self, context: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:  # noqa: ANN401 - untyped
        """Say to a context which shapes come next. Raises `EngineError`."""
        for spec in self.inputs:
            if not context.set_input_shape(spec.name, shapes[spec.name]):
                raise EngineError(f"{self.description}: {self._logger.last_error or 'the shape was refused'}")

    def _make_room(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Make the buffers large enough for these shapes."""
        for spec in (*self.inputs, *self.outputs):
            size_bytes = _size_bytes(shapes[spec.name], spec)
            if spec.name not in self._buffers or self._buffers[spec.name].size_bytes < size_bytes:
                self._forget_launches()  # graphs hold the addresses of the buffers
                if spec.name in self._buffers:
                    self._buffers.pop(spec.name).close()
                self._buffers[spec.name] = Buffer(self._driver, size_bytes)

    def _forget_launches(self) -> None:
        """Release all CUDA graphs."""
        for launch in self._launches.values():
            if launch.graph is not None:
                launch.graph.close()
        self._launches.clear()

    def _enqueue(self, launch: Launch) -> None:
        """Copy in, compute, copy out, in the stream's order."""
        stream = self._opened_stream()
        for spec in (*self.inputs, *self.outputs):
            launch.context.set_tensor_address(spec.name, self._buffers[spec.name].address)
        for spec in self.inputs:
            self._buffers[spec.name].upload(stream, _size_bytes(launch.shapes[spec.name], spec))
        if not launch.context.execute_async_v3(stream.address):
            raise EngineError(f"{self.description}: {self._logger.last_error or 'the run failed'}")
        for spec in self.outputs:
            self._buffers[spec.name].download(stream, _size_bytes(launch.shapes[spec.name], spec))

    def _opened_stream(self) -> Stream:
        """The stream. Raises `EngineError` when the engine is closed."""
        if self._stream is None:
            raise EngineError(f"engine {self.description} is closed")
        return self._stream


def _size_bytes(shape: tuple[int, ...], spec: TensorSpec) -> int:
    """The size of an array of this shape."""
    return int(np.prod(shape)) * spec.dtype.itemsize
