from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.error import URLError

import numpy as np
import pytest

from engine import select
from engine.spec import Network
from pipeline.detectors import detector_file, retinaface_resnet50
from pipeline.errors import CheckpointError
from tests.pipeline.moving_faces import frame_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, empty."""
    monkeypatch.setattr(retinaface_resnet50, "exported", lambda: tmp_path / "barefaced" / "retinaface-resnet50.onnx")
    return tmp_path / "barefaced"


@pytest.mark.usefixtures("cache")
def test_what_is_missing_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchvision" else object())
    reason = retinaface_resnet50.missing()
    assert reason is not None
    assert reason.startswith("not installed: torchvision, retinaface-pytorch; pip install")
    assert "--no-deps retinaface-pytorch==0.0.8" in reason
    with pytest.raises(CheckpointError, match="detector retinaface-resnet50: not installed: torchvision"):
        detector_file("retinaface-resnet50").network()


def test_an_exported_network_needs_nothing_more(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()
    (cache / "retinaface-resnet50.onnx").write_bytes(b"network")
    (cache / "retinaface-resnet50.sha256").write_text(hashlib.sha256(b"network").hexdigest())
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert retinaface_resnet50.missing() is None
    assert retinaface_resnet50.network() == Network.of("retinaface-resnet50", b"network")


def test_an_exported_network_that_was_changed_is_refused(cache: Path) -> None:
    cache.mkdir()
    (cache / "retinaface-resnet50.onnx").write_bytes(b"changed")
    (cache / "retinaface-resnet50.sha256").write_text(hashlib.sha256(b"network").hexdigest())
    with pytest.raises(CheckpointError, match="is not what was exported: delete it"):
        retinaface_resnet50.network()


def test_the_network_is_exported_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exports: list[object] = []
    monkeypatch.setattr(retinaface_resnet50, "missing", lambda: None)
    monkeypatch.setattr(retinaface_resnet50, "published_weights", lambda: {"weight": 1})
    monkeypatch.setattr(retinaface_resnet50, "export", lambda weights: exports.append(weights) or b"exported")
    first, second = retinaface_resnet50.network(), retinaface_resnet50.network()
    assert first == second == Network.of("retinaface-resnet50", b"exported")
    assert exports == [{"weight": 1}]
    assert sorted(path.name for path in cache.iterdir()) == ["retinaface-resnet50.onnx", "retinaface-resnet50.sha256"]


@pytest.mark.usefixtures("cache")
def test_without_internet_the_address_and_the_place_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="install barefaced[training]")

    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(CheckpointError, match=r"no route to host.*fetch https://.*f168fae3c.zip .*checkpoints"):
        retinaface_resnet50.published_weights()


def test_the_packages_network_is_built_exported_and_run_with_random_weights() -> None:
    for package in ("torch", "torchvision", "onnxscript"):
        pytest.importorskip(package, reason=retinaface_resnet50.CURE)
    try:
        importlib.metadata.version(retinaface_resnet50.PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(retinaface_resnet50.CURE)
    before = {name for name in sys.modules if name.split(".")[0] == "retinaface"}
    onnx = retinaface_resnet50.export(retinaface_resnet50.build().state_dict())
    assert {name for name in sys.modules if name.split(".")[0] == "retinaface"} == before
    with closing(select.load(Network.of("retinaface-resnet50", onnx), threads=1)) as engine:
        detector = retinaface_resnet50.detector(engine, size=160, threshold=0.0)
        faces = detector(frame_of(np.zeros((96, 160, 3), np.uint8)))
    assert faces
    assert all(0 <= face.score <= 1 for face in faces)
