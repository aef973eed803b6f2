"""`barefaced serve` as a command: what it says, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cli
from commands import live
from commands.live import PAGE_CURE, page_lacks
from pipeline.run import load
from tests.stand_ins import as_if_loaded

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.timeout(240)


def test_without_its_packages_it_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("commands.live.find_spec", lambda _name: None)
    assert cli.main(["serve"]) == 1
    said = f"`barefaced serve` needs aiohttp and aiortc: {PAGE_CURE}"
    assert said in capsys.readouterr().err


needs_extra = pytest.mark.skipif(bool(page_lacks()), reason="the page needs aiohttp and aiortc")


@needs_extra
def test_a_port_that_is_taken_is_an_error_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load, "networks", as_if_loaded)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["serve", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"nothing can listen on 127.0.0.1 port {port}" in said
    assert "--port 0 takes a free one" in said


def heed_interrupts() -> None:
    """A shell that starts a job in the background makes it and all of its children deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """The command, listening on the address that is the fixture's parameter."""
    process = subprocess.Popen(
        [sys.executable, "cli.py", "serve", "--port", "0", "--no-open", "--host", request.param],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    yield process
    process.kill()
    process.communicate()


@needs_extra
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("served", "ending", "code"),
    [("127.0.0.1", signal.SIGINT, 130), ("0.0.0.0", signal.SIGTERM, 143)],  # noqa: S104 - what a user may ask for
    indirect=["served"],
)
def test_it_prints_its_link_and_ends_by_a_signal(
    served: subprocess.Popen[str], ending: signal.Signals, code: int
) -> None:
    assert served.stdout is not None
    link = served.stdout.readline()
    assert link.startswith("http://127.0.0.1:")
    assert "/?token=" in link
    served.send_signal(ending)
    _, said = served.communicate(timeout=60)
    assert served.returncode == code
    assert "This link opens the page, once, in one browser." in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("environment", "platform", "opens"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "1"}, "linux", False),
        ({}, "darwin", True),
    ],
)
def test_a_browser_is_opened_where_somebody_would_see_it(
    environment: dict[str, str], platform: str, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert live._sees_windows() is opens


SERVED = """
import sys, cli
from pipeline.run import load
from tests.stand_ins import as_if_loaded
load.networks = as_if_loaded
sys.exit(cli.main(["serve", "--port", "0", "--no-open"]))
"""


@needs_extra
@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_enter_prints_another_link() -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVED], cwd=ROOT, stdin=theirs, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        os.write(ours, b"\n")
        second = process.stdout.readline()
        assert first.startswith("http://127.0.0.1:")
        assert second.split("?")[0] == first.split("?")[0]
        assert second != first
    finally:
        process.terminate()
        process.communicate(timeout=60)
        os.close(ours)
        os.close(theirs)
