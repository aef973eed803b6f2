"""How engines are run, on a stand-in for TensorRT and for the driver: the real ones need a GPU.

The stand-in's network doubles its input. What is shown: bytes go where they should, graphs are made, reused and never
mixed up, large batches are parted, and all is given back.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine.onnx_file import Interface
from engine.spec import TensorSpec
from engine.tensorrt_engine import MAX_GRAPHS, TensorRtEngine
from pipeline.errors import EngineError, ShapeError
from tests.engine.cuda_stand_in import StandInDriver

if TYPE_CHECKING:
    from collections.abc import Iterator

FLOAT = np.dtype(np.float32)
INTERFACE = Interface((TensorSpec("x", (None, 3), FLOAT),), (TensorSpec("y", (None, 3), FLOAT),))


class StandInContext:
    """Doubles what lies at x's address into y's."""

    def __init__(self, library: StandInDriver) -> None:
        self.library = library
        self.shape: tuple[int, ...] = ()
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return True

    def get_tensor_shape(self, _name: str) -> tuple[int, ...]:
        return self.shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, _stream: int) -> bool:
        count, places = int(np.prod(self.shape)), dict(self.addresses)

        def double() -> None:
            values = 2 * np.frombuffer(ctypes.string_at(places["x"], 4 * count), np.float32)
            ctypes.memmove(places["y"], values.tobytes(), 4 * count)

        self.library.do(double)
        return True


def stand_in_tensorrt(*, loads: bool = True) -> Any:
    class Logger:
        WARNING, INFO, VERBOSE = 1, 2, 3

    runtime = SimpleNamespace(deserialize_cuda_engine=lambda _plan: SimpleNamespace() if loads else None)
    return SimpleNamespace(__name__="tensorrt", ILogger=Logger, Runtime=lambda _logger: runtime)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> StandInDriver:
    driver = StandInDriver()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: driver)
    return driver


def engine_on(library: StandInDriver, *, captured: bool, loads: bool = True) -> TensorRtEngine:
    return TensorRtEngine(
        stand_in_tensorrt(loads=loads),
        b"plan",
        INTERFACE,
        card_index=0,
        description="tensorrt stand-in",
        context_of=lambda _trt, _engine: StandInContext(library),
        captured=captured,
    )


@pytest.fixture(params=[True, False], ids=["graphs", "no_graphs"])
def engine(request: pytest.FixtureRequest, library: StandInDriver) -> Iterator[TensorRtEngine]:
    made = engine_on(library, captured=request.param)
    yield made
    made.close()
    made.close()
    assert not library.held


def rows(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)


def test_any_batch_in_any_order_gives_its_own_outputs(engine: TensorRtEngine) -> None:
    for count in (1, 3, 1, 8, 2, 5, 4, 6, 7, 3, 1):
        np.testing.assert_array_equal(engine.run({"x": rows(count)})["y"], 2 * rows(count))


def test_more_faces_than_were_compiled_for_are_run_in_parts(engine: TensorRtEngine) -> None:
    np.testing.assert_array_equal(engine.run({"x": rows(19)})["y"], 2 * rows(19))


def test_results_stay_as_they_were(engine: TensorRtEngine) -> None:
    first = engine.submit({"x": rows(2)}).result()["y"]
    kept = first.copy()
    engine.run({"x": -rows(2)})
    np.testing.assert_array_equal(first, kept)


def test_a_wrong_shape_is_told_and_a_closed_engine_refuses(engine: TensorRtEngine) -> None:
    with pytest.raises(ShapeError):
        engine.run({"x": np.zeros((1, 4), np.float32)})
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run({"x": rows(1)})


def test_a_shape_that_comes_again_is_one_launch(library: StandInDriver) -> None:
    engine = engine_on(library, captured=True)
    engine.run({"x": rows(8)})
    before = library.launches
    engine.run({"x": rows(8)})
    assert library.launches == before + 1
    for count in range(1, 8):
        engine.run({"x": rows(count)})
    graphs = [launch.graph for launch in engine._launches.values() if launch.graph is not None]
    assert len(graphs) == MAX_GRAPHS
    contexts = {id(launch.context) for launch in engine._launches.values() if launch.graph is not None}
    assert len(contexts) == MAX_GRAPHS
    engine.close()
    assert not library.held


def test_an_engine_that_does_not_load_gives_all_back(library: StandInDriver) -> None:
    with pytest.raises(EngineError, match="tensorrt can't load the engine"):
        engine_on(library, captured=True, loads=False)
    assert not library.held
