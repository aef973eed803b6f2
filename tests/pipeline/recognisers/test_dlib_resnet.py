from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from engine.select import load
from engine.spec import Precision
from pipeline.errors import CheckpointError, ConfigError
from pipeline.geometry import CROP_SIZE, Landmarks, face_crop
from pipeline.picture.pixels import read_crop
from pipeline.recognisers import dlib_resnet, names, recogniser_file
from pipeline.video.stills import still_frame
from tests.pipeline.masked_scenes import PORTRAIT_LANDMARKS, portrait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from engine.spec import Engine, Network

EXACT = 2e-6
"""Largest difference of one of the 128 numbers, which are about a tenth each: float32 sums in another order."""


@pytest.fixture(scope="module")
def network() -> Network:
    if dlib_resnet.missing() is not None:
        pytest.skip("the recogniser's weights are in the extra `identity`")
    return dlib_resnet.network(None)


@pytest.fixture(scope="module")
def engine(network: Network) -> Iterator[Engine]:
    loaded = load(network, backend="onnxruntime", precision=Precision.F32, threads=1)
    yield loaded
    loaded.close()


def crop_of(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    crop_from_photo = face_crop(Landmarks(PORTRAIT_LANDMARKS.astype(np.float32)))
    return read_crop(still_frame(photo).planes, crop_from_photo, size=CROP_SIZE)


def test_the_network_gives_what_dlib_gives(engine: Engine) -> None:
    dlib = pytest.importorskip("dlib", reason="the second opinion is dlib's own, of the extra `training`")
    path = importlib.metadata.distribution(dlib_resnet.PACKAGE).locate_file(dlib_resnet.FILE)
    reference = dlib.face_recognition_model_v1(str(path))
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    face = cv2.resize(crop_of(portrait()), (150, 150), interpolation=cv2.INTER_AREA)
    chips = np.stack([noise, face, np.zeros_like(face)])
    given = engine.run({"chip": chips.transpose(0, 3, 1, 2).astype(np.float32)})["embedding"]
    wanted = [np.array(reference.compute_face_descriptor(chip)) for chip in chips]
    assert np.abs(given - wanted).max() < EXACT


def test_another_light_is_the_same_person_and_a_covered_face_less_so(engine: Engine) -> None:
    photo = portrait()
    light = np.clip(photo * 0.8 + 10, 0, 255).astype(np.uint8)
    covered = photo.copy()
    cv2.rectangle(covered, (195, 112), (252, 175), (180, 200, 220), -1)
    crops = [crop_of(picture) for picture in (photo, light, covered)]
    bare, bright, masked = dlib_resnet.recogniser(engine).embed(crops)
    assert np.linalg.norm(bare) == pytest.approx(1, abs=1e-5)
    assert bare @ bright > 0.98
    assert bare @ masked < bare @ bright - 0.01


def test_a_file_that_is_another_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Installed:
        def locate_file(self, _: str) -> Path:
            return tmp_path / "weights.dat"

    monkeypatch.setattr(dlib_resnet, "missing", lambda: None)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed())
    with pytest.raises(CheckpointError, match="can't be read"):
        dlib_resnet.network(None)
    (tmp_path / "weights.dat").write_bytes(b"\x01\x01 not dlib's")
    with pytest.raises(CheckpointError, match="another network"):
        dlib_resnet.network(None)


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", nothing)
    with pytest.raises(CheckpointError, match="models-ng is not installed: make setup EXTRAS=identity"):
        dlib_resnet.network(None)


def test_a_file_of_the_users_is_of_no_use() -> None:
    with pytest.raises(ConfigError, match="takes no file"):
        dlib_resnet.network(Path("other.onnx"))


def test_a_tensor_is_read_from_behind_its_layers_name() -> None:
    """Two layers as dlib writes them: name, version 2, four sizes, little-endian float32."""
    numbers = np.arange(6, dtype="<f4")
    sizes = b"\x01\x02" + b"\x01\x02\x01\x03\x01\x01\x01\x01"
    full = b"\x01\x04fc_2" + b"\x01\x80\x02\x00\x01" + sizes + numbers[::-1].tobytes()
    first, second = dlib_resnet.read_tensors(b"\x01\x05relu_junk\x01\x05con_4" + sizes + numbers.tobytes() + full)
    assert first.tolist() == [0, 1, 2, 3, 4, 5]
    assert second.tolist() == [5, 4, 3, 2, 1, 0]


def test_every_recogniser_can_say_what_it_misses() -> None:
    assert {"arcface", "dlib-resnet"} <= set(names())
    for name in names():
        assert isinstance(recogniser_file(name).missing(), str | None)
    with pytest.raises(ConfigError, match="unknown"):
        recogniser_file("nobody")
