"""The driver's functions on a stand-in: what is allocated is given back, what fails is told."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine import cuda
from engine.cuda import Buffer, Context, CudaDriver, Stream
from pipeline.errors import EngineError
from tests.engine.cuda_stand_in import StandInDriver

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[StandInDriver], None]:
    return lambda library: monkeypatch.setattr(ctypes, "CDLL", lambda _name: library)


def test_without_a_driver_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert "there is no CUDA driver here" in str(cuda.missing())
    assert "install NVIDIA's driver" in str(cuda.missing())
    with pytest.raises(EngineError, match="there is no CUDA driver here"):
        cuda.cards()


def test_cards_are_told_with_name_and_architecture(plugged_in: Callable[[StandInDriver], None]) -> None:
    plugged_in(StandInDriver(cards=2))
    assert cuda.missing() is None
    first, second = cuda.cards()
    assert (str(first), first.architecture, second.index) == ("cuda:0 Stand-in RTX", "sm86", 1)


def test_a_driver_without_a_card_is_told(plugged_in: Callable[[StandInDriver], None]) -> None:
    plugged_in(StandInDriver(cards=0))
    assert "the driver sees no GPU" in str(cuda.missing())


def test_a_failure_is_told_in_the_drivers_words() -> None:
    with pytest.raises(EngineError, match="CUDA: cuStreamCreate failed with 2, out of memory"):
        Stream(CudaDriver(StandInDriver(fails="cuStreamCreate")))


def test_a_half_made_buffer_is_given_back() -> None:
    library = StandInDriver(fails="cuMemAllocHost_v2")
    with pytest.raises(EngineError, match="cuMemAllocHost_v2"):
        Buffer(CudaDriver(library), 64)
    assert not library.held


def test_what_goes_up_comes_down_and_a_graph_does_it_again() -> None:
    library = StandInDriver()
    driver = CudaDriver(library)
    context, stream, buffer = Context(driver, 0), Stream(driver), Buffer(driver, 16)
    values = buffer.host((4,), np.dtype(np.float32))
    values[...] = [1, 2, 3, 4]
    buffer.upload(stream, 16)
    on_gpu = np.frombuffer(ctypes.string_at(buffer.address, 16), np.float32)
    np.testing.assert_array_equal(on_gpu, [1, 2, 3, 4])
    values[...] = 0
    stream.begin_capture()
    buffer.download(stream, 16)
    graph = stream.end_capture()
    np.testing.assert_array_equal(values, 0)
    graph.launch(stream)
    stream.wait()
    np.testing.assert_array_equal(values, [1, 2, 3, 4])
    for held in (graph, stream, buffer, context):
        held.close()
    assert not library.held
