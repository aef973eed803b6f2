from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.interface import read_interface
from engine.spec import Network, TensorSpec
from pipeline.errors import EngineError
from tests.engine import networks


def test_reads_names_shapes_and_types() -> None:
    interface = read_interface(networks.detector())
    float32 = np.dtype(np.float32)
    assert interface.inputs == (TensorSpec("input", (None, 3, None, None), float32),)
    assert interface.outputs == tuple(TensorSpec(name, (None,) * 3, float32) for name in ("loc", "conf", "landmarks"))


def test_reads_what_onnx_reads() -> None:
    interface = read_interface(networks.tower(half=True))
    assert interface.inputs == (TensorSpec("picture", (None, 3, 32, 32), np.dtype(np.float32)),)
    assert interface.outputs == (TensorSpec("mask", (None, 2, 32, 32), np.dtype(np.float32)),)


def test_weights_listed_among_the_inputs_are_left_out() -> None:
    onnx = pytest.importorskip("onnx", reason="install barefaced[training]")
    model = onnx.load_from_string(networks.tower().onnx)
    for weight in model.graph.initializer:
        info = onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
        model.graph.input.append(info)
    interface = read_interface(Network.of("old", model.SerializeToString()))
    assert [spec.name for spec in interface.inputs] == ["picture"]


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_other_bytes_are_an_engine_error(noise: bytes) -> None:
    with pytest.raises(EngineError, match="fetch or export it anew"):
        read_interface(Network.of("noise", noise))


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=1_736_693))
def test_a_file_cut_off_anywhere_is_an_engine_error(length: int) -> None:
    with pytest.raises(EngineError):
        read_interface(Network.of("cut", networks.detector().onnx[:length]))
