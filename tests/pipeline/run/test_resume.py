"""Runs in chunks that are killed, interrupted and resumed: the same packets as a run that nobody disturbed."""

from __future__ import annotations

import errno
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.run.resume import ChunkFolder
from tests.pipeline.chunked_clips import Watching, masked_clip, packets_of, run_in_chunks
from tests.pipeline.clips import times_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.run.chunks import Chunk

ROOT = Path(__file__).parents[3]
CHILD = """
import sys
from pipeline.run import load
from tests.stand_ins import as_if_loaded
load.networks = as_if_loaded
import cli
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return masked_clip(90).write(tmp_path_factory.mktemp("clip") / "talk.mp4")


@pytest.fixture(scope="module")
def undisturbed(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("undisturbed") / "out.mp4"
    assert run_in_chunks(clip, target).error is None
    return target


def chunks_beside(target: Path) -> Path:
    return target.with_name(f"{target.name}.chunks")


def finished_in(target: Path) -> list[str]:
    return sorted(file.name for file in chunks_beside(target).glob("[0-9]*.chunk"))


def failing_at(count: int, error: BaseException) -> Callable[[ChunkFolder, Chunk, bytes], None]:
    """A way to keep chunks that fails at one of them."""
    keep, seen = ChunkFolder.keep_bytes, [0]

    def keep_bytes(folder: ChunkFolder, chunk: Chunk, data: bytes) -> None:
        seen[0] += 1
        if seen[0] == count:
            raise error
        keep(folder, chunk, data)

    return keep_bytes


def test_a_run_in_chunks_leaves_the_output_alone_with_every_frame_at_its_time(clip: Path, undisturbed: Path) -> None:
    assert times_of(undisturbed) == times_of(clip)
    assert [file.name for file in undisturbed.parent.iterdir()] == [undisturbed.name]


def test_two_runs_give_the_same_bytes(clip: Path, undisturbed: Path, tmp_path: Path) -> None:
    ended = run_in_chunks(clip, tmp_path / "out.mp4")
    assert ended.report.complete
    assert ended.report.frames_in == ended.report.frames_out == 90
    assert ended.report.tally.masked_faces == 90
    assert (tmp_path / "out.mp4").read_bytes() == undisturbed.read_bytes()


def killed_at_random(clip: Path, target: Path, *, kills: int, seed: int) -> int:
    """Start the same command again and again, kill it at random moments, let the last one end; how many were killed."""
    command = [sys.executable, "-c", CHILD, "run", str(clip), "-o", str(target), "--chunk-seconds", "0.5"]
    moments, killed = random.Random(seed), 0  # noqa: S311 - moments, not secrets
    while killed < kills and not target.exists():
        child = subprocess.Popen([*command, "--preset", "ultrafast", "--quiet"], cwd=ROOT)
        begun = chunks_beside(target) / "lock"
        while child.poll() is None and not begun.exists():
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.6))
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
    ended = subprocess.run([*command, "--preset", "ultrafast", "--overwrite"], cwd=ROOT, check=False)
    assert ended.returncode == 0
    return killed


@pytest.mark.timeout(240)
def test_killed_at_random_moments_and_resumed_the_output_is_the_same(
    clip: Path, undisturbed: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    assert killed_at_random(clip, target, kills=8, seed=1)
    assert packets_of(target) == packets_of(undisturbed)
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]  # unfinished files and chunks are gone too


@pytest.mark.stress
@pytest.mark.timeout(1800)
def test_fifty_kills(clip: Path, undisturbed: Path, tmp_path: Path) -> None:
    killed, seed = 0, 0
    while killed < 50:
        target = tmp_path / f"{seed}.mp4"
        killed += killed_at_random(clip, target, kills=50 - killed, seed=seed)
        assert packets_of(target) == packets_of(undisturbed)
        seed += 1


def test_what_is_finished_is_not_computed_again(
    clip: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(ChunkFolder, "keep_bytes", failing_at(4, KeyboardInterrupt()))
        ended = run_in_chunks(clip, target)
    assert ended.report.interrupted
    assert not target.exists()
    assert len(finished_in(target)) == 3
    assert any("3 of 6 chunks are finished" in sentence for sentence in ended.report.warnings)

    watching = Watching()
    assert run_in_chunks(clip, target, watching=watching).report.complete
    assert watching.frames == 45
    assert target.read_bytes() == undisturbed.read_bytes()


@pytest.mark.parametrize("changed", [{"redraw_every": 1}, {"start": 1}])
def test_other_settings_begin_anew_and_say_so(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object]
) -> None:
    target = tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(ChunkFolder, "keep_bytes", failing_at(3, KeyboardInterrupt()))
        run_in_chunks(clip, target)
    ended = run_in_chunks(clip, target, **changed)
    assert ended.report.complete
    assert any("another input or other settings: the run begins anew" in each for each in ended.report.warnings)


def test_fresh_ignores_what_is_there(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(ChunkFolder, "keep_bytes", failing_at(3, KeyboardInterrupt()))
        run_in_chunks(clip, target)
    watching = Watching()
    assert run_in_chunks(clip, target, watching=watching, fresh=True).report.warnings == ()
    assert watching.frames == 90


def test_a_disk_that_is_full_breaks_nothing_and_the_run_goes_on_after_room_is_made(
    clip: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mp4"
    write, written = Path.write_bytes, [0]

    def full(path: Path, data: bytes) -> int:
        written[0] += 1
        if written[0] == 3:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        ended = run_in_chunks(clip, target)
    assert "the disk is full" in str(ended.error)
    assert "the same command goes on" in str(ended.error)
    assert not target.exists()
    assert len(finished_in(target)) == 2
    assert run_in_chunks(clip, target).report.complete
    assert target.read_bytes() == undisturbed.read_bytes()


def test_the_first_interrupt_leaves_what_is_there_and_no_chunks(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    watching = Watching(at=40)
    watching.does = lambda: watching.run is not None and watching.run.stop()
    ended = run_in_chunks(clip, target, watching=watching)
    assert ended.report.interrupted
    assert not ended.report.complete
    assert ended.error is None
    assert 40 <= len(times_of(target)) < 90
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_two_runs_do_not_write_the_same_output(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    second: list[str] = []
    watching = Watching(at=20)
    watching.does = lambda: second.append(str(run_in_chunks(clip, target).error))
    assert run_in_chunks(clip, target, watching=watching).report.complete
    assert second == [f"another run writes {target} now: wait for it, or choose another output"]
