"""A CUDA driver in the processor's own memory: what `engine.cuda` calls, noting what was asked for and not given back.

Functions take what ctypes passes: numbers, handles, and references through which results are written.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

Work = Callable[[], None]


class StandInDriver:
    """One GPU, of compute capability 8.6."""

    def __init__(self, *, fails: str = "", cards: int = 1) -> None:
        self.fails = fails
        self.cards = cards
        self.held: dict[int, Any] = {}
        """Handles that were given out and not given back."""
        self.captured: list[Work] | None = None
        """Work that is noted instead of done."""
        self.launches = 0
        self._next = 1000

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            if name == self.fails:
                return 2
            getattr(self, f"on_{name.removesuffix('_v2')}", lambda *_: None)(*arguments)
            return 0

        return call

    def cuGetErrorString(self, _code: int, said: Any) -> int:  # noqa: N802 - the driver's name
        said._obj.value = b"out of memory"
        return 0

    def give(self, where: Any, what: object) -> None:
        self._next += 1
        self.held[self._next] = what
        where._obj.value = self._next

    def take(self, handle: Any) -> None:
        del self.held[handle.value]

    def do(self, work: Work) -> None:
        if self.captured is None:
            work()
        else:
            self.captured.append(work)

    def on_cuDeviceGetCount(self, count: Any) -> None:  # noqa: N802
        count._obj.value = self.cards

    def on_cuDeviceGetName(self, name: Any, _size: int, _device: Any) -> None:  # noqa: N802
        name.value = b"Stand-in RTX"

    def on_cuDeviceGetAttribute(self, value: Any, attribute: int, _device: Any) -> None:  # noqa: N802
        value._obj.value = {75: 8, 76: 6}[attribute]

    def on_cuDevicePrimaryCtxRetain(self, handle: Any, _device: Any) -> None:  # noqa: N802
        handle._obj.value = 1
        self.held[1] = "context"

    def on_cuDevicePrimaryCtxRelease(self, _device: Any) -> None:  # noqa: N802
        del self.held[1]

    def _allocate(self, where: Any, size: Any) -> None:
        memory = ctypes.create_string_buffer(size.value)
        where._obj.value = ctypes.addressof(memory)
        self.held[where._obj.value] = memory

    on_cuMemAlloc = on_cuMemAllocHost = _allocate  # noqa: N815

    def on_cuMemFree(self, memory: Any) -> None:  # noqa: N802
        self.take(memory)

    on_cuMemFreeHost = on_cuMemFree  # noqa: N815

    def _copy(self, target: Any, source: Any, size: Any, _stream: Any) -> None:
        self.do(lambda: ctypes.memmove(target.value, source.value, size.value) and None)

    on_cuMemcpyHtoDAsync = on_cuMemcpyDtoHAsync = _copy  # noqa: N815

    def on_cuStreamCreate(self, handle: Any, _flags: int) -> None:  # noqa: N802
        self.give(handle, "stream")

    def on_cuStreamDestroy(self, handle: Any) -> None:  # noqa: N802
        self.take(handle)

    def on_cuStreamBeginCapture(self, _stream: Any, _mode: int) -> None:  # noqa: N802
        self.captured = []

    def on_cuStreamEndCapture(self, _stream: Any, graph: Any) -> None:  # noqa: N802
        work, self.captured = self.captured, None
        self.give(graph, work)

    def on_cuGraphInstantiateWithFlags(self, runnable: Any, graph: Any, _flags: Any) -> None:  # noqa: N802
        self.give(runnable, self.held[graph.value])

    def on_cuGraphDestroy(self, graph: Any) -> None:  # noqa: N802
        self.take(graph)

    def on_cuGraphExecDestroy(self, runnable: Any) -> None:  # noqa: N802
        self.take(runnable)

    def on_cuGraphLaunch(self, runnable: Any, _stream: Any) -> None:  # noqa: N802
        self.launches += 1
        for work in self.held[runnable.value]:
            work()
