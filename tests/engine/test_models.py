from __future__ import annotations

import hashlib
import json
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine import models
from engine.models import Manifest
from engine.onnx_file import read_interface
from engine.spec import Network, Precision, TensorSpec
from pipeline.errors import CheckpointError
from tests.engine import networks

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, network: Network, **changes: object) -> None:
    """`network` as we ship one, its manifest with some changes."""
    interface = read_interface(network)
    manifest = Manifest(
        name="detector",
        sha256=network.sha256,
        inputs=interface.inputs,
        outputs=interface.outputs,
        data="WIDER FACE",
        steps=100,
        scores={"recall": 0.9},
        terms="MIT",
    )
    told = json.loads(manifest.dumps()) | changes
    (folder / "detector.json").write_text(json.dumps({key: value for key, value in told.items() if value is not ...}))
    (folder / "detector.onnx").write_bytes(network.onnx)


def test_a_manifest_comes_back_as_it_was_written() -> None:
    spec = TensorSpec("crop", (None, 3, 128, 128), np.dtype(np.float32))
    assert json.loads(Manifest("a", "b", (spec,), (spec,), "", 0, {}, "").dumps())["inputs"][0].keys() == {
        "name",
        "shape",
        "dtype",
    }
    spec = TensorSpec("crop", (None, 3, 128, 128), np.dtype(np.float32), optional=True)
    manifest = Manifest("segmenter", "ab", (spec,), (spec,), "CelebA", 3000, {"iou": 0.97}, "research")
    assert Manifest.loads(manifest.dumps()) == manifest


def test_a_network_comes_with_its_manifest(tmp_path: Path) -> None:
    network = networks.detector()
    write(tmp_path, network)
    assert models.names(tmp_path) == ("detector",)
    found = models.shipped("detector", tmp_path)
    assert (found.name, found.sha256, found.onnx) == ("detector", network.sha256, network.onnx)
    assert models.manifest("detector", tmp_path).steps == 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, "its manifest says 0000"),
        ({"name": "other"}, "is the manifest of other"),
        ({"inputs": []}, "other inputs or outputs than its manifest says"),
        ({"steps": ...}, "not a network's manifest"),
        ({"surprise": 1}, "not a network's manifest"),
    ],
)
def test_what_does_not_belong_together_is_told(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write(tmp_path, networks.detector(), **changes)
    with pytest.raises(CheckpointError, match=message):
        models.shipped("detector", tmp_path)


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    network = networks.detector()
    write(tmp_path, network)
    damaged = bytearray(network.onnx)
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "detector.onnx").write_bytes(damaged)
    with pytest.raises(CheckpointError, match="reinstall barefaced"):
        models.shipped("detector", tmp_path)


@pytest.mark.parametrize("precision", [Precision.AUTO, Precision.INT8])
def test_a_network_keeps_no_bytes_and_reads_them_again(precision: Precision) -> None:
    network = models.shipped("generator", precision=precision)
    assert len(pickle.dumps(network)) < 4000
    assert hashlib.sha256(network.onnx).hexdigest() == network.sha256


def test_a_file_that_is_changed_later_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, networks.detector())
    network = models.shipped("detector", tmp_path)
    (tmp_path / "detector.onnx").write_bytes(b"another")
    with pytest.raises(CheckpointError, match="its manifest says"):
        network.onnx  # noqa: B018 - reading is what raises


def test_an_absent_network_is_told_with_those_there_are(tmp_path: Path) -> None:
    write(tmp_path, networks.detector())
    with pytest.raises(CheckpointError, match=r"generator.json is not among the networks here \(there are: detector\)"):
        models.shipped("generator", tmp_path)


@pytest.mark.parametrize("name", models.names() or [None])
def test_every_network_that_we_ship_is_what_its_manifest_says(name: str | None) -> None:
    if name is None:
        pytest.skip("no networks are shipped yet")
    assert models.shipped(name).sha256 == models.manifest(name).sha256


@pytest.mark.parametrize("name", ["generator", "segmenter", "figure", "eum_srt"])
def test_no_network_that_we_ship_says_where_it_was_exported(name: str) -> None:
    """The exporter notes the lines of code behind each node, with the paths of the machine on which it ran."""
    onnx = models.shipped(name).onnx
    assert b'.py", line ' not in onnx
    assert b"site-packages" not in onnx


def test_an_int8_version_goes_under_the_networks_own_name(tmp_path: Path) -> None:
    network = networks.detector()
    write(tmp_path, network)
    told = json.loads((tmp_path / "detector.json").read_text())
    told |= {"name": "detector.int8", "quantised_from": network.sha256}
    (tmp_path / "detector.int8.json").write_text(json.dumps(told))
    (tmp_path / "detector.int8.onnx").write_bytes(network.onnx)
    assert models.has_int8("detector", tmp_path)
    assert models.names(tmp_path) == ("detector",)
    assert models.shipped("detector", tmp_path, precision=Precision.INT8).name == "detector"
    assert models.manifest("detector.int8", tmp_path).quantised_from == network.sha256
    told["quantised_from"] = "0" * 64
    (tmp_path / "detector.int8.json").write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match=r"detector\.int8\.onnx was made of another detector\.onnx"):
        models.shipped("detector", tmp_path, precision=Precision.INT8)


def test_a_network_without_an_int8_version_says_how_to_make_it(tmp_path: Path) -> None:
    write(tmp_path, networks.detector())
    cure = r"detector has no int8 version here: python -m training\.networks\.quantise"
    with pytest.raises(CheckpointError, match=cure):
        models.shipped("detector", tmp_path, precision=Precision.INT8)
