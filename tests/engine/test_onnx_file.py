"""The weights inside a network's file, read and replaced, beside what the ONNX library reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import models
from engine.models import shipped
from engine.onnx_file import multiply_adds, read_interface, read_weight, stored_weights, with_weights
from engine.spec import Network, TensorSpec
from pipeline.errors import CheckpointError, EngineError
from tests.engine import networks

onnx = pytest.importorskip("onnx", reason="the package onnx builds these networks: install barefaced[training]")


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


helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT


def network(*nodes: Any, weights: dict[str, tuple[int, ...]], out: tuple[int, ...]) -> Network:
    tensors = [helper.make_tensor(name, FLOAT, shape, [0.0] * _size(shape)) for name, shape in weights.items()]
    ports = [
        helper.make_tensor_value_info(name, FLOAT, ("batch", *shape))
        for name, shape in (("in", (8, 10, 12)), ("out", out))
    ]
    graph = helper.make_graph(nodes, "made", ports[:1], ports[1:], tensors)
    return Network.of("made", helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def test_multiply_adds_are_those_of_the_tower_by_hand() -> None:
    # 3x3 from 3 to 8 channels at 16x16, then 3x3 from 8 to 8 there, for two pictures
    expected = 2 * 16 * 16 * 9 * (3 * 8 + 8 * 8)
    assert multiply_adds(networks.tower(), {"picture": (2, 3, 32, 32)}) == expected


def test_a_size_that_is_open_must_be_said() -> None:
    with pytest.raises(ValueError, match="a size is open"):
        multiply_adds(networks.detector())
    small, large = (multiply_adds(networks.detector(), {"input": (1, 3, side, side)}) for side in (320, 640))
    assert large == pytest.approx(4 * small, rel=0.01)


def test_a_grouped_convolution_by_hand() -> None:
    node = helper.make_node("Conv", ["in", "w"], ["out"], group=2, pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    made = network(node, weights={"w": (16, 4, 3, 3)}, out=(16, 10, 12))
    assert multiply_adds(made) == 16 * 10 * 12 * 4 * 9


def test_an_upward_convolution_by_hand() -> None:
    node = helper.make_node("ConvTranspose", ["in", "w"], ["out"], strides=[2, 2], kernel_shape=[2, 2])
    made = network(node, weights={"w": (8, 6, 2, 2)}, out=(6, 20, 24))
    assert multiply_adds(made) == 8 * 10 * 12 * 6 * 4


def test_a_matrix_product_by_hand_and_nothing_else() -> None:
    nodes = [helper.make_node("Relu", ["in"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["out"])]
    assert multiply_adds(network(*nodes, weights={"w": (12, 7)}, out=(8, 10, 7))) == 8 * 10 * 7 * 12


def test_shipped_networks_cost_what_the_live_path_allows() -> None:
    assert 0.5e9 < multiply_adds(shipped("generator")) <= 2.4e9
    assert 0.1e9 < multiply_adds(shipped("segmenter")) <= 0.5e9
    assert multiply_adds(shipped("figure")) <= 0.1e9


KEY = "trunk.leave.0.weight_half"


def test_weights_are_those_that_onnx_reads() -> None:
    onnx = pytest.importorskip("onnx", reason="install barefaced[training]")
    generator = models.shipped("generator")
    stored = stored_weights(generator)
    tensors = onnx.load_from_string(generator.onnx).graph.initializer
    assert len(stored) > 80
    for tensor in tensors:
        theirs, ours = onnx.numpy_helper.to_array(tensor), read_weight(generator, stored[tensor.name])
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs), tensor.name


def test_replacing_a_weight_changes_its_numbers_and_nothing_else() -> None:
    generator = models.shipped("generator")
    place = stored_weights(generator)[KEY]
    values = read_weight(generator, place) + np.float16(1)
    changed = with_weights(generator, {KEY: values}, name="own")

    assert (changed.name, len(changed.onnx)) == ("own", len(generator.onnx))
    assert changed.sha256 != generator.sha256
    assert np.array_equal(read_weight(changed, stored_weights(changed)[KEY]), values)
    assert changed.onnx[: place.begin] == generator.onnx[: place.begin]
    assert changed.onnx[place.end :] == generator.onnx[place.end :]
    assert read_interface(changed) == read_interface(generator)


@pytest.mark.parametrize(
    ("key", "shape", "dtype", "value"),
    [
        ("no such weight", (48, 96, 3, 3), np.float16, 0.0),
        (KEY, (48, 96, 3, 2), np.float16, 0.0),
        (KEY, (48, 96, 3, 3), np.float32, 0.0),
        (KEY, (48, 96, 3, 3), np.float16, np.nan),
    ],
)
def test_a_weight_that_does_not_fit_is_refused(key: str, shape: tuple[int, ...], dtype: type, value: float) -> None:
    with pytest.raises(CheckpointError):
        with_weights(models.shipped("generator"), {key: np.full(shape, value, dtype)}, name="own")


def test_bytes_that_are_no_network_have_no_weights() -> None:
    with pytest.raises(EngineError, match="not a whole ONNX file"):
        stored_weights(Network.of("noise", b"\x3a\xff\x01 noise"))
