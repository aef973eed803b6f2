from typing import Any

import pytest

from engine.interface import multiply_adds
from engine.models import shipped
from engine.spec import Network
from tests.engine import networks

onnx = pytest.importorskip("onnx", reason="the package onnx builds these networks: install barefaced[training]")
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
    assert 0.1e9 < multiply_adds(shipped("segmenter")) <= 0.3e9
