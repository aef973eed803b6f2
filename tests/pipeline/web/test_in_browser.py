"""The page in headless Chromium, in a network namespace of its own: a masked film goes in as the camera, and what the
page shows is looked at."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the page needs aiohttp and aiortc")
pytest.importorskip("aiortc", reason="the page needs aiohttp and aiortc")

from pipeline.people.enrolled import AGREED
from tests.pipeline.web import apart

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "pipeline/web/page"

pytestmark = pytest.mark.timeout(900)


def missing() -> str | None:
    """Why there is no browser to test in, or None."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if absent:
        return f"{' and '.join(absent)} not found: apt-get install chromium chromium-driver"
    return apart.missing()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go, which are for looking at: $BAREFACED_CHROMIUM where it names a directory."""
    named = os.environ.get("BAREFACED_CHROMIUM", "")
    return Path(named).absolute() if "/" in named else tmp_path_factory.mktemp("browser")


def unavailable(reason: str) -> None:
    """Skip, unless $CI=true or $BAREFACED_CHROMIUM ask for the browser: then nothing may be missing."""
    if os.environ.get("CI") == "true" or os.environ.get("BAREFACED_CHROMIUM"):
        pytest.fail(reason)
    pytest.skip(reason)


def looked_at(script: str, out: Path) -> dict[str, Any]:
    """What a script of this directory saw in the browser."""
    reason = missing()
    if reason is not None:
        unavailable(reason)
    command = apart.apart(sys.executable, "-m", f"tests.pipeline.web.{script}", str(out))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sys.stdout.write(done.stdout)
    found = json.loads((out / f"{script}.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def seen(out: Path) -> dict[str, Any]:
    """What was seen of a camera and a file that real networks processed."""
    return looked_at("in_browser", out)


@pytest.fixture(scope="module")
def screens(out: Path) -> dict[str, Any]:
    """What was seen on every screen of the page."""
    return looked_at("screens", out)


def test_the_mask_is_gone_from_the_camera_and_comes_back_when_it_is_switched_off(seen: dict[str, Any]) -> None:
    camera = seen["camera"]
    assert camera["blue_original"] > 0.03
    assert camera["blue_result"] < 0.2 * camera["blue_original"]
    assert camera["blue_switched_off"] > 0.5 * camera["blue_original"]


def test_the_picture_keeps_its_size_and_its_order(seen: dict[str, Any]) -> None:
    camera = seen["camera"]
    assert camera["size"] == [480, 640, 3]
    assert camera["out_of_order"] == 0
    assert camera["read"] > 0.9 * camera["shown"] > 0


def test_the_time_from_camera_to_screen_is_measured(seen: dict[str, Any]) -> None:
    """How long it is depends on the machine; that it is more than the pipeline's part shows what is measured."""
    latencies = seen["camera"]["latencies_ms"]
    assert len(latencies) >= 10
    assert sorted(latencies)[len(latencies) // 2] > 0


def test_a_file_is_processed_played_and_fetched(seen: dict[str, Any]) -> None:
    file = seen["file"]
    assert file["blue_original"] > 0.03
    assert file["blue_result"] < 0.2 * file["blue_original"]
    assert "Masks were taken off in 45 of 45 pictures." in file["notes"]
    assert file["download"] == "talk-barefaced.mp4"
    assert file["bytes"] > 1000
    assert file["apart_seconds"] < 0.5


def test_a_face_is_chosen_recorded_with_consent_and_forgotten(seen: dict[str, Any]) -> None:
    faces = seen["faces"]
    assert faces["worn"] == ["own-face-", "own-face-ann"]
    assert faces["consent"] == AGREED
    assert faces["ready"] == [False, True]
    assert faces["cameras"] == 1
    assert faces["unnamed"] == []
    assert "masked or covered" in faces.get("refusal", "masked or covered")


def test_the_keyboard_moves_the_divider(seen: dict[str, Any]) -> None:
    assert seen["camera"]["divider"] == ["50%", "45%"]


def test_every_control_has_a_name_and_the_token_leaves_the_address(seen: dict[str, Any]) -> None:
    assert seen["unnamed"] == []
    assert "token" in seen["link"]
    assert "token" not in seen["address"]
    assert seen["camera"]["status_at_the_end"] == "The camera is off."


def test_the_browser_has_nothing_to_complain_of(seen: dict[str, Any]) -> None:
    """No script fails, and the page asks for nothing that its own policy refuses."""
    assert seen["complaints"] == []


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("page", ["empty", "camera", "file", "enroll"])
@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_there_are_pictures_to_look_at(out: Path, page: str, look: str) -> None:
    assert (out / f"{page}-{look}.png").stat().st_size > 10_000


def test_a_wide_camera_stays_wide_and_has_a_name(screens: dict[str, Any]) -> None:
    assert screens["camera"]["size"] == [640, 360]
    assert screens["camera"]["cameras"]


def test_figures_are_folded_away_and_the_label_says_what_is_invented(screens: dict[str, Any]) -> None:
    assert screens["camera"]["details_open"] is False
    assert screens["camera"]["side"] == "Invented"
    assert screens["sample"]["again"][1] == "Result"


def test_the_mirror_turns_the_picture_and_a_held_button_shows_the_original(screens: dict[str, Any]) -> None:
    assert screens["camera"]["mirror"] == ["1", "-1 1"]
    assert screens["camera"]["peek"] == ["hidden", "visible"]


def test_a_saved_picture_is_labelled(screens: dict[str, Any]) -> None:
    name, length, labelled = screens["camera"]["snapshot"]
    assert name.startswith("barefaced-")
    assert name.endswith(".png")
    assert length > 10_000
    assert labelled


def test_the_sample_shows_its_faces_and_is_fetched_beside_its_original(screens: dict[str, Any]) -> None:
    sample = screens["sample"]
    assert "Face 1" in sample["faces"]
    assert "Mask removed" in sample["faces"]
    assert sample["name"] == "sample-barefaced.mp4"
    assert sample["beside"][0] == "sample-barefaced-beside.mp4"
    assert sample["beside"][1] > 10_000


def test_a_reloaded_page_keeps_its_result_and_a_face_is_switched_off_afterwards(screens: dict[str, Any]) -> None:
    sample = screens["sample"]
    assert sample["after_reload"] == sample["faces"]
    assert sample["again"][0] == "Mask left on"
    assert "Nothing was drawn" in sample["again"][2]
    assert sample["red"][0] > 0.05
    assert sample["red"][1] < 0.01  # the former result is not shown in the place of the new one


def test_nothing_is_thrown_away_without_asking(screens: dict[str, Any]) -> None:
    assert screens["sample"]["question"] == "The result was not downloaded. Throw it away?"
    assert screens["sample"]["kept"] is True
    assert screens["dropped"]["asked_after_download"] is False


def test_every_language_is_spoken(screens: dict[str, Any]) -> None:
    assert {code: start for code, (start, _, _) in screens["languages"].items()} == {
        "de": "Kamera starten",
        "fr": "Démarrer la caméra",
        "es": "Encender la cámara",
        "zh": "打开摄像头",
        "ja": "カメラを開始",
        "en": "Start the camera",
    }


def in_language(code: str, english: str, *values: str) -> str:
    """A sentence of the catalogue with the values filled in, each of which is one, too, or no words."""
    words = {} if code == "en" else json.loads((PAGE / f"{code}.json").read_text(encoding="utf-8"))
    sentence = str(words.get(english, english))
    for place, value in enumerate(values, start=1):
        sentence = sentence.replace(f"{{{place}}}", value)
    return sentence[:1].upper() + sentence[1:] if values else sentence


def test_the_server_is_heard_in_every_language(screens: dict[str, Any]) -> None:
    """Sentences with values in them, and sentences within sentences; nothing of the server's paths."""
    for code, (_, refusal, heard) in screens["languages"].items():
        said = partial(in_language, code)
        file, why = said("the file"), said("no known container format was found in it")
        assert refusal == said("{1} is not a media file or is damaged: {2}", file, why)
        missing, ends = "the file was cut off: {1} of {2} pictures are missing, {3}", said("it ends at {1} s")
        assert heard == said(missing, "3", "9", ends.replace("{1}", "2.00"))
    refusals = {refusal for _, refusal, _ in screens["languages"].values()}
    assert len(refusals) == len(screens["languages"]) == 6


def test_the_picture_fills_the_screen_and_can_still_be_compared(screens: dict[str, Any]) -> None:
    which, share, divided = screens["camera"]["full_screen"]
    assert which == "compare"
    assert share > 0.99
    assert divided


def test_a_slow_computer_is_told_what_helps(screens: dict[str, Any]) -> None:
    """It says how slow it is, and something that can be done. A picture that is
    shown as the camera took it, since none was drawn in time, is not called invented."""
    (wide, status), (narrow, _) = screens["camera"]["advice"]
    assert status == "The camera is on. No drawn picture is ready in time."
    said = r"Your computer manages (less than 1 picture|1 picture|[2-9] pictures) a second\. "
    assert re.fullmatch(said + r"Choose a smaller picture width, and close other programs\.", wide)
    assert re.fullmatch(said + r"Close other programs, or start `barefaced serve --redraw-every 24`.*", narrow)


def test_a_server_that_is_gone_is_told_in_our_words(screens: dict[str, Any]) -> None:
    assert screens["server_gone"].startswith("The server does not answer.")
    assert screens["complaints"] == []
    assert len(screens["lost"]) == 1  # the answer 403 itself


def test_no_screen_is_wider_than_its_window(screens: dict[str, Any]) -> None:
    assert screens["too_wide"] == []


def test_axe_finds_nothing_on_any_screen(screens: dict[str, Any]) -> None:
    if not screens["looked_at"]:
        unavailable("axe is not there: make check-page installs it")
    assert screens["looked_at"] > 40
    assert screens["violations"] == {}
