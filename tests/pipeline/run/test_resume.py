"""Runs in chunks that are killed, interrupted and resumed: the same packets as a run that nobody disturbed."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.run import chunks
from pipeline.run.batch import Job
from pipeline.run.resume import (
    ChunkedJob,
    ChunkFolder,
    Identity,
    chunk_folder,
    in_chunks,
    program_facts,
    remove_joined,
)
from pipeline.settings.values import build
from tests.pipeline.chunked_clips import SETTINGS, Watching, masked_clip, packets_of, run_in_chunks
from tests.pipeline.clips import X264_FAST, Clip, size_change, times_of
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.run.chunks import Chunk
    from pipeline.settings.config import Config

ROOT = Path(__file__).parents[3]
CHILD = """
import resource, sys
from pipeline.run import load
from tests.stand_ins import as_if_loaded
load.networks = as_if_loaded
import cli
largest_file = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
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


def started(clip: Path, target: Path, *, largest_file: int = 10**9) -> subprocess.Popen[str]:
    """The command that makes `target` of `clip` in chunks, in a process of its own that writes no larger file."""
    flags = ["--chunk-seconds", "0.5", "--preset", "ultrafast", "--progress", "json"]
    command = [sys.executable, "-c", CHILD, str(largest_file), "run", str(clip), "-o", str(target), *flags]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def await_computing(child: subprocess.Popen[str]) -> None:
    """Wait until a run computes its first chunk."""
    assert child.stderr is not None
    assert any('"began"' in line for line in child.stderr)


def await_joining(child: subprocess.Popen[str], target: Path, count: int) -> None:
    """Wait until a run has all its chunks and puts them into a file."""
    while child.poll() is None:
        if len(finished_in(target)) == count and list(target.parent.glob(f".{target.stem}.partial-*")):
            return
        time.sleep(0.002)


KILLS = int(os.environ.get("BAREFACED_KILLS", "8"))
"""How often one run is killed: half a second of its clip for each, so that it is not at its end before."""


@pytest.mark.timeout(120 + 60 * KILLS)
def test_killed_at_random_moments_and_resumed_the_output_is_the_same(tmp_path: Path) -> None:
    clip = masked_clip(15 * KILLS).write(tmp_path / "talk.mp4")
    assert run_in_chunks(clip, tmp_path / "undisturbed.mp4").error is None
    target = tmp_path / "out" / "out.mp4"
    target.parent.mkdir()

    moments, killed = random.Random(KILLS), 0  # noqa: S311 - moments, not secrets
    while killed < KILLS:
        with started(clip, target) as child:
            if killed >= KILLS * 7 // 8:
                await_joining(child, target, KILLS)
                time.sleep(moments.uniform(0, 0.03))
            elif moments.random() < 0.75:
                await_computing(child)
                time.sleep(moments.uniform(0, 0.3))
            else:
                time.sleep(moments.uniform(0, 2))
            child.kill()
        assert child.returncode == -signal.SIGKILL, f"it ended before its kill number {killed + 1}"
        assert not target.exists()
        killed += 1

    with started(clip, target) as child:
        _, said = child.communicate()
    assert child.returncode == 0, said
    assert packets_of(target) == packets_of(tmp_path / "undisturbed.mp4")
    assert [file.name for file in target.parent.iterdir()] == ["out.mp4"]  # unfinished files and chunks are gone too


def computed_elsewhere(source: Path, target: Path, config: Config) -> None:
    """Leave the finished chunks beside `target`, each computed from packets as a worker of a cluster gets them."""
    work, networks = ChunkedJob(Job(source, target), config), stand_in_networks()
    identity = Identity(program_facts(networks), networks.hashes, networks.description).of_job(work.job, config)
    with chunk_folder(work.job, identity, work.plan, fresh=False, warnings=[]) as folder:
        for chunk in work.plan.chunks:
            part = pickle.loads(pickle.dumps(chunks.cut(source, chunk, config)))  # noqa: S301 - our own
            folder.keep(chunk, chunks.compute(Path("elsewhere"), target, chunk, config, networks, part=part))


MASKED = masked_clip(45)
UNEVEN = [Fraction(number, 30) for number in range(30)] + [1 + Fraction(number, 10) for number in range(15)]


@pytest.mark.parametrize(
    ("write", "suffix", "settings"),
    [
        pytest.param(MASKED.write, ".mp4", {"codec": "h264"}, id="B-frames to H.264"),
        pytest.param(
            MASKED.but(times=UNEVEN, time_base=Fraction(1, 90_000)).write,
            ".mkv",
            {"codec": "hevc"},
            id="variable frame rate to HEVC",
        ),
        pytest.param(
            MASKED.but(codec="libx265", options={"preset": "ultrafast", "x265-params": "keyint=15:open-gop=1"}).write,
            ".mp4",
            {"codec": "av1"},
            id="open groups of pictures to AV1",
        ),
        pytest.param(MASKED.write, ".mkv", {"codec": "vp9", "start": 0.2, "end": 1.4}, id="start and end to VP9"),
        pytest.param(size_change, ".mkv", {"codec": "ffv1", "preset": None}, id="another size in mid-stream to FFV1"),
    ],
)
def test_the_same_packets_from_one_run_from_a_resumed_one_and_from_workers(
    write: Callable[[Path], Path],
    suffix: str,
    settings: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, (once, resumed, elsewhere) = write(tmp_path / "in.mkv"), (tmp_path / f"{i}{suffix}" for i in range(3))
    ended = run_in_chunks(source, once, **settings)
    assert ended.report.complete, (ended.error, ended.report.missing)
    assert len(ChunkedJob(Job(source, once), build(SETTINGS | settings)).plan.chunks) > 1

    shown = [time for time in times_of(source) if settings.get("start", 0) <= time < settings.get("end", 10)]  # type: ignore[operator]
    assert len(times_of(once)) == len(shown)
    tick = Fraction(1, 1000)
    assert all(abs(there - (time - shown[0])) < tick for there, time in zip(times_of(once), shown, strict=True))

    with monkeypatch.context() as patch:
        patch.setattr(ChunkFolder, "keep_bytes", failing_at(2, KeyboardInterrupt()))
        assert run_in_chunks(source, resumed, **settings).report.interrupted
    assert run_in_chunks(source, resumed, **settings).report.complete
    assert packets_of(resumed) == packets_of(once)

    computed_elsewhere(source, elsewhere, build(SETTINGS | settings))
    watching = Watching()
    assert run_in_chunks(source, elsewhere, watching=watching, **settings).report.complete
    assert watching.frames == 0
    assert packets_of(elsewhere) == packets_of(once)


def test_a_long_video_is_cut_unless_something_needs_one_pass(tmp_path: Path) -> None:
    slow = Clip(frames=181, rate=Fraction(1), width=64, height=48, options={**X264_FAST, "g": "10"})
    long, short = slow.write(tmp_path / "long.mkv"), slow.but(frames=179).write(tmp_path / "short.mkv")
    stream = slow.write(tmp_path / "long.ts")

    def cut(source: Path, **given: object) -> bool:
        return in_chunks(Job(source, tmp_path / "out.mkv"), build({key.replace("_", "-"): given[key] for key in given}))

    assert cut(long)
    assert not cut(long, chunk_seconds=0)
    assert not cut(long, faces="faces.jsonl")
    assert not cut(long, identity=True)
    assert not cut(long, start=10)
    assert not cut(stream)
    assert not cut(short)
    assert cut(short, chunk_seconds=30)
    assert not cut(tmp_path / "missing.mkv")
    assert not in_chunks(Job(long, tmp_path / "barefaced-pipe-1" / "output.mkv"), build({}))


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
    assert any("another input or other settings: the run begins anew" in sentence for sentence in ended.report.warnings)


def test_fresh_ignores_what_is_there(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(ChunkFolder, "keep_bytes", failing_at(3, KeyboardInterrupt()))
        run_in_chunks(clip, target)
    watching = Watching()
    assert run_in_chunks(clip, target, watching=watching, fresh=True).report.warnings == ()
    assert watching.frames == 90


def test_a_disk_that_is_full_breaks_nothing_and_the_run_goes_on_after_room_is_made(
    clip: Path, undisturbed: Path, tmp_path: Path
) -> None:
    target, largest = tmp_path / "out.mp4", undisturbed.stat().st_size
    finished = []
    for share in (0.02, 0.12, 0.9):  # of the output: in the first chunk, in a later one, behind all of them
        with started(clip, target, largest_file=int(share * largest)) as child:
            _, said = child.communicate()
        told = [line for line in said.splitlines() if line.startswith("barefaced: the disk is full (or its quota)")]
        assert (child.returncode, len(told)) == (1, 1), said
        assert not target.exists()
        assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []
        finished.append(len(finished_in(target)))
        assert ("the same command goes on" in said) == (finished[-1] > 0)
    assert finished[0] == 0
    assert finished[-1] == 6

    assert run_in_chunks(clip, target).report.complete
    assert target.read_bytes() == undisturbed.read_bytes()


def test_chunks_of_an_output_that_stands_are_removed_by_the_next_run(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.MonkeyPatch.context() as patch:  # as if it had been killed at its very end
        patch.setattr(ChunkFolder, "remove", lambda _folder: None)
        assert run_in_chunks(clip, target).report.complete
    assert finished_in(target)
    with started(clip, target) as child:
        _, said = child.communicate()
    assert child.returncode == 1
    assert "exists; --overwrite replaces it" in said
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_chunks_that_will_replace_an_output_stay(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"an older output")
    monkeypatch.setattr(ChunkFolder, "keep_bytes", failing_at(3, KeyboardInterrupt()))
    assert run_in_chunks(clip, target, overwrite=True).report.interrupted
    remove_joined(target)
    assert len(finished_in(target)) == 2


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
