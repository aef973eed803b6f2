"""`barefaced enroll` and `barefaced faces`: what they refuse, say, write and forget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

import cli
from commands import enroll
from engine import cache, models
from engine.onnx_file import read_weight, stored_weights
from pipeline.draw.mouth import Voices
from pipeline.errors import SourceError
from pipeline.live.sinks import Key
from pipeline.people.enrolled import AGREED, FaceManifest, read_face, write_face
from pipeline.run import progress
from pipeline.settings.config import Config, ProgressKind
from tests.pipeline.live_fakes import FakeCamera, Plugged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pipeline.frames import Frame
    from pipeline.run.load import Networks

KEY = "trunk.leave.0.weight_half"


def face(path: Path) -> Path:
    base = models.shipped("generator")
    manifest = FaceManifest(base.sha256, "2026-11-26", 1, 90, 20, 200, 20.5, 24.5)
    write_face(path, manifest, {KEY: read_weight(base, stored_weights(base)[KEY]) * 2}, None, overwrite=False)
    return path


def test_nobody_is_enrolled_without_a_word_that_they_agreed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="install barefaced[enroll]")
    assert cli.main(["enroll", str(tmp_path / "me.mp4"), "-o", str(tmp_path / "me.face")]) == 1
    assert AGREED in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_face_that_is_refused_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="install barefaced[enroll]")

    def refused(_options: object) -> None:
        raise SourceError("the face came out no better")

    monkeypatch.setattr(enroll, "_learned", refused)
    assert cli.main(["enroll", "me.mp4", "-o", str(tmp_path / "me.face"), "--agreed"]) == 1
    assert not list(tmp_path.iterdir())


def test_an_existing_face_is_kept_and_nothing_is_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="install barefaced[enroll]")
    whole = face(tmp_path / "me.face").read_bytes()
    assert cli.main(["enroll", "me.mp4", "-o", str(tmp_path / "me.face"), "--agreed"]) == 1
    assert "exists" in capsys.readouterr().err
    assert (tmp_path / "me.face").read_bytes() == whole


@pytest.mark.parametrize("quiet", [False, True])
def test_without_a_terminal_it_says_now_and_then_how_far_it_is(
    quiet: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="install barefaced[enroll]")
    from barefaced.enrolment import Enrolment, Learning

    def learning(learning: Learning, *_: object, **__: object) -> None:
        learning.tell(Enrolment(12))
        learning.tell(Enrolment(90, 30, 240, 1.5))
        raise SourceError("the face came out no better")

    monkeypatch.setattr(Learning, "__call__", learning)
    monkeypatch.setitem(progress.SECONDS, ProgressKind.LINES, 0.0)
    asked = ["enroll", "me.mp4", "-o", str(tmp_path / "me.face"), "--agreed", *(["--quiet"] if quiet else [])]
    assert cli.main(asked) == 1
    told = capsys.readouterr().err
    assert ("12 pictures looked at" in told) is not quiet
    assert ("step 30 of 240, +1.50 dB" in told) is not quiet
    assert "no better" in told


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "nan"])
def test_minutes_are_a_number_above_0(minutes: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["enroll", "me.mp4", "-o", "me.face", "--minutes", minutes])
    assert ended.value.code == 2


def test_faces_are_listed_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["faces"]) == 0
    assert "no .face file here" in capsys.readouterr().out
    face(tmp_path / "ann.face")
    face(tmp_path / "bob.face")
    assert cli.main(["faces"]) == 0
    told = capsys.readouterr().out
    assert "ann.face: made 2026-11-26 from 90 pictures" in told
    assert "bob.face" in told
    assert "+4.00 dB" in told
    assert AGREED in told


def test_a_face_that_holds_a_voice_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = read_face(face(tmp_path / "mute.face"))
    weights = {KEY: read_weight(whole.generator, stored_weights(whole.generator)[KEY])}
    voices = Voices(None, None, 0.61, 0.42)
    write_face(tmp_path / "me.face", whole.manifest, weights, None, overwrite=False, voices=voices)
    assert cli.main(["faces", str(tmp_path / "mute.face")]) == 0
    assert "how the mouth goes" not in capsys.readouterr().out
    assert cli.main(["faces", str(tmp_path / "me.face")]) == 0
    said = "it holds how the mouth goes with the voice (0.61 beside the true mouth, where the rule has 0.42)"
    assert said in capsys.readouterr().out


def test_forgetting_a_face_deletes_what_was_compiled_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "engines"))
    path = face(tmp_path / "me.face")
    mine = cache.Label("generator-own", read_face(path).generator.sha256, "made", "1", ("cpu",), "f32", "any")
    others = replace(mine, network="generator", sha256=models.shipped("generator").sha256)
    for label in (mine, others):
        cache.Cache.default().keep(label, np.zeros(8, np.uint8).tobytes())

    assert cli.main(["faces", str(path), "--forget"]) == 0
    assert "forgotten; compiled engines of it that were deleted: 1" in capsys.readouterr().out
    assert not path.exists()
    assert [cache.read_label(kept) for kept in (tmp_path / "engines").glob("*.engine")] == [others]


def test_no_face_is_forgotten_that_was_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = face(tmp_path / "me.face")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["faces", "--forget"]) == 1
    assert "name them" in capsys.readouterr().err
    assert path.exists()


def test_the_faces_of_a_named_directory_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face(tmp_path / "me.face")
    assert cli.main(["faces", str(tmp_path)]) == 0
    assert "from 90 pictures of 1 source, 200 steps" in capsys.readouterr().out


def test_faces_are_kept_only_where_they_are_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "talk.mp4", "-o", str(tmp_path / "bare.mp4"), "--keep-faces", str(tmp_path)]) == 1
    assert "give --learn" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [False, True])
def test_the_people_of_a_clip_are_learned_one_by_one_and_it_says_how_far_it_is(
    kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two people in the clip one can't be learned; the other's file is there while the clip is drawn."""
    pytest.importorskip("torch", reason="install barefaced[enroll]")
    from training.enrol import enrol
    from training.enrol.tune import TuningProgress

    base, asked = models.shipped("generator"), []

    class Enrolling:
        def __init__(self, seconds: float, watch: Callable[[TuningProgress], None], *_: object, **__: object) -> None:
            asked.append(seconds)
            self.watch = watch

        def __call__(self, views: list[str]) -> SimpleNamespace:
            self.watch(TuningProgress(30, 240, 5.0, 1.5))
            if views == ["hardly seen"]:
                raise SourceError("there are only 24 pictures to learn from")
            weights = {KEY: read_weight(base, stored_weights(base)[KEY]) * 2}
            manifest = FaceManifest(base.sha256, "2026-11-26", 1, 90, 20, 200, 20.5, 24.5)
            return SimpleNamespace(manifest=manifest, weights=weights, recognition=None)

    monkeypatch.setattr(enrol, "Enrolling", Enrolling)
    monkeypatch.setattr(enroll, "_embedder", lambda *_: None)
    monkeypatch.setattr(enroll, "_people", lambda *_: [["hardly seen"], ["often seen"]])
    monkeypatch.setitem(progress.SECONDS, ProgressKind.LINES, 0.0)
    said: list[str] = []
    folder = tmp_path / "faces" if kept else None
    learned = enroll.learned_faces(
        tmp_path / "talk.mp4", Config(), cast("Networks", None), folder, said.append, quiet=False
    )
    with learned as files:
        assert [Path(file).name for file in files] == ["talk-2.face"]
        assert read_face(Path(files[0])).manifest.frames == 90

    assert Path(files[0]).exists() is kept
    assert asked == [300.0, 300.0]
    assert said == [
        "person 1: there are only 24 pictures to learn from",
        "person 2: learned from 90 pictures, +4.00 dB",
    ]
    assert capsys.readouterr().err.count("step 30 of 240, +1.50 dB") == 2


def test_enrolling_needs_a_source_or_a_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="install barefaced[enroll]")
    assert cli.main(["enroll", "-o", str(tmp_path / "me.face"), "--agreed"]) == 1
    assert "or --camera" in capsys.readouterr().err


class Window:
    """A preview window that nobody sees."""

    quits = False

    def __init__(self, *_: str) -> None:
        self.shown, self.closed = 0, False
        self.captions: list[str] = []

    def show(self, _picture: object, *, mirrored: bool) -> None:
        assert mirrored
        self.shown += 1

    def caption(self, text: str) -> None:
        self.captions.append(text)

    def pressed(self) -> list[Key]:
        return [Key.QUIT] if self.quits else []

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.mark.parametrize("quits", [False, True])
def test_a_recording_is_shown_with_what_to_do_and_what_is_lacking(
    quits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="install barefaced[enroll]")
    from barefaced.enrolment import Enrolment, Learning

    window, looked = Window(), []
    window.quits = quits
    fake = FakeCamera([Plugged(10_000)], fps=200)
    monkeypatch.setattr("pipeline.live.sinks.Preview", lambda *_: window)
    monkeypatch.setattr("pipeline.live.devices.camera", lambda *_, **__: fake)

    def learning(learning: Learning, *_: object, camera: Iterable[Frame]) -> None:
        for frame in camera:
            looked.append(frame)
            learning.tell(Enrolment(len(looked), views=7, lacks=("the mouth hardly moves",)))
        raise SourceError("nothing to learn from")

    monkeypatch.setattr(Learning, "__call__", learning)
    asked = ["enroll", "--camera", "0", "--seconds", "0.5", "--preview", "-o", str(tmp_path / "me.face"), "--agreed"]
    assert cli.main(asked) == (130 if quits else 1)
    assert window.closed
    assert window.shown == len(looked) + quits
    told = "look into the camera (0 s left)\n7 pictures to learn from; so far the mouth hardly moves"
    assert (window.captions[:1] == [told]) is not quits
    assert not fake.open_now


def test_a_preview_needs_a_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="install barefaced[enroll]")
    assert cli.main(["enroll", "me.mp4", "--preview", "-o", str(tmp_path / "me.face"), "--agreed"]) == 1
    assert "give --camera" in capsys.readouterr().err
