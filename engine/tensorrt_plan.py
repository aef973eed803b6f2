"""Compiles ONNX into a plan, TensorRT's serialized engine, for data centres or for GeForce RTX.

Both packages have the same Python interface for this (TensorRT from version 10.13 on, TensorRT for RTX from 1.1), so
`trt` is either of the two modules. Networks are strongly typed in both: they compute in the types of the file
(`engine.recast`). Compiling runs in a process of its own (`engine.building`).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.onnx_file import read_interface
from engine.recast import recast
from engine.spec import Precision
from pipeline.errors import EngineError

if TYPE_CHECKING:
    from types import ModuleType

    from engine.building import Options, Progress
    from engine.spec import Network, TensorSpec

BUILDER = f"{__name__}:build"
MAX_BATCH = 8
"""How many faces are computed in one run; more take one run after the other."""
SIDES_PX = (32, 640, 1280)
"""The least, usual and largest side of a picture whose size the network leaves open."""
WORKSPACE_BYTES = 2 << 30


def ranges(spec: TensorSpec) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The least, usual and largest shape of an input: a batch of 1, 1 and `MAX_BATCH`, and `SIDES_PX`."""
    open_batch = (1, 1, MAX_BATCH)
    sizes = [
        (size,) * 3 if size is not None else open_batch if axis == 0 else SIDES_PX
        for axis, size in enumerate(spec.shape)
    ]
    least, usual, largest = zip(*sizes, strict=True)
    return least, usual, largest


def described_shapes(inputs: tuple[TensorSpec, ...]) -> str:
    """Describe the ranges of all inputs for a label, as in `crop 1..8x3x128x128`."""
    descriptions = []
    for spec in inputs:
        least, _, largest = ranges(spec)
        sizes = (str(low) if low == high else f"{low}..{high}" for low, high in zip(least, largest, strict=True))
        descriptions.append(f"{spec.name} {'x'.join(sizes)}")
    return ", ".join(descriptions)


def build(network: Network, options: Options, progress: Progress) -> bytes:
    """Compile a network, as a builder of `engine.building`.

    Options: `package` is the module's name, `precision` ours, `capabilities` a list such as ["75", "86"], empty for the
    GPU that is here. Raises `EngineError` when the parser or the compiler refuses.
    """
    trt = importlib.import_module(str(options["package"]))
    capabilities = options["capabilities"]
    assert isinstance(capabilities, list)  # noqa: S101 - JSON that we wrote
    return compile_plan(
        trt, network, Precision(str(options["precision"])), capabilities=tuple(capabilities), progress=progress
    )


def compile_plan(
    trt: ModuleType, network: Network, precision: Precision, *, capabilities: tuple[str, ...], progress: Progress
) -> bytes:
    """Compile a network into a plan. Raises `EngineError` with the reason when the parser or the compiler refuses."""
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse(recast(network, precision).onnx):
        errors = [parser.get_error(place) for place in range(parser.num_errors)]
        refused = "; ".join(f"{error.node_operator()} {error.node_name()}: {error.desc()}" for error in errors)
        raise EngineError(f"{trt.__name__} can't read {network.name}: {refused[:400]}")
    _check_definition(trt, definition, network)

    config = builder.create_builder_config()
    config.progress_monitor = make_monitor(trt, progress)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    _set_ranges(builder, config, network)
    if capabilities:
        config.num_compute_capabilities = len(capabilities)
        for place, capability in enumerate(capabilities):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), place)

    plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise EngineError(f"{trt.__name__} can't compile {network.name}: {logger.last_error or 'it gave no reason'}")
    return bytes(plan)


def _set_ranges(builder: Any, config: Any, network: Network) -> None:  # noqa: ANN401 - TensorRT's objects, untyped
    """Set the ranges of open sizes. Raises `EngineError` when the compiler refuses them."""
    inputs = read_interface(network).inputs
    if all(None not in spec.shape for spec in inputs):
        return
    profile = builder.create_optimization_profile()
    for spec in inputs:
        profile.set_shape(spec.name, *ranges(spec))
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"{network.name}: the compiler refuses the shapes {described_shapes(inputs)}")


def _check_definition(trt: ModuleType, definition: Any, network: Network) -> None:  # noqa: ANN401 - as above
    """Raise `EngineError` unless the parsed network takes and gives, in float32, what the file says."""
    interface = read_interface(network)
    sides = (
        ("input", interface.inputs, [definition.get_input(place) for place in range(definition.num_inputs)]),
        ("output", interface.outputs, [definition.get_output(place) for place in range(definition.num_outputs)]),
    )

    for side, specs, tensors in sides:
        parsed = {tensor.name: tensor for tensor in tensors}
        if parsed.keys() != {spec.name for spec in specs}:
            raise EngineError(f"{network.name}: {side}s were read as {sorted(parsed)}")
        for spec in specs:
            tensor = parsed[spec.name]
            sizes = tuple(None if size < 0 else size for size in tuple(tensor.shape))
            if len(sizes) != len(spec.shape) or tensor.dtype != trt.DataType.FLOAT:
                raise EngineError(f"{network.name}: {side} {spec.name} was read as {tensor.dtype} of {sizes}")


def make_logger(trt: ModuleType) -> Any:  # noqa: ANN401 - a class that only exists once `trt` is loaded
    """Make a logger that writes to Python's and remembers the last error."""
    from engine.cache import logger as ours

    levels = {trt.ILogger.WARNING: 30, trt.ILogger.INFO: 20, trt.ILogger.VERBOSE: 10}

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]  # it comes without types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = ""

        def log(self, severity: object, message: str) -> None:
            if severity not in levels:
                self.last_error = message[:300]
            ours.log(min(levels.get(severity, 20), 20), "%s: %s", trt.__name__, message)

    return Logger()


def make_monitor(trt: ModuleType, progress: Progress) -> Any:  # noqa: ANN401 - as above
    """Make TensorRT's progress monitor, which calls `progress`."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]  # it comes without types
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.phases = Phases()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.phases.step(phase_name, step)
            progress(phase_name, self.phases.share)
            return True

        def phase_finish(self, phase_name: str) -> None:
            self.phases.finish(phase_name)

    return Monitor()


@dataclass
class Phases:
    """Computes the share of all work that is done from nested phases; it never falls."""

    share: float = 0.0
    _open: dict[str, tuple[str | None, int, int]] = field(default_factory=dict)
    """The name of a phase to its parent, its number of steps, and its steps that are done."""

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Begin a phase, which is one step of its parent."""
        self._open[name] = (parent, max(1, steps), 0)

    def step(self, name: str, step: int) -> None:
        """Note that step number `step`, from 0, is done."""
        if name not in self._open:
            return
        parent, steps, _ = self._open[name]
        self._open[name] = (parent, steps, min(steps, step + 1))

        below, inside = name, 0.0
        while below in self._open:
            parent, steps, done = self._open[below]
            inside = min(1.0, (done + inside) / steps)
            if parent is None:
                self.share = max(self.share, inside)
                return
            below = parent

    def finish(self, name: str) -> None:
        """End a phase."""
        self._open.pop(name, None)
