"""`barefaced.enroll`: a photo becomes a file that a run draws with, and what is not allowed leaves none."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import cv2
import pytest

pytest.importorskip("torch", reason="install barefaced[enroll]")
pytest.importorskip("onnx", reason="install barefaced[enroll]")

import barefaced
from pipeline.demo.clip import portrait
from training.enrol import enrol
from training.enrol.tune import TuningPlan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "me.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), portrait()[..., ::-1])
    return path


def test_a_directory_of_photos_becomes_a_face(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrol, "FEW_PLAN", TuningPlan(steps=2, batch=1, rate=1e-4, size=128, perceptual=0.0))
    told: list[barefaced.Enrolment] = []
    face = barefaced.enroll(
        photo.parent, tmp_path / "me.face", agreed=True, recognition=False, sheet=tmp_path / "me.png",
        progress=told.append, engine="onnxruntime",
    )  # fmt: skip

    assert (face.manifest.frames, face.manifest.steps, face.recognised, face.gain) == (1, 2, False, None)
    assert barefaced.Face.read(face.path) == face
    assert stat.S_IMODE(face.path.stat().st_mode) == 0o600
    assert [(far.pictures, far.step) for far in told] == [(1, 0), (1, 1), (1, 2)]
    sheet = cv2.imread(str(tmp_path / "me.png"))
    assert sheet is not None
    assert sheet.shape[0] >= 3 * 256

    with barefaced.Remover(face=[str(face.path)], engine="onnxruntime") as remover:
        assert remover.picture(portrait()).shape == portrait().shape


@pytest.mark.parametrize(
    ("agreed", "there", "error", "said"),
    [(False, False, barefaced.ConfigError, "agreed"), (True, True, barefaced.SinkError, "exists")],
)
def test_what_is_not_allowed_is_said_before_anything_is_looked_at(
    photo: Path, tmp_path: Path, *, agreed: bool, there: bool, error: type[Exception], said: str
) -> None:
    target = tmp_path / "me.face"
    if there:
        target.write_bytes(b"kept")
    with pytest.raises(error, match=said):
        barefaced.enroll(photo, target, agreed=agreed)
    assert target.exists() == there


def test_a_recording_without_a_face_gives_none(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wall.png"), portrait()[:40, :40])
    with pytest.raises(barefaced.SourceError, match="no face to learn from"):
        barefaced.enroll([tmp_path / "wall.png"], tmp_path / "me.face", agreed=True, recognition=False)
    assert not (tmp_path / "me.face").exists()
