"""MediaPipe's file as the network `figure`: the whole of it where file and reader are there, its parts everywhere."""

from __future__ import annotations

import hashlib
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the extra `training`")
pytest.importorskip("onnxscript", reason="training needs the extra `training`")

import numpy as np
import onnx
from onnx import helper, numpy_helper

from engine import models
from engine.select import load
from engine.spec import Network
from pipeline.errors import CheckpointError, ConfigError
from training.networks import figure
from training.networks.export import write
from training.networks.figure import DATA, TERMS, export, padding


def mediapipe_file() -> Path | None:
    """MediaPipe's file where its package is on the path; the package is not imported."""
    found = find_spec("mediapipe")
    folders = () if found is None else found.submodule_search_locations or ()
    files = (Path(folder, "modules", "selfie_segmentation", "selfie_segmentation.tflite") for folder in folders)
    return next((file for file in files if file.exists()), None)


def test_what_ships_is_what_the_file_gives(tmp_path: Path) -> None:
    pytest.importorskip("tflite", reason="tflite is not installed (docs/training-log.md)")
    file = mediapipe_file()
    if file is None:
        pytest.skip("the package mediapipe is not on the path (docs/training-log.md)")
    export(file, tmp_path)
    for name in ("figure.onnx", "figure.json"):
        assert (tmp_path / name).read_bytes() == (models.PACKAGE / name).read_bytes(), name


def test_enlarging_behind_a_convolution_of_single_pixels_gives_the_same() -> None:
    rng = np.random.default_rng(4)
    tensors = {"scales": np.array([1, 1, 2, 2]), "weight": rng.normal(size=(2, 5, 1, 1)), "bias": rng.normal(size=2)}
    scaling = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    nodes = [
        helper.make_node("Resize", ["small", "", "scales"], ["large"], **scaling),
        helper.make_node("Conv", ["large", "weight", "bias"], ["seen"], kernel_shape=[1, 1]),
    ]
    kinds, found = [], []
    for _ in range(2):
        stored = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in tensors.items()]
        ports = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *shape])
            for name, shape in (("small", (5, 8, 8)), ("seen", (2, 16, 16)))
        ]
        graph = helper.make_graph(nodes, "enlarging", ports[:1], ports[1:], stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        with closing(load(Network.of("enlarging", model.SerializeToString()), backend="onnxruntime")) as engine:
            found.append(engine.run({"small": np.random.default_rng(5).random((1, 5, 8, 8), np.float32)})["seen"])
        kinds.append([node.op_type for node in nodes])
        figure.enlarge_last(nodes)

    assert kinds == [["Resize", "Conv"], ["Conv", "Resize"]]
    assert np.allclose(*found, atol=1e-5)


def test_the_manifest_that_ships_is_what_is_written_beside_the_network(tmp_path: Path) -> None:
    write(models.shipped("figure"), tmp_path, {"step": 0, "scores": {}}, data=DATA, terms=TERMS)
    assert (tmp_path / "figure.json").read_bytes() == (models.PACKAGE / "figure.json").read_bytes()


@pytest.mark.parametrize(
    ("before", "after", "kernel", "strides", "pads"),
    [
        ((256, 256), (128, 128), (3, 3), (2, 2), [0, 0, 1, 1]),  # one row and one column, below and on the right
        ((128, 128), (128, 128), (3, 3), (1, 1), [1, 1, 1, 1]),
        ((64, 64), (32, 32), (5, 5), (2, 2), [1, 1, 2, 2]),
        ((7, 8), (4, 4), (3, 3), (2, 2), [1, 0, 1, 1]),
        ((16, 9), (16, 3), (5, 3), (1, 3), [2, 0, 2, 0]),
        ((1, 1), (1, 1), (1, 1), (1, 1), [0, 0, 0, 0]),
        ((8, 8), (4, 4), (1, 1), (2, 2), [0, 0, 0, 0]),  # steps leave the last row out
    ],
)
def test_what_is_odd_in_the_padding_goes_below_and_to_the_right(
    before: tuple[int, int], after: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], pads: list[int]
) -> None:
    assert padding(before, after, kernel, strides) == pads


def test_a_file_that_is_not_there_or_not_mediapipe_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.tflite can't be read: No such file"):
        export(tmp_path / "none.tflite", tmp_path / "models")
    with pytest.raises(CheckpointError, match="can't be read: Is a directory"):
        export(tmp_path, tmp_path / "models")
    other = tmp_path / "selfie_segmentation.tflite"
    for content in (b"", b"\x1c\x00\x00\x00TFL3 of another network"):
        other.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"is not selfie_segmentation\.tflite of the package mediapipe"):
            export(other, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_missing_reader_is_named_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = tmp_path / "known.tflite"
    known.write_bytes(b"known")
    monkeypatch.setattr(figure, "SHA256", hashlib.sha256(b"known").hexdigest())
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(ConfigError, match="needs the package tflite: pip install tflite==2"):
        export(known, tmp_path / "models")
    assert not (tmp_path / "models").exists()
