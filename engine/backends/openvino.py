"""Runs networks in OpenVINO, the default on CPUs.

In bfloat16 where that is faster than float32, with AMX four times as fast.
Intel's GPUs and NPUs are devices as well. Neither was ever at hand: their tests know only what OpenVINO documents.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import timeit
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from engine.cache import Cache, Label, logger
from engine.onnx_file import read_interface
from engine.spec import Array, Device, Network, Offer, Precision, TensorSpec, checked_feeds
from pipeline.errors import BackendMissing, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import openvino
    from numpy.typing import NDArray

NAME = "openvino"
CAPABILITIES = {Precision.BF16: "BF16", Precision.F32: "FP32", Precision.INT8: "INT8", Precision.FP16: "FP16"}
"""Our precision to OpenVINO's word in OPTIMIZATION_CAPABILITIES, which lists what the processor has in hardware; first
what `auto` takes. In int8, which is faster than float32, jaws are softer and some skin is blotched: who asks has it."""
HINTS = {Precision.F32: "f32", Precision.BF16: "bf16", Precision.FP16: "f16", Precision.INT8: "f32"}
"""Our precision to OpenVINO's hint; in int8 it is for what lies between the quantised operations, and in bfloat16 the
generator would draw 38 dB from what it draws in float32, where 39 are asked for."""
TARGETS = {"cpu": "CPU", "intel": "GPU", "npu": "NPU"}
"""The kind of a device to OpenVINO's name for it."""
_MAKING_CORE, _TRYING = Lock(), Lock()
MAX_PROGRAMS = 4
"""How many compiled programs are kept. A network whose picture size is open gets one for each size that it meets."""


def missing() -> str | None:
    """The reason why OpenVINO can't run here, or None."""
    if importlib.util.find_spec("openvino") is None:
        return "the package openvino is not installed: pip install openvino"
    return None


def offer() -> Offer:
    """The version, the device and the precisions."""
    core = _core()
    there = {name.partition(".")[0] for name in core.available_devices}
    kinds = tuple(kind for kind, target in TARGETS.items() if target in there)
    return Offer(_version(), kinds, tuple(_precisions(core)))


def fastest() -> Precision:
    """The precision that `auto` stands for on the processor."""
    return next(_precisions(_core()))


def _precisions(core: openvino.Core) -> Iterator[Precision]:
    """The precisions of the processor, first the one that `auto` takes."""
    have = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for ours in sorted(CAPABILITIES, key=lambda one: one is Precision.BF16 and "BF16" in have and not bf16_pays()):
        if CAPABILITIES[ours] in have and (ours is not Precision.INT8 or int8_is_exact()):
            yield ours


@lru_cache(maxsize=1)
def _version() -> str:
    """The version of the package."""
    return importlib.metadata.version(NAME)


def _core() -> openvino.Core:
    """The one `openvino.Core` of this process, which is never freed.

    A Core gives the thread that makes it a stack for signal handlers, and frees the stack when the Core is freed, in
    whatever thread. If Cores came and went, a thread could keep a freed stack, and Ctrl-C would crash the process.
    """
    with _MAKING_CORE:  # networks are compiled side by side, and each would make one
        return _first_core()


@lru_cache(maxsize=1)
def _first_core() -> openvino.Core:
    # OpenVINO's package imports its model converter, which is not needed here, and with it telemetry, HTTP and TLS: two
    # thirds of the time. It does without a converter that can't be imported.
    left_out = "openvino.tools" not in sys.modules and "openvino" not in sys.modules
    if left_out:
        sys.modules["openvino.tools"] = None  # type: ignore[assignment]  # this is how Python is told
    try:
        import openvino
    finally:
        if left_out:
            del sys.modules["openvino.tools"]

    return openvino.Core()


@lru_cache(maxsize=1)
def int8_is_exact() -> bool:
    """Whether products of bytes are added up without overflow here.

    Without VNNI OpenVINO adds pairs of them in 16 bits, where large ones do not fit, and its properties do not tell. So
    a convolution is computed whose result is known: 32 channels of 3 x 3 ones.
    """
    core = _core()
    import openvino
    from openvino import opset13 as operators

    shape, sums = [1, 32, 3, 3], 32 * 9
    ones = np.ones(shape, np.float32)
    low, high = np.float32(0), np.float32(1)
    picture = operators.parameter(shape, np.float32)
    seen = operators.fake_quantize(picture, low, high, low, high, 256)
    weights = operators.fake_quantize(operators.constant(ones.repeat(32, axis=0)), -high, high, -high, high, 255)
    result = operators.convolution(seen, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(openvino.Model([result], [picture]), "CPU", settings)
    return bool(np.abs(compiled({0: ones})[0] / sums - 1).max() < 0.01)


def bf16_pays() -> bool:
    """Whether bfloat16 is faster than float32 here, as a convolution shows that is tried in both.

    It is with AMX and on AMD's processors. On an Intel processor that has bfloat16 and no AMX, or hides it as virtual
    machines do, networks took 1.6 times as long with it, and its properties do not tell.
    """
    with _TRYING:  # side by side, two tries would slow each other
        return _seconds_of_convolution("bf16") < 0.85 * _seconds_of_convolution("f32")


@lru_cache
def _seconds_of_convolution(hint: str) -> float:
    core = _core()
    import openvino
    from openvino import opset13 as operators

    ones = np.ones((1, 64, 32, 32), np.float32)
    picture = operators.parameter(ones.shape, np.float32)
    result = operators.convolution(picture, np.ones((64, 64, 3, 3), np.float32), [1, 1], [1, 1], [1, 1], [1, 1])
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": hint}
    compiled = core.compile_model(openvino.Model([result], [picture]), "CPU", settings)
    return min(timeit.repeat(lambda: compiled({0: ones}), number=1, repeat=7))


def load(network: Network, *, device: Device, precision: Precision, threads: int) -> OpenVinoEngine:
    """Compile `network`; open sizes are compiled when they are first met.

    Raises `BackendMissing` for a device that is not there and for a precision that it lacks, `EngineError` when the
    network can't be read or compiled.
    """
    reason = missing()
    if reason is not None:
        raise BackendMissing(f"backend {NAME}: {reason}", reasons={NAME: reason})
    core = _core()
    target = _target(core, device)
    chosen = _precision(core, target, network, precision)
    between = _fastest(core, target) if chosen is Precision.INT8 and target != "CPU" else chosen
    interface = read_interface(network)
    settings = {
        # One picture after the other, as soon as possible: streams would trade latency for throughput.
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": HINTS[between],
    }
    if target == "CPU":
        # The other stages' threads need the same cores: a pinned worker would wait behind them.
        settings["ENABLE_CPU_PINNING"] = False
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
    engine = OpenVinoEngine(
        network, interface.inputs, interface.outputs, chosen, core, settings, device=device, target=target
    )
    engine.prepare()
    return engine


def _target(core: openvino.Core, device: Device) -> str:
    """OpenVINO's name of the device. Raises `BackendMissing` when it is not there."""
    if device == Device():
        return TARGETS[device.kind]  # who asks what else is there loads what drives GPUs and NPUs: 18 MB
    wanted = TARGETS.get(device.kind)
    there = list(core.available_devices)
    # Where there are several of a kind they are called GPU.0 and GPU.1; one alone is called GPU.
    for name in () if wanted is None else (f"{wanted}.{device.index}", *([wanted] if device.index == 0 else [])):
        if name in there:
            return name
    kinds = "cpu, intel or npu" if wanted is None else f"what is there: {', '.join(there)}"
    reason = f"runs on {kinds}, not on {device}"
    raise BackendMissing(f"backend {NAME} {reason}", reasons={NAME: reason})


def _precision(core: openvino.Core, target: str, network: Network, asked: Precision) -> Precision:
    """The precision to compute in. Raises `BackendMissing` when the device lacks it."""
    if asked is Precision.AUTO:
        int8 = target == "CPU" and network.lacks_int8() is None
        if not int8:
            return _fastest(core, target)
        asked = Precision.INT8  # a network that was quantised has no other

    have = core.get_property(target, "OPTIMIZATION_CAPABILITIES")
    reason = network.lacks_int8() if asked is Precision.INT8 else None
    if CAPABILITIES[asked] not in have:
        reason = f"{target} does not compute in {asked} here (it has {', '.join(have)})"
    elif reason is None and asked is Precision.INT8 and target == "CPU" and not int8_is_exact():
        reason = "this processor has no VNNI, so that sums in int8 overflow and faces come out wrong"
    if reason is None:
        return asked
    raise BackendMissing(f"backend {NAME}: {reason}; use precision auto or f32", reasons={NAME: reason})


def _fastest(core: openvino.Core, target: str) -> Precision:
    """The fastest of the floating-point precisions that keep a network's range; an NPU has float16 alone."""
    have = core.get_property(target, "OPTIMIZATION_CAPABILITIES")
    if target.startswith("NPU"):
        return Precision.FP16
    return Precision.BF16 if "BF16" in have and (target != "CPU" or bf16_pays()) else Precision.F32


@dataclass
class _Program:
    """The network compiled for some sizes, and the requests that no run is using."""

    compiled: openvino.CompiledModel
    idle: list[openvino.InferRequest] = field(default_factory=list)
    # The last field, as fields are freed in order: what uses these bytes is gone before they are.
    kept: NDArray[np.uint8] | None = None
    """The bytes that it uses and does not own; None where it was compiled here."""

    def start(self, feeds: Mapping[str, Array], outputs: tuple[TensorSpec, ...]) -> _Running:
        """Start a run on a request that is idle, or on a new one."""
        request = self.idle.pop() if self.idle else self.compiled.create_infer_request()
        for name, array in feeds.items():
            tensor = request.get_tensor(name)
            if tuple(tensor.shape) != array.shape:
                tensor.shape = array.shape
            # Copied: a request does not keep alive the memory that it shares, and a caller may write to its own.
            tensor.data[...] = array
        request.start_async()
        return _Running(request, self, outputs)


@dataclass
class _Running:
    """A run under way."""

    request: openvino.InferRequest
    program: _Program  # behind the request, which is freed before it and waits for its run to end
    specs: tuple[TensorSpec, ...]
    outputs: dict[str, Array] | None = None

    def result(self) -> dict[str, Array]:
        """Wait for the outputs, the same ones at every call. Raises `EngineError` when the run failed."""
        if self.outputs is None:
            try:
                self.request.wait()
            except RuntimeError as error:
                raise EngineError(f"backend {NAME}: the run failed: {_first_lines(error)}") from error
            # Copied, since the next run writes over the request's own memory.
            self.outputs = {spec.name: self.request.get_tensor(spec.name).data.copy() for spec in self.specs}
            self.program.idle.append(self.request)
        return self.outputs


class OpenVinoEngine:
    """A network in OpenVINO.

    Fixed sizes compile to faster code than open ones (a fifth faster, for the face detector), and a batch of one is
    what nearly every frame needs: so a batch of one has a program with all sizes fixed, and larger batches share a
    program in which only the batch is open.
    """

    def __init__(
        self,
        network: Network,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        precision: Precision,
        core: openvino.Core,
        settings: Mapping[str, object],
        *,
        device: Device,
        target: str,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._network = network
        self._precision = precision
        self._settings = dict(settings)
        self._device = device
        self._target = target
        self._core: openvino.Core | None = core
        self._programs: OrderedDict[tuple[tuple[int, ...], ...], _Program] = OrderedDict()

    @property
    def description(self) -> str:
        """Backend, version, device and precision, such as `openvino 2026.4.1 cpu bf16`."""
        return f"{NAME} {_version()} {self._device} {self._precision}"

    def prepare(self) -> None:
        """Compile for a batch of one now, when the network leaves no other size open. Raises `EngineError`."""
        if not any(None in spec.shape[1:] for spec in self.inputs):
            self._program(tuple(tuple(size or 1 for size in spec.shape) for spec in self.inputs))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for `feeds`. Raises `ShapeError` and `EngineError`."""
        return self.submit(feeds).result()

    def submit(self, feeds: Mapping[str, Array]) -> _Running:
        """Start a run in OpenVINO's own threads. Raises `ShapeError` and `EngineError`."""
        if self._core is None:
            raise EngineError(f"engine {NAME} of {self._network.name} is closed")
        arrays = checked_feeds(self.inputs, feeds)
        try:
            program = self._program(tuple(array.shape for array in arrays.values()))
            return program.start(arrays, self.outputs)
        except RuntimeError as error:
            if isinstance(error, EngineError):
                raise
            raise EngineError(f"backend {NAME} can't run {self._network.name}: {_first_lines(error)}") from error

    def close(self) -> None:
        """Release the programs; a run under way still gives its result."""
        self._programs.clear()
        self._core = None

    def _program(self, shapes: tuple[tuple[int, ...], ...]) -> _Program:
        """The program for these input shapes, compiled when first asked for."""
        batched = [spec.shape[:1] == (None,) for spec in self.inputs]
        key = tuple(
            (-1, *shape[1:]) if is_batched and shape[0] != 1 and not self._target.startswith("NPU") else shape
            for shape, is_batched in zip(shapes, batched, strict=True)
        )
        # An NPU compiles no open size, so each size of a batch gets a program there.
        program = self._programs.pop(key, None) or self._compile(key)
        self._programs[key] = program  # the last one used stands last
        if len(self._programs) > MAX_PROGRAMS:
            self._programs.popitem(last=False)
        return program

    def _compile(self, shapes: tuple[tuple[int, ...], ...]) -> _Program:
        """Take a program from the cache, in a fraction of the time, or compile it and keep it."""
        if self._core is None:
            raise EngineError(f"engine {NAME} of {self._network.name} is closed")

        cache, label = Cache.default(), self._label(self._core, shapes)
        kept = cache.find(label)
        if kept is not None:
            try:
                return self._imported(self._core, np.frombuffer(kept, np.uint8))
            except RuntimeError as error:
                logger.info("the kept engine of %s is compiled anew: %s", self._network.name, _first_lines(error))

        compiled = self._compile_anew(self._core, shapes)
        program = self._checked(compiled)
        cache.keep(label, compiled.export_model().getvalue())
        return program

    def _imported(self, core: openvino.Core, kept: NDArray[np.uint8]) -> _Program:
        """The program of bytes from the cache. They are not copied: its weights stay where they are, in the file."""
        import openvino

        tensor = openvino.Tensor(kept, shared_memory=True)
        return self._checked(core.import_model(tensor, self._target, self._settings), kept)

    def _compile_anew(self, core: openvino.Core, shapes: tuple[tuple[int, ...], ...]) -> openvino.CompiledModel:
        """Compile the network for these shapes. Raises `EngineError`."""
        import openvino

        model = self._read(core)
        try:
            model.reshape(
                {spec.name: openvino.PartialShape(list(shape)) for spec, shape in zip(self.inputs, shapes, strict=True)}
            )
            return core.compile_model(model, self._target, self._settings)
        except RuntimeError as error:
            raise EngineError(f"backend {NAME} can't compile {self._network.name}: {_first_lines(error)}") from error

    def _checked(self, compiled: openvino.CompiledModel, kept: NDArray[np.uint8] | None = None) -> _Program:
        """Raise `EngineError` when it computes in other numbers than was asked for."""
        got = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if got != self._settings["INFERENCE_PRECISION_HINT"]:
            raise EngineError(f"backend {NAME} came up in {got}, not in {self._precision}; use precision auto or f32")
        return _Program(compiled, kept=kept)

    def _label(self, core: openvino.Core, shapes: tuple[tuple[int, ...], ...]) -> Label:
        """The label of the program for these shapes."""
        features = ", ".join(core.get_property(self._target, "OPTIMIZATION_CAPABILITIES"))
        return Label(
            network=self._network.name,
            sha256=self._network.sha256,
            backend=NAME,
            version=_version(),
            devices=(f"{core.get_property(self._target, 'FULL_DEVICE_NAME')}: {features}",),
            precision=str(self._precision),
            shapes=", ".join("x".join("*" if size < 0 else str(size) for size in shape) for shape in shapes),
            settings=json.dumps(self._settings, sort_keys=True),
        )

    def _read(self, core: openvino.Core) -> openvino.Model:
        """Read the network. Raises `EngineError`."""
        try:
            return core.read_model(self._network.onnx)
        except RuntimeError as error:
            raise EngineError(f"backend {NAME} can't read {self._network.name}: {_first_lines(error)}") from error


def _first_lines(error: RuntimeError) -> str:
    """Shorten OpenVINO's message by its source file names."""
    lines = [line.strip() for line in str(error).splitlines()]
    useful = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return " ".join(useful)[:300] or str(error)[:300]
