"""The weights inside a network's file, read and replaced, beside what the ONNX library reads."""

from __future__ import annotations

import numpy as np
import pytest

from engine import models
from engine.interface import read_interface
from engine.spec import Network
from engine.weights import read_weight, stored_weights, with_weights
from pipeline.errors import CheckpointError, EngineError

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
