"""The bench measures what it says: it verifies outputs before times count. Nothing here looks at a time."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import av
import pytest

from benchmarks import child, clips, machine, record
from benchmarks.clips import make_clip, verify
from benchmarks.parts import peers, pipeline
from benchmarks.record import BenchmarkError
from pipeline.run.batch import Job
from pipeline.settings.values import build
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Measured: TypeAlias = dict[str, object]

SIZE = "320x240"
SETTINGS = {"preset": "ultrafast", "overwrite": True}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("bench"), SIZE, 12)


def test_a_run_is_measured_and_verified(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    measured = child.whole(Job(clip, target), build(SETTINGS), stand_in_networks())
    assert measured["frames"] == measured["masked_faces"] == 12
    seen = verify(clip, target, SIZE, every=3)
    assert (seen.frames, seen.gone_share) == (12, 1.0)


def test_the_ceiling_leaves_the_mask_and_so_does_not_verify(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    assert child.ceiling(Job(clip, target), build(SETTINGS))["frames"] == 12
    with pytest.raises(BenchmarkError, match="the mask is gone from 0% of the frames"):
        verify(clip, target, SIZE, every=3)


def test_a_missing_or_extra_frame_does_not_verify(clip: Path, tmp_path: Path) -> None:
    shorter = make_clip(tmp_path, SIZE, 10)
    with pytest.raises(BenchmarkError, match="is missing"):
        verify(clip, shorter, SIZE, every=100)
    with pytest.raises(BenchmarkError, match="more frames"):
        verify(shorter, clip, SIZE, every=100)


def test_a_changed_surrounding_does_not_verify(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.mp4"
    child.whole(Job(clip, target), build(SETTINGS), stand_in_networks())
    monkeypatch.setattr(clips, "KEPT_LEVELS", 0.0)
    with pytest.raises(BenchmarkError, match="outside the mask the picture differs"):
        verify(clip, target, SIZE, every=6)


def test_a_long_clip_repeats_the_cycle_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "CYCLE_FRAMES", 30)
    monkeypatch.setattr(clips, "CYCLE_SECONDS", 1)
    monkeypatch.setattr(clips, "write_clip", lambda path, **size: write_one_second(path, **size))
    path = make_clip(tmp_path, SIZE, 90)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, 30) for index in range(90)]
    first, second = (frames[index].to_ndarray(format="gray") for index in (7, 67))
    assert (first == second).all()


def write_one_second(path: Path, *, width: int, height: int) -> None:
    from pipeline.demo.clip import write_clip

    write_clip(path, width=width, height=height, frames=30)


def test_the_plan_alternates_and_reports_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    speeds = {"ceiling": iter([100.0, 80.0, 120.0]), "pipeline": iter([40.0, 60.0, 50.0])}

    def pretended(mode: str, clip: Path, _warm: Path, target: Path, _settings: Mapping[str, object]) -> Measured:
        order.append(mode)
        child.whole(Job(clip, target), build(SETTINGS), stand_in_networks())
        common = {"frames": 3, "peak_rss_mb": 300.0 + len(order), "start_seconds": 1.0, "memory_mb": []}
        stages = {"decode": {"busy": 0.3}, "segment": {"busy": 0.6}, "encode": {"busy": 0.3}}
        told = {"masked_faces": 3, "engine": "stand-in", "networks": {}, "stages": stages}
        told |= {"network_seconds": {"segment": 0.3}}
        return {"fps": next(speeds[mode]), **common, **told}

    monkeypatch.setattr(pipeline, "run_child", pretended)
    said: list[str] = []
    measured = pipeline.measure(pipeline.PipelinePlan(sizes=(SIZE,), frames=3, repeats=3), said.append)
    assert order == ["ceiling", "pipeline"] * 3
    told = json.loads(json.dumps(measured))["sizes"][SIZE]
    assert (told["fps"], told["ceiling_fps"], told["added_ms"], told["peak_rss_mb"]) == (50.0, 100.0, 10.0, 306.0)
    # Turn by turn: 40/100, 60/80 and 50/120, of which the middle one counts.
    assert told["ratio"] == pytest.approx(50 / 120, abs=1e-4)
    assert told["profile"]["slowest_stage"] == "segment"
    assert told["profile"]["overhead_share"] == 0.25
    assert measured["settings"]
    assert "50.0 fps" in said[0]
    record.check(measured)
    assert record.series_of(measured)[f"pipeline/{SIZE}/fps"].values == (40.0, 60.0, 50.0)


def test_a_child_measures_in_a_process_of_its_own(clip: Path, tmp_path: Path) -> None:
    measured = child.run_child("ceiling", clip, clip, tmp_path / "out.mp4", {"preset": "ultrafast"})
    assert measured["frames"] == 12
    assert 20 < measured["peak_rss_mb"] < 2000


def test_a_child_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="does not exist"):
        child.run_child("ceiling", tmp_path / "no.mp4", tmp_path / "no.mp4", tmp_path / "out.mp4", {})


def test_machine_is_described() -> None:
    told = machine.described()
    assert told["cores"]
    assert {"av", "numpy", "openvino"} <= set(told["versions"])  # type: ignore[call-overload]
    assert json.loads(json.dumps(told)) == told


def test_a_peer_that_fails_is_quoted() -> None:
    with pytest.raises(BenchmarkError, match="failed: no such luck"):
        peers.timed([sys.executable, "-c", "import sys; sys.exit('no such luck')"])
