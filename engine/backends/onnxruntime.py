"""Runs networks in ONNX Runtime: on the CPU, and on GPUs where a build of it brings what they need.

CUDA has been run; ROCm, DirectML and CoreML never, and their tests know only what ONNX Runtime documents.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from engine.onnx_file import Interface, read_interface
from engine.spec import Array, Device, Network, Offer, Precision, Working, checked_feeds
from pipeline.errors import BackendMissing, EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnxruntime

NAME = "onnxruntime"
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "rocm": "MIGraphXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
"""The kind of a device to ONNX Runtime's name for what runs it."""
BUILDS = {
    "cuda": "pip install onnxruntime-gpu",
    "rocm": "pip install onnxruntime-migraphx, for AMD's GPUs on Linux",
    "directml": "pip install onnxruntime-directml, for any GPU on Windows",
    "coreml": "pip install onnxruntime on a Mac",
}
"""The kind of a device to what brings it, in the place of the package onnxruntime."""
CURES = {"cuda": "pip install 'onnxruntime-gpu[cuda,cudnn]' brings them"}
INT8_ON = ("cpu", "cuda")
"""The kinds on which a quantised network is known to keep its scores."""


def missing() -> str | None:
    """The reason why ONNX Runtime can't run here, or None."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "the package onnxruntime is not installed: pip install onnxruntime"
    return None


def offer() -> Offer:
    """The version, the devices and the precisions."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    devices = tuple(kind for kind, provider in PROVIDERS.items() if provider in there)
    return Offer(onnxruntime.__version__, devices, (fastest(), Precision.INT8))


def fastest() -> Precision:
    """The precision that `auto` stands for."""
    return Precision.F32


def load(network: Network, *, device: Device, precision: Precision, threads: int) -> OnnxRuntimeEngine:
    """Compile `network`.

    Raises `BackendMissing` when the device is not there or comes up as another one, and for any precision but
    float32 and, for a network that was quantised, int8; `EngineError` when the network can't be compiled.
    """
    reason = missing()
    if reason is None and precision is Precision.INT8:
        reason = network.lacks_int8() if device.kind in INT8_ON else f"int8 was never checked on {device.kind}"
    elif reason is None and precision not in (Precision.AUTO, Precision.F32):
        reason = f"computes in f32, not in {precision}; use precision auto or f32"
    if reason is not None:
        raise _missing(reason)

    interface = read_interface(network)
    session = _session(network, device, precision, threads)
    came_up = session.get_providers()[0]
    if came_up != PROVIDERS[device.kind]:
        cure = CURES.get(device.kind, "docs/install.md has what each needs")
        cure = f"its messages above say which library is missing; {cure}"
        raise _missing(f"was asked for {device} and came up as {came_up}: {cure}")
    chosen = Precision.F32 if precision is Precision.AUTO else precision
    return OnnxRuntimeEngine(network, interface, session, device, chosen)


def _missing(reason: str) -> BackendMissing:
    """The error that says why this backend can't be used."""
    return BackendMissing(f"backend {NAME}: {reason}", reasons={NAME: reason})


def _session(network: Network, device: Device, precision: Precision, threads: int) -> onnxruntime.InferenceSession:
    """Compile the network. Raises `BackendMissing` and `EngineError`."""
    import onnxruntime

    provider = PROVIDERS.get(device.kind)
    if provider not in onnxruntime.get_available_providers():
        cure = BUILDS.get(device.kind)
        raise _missing(f"this build has no {device.kind}" + (f" ({cure}, instead of onnxruntime)" if cure else ""))

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; they also come as exceptions
    # Idle workers that spin would take the other stages' cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if precision is Precision.INT8:
        # Without VNNI pairs of products are added up in 16 bits, where large ones do not fit; not so with this.
        options.add_session_config_entry("session.x64quantprecision", "1")
    if device.kind == "directml":  # its documentation asks for both
        options.enable_mem_pattern = False
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    numbered = device.kind not in ("cpu", "coreml")
    choice = (provider, {"device_id": str(device.index)}) if numbered else provider
    try:
        return onnxruntime.InferenceSession(network.onnx, options, providers=[choice])
    except Exception as error:  # its errors share no base class of their own
        raise EngineError(f"backend {NAME} can't compile {network.name}: {str(error)[:300]}") from error


class OnnxRuntimeEngine:
    """A network in ONNX Runtime."""

    def __init__(
        self,
        network: Network,
        interface: Interface,
        session: onnxruntime.InferenceSession,
        device: Device,
        precision: Precision,
    ) -> None:
        self.inputs = interface.inputs
        self.outputs = interface.outputs
        self._name = network.name
        self._device = device
        self._precision = precision
        self._session: onnxruntime.InferenceSession | None = session
        self._worker: ThreadPoolExecutor | None = None

    @property
    def description(self) -> str:
        """Backend, version, device and precision, such as `onnxruntime 1.31.1 cpu f32`."""
        import onnxruntime

        return f"{NAME} {onnxruntime.__version__} {self._device} {self._precision}"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for `feeds`. Raises `ShapeError` and `EngineError`."""
        return self._compute(self._open(), checked_feeds(self.inputs, feeds))

    def submit(self, feeds: Mapping[str, Array]) -> Working:
        """Start a run in a thread of the engine's own. Raises `ShapeError` and `EngineError`."""
        session, arrays = self._open(), checked_feeds(self.inputs, feeds)
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"{NAME} {self._name}")
        return Working(self._worker.submit(self._compute, session, arrays))

    def close(self) -> None:
        """Release the session, once the runs under way have ended."""
        if self._worker is not None:
            self._worker.shutdown()
        self._worker = self._session = None

    def _open(self) -> onnxruntime.InferenceSession:
        """The session. Raises `EngineError` when the engine is closed."""
        if self._session is None:
            raise EngineError(f"engine {NAME} of {self._name} is closed")
        return self._session

    def _compute(self, session: onnxruntime.InferenceSession, arrays: dict[str, Array]) -> dict[str, Array]:
        names = [spec.name for spec in self.outputs]
        try:
            return dict(zip(names, session.run(names, arrays), strict=True))
        except Exception as error:  # its errors share no base class of their own
            raise EngineError(f"backend {NAME} can't run {self._name}: {str(error)[:300]}") from error
