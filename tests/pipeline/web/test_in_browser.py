"""The page in headless Chromium, in a network namespace of its own: a masked film goes in as the camera, and what the
page shows is looked at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the page needs aiohttp and aiortc")
pytest.importorskip("aiortc", reason="the page needs aiohttp and aiortc")

from tests.pipeline.web import apart

ROOT = Path(__file__).parents[3]

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


@pytest.fixture(scope="module")
def seen(out: Path) -> dict[str, Any]:
    """What was seen in the browser. $CI=true or $BAREFACED_CHROMIUM ask for it: then nothing may be missing."""
    reason = missing()
    if reason is not None:
        if os.environ.get("CI") == "true" or os.environ.get("BAREFACED_CHROMIUM"):
            pytest.fail(reason)
        pytest.skip(reason)
    command = apart.apart(sys.executable, "-m", "tests.pipeline.web.in_browser", str(out))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sys.stdout.write(done.stdout)
    found = json.loads((out / "seen.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


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
    assert "masks drawn over in 45 frames" in file["notes"]
    assert file["download"] == "talk-barefaced.mp4"
    assert file["bytes"] > 1000
    assert file["apart_seconds"] < 0.5


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
@pytest.mark.parametrize("page", ["empty", "camera", "file"])
@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_there_are_pictures_to_look_at(out: Path, page: str, look: str) -> None:
    assert (out / f"{page}-{look}.png").stat().st_size > 10_000
