"""Files of enrolled faces: what is written is read again, and nothing else is taken for one."""

from __future__ import annotations

import base64
import json
import stat
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine import models
from engine.onnx_file import read_weight, stored_weights
from pipeline.draw.mouth import AHEAD, BEHIND, STEP, VoiceModel, Voices
from pipeline.draw.sound import BANDS, Sound
from pipeline.errors import CheckpointError, ConfigError, SinkError
from pipeline.people.enrolled import AGREED, FaceManifest, Recognition, read_face, read_faces, write_face
from pipeline.people.people import Look

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine.spec import Array

KEY = "trunk.leave.0.weight_half"


def tuned() -> dict[str, Array]:
    generator = models.shipped("generator")
    return {KEY: read_weight(generator, stored_weights(generator)[KEY]) + np.float16(0.5)}


def manifest(**other: Any) -> FaceManifest:
    values = {
        "base_sha256": models.shipped("generator").sha256,
        "made": "2026-11-26",
        "sources": 1,
        "frames": 90,
        "held_back": 20,
        "steps": 200,
        "shipped_psnr": 20.5,
        "own_psnr": 24.5,
    }
    return FaceManifest(**(values | other))


def written(folder: Path, name: str = "me.face", recognition: Recognition | None = None, **other: Any) -> Path:
    write_face(folder / name, manifest(**other), tuned(), recognition, overwrite=False)
    return folder / name


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Write a face again with another manifest."""
    with zipfile.ZipFile(path) as archive:
        content, weights = json.loads(archive.read("manifest.json")), archive.read("weights.bin")
    change(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(content))
        archive.writestr("weights.bin", weights)


def test_a_face_is_the_shipped_network_with_its_own_weights(tmp_path: Path) -> None:
    look = Look(bare=np.array([0.6, 0.8], np.float32), masked=np.array([1.0, 0.0], np.float32))
    face = read_face(written(tmp_path, recognition=Recognition("ab" * 32, look)))
    generator = face.generator
    assert np.array_equal(read_weight(generator, stored_weights(generator)[KEY]), tuned()[KEY])
    assert face.name == "me"
    assert face.manifest == manifest()
    assert face.manifest.gain == pytest.approx(4.0)
    assert face.manifest.agreed == AGREED
    assert face.recognition is not None
    assert face.recognition.recogniser == "ab" * 32
    assert np.array_equal(face.recognition.look.bare, look.bare)
    assert np.array_equal(face.recognition.look.masked, look.masked)


def a_voice(ahead: float) -> VoiceModel:
    """Any numbers of the right shapes."""
    rng = np.random.default_rng(0)
    count = 2 * BANDS * round((BEHIND + ahead) / STEP + 1)
    return VoiceModel(
        rng.normal(size=count), rng.uniform(1, 2, count), rng.normal(size=(count, 4)), rng.normal(size=4), ahead
    )


def test_what_was_learned_of_the_voice_is_read_again(tmp_path: Path) -> None:
    voices = Voices(a_voice(AHEAD), None, 0.6, 0.4)
    write_face(tmp_path / "me.face", manifest(), tuned(), None, overwrite=False, voices=voices)
    found = read_face(tmp_path / "me.face").voices
    assert found is not None
    assert (found.live, found.alike, found.alike_by_rule) == (None, 0.6, 0.4)
    sound = Sound(0.0, np.ones(300), np.ones(300), np.random.default_rng(1).normal(size=(300, 2 * BANDS)))
    seconds = np.arange(0, 2, 0.04)
    assert found.recorded is not None
    assert voices.recorded is not None
    assert found.recorded(sound, seconds) == pytest.approx(voices.recorded(sound, seconds), abs=1e-4)


def test_a_face_of_before_there_were_voices_has_none(tmp_path: Path) -> None:
    path = written(tmp_path)
    changed(path, lambda content: content.pop("voices"))
    assert read_face(path).voices is None


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.update(ahead=0.2),
        lambda model: model.update(ahead="soon"),
        lambda model: model.update(mean=model["rest"]),
        lambda model: model.update(rest=None),
        lambda model: model.update(rest=base64.b64encode(np.full(4, np.nan, "<f4").tobytes()).decode()),
        lambda model: model.update(weights="?"),
        lambda model: model.pop("spread"),
    ],
)
def test_numbers_that_are_no_voice_are_refused(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = tmp_path / "me.face"
    voices = Voices(None, a_voice(0.0), 0.6, 0.4)
    write_face(path, manifest(), tuned(), None, overwrite=False, voices=voices)
    changed(path, lambda content: change(content["voices"]["live"]))
    with pytest.raises(CheckpointError, match="is damaged"):
        read_face(path)


def test_the_same_face_is_the_same_file_to_an_engine_cache(tmp_path: Path) -> None:
    assert read_face(written(tmp_path, "a.face")).generator == read_face(written(tmp_path, "b.face")).generator


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert stat.S_IMODE(written(tmp_path).stat().st_mode) == 0o600


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(SinkError, match="exists"):
        written(tmp_path)


def rewritten(path: Path, **members: bytes | None) -> Path:
    """The file with other members; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        content: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    content |= {name.replace("_", "."): value for name, value in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            if value is not None:
                archive.writestr(name, value)
    return path


def changed_manifest(path: Path, **values: object) -> Path:
    with zipfile.ZipFile(path) as archive:
        content = json.loads(archive.read("manifest.json"))
    return rewritten(path, manifest_json=json.dumps(content | values).encode())


def test_a_face_of_another_generator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="another version of barefaced's generator"):
        read_face(written(tmp_path, base_sha256="0" * 64))


def test_a_file_that_is_cut_off_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_face(path)


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(CheckpointError):
        read_face(path)


@pytest.mark.parametrize(
    "values",
    [
        {"format": 2},
        {"steps": None, "weights": "text"},
        {"weights": [[KEY, "float16", [48, 96, 3, 4]]]},
        {"weights": [[KEY, "float16", [48, 96, 3, 2]]]},
        {"weights": [[KEY, "object", [48, 96, 3, 3]]]},
        {"weights": [[KEY, "float16", [-48, -96, 3, 3]]]},
        {"weights": [[KEY, "float16"]]},
        {"weights": 7},
        {"weights": []},
        {"own_psnr": "better"},
        {"frames": None},
        {"weights_sha256": "0" * 64},
        {"recognition": {"recogniser": "x", "bare": "%%%", "masked": None}},
        {"recognition": {"recogniser": "x", "bare": None, "masked": None}},
        {"recognition": "text"},
    ],
)
def test_a_manifest_that_says_something_else_is_refused(tmp_path: Path, values: dict[str, object]) -> None:
    with pytest.raises(CheckpointError):
        read_face(changed_manifest(written(tmp_path), **values))


def test_a_manifest_without_one_of_its_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        read_face(rewritten(written(tmp_path), manifest_json=b'{"format": 1}'))


def test_another_archive_is_no_face(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a face"):
        read_face(rewritten(written(tmp_path), weights_bin=None, data_pkl=b"cos\nsystem\n."))


def test_a_file_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not there"):
        read_face(tmp_path / "me.face")


def test_faces_whose_names_a_report_would_confuse_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [str(written(tmp_path)), str(written(tmp_path / "other"))]
    assert [face.name for face in read_faces(paths[:1])] == ["me"]
    with pytest.raises(ConfigError, match="twice"):
        read_faces(paths)
    with pytest.raises(ConfigError, match="shipped"):
        read_faces([str(written(tmp_path, "shipped.face"))])
