from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.building import Order, build
from engine.spec import Network
from pipeline.errors import EngineError

NETWORK = Network.of("tower", bytes(range(256)) * 40)


def order(builder: str, *, seconds: float = 120, **options: object) -> Order:
    return Order(f"tests.engine.builders:{builder}", NETWORK, options, time_limit_seconds=seconds)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be fetched does not."""
    if sys.platform == "linux":
        status = Path(f"/proc/{pid}/status")
        with contextlib.suppress(OSError):
            return "\nState:\tZ" not in status.read_text()
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_gives_what_the_builder_made_and_keeps_what_it_said(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "build.log"
    assert build(order("works", times=3), log=log) == NETWORK.onnx * 3
    assert set(log.read_text().splitlines()) == {"a library speaks on standard output", "and past Python"}


def test_a_builder_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    began = threading.active_count()
    with pytest.raises(EngineError, match=r"compiling tower was not done after 4 s and was ended; its log is .*b\.log"):
        build(order("hangs", seconds=4, pid_file=str(pid_file)), log=tmp_path / "b.log")
    assert threading.active_count() == began
    if pid_file.exists():  # on a machine that is slow to start Python it may not have come so far
        for _ in range(100):
            if not is_alive(int(pid_file.read_text())):
                break
            time.sleep(0.05)
        assert not is_alive(int(pid_file.read_text()))


def test_a_builder_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"compiling tower failed \(the compiler does not know node 7\); its log is"):
        build(order("fails"), log=tmp_path / "b.log")


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_builder_that_crashes_leaves_an_error_and_a_running_program(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"compiling tower failed \(it crashed: SIGABRT\); its log is"):
        build(order("crashes"), log=tmp_path / "b.log")


def test_half_a_file_is_never_taken(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="left a file that is not whole"):
        build(order("writes_half"), log=tmp_path / "b.log")


def test_a_builder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"failed \(.*no attribute 'nobody'"):
        build(order("nobody"), log=tmp_path / "b.log")


def test_a_log_that_cannot_be_written_keeps_nobody_from_building(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert build(order("works"), log=tmp_path / "file" / "b.log") == NETWORK.onnx
    assert "the compiler's log can't be written" in caplog.text
