"""The line that says how a run gets on."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.run.batch import Job
from pipeline.run.process import Interrupts
from pipeline.run.progress import BatchProgress
from pipeline.run.report import Report
from pipeline.settings.config import ProgressKind

if TYPE_CHECKING:
    from pipeline.frames import Frame

JOB = Job(Path("talk.mp4"), Path("bare.mp4"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Run:
    def stop(self) -> None:
        raise AssertionError("nobody asked")


def watched(frames: int | None, frame: Frame, *, quiet: bool = False, kind: ProgressKind = ProgressKind.AUTO) -> None:
    progress = BatchProgress(Interrupts(), quiet=quiet, kind=kind)
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


@pytest.mark.parametrize("kind", [ProgressKind.AUTO, ProgressKind.NONE])
def test_a_quiet_run_and_one_that_was_asked_for_nothing_see_nothing(
    frame: Frame, monkeypatch: pytest.MonkeyPatch, kind: ProgressKind
) -> None:
    monkeypatch.setattr("sys.stderr", stream := Terminal())
    watched(12, frame, quiet=kind is ProgressKind.AUTO, kind=kind)
    assert stream.getvalue() == ""


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_pipe_sees_a_line_now_and_then(frame: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    clock = Clock()
    progress = BatchProgress(Interrupts(), quiet=False, now=clock)
    progress.began(JOB, Run(), 100)
    for _ in range(50):
        clock.seconds += 0.5
        progress.wrote(frame)
    progress.ended()
    assert stream.getvalue().splitlines() == [
        "talk.mp4: 20 of 100 frames, 2.0 fps",
        "talk.mp4: 40 of 100 frames, 2.0 fps",
    ]


def test_a_batch_sees_its_place_and_the_time_left_for_all(
    frame: Frame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    jobs = [Job(tmp_path / f"{number}.mp4", tmp_path / "out.mp4") for number in range(3)]
    for job in jobs:
        job.source.write_bytes(b"x" * 1000)
    clock = Clock()
    progress = BatchProgress(Interrupts(), quiet=False, jobs=jobs, now=clock)
    progress.skip()
    progress.began(jobs[1], Run(), 20)
    assert progress.place == "2 of 3"
    for _ in range(10):
        clock.seconds += 3
        progress.wrote(frame)
    first, *_ = stream.getvalue().splitlines()
    assert first.startswith("2 of 3: ") and "4 of 20 frames" in first
    assert first.endswith(", 00:18 for all")  # 12 s for 1.2 of 3 files of one size


def test_programs_see_lines_of_json(frame: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    clock = Clock()
    progress = BatchProgress(Interrupts(), quiet=False, kind=ProgressKind.JSON, jobs=[JOB], now=clock)
    progress.began(JOB, Run(), 3)
    for _ in range(3):
        clock.seconds += 0.5
        progress.wrote(frame)
    progress.ended()
    progress.told(Report("talk.mp4", "bare.mp4", complete=True))
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in told] == ["began", "frames", "ended"]
    assert (told[1]["frames"], told[1]["expected"], told[1]["fps"]) == (2, 3, 2.0)
    assert told[2] == {"event": "ended", "file": "talk.mp4", "output": "bare.mp4", "state": "done"}


def test_ending_before_the_beginning_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    BatchProgress(Interrupts(), quiet=False).ended()


def test_a_cluster_has_one_bar_for_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    jobs = [Job(tmp_path / f"{number}.mp4", tmp_path / "bare") for number in range(3)]
    for job in jobs:
        job.source.write_bytes(bytes(1000))
    progress = BatchProgress(Interrupts(), quiet=False, jobs=jobs)
    progress.spread(Run())
    progress.expect(jobs[0], 100)
    progress.came(30)
    progress.expect(jobs[1], 50)
    progress.came(30)
    progress.ended()
    # Of two of three equal files 150 frames are known, so the batch has about 225.
    assert "3 files" in terminal.getvalue()
    assert "30/225 frames" in terminal.getvalue()


def test_programs_hear_of_a_cluster_in_lines_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    monkeypatch.setattr("sys.stderr", told)
    clock = iter(range(100))
    progress = BatchProgress(
        Interrupts(), quiet=False, kind=ProgressKind.JSON, jobs=[JOB], now=lambda: float(next(clock))
    )
    progress.spread(Run())
    progress.expect(JOB, 60)
    progress.came(30)
    began, frames = map(json.loads, told.getvalue().splitlines())
    assert (began["event"], frames["event"]) == ("began", "frames")
    assert (frames["frames"], frames["expected"]) == (30, 60)
    assert frames["fps"] > 0
