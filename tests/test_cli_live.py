"""`barefaced live` and `barefaced cameras`: what they say, what they leave, how they exit."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

import cli
from pipeline.demo.clip import write_clip
from pipeline.errors import SourceError
from pipeline.live import devices, microphone
from pipeline.run import load
from tests.pipeline.live_fakes import Screen
from tests.stand_ins import as_if_loaded

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "networks", as_if_loaded)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    pyvirtualcam = pytest.importorskip("pyvirtualcam", reason="a virtual camera needs the extra `live`")
    found = Screen()
    monkeypatch.setattr("pyvirtualcam.camera.BACKENDS", {})
    pyvirtualcam.register_backend("fake", found.backend())
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "talk.mp4"
    write_clip(path, width=320, height=240, frames=30)
    return path


@pytest.mark.usefixtures("loaded")
def test_a_file_becomes_a_virtual_camera_and_a_report(
    screen: Screen, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    done = cli.main(["live", "--input", str(clip), "--realtime", "--virtual-camera", "--report", str(report)])
    assert done == 0
    assert screen.open_now == 0
    assert screen.size == (320, 240)
    said = json.loads(report.read_text(encoding="utf-8"))
    assert said["error"] is None
    assert said["shown"] + said["dropped"] + said["overtaken"] + said["too_old"] in (
        said["pictures"],
        said["pictures"] - 1,
    )
    assert said["sent"] == said["shown"] + said["repeated"] == len(screen.images)
    assert said["masked_faces"] > 0
    assert said["age_ms"]["p50"] <= said["age_ms"]["p95"] <= said["age_ms"]["p99"]
    assert "invented" in capsys.readouterr().err


@pytest.mark.usefixtures("loaded")
def test_a_consumer_that_is_gone_is_exit_code_1_and_the_report_says_why(
    screen: Screen, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.fails_at = 1
    report = tmp_path / "report.json"
    done = cli.main(["live", "--input", str(clip), "--realtime", "--virtual-camera", "--report", str(report)])
    assert done == 1
    assert screen.open_now == 0
    said = "the virtual camera fake is gone (VIDIOC_QBUF: no such device); start again"
    assert f"barefaced: {said}" in capsys.readouterr().err
    assert json.loads(report.read_text(encoding="utf-8"))["error"] == said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "nothing would be seen: give --virtual-camera, --preview or both"),
        (["--input", "talk.mp4", "--preview"], "--realtime plays it as a camera would"),
        (["--rest", "--preview"], "rest needs a virtual camera on Linux, and no preview"),
    ],
)
def test_what_can_not_work_is_said_before_anything_is_opened(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["live", *arguments]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.usefixtures("loaded")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/video")
def test_a_missing_display_is_said_before_networks_are_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(load, "networks", lambda _config: pytest.fail("networks were loaded"))
    if sys.platform != "linux":
        pytest.skip("other systems have a display without saying so")
    assert cli.main(["live", "--preview"]) == 1
    assert "no preview: " in capsys.readouterr().err


def test_a_camera_that_is_not_there_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.live.sinks.Preview.check", lambda: None)
    assert cli.main(["live", "--camera", "/dev/video987", "--preview"]) == 1
    assert "/dev/video987 is not there: plug it in" in capsys.readouterr().err


def test_without_pyvirtualcam_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert cli.main(["live", "--virtual-camera"]) == 1
    assert "make setup EXTRAS=live" in capsys.readouterr().err


def test_cameras_are_listed_with_what_they_send(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "cameras", lambda: (("/dev/video0", "HD Webcam"),))
    monkeypatch.setattr(devices, "formats", lambda _device: ("Raw : yuyv422 : 640x480",))
    monkeypatch.setattr(microphone, "microphones", lambda: (("default", "Headset"),))
    assert cli.main(["cameras"]) == 0
    listed = "/dev/video0  HD Webcam\n    Raw : yuyv422 : 640x480\nmicrophone default  Headset\n"
    assert capsys.readouterr().out == listed


def test_a_system_that_does_not_tell_its_cameras_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise SourceError("the cameras of plan9 can't be listed")

    monkeypatch.setattr(devices, "cameras", refuse)
    assert cli.main(["cameras"]) == 1
    assert "can't be listed" in capsys.readouterr().err
