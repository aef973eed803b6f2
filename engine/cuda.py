"""Calls the part of CUDA's driver that running an engine needs, by ctypes: devices, memory, streams and graphs.

The library comes with NVIDIA's driver, so nothing has to be installed for it. Source: the CUDA Driver API reference;
functions whose name ends in `_v2` are those that today's headers mean by the plain name.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pipeline.errors import EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
CURE = "install NVIDIA's driver, version 580 or newer (https://www.nvidia.com/drivers), on a machine with an NVIDIA GPU"
MAJOR, MINOR = 75, 76
"""CUdevice_attribute: compute capability."""
NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: the stream does not wait for the default one."""
THREAD_LOCAL_CAPTURE = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do does not spoil a capture."""


@dataclass(frozen=True)
class Card:
    """An NVIDIA GPU, and what it can do."""

    index: int
    name: str
    capability: tuple[int, int]

    @property
    def architecture(self) -> str:
        """The name of the architecture, such as `sm86`."""
        return "sm{}{}".format(*self.capability)

    def __str__(self) -> str:
        return f"cuda:{self.index} {self.name}"


def missing() -> str | None:
    """The reason why no GPU can be used here, with the cure, or None."""
    try:
        return None if cards() else f"the driver sees no GPU: {CURE}"
    except EngineError as error:
        return str(error)


def cards() -> tuple[Card, ...]:
    """List the GPUs in the driver's order. Raises `EngineError` where there is no driver or it does not start."""
    driver = CudaDriver.load()
    count = ctypes.c_int()
    driver.call("cuDeviceGetCount", ctypes.byref(count))
    return tuple(_card(driver, index) for index in range(count.value))


def _card(driver: CudaDriver, index: int) -> Card:
    """Ask the driver about one GPU."""
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    driver.call("cuDeviceGet", ctypes.byref(device), index)
    driver.call("cuDeviceGetName", name, len(name), device)
    for value, attribute in ((major, MAJOR), (minor, MINOR)):
        driver.call("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
    return Card(index, name.value.decode(errors="replace"), (major.value, minor.value))


@dataclass(frozen=True)
class CudaDriver:
    """The driver's functions, whose error codes become `EngineError`s."""

    library: Any
    """The library as `ctypes.CDLL` opens it, or a stand-in with the same functions."""

    @classmethod
    def load(cls) -> Self:
        """Load and start the driver. Raises `EngineError` where it is absent or does not start."""
        try:
            driver = cls(ctypes.CDLL(LIBRARY))
        except OSError as error:
            raise EngineError(f"there is no CUDA driver here ({LIBRARY}): {CURE}") from error
        driver.call("cuInit", 0)
        return driver

    def call(self, function: str, *arguments: object) -> None:
        """Call a function. Raises `EngineError` with the driver's own words when it fails."""
        code = getattr(self.library, function)(*arguments)
        if code:
            said = ctypes.c_char_p()
            with suppress(AttributeError):
                self.library.cuGetErrorString(code, ctypes.byref(said))
            reason = (said.value or b"unknown error").decode(errors="replace")
            raise EngineError(f"CUDA: {function} failed with {code}, {reason}")


class Context:
    """A GPU made ready for this process; `activate` it in each thread that uses it."""

    def __init__(self, driver: CudaDriver, index: int) -> None:
        self.driver = driver
        self._device = ctypes.c_int()
        self._handle = ctypes.c_void_p()
        driver.call("cuDeviceGet", ctypes.byref(self._device), index)
        # The primary context is the one that TensorRT uses too.
        driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._handle), self._device)
        self.activate()

    def activate(self) -> None:
        """Make it the context of the calling thread."""
        self.driver.call("cuCtxSetCurrent", self._handle)

    def close(self) -> None:
        """Release it."""
        self.driver.call("cuDevicePrimaryCtxRelease_v2", self._device)


class Buffer:
    """Memory on the GPU with pinned memory of the same size beside it, so that copies run without the CPU."""

    def __init__(self, driver: CudaDriver, size_bytes: int) -> None:
        self._driver = driver
        self.size_bytes = size_bytes
        self._device, self._host = ctypes.c_void_p(), ctypes.c_void_p()
        driver.call("cuMemAlloc_v2", ctypes.byref(self._device), ctypes.c_size_t(size_bytes))
        try:
            driver.call("cuMemAllocHost_v2", ctypes.byref(self._host), ctypes.c_size_t(size_bytes))
        except EngineError:
            driver.call("cuMemFree_v2", self._device)
            raise

    @property
    def address(self) -> int:
        """The address of the memory on the GPU."""
        return int(self._device.value or 0)

    def host(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """View the first bytes of the pinned memory as an array, which is valid as long as the buffer."""
        count = int(np.prod(shape)) * dtype.itemsize
        memory = memoryview((ctypes.c_char * count).from_address(int(self._host.value or 0))).cast("B")
        return np.ndarray(shape, dtype, memory)

    def upload(self, stream: Stream, size_bytes: int) -> None:
        """Copy the first bytes from the pinned memory to the GPU, in the stream's order."""
        self._driver.call("cuMemcpyHtoDAsync_v2", self._device, self._host, ctypes.c_size_t(size_bytes), stream.handle)

    def download(self, stream: Stream, size_bytes: int) -> None:
        """Copy the first bytes from the GPU to the pinned memory, in the stream's order."""
        self._driver.call("cuMemcpyDtoHAsync_v2", self._host, self._device, ctypes.c_size_t(size_bytes), stream.handle)

    def close(self) -> None:
        """Free the memory of both sides."""
        self._driver.call("cuMemFreeHost", self._host)
        self._driver.call("cuMemFree_v2", self._device)


class Stream:
    """A queue of work for the GPU, which does it in order."""

    def __init__(self, driver: CudaDriver) -> None:
        self._driver = driver
        self.handle = ctypes.c_void_p()
        driver.call("cuStreamCreate", ctypes.byref(self.handle), NON_BLOCKING)

    @property
    def address(self) -> int:
        """The handle as a number, as TensorRT takes it."""
        return int(self.handle.value or 0)

    def wait(self) -> None:
        """Wait until all work in the queue is done."""
        self._driver.call("cuStreamSynchronize", self.handle)

    def begin_capture(self) -> None:
        """Record the work that is given to the stream from now on, instead of doing it."""
        self._driver.call("cuStreamBeginCapture_v2", self.handle, THREAD_LOCAL_CAPTURE)

    def end_capture(self) -> CudaGraph:
        """End recording, and give the recorded work, ready to be launched as one."""
        recorded = ctypes.c_void_p()
        self._driver.call("cuStreamEndCapture", self.handle, ctypes.byref(recorded))
        return CudaGraph(self._driver, recorded)

    def close(self) -> None:
        """Release it."""
        self._driver.call("cuStreamDestroy_v2", self.handle)


class CudaGraph:
    """Recorded work for the GPU: one launch instead of many."""

    def __init__(self, driver: CudaDriver, recorded: ctypes.c_void_p) -> None:
        self._driver = driver
        self._runnable = ctypes.c_void_p()
        try:
            driver.call("cuGraphInstantiateWithFlags", ctypes.byref(self._runnable), recorded, ctypes.c_ulonglong(0))
        finally:
            driver.call("cuGraphDestroy", recorded)

    def launch(self, stream: Stream) -> None:
        """Launch all the work, in the stream's order."""
        self._driver.call("cuGraphLaunch", self._runnable, stream.handle)

    def close(self) -> None:
        """Release it."""
        self._driver.call("cuGraphExecDestroy", self._runnable)
