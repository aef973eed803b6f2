import pytest

onnx = pytest.importorskip("onnx", reason="costs are counted in ONNX files")

from onnx import TensorProto, helper

from engine.models import shipped
from engine.spec import Network
from training.cost import multiply_adds


def network(*nodes: onnx.NodeProto, weights: dict[str, tuple[int, ...]], out: tuple[int, ...]) -> Network:
    tensors = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, [0.0] * _size(shape)) for name, shape in weights.items()
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", *shape))
        for name, shape in (("in", (8, 10, 12)), ("out", out))
    ]
    graph = helper.make_graph(nodes, "made", ports[:1], ports[1:], tensors)
    return Network.of("made", helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


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
