"""The line that says how a run gets on."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.run.batch import Job
from pipeline.run.interrupt import Interrupts
from pipeline.run.progress import Progress

if TYPE_CHECKING:
    from pipeline.frames import Frame

JOB = Job(Path("talk.mp4"), Path("bare.mp4"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Run:
    def stop(self) -> None:
        raise AssertionError("nobody asked")


def watched(frames: int | None, frame: Frame, *, quiet: bool = False) -> None:
    progress = Progress(Interrupts(), quiet=quiet)
    progress.began(JOB, Run(), frames)
    for _ in range(3):
        progress.wrote(frame)
    progress.ended()


@pytest.fixture
def frame() -> Frame:
    return None  # type: ignore[return-value]  # it is only counted


def test_a_terminal_sees_part_speed_and_time_left(frame: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    before = set(threading.enumerate())
    watched(12, frame)
    assert set(threading.enumerate()) == before
    for shown in ("talk.mp4", "0/12 frames", " fps", " left"):
        assert shown in terminal.getvalue()


def test_without_a_known_end_it_counts(frame: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    watched(None, frame)
    assert "0 frames, 0.0 fps" in terminal.getvalue()


@pytest.mark.parametrize("quiet", [True, False])
def test_a_file_or_a_quiet_run_sees_nothing(frame: Frame, monkeypatch: pytest.MonkeyPatch, quiet: bool) -> None:
    stream = Terminal() if quiet else io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    watched(12, frame, quiet=quiet)
    assert stream.getvalue() == ""


def test_ending_before_the_beginning_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    Progress(Interrupts(), quiet=False).ended()
