"""Int8 versions, of a small network on drawn faces: what is quantised, what is written, what is refused."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="training needs the extra `training`")

from engine import models
from engine.models import Manifest
from engine.onnx_file import read_interface
from engine.select import find_backend, load
from engine.spec import Network, Precision, TensorSpec
from pipeline.draw.hole import hole_of
from pipeline.errors import CheckpointError
from tests.engine import networks
from tests.training import made_faces
from training.data.samples import Faces
from training.networks import quantise
from training.networks.quantise import Trial

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def pictures(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).uniform(-1, 1, (count, 3, 32, 32)).astype(np.float32)


def engines_in_int8() -> list[str]:
    """The engines that compute in int8 on this processor. OpenVINO refuses to where there is no VNNI."""
    names = ("onnxruntime", "torch", "openvino")
    able = [name for name in names if Precision.INT8 in find_backend(name).offer().precisions]
    assert set(names) - set(able) <= {"openvino"}
    return able


@pytest.mark.parametrize("half", [False, True], ids=["whole", "half"])
def test_every_engine_computes_nearly_the_same_of_it(half: bool) -> None:
    network = networks.tower(half=half)
    version = Network.of("tower", quantise.quantised(network, pictures(6), kept=quantise.Kept(0, 0)))
    assert version.lacks_int8() is None
    assert read_interface(version) == read_interface(network)
    with closing(load(network, backend="onnxruntime")) as plain:
        expected = plain.run({"picture": pictures(2)})["mask"]
    for name in engines_in_int8():
        with closing(load(version, backend=name, precision=Precision.INT8, threads=1)) as engine:
            assert engine.description.endswith("int8")
            seen = engine.run({"picture": pictures(2)})["mask"]
        assert 0 < np.abs(seen - expected).max() < 0.08, name


def test_convolutions_on_the_smallest_maps_stay_where_it_is_asked_for() -> None:
    """A layer halves the side, one works there, one doubles it: that in the middle alone stays."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(0, 0.2, (8, 8, 3, 3)).astype(np.float32) for name in ("halve", "work", "double", "end")}
    weights["begin"] = rng.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
    kinds = {
        "begin": ("Conv", 1),
        "halve": ("Conv", 2),
        "work": ("Conv", 1),
        "double": ("ConvTranspose", 2),
        "end": ("Conv", 1),
    }
    nodes, value = [], "picture"
    for name, (kind, stride) in kinds.items():
        pads = {"output_padding": [1, 1]} if kind == "ConvTranspose" else {}
        out = "face" if name == "end" else f"{name}_out"
        nodes.append(onnx.helper.make_node(
            kind, [value, name], [out], name=name, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride] * 2, **pads
        ))  # fmt: skip
        value = out
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", channels, 32, 32])
        for name, channels in (("picture", 3), ("face", 8))
    ]
    tensors = [onnx.numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = onnx.helper.make_graph(nodes, "hourglass", ports[:1], ports[1:], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    network = Network.of("hourglass", model.SerializeToString())

    def in_int8(kept: quantise.Kept) -> set[str]:
        made = onnx.load_from_string(quantise.quantised(network, rng.random((2, 3, 32, 32), np.float32), kept=kept))
        stored = {
            tensor.name.split("_")[0] for tensor in made.graph.initializer if tensor.data_type == onnx.TensorProto.INT8
        }
        return stored & set(weights)

    assert in_int8(quantise.Kept(0, 0)) - in_int8(quantise.Kept(0, 0, deepest=1)) == {"work"}


def test_means_of_pixels_stay_and_are_not_counted() -> None:
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    rng = np.random.default_rng(2)
    nodes = [
        node("Conv", ["picture", "means"], ["half"], name="means", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["half", "first"], ["seen"], name="first", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Conv", ["seen", "second"], ["face"], name="second", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    weights = {"means": 0.25 * np.eye(3, dtype=np.float32)[..., None, None].repeat(2, 2).repeat(2, 3)}
    weights |= {name: rng.normal(size=(3, 3, 3, 3)).astype(np.float32) for name in ("first", "second")}
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3, side, side])
        for name, side in (("picture", 32), ("face", 16))
    ]
    graph = onnx.helper.make_graph(nodes, "halver", ports[:1], ports[1:], [tensor(w, n) for n, w in weights.items()])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)

    network, feeds = Network.of("halver", model.SerializeToString()), rng.random((2, 3, 32, 32), np.float32)
    for first, left in ((0, {"first", "second"}), (1, {"second"})):
        made = onnx.load_from_string(quantise.quantised(network, feeds, kept=quantise.Kept(first, 0)))
        stored = {one.name.split("_")[0] for one in made.graph.initializer if one.data_type == onnx.TensorProto.INT8}
        assert stored & set(weights) == left


def test_convolutions_at_the_ends_stay_where_it_is_asked_for() -> None:
    def count(kept: int) -> int:
        graph = onnx.load_from_string(
            quantise.quantised(networks.tower(), pictures(2), kept=quantise.Kept(kept, kept))
        ).graph
        stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
        return sum(kind == onnx.TensorProto.INT8 and name[0] in "ab" for name, kind in stored.items())

    assert count(0) > count(1) == 0


def test_zero_means_zero_in_every_step() -> None:
    graph = onnx.load_from_string(quantise.quantised(networks.tower(), pictures(2), kept=quantise.Kept(0, 0))).graph
    zeros = [tensor for tensor in graph.initializer if tensor.name.endswith("zero_point")]
    assert zeros
    assert not any(onnx.numpy_helper.to_array(tensor).any() for tensor in zeros)


def test_inputs_are_those_of_a_run(tmp_path: Path) -> None:
    made_faces.store(tmp_path, "val")
    samples = quantise.drawn(Faces.read(tmp_path, "val"), 2, seed=1)
    ports = {side: TensorSpec("crop", (None, 3, side, side), np.dtype(np.float32)) for side in (256, 128)}
    crops, large, small = (
        quantise.inputs_of(name, ports[side], samples)
        for name, side in (("generator", 256), ("segmenter", 256), ("segmenter", 128))
    )
    assert (crops.shape, large.shape, small.shape) == ((2, 4, 256, 256), (2, 3, 256, 256), (2, 3, 128, 128))
    assert np.array_equal(crops[:, :3], large)
    assert set(np.unique(crops[:, 3] > 0.5)) == {False, True}
    for array in (crops, large, small):
        assert array.dtype == np.float32
        assert -1 <= array.min() < 0 < array.max() <= 1


def test_a_version_is_written_beside_what_it_was_made_of_and_borrows_what_both_have(tmp_path: Path) -> None:
    network = networks.tower()
    interface = read_interface(network)
    manifest = Manifest("tower", network.sha256, interface.inputs, interface.outputs, "drawn", 1, {"iou": 0.9}, "MIT")
    (tmp_path / "tower.onnx").write_bytes(network.onnx)
    (tmp_path / "tower.json").write_text(manifest.dumps())
    made = quantise.quantised(network, pictures(2), kept=quantise.Kept(1, 0))
    quantise.write(network, manifest, Trial(made, (1, 0), score=0.8991, lost=0.0009), tmp_path)

    version = models.shipped("tower", tmp_path, precision=Precision.INT8)
    assert version.name == "tower"
    assert weights(version.onnx) == weights(made)
    told = models.manifest("tower.int8", tmp_path)
    assert told.scores == {"iou": 0.8991, "iou_lost": 0.0009}
    assert told.quantised_from == network.sha256
    stored = (tmp_path / "tower.int8.onnx").read_bytes()
    assert set(told.borrowed) == weights(made).keys() - weights(stored).keys() != set()
    for name in engines_in_int8():
        whole = Network.of("tower", made)
        with (
            closing(load(version, backend=name, precision=Precision.INT8, threads=1)) as engine,
            closing(load(whole, backend=name, precision=Precision.INT8, threads=1)) as expected,
        ):
            assert np.array_equal(
                engine.run({"picture": pictures(2)})["mask"], expected.run({"picture": pictures(2)})["mask"]
            )


def test_a_version_that_borrows_what_is_not_there_is_refused(tmp_path: Path) -> None:
    test_a_version_is_written_beside_what_it_was_made_of_and_borrows_what_both_have(tmp_path)
    told = json.loads((tmp_path / "tower.int8.json").read_text())
    (tmp_path / "tower.int8.json").write_text(json.dumps(told | {"borrowed": [*told["borrowed"], "gone"]}))
    with pytest.raises(CheckpointError, match="tower has no weight gone to lend"):
        models.shipped("tower", tmp_path, precision=Precision.INT8)


def weights(onnx_file: bytes) -> dict[str, bytes]:
    graph = onnx.load_from_string(onnx_file).graph
    return {tensor.name: tensor.SerializeToString() for tensor in graph.initializer}


def test_a_generator_that_draws_otherwise_does_not_serve() -> None:
    made = Trial(b"", quantise.Kept(0, 0), score=20.0, lost=0.0, near_db=40.9)
    assert not made.serves("generator")
    assert replace(made, near_db=41.0).serves("generator")
    assert not replace(made, near_db=50.0, lost=0.04).serves("generator")


def test_nearness_counts_inside_the_holes_alone(tmp_path: Path) -> None:
    made_faces.store(tmp_path, "val")
    samples = quantise.drawn(Faces.read(tmp_path, "val"), 2, seed=1)
    drawn = [sample.truth.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1 for sample in samples]
    inside = [hole_of(sample.alpha) > 0.5 for sample in samples]
    outside = [face + ~hole for face, hole in zip(drawn, inside, strict=True)]
    off = [face + 0.02 * hole for face, hole in zip(drawn, inside, strict=True)]
    assert quantise.near_db(outside, drawn, samples) > 100
    assert quantise.near_db(off, drawn, samples) == pytest.approx(40, abs=0.01)


def test_a_version_that_loses_too_much_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made_faces.store(tmp_path, "train")
    made_faces.store(tmp_path, "val")
    folder = tmp_path / "networks"
    folder.mkdir()
    for suffix in ("onnx", "json"):
        (folder / f"segmenter.{suffix}").write_bytes(models.PACKAGE.joinpath(f"segmenter.{suffix}").read_bytes())
    asked = ["quantise", "segmenter", "--crops", str(tmp_path), "--folder", str(folder), "--calibrate", "2"]
    monkeypatch.setattr("sys.argv", [*asked, "--check", "2"])
    monkeypatch.setattr(quantise, "LADDER", (quantise.Kept(0, 0),))
    monkeypatch.setattr(quantise, "MOST_LOST", {"generator": -1.0, "segmenter": -1.0})
    with pytest.raises(SystemExit, match="1"):
        quantise.main()
    assert "every int8 version of segmenter loses" in capsys.readouterr().err
    assert not list(folder.glob("*.int8.*"))
    monkeypatch.setattr(quantise, "MOST_LOST", {"generator": 1.0, "segmenter": 1.0})
    quantise.main()
    assert models.shipped("segmenter", folder, precision=Precision.INT8).lacks_int8() is None
