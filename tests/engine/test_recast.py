"""Networks in other numbers: the same interface, sizes untouched, the picture within what the numbers keep."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from engine import select
from engine.onnx_file import read_interface
from engine.recast import recast
from engine.spec import Network, Precision
from pipeline.errors import EngineError
from tests.engine import networks

onnx = pytest.importorskip("onnx", reason="install barefaced[training] or barefaced[rtx]")

HALVES = {Precision.FP16: onnx.TensorProto.FLOAT16, Precision.BF16: onnx.TensorProto.BFLOAT16}


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("name", ["tower", "tower_half", "detector"])
def test_takes_and_gives_what_it_took_and_gave(name: str, precision: Precision) -> None:
    network = {
        "tower": networks.tower,
        "tower_half": lambda: networks.tower(half=True),
        "detector": networks.detector,
    }[name]()
    changed = recast(network, precision)
    assert read_interface(changed) == read_interface(network)
    assert changed.sha256 != network.sha256


@pytest.mark.parametrize("precision", HALVES)
def test_every_weight_is_in_the_new_numbers(precision: Precision) -> None:
    graph = onnx.load_from_string(recast(networks.tower(), precision).onnx).graph
    assert {weight.data_type for weight in graph.initializer} == {HALVES[precision]}


def test_numbers_that_describe_sizes_stay() -> None:
    before = onnx.load_from_string(networks.detector().onnx).graph
    after = onnx.load_from_string(recast(networks.detector(), Precision.FP16).onnx).graph
    resizes = [(old, new) for old, new in zip(nodes(before, "Resize"), nodes(after, "Resize"), strict=True)]
    assert resizes
    constants = {node.output[0]: node for node in nodes(after, "Constant")}
    for old, new in resizes:
        assert old.input[1:] == new.input[1:]
        for name in new.input[1:]:
            if name in constants:
                assert constants[name].attribute[0].t.data_type != onnx.TensorProto.FLOAT16


def nodes(graph: onnx.GraphProto, operator: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.op_type == operator]


def test_float16_is_what_another_runtime_computes_of_it() -> None:
    picture = np.random.default_rng(1).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    with closing(select.load(networks.tower(), backend="onnxruntime")) as plain:
        expected = plain.run({"picture": picture})["mask"]
    with closing(select.load(recast(networks.tower(), Precision.FP16), backend="onnxruntime")) as halved:
        seen = halved.run({"picture": picture})["mask"]
    assert 0 < np.abs(seen - expected).max() < 5e-3


def test_float32_and_int8_need_no_change() -> None:
    network = networks.tower()
    assert recast(network, Precision.F32) is network
    assert recast(network, Precision.INT8) is network


def test_a_broken_file_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="network broken is not a whole ONNX file"):
        recast(Network.of("broken", b"no network"), Precision.FP16)
