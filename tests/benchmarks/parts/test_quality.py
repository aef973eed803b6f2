"""Quality against time: pictures whose truth is known anywhere, and which generators nothing surpasses."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("skimage", reason="scores need the training extra: make setup EXTRAS=training")
pytest.importorskip("onnx", reason="make setup EXTRAS=training")

from benchmarks import literature
from benchmarks.clips import make_clip, verify
from benchmarks.parts import peers, quality
from benchmarks.passthrough import passed_through
from benchmarks.record import BenchmarkError, LeftOut, UnmeasurableError, check
from pipeline.errors import ConfigError
from pipeline.settings.values import build
from tests.stand_ins import StandInEngine, flat_colour
from training.evaluation.baselines import FaceSpace

if TYPE_CHECKING:
    from pathlib import Path


def row(name: str, ms: float, psnr: float | None) -> dict[str, object]:
    return {"name": name, "ms_per_face": ms, "hole_psnr": psnr}


def test_nothing_surpasses_the_front() -> None:
    rows = [row("fast", 1, 10), row("good", 9, 20), row("neither", 9.5, 19), row("twin", 1, 10)]
    rows.append(row("untrained", 0.1, None))
    assert [quality.on_front(row, rows) for row in rows] == [True, True, False, True, False]


def test_moments_of_the_demo_have_their_truth() -> None:
    photos = quality.Moments(4)
    assert len(photos) == 4
    masked = photos[3]
    differs = np.abs(masked.image.astype(int) - masked.truth).mean(axis=2)
    assert 0.01 < masked.hole_fraction < 0.3
    assert differs[masked.alpha > 0.99].mean() > 10 * differs[masked.alpha < 0.01].mean()
    assert (photos[0].truth != masked.truth).any()


def test_generators_take_turns_and_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "ROUNDS", 2)
    monkeypatch.setattr(quality, "WARM_UP_ROUNDS", 1)
    order: list[str] = []

    def noted(name: str) -> StandInEngine:
        return StandInEngine("face", lambda feed: order.append(name) or flat_colour(feed))

    times = quality.in_turns({"a": noted("a"), "b": noted("b")})
    assert order == ["a", "b"] * 3
    assert {name: len(samples) for name, samples in times.items()} == {"a": 2, "b": 2}


def test_rivals_are_those_that_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_torch() -> None:
        raise ConfigError("the paper's network needs torch: make setup EXTRAS=training")

    monkeypatch.setattr(literature, "papers_untrained", no_torch)
    with ExitStack() as stack:
        found = quality.Rivals.here(tmp_path, build().engine, stack, lambda _text: None)
    assert set(found.scored) == {"telea", "navier-stokes"}
    assert not found.only_timed
    assert "needs torch" in found.left_out[quality.PAPERS_OWN]
    assert "evaluate generator --baselines" in found.left_out["mean-face, gappy-pca"]
    faces = np.random.default_rng(1).integers(0, 256, (5, 96, 96, 3), np.uint8)
    FaceSpace.cached(tmp_path / quality.LEARNED, faces)
    with ExitStack() as stack:
        found = quality.Rivals.here(tmp_path, build().engine, stack, lambda _text: None)
    assert {"mean-face", "gappy-pca", "telea", "navier-stokes"} == set(found.scored)


def test_the_order_of_generators_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(quality, "ROUNDS", 1)
    monkeypatch.setattr(quality, "WARM_UP_ROUNDS", 0)
    monkeypatch.setattr(quality.Rivals, "here", classmethod(lambda cls, *_: cls(quality_baselines(), {}, {})))
    measured = quality.measure(quality.QualityPlan(moments=2, baseline_runs=tmp_path), lambda _text: None)
    check(measured)
    ours, telea = measured["generators"]
    assert (ours["name"], telea["name"]) == ("ours", "telea")
    assert ours["hole_psnr"] > telea["hole_psnr"] + 2
    assert ours["on_front"]
    assert measured["photos"] == 2


def quality_baselines() -> dict[str, object]:
    from training.evaluation.baselines import unlearned

    return {"telea": unlearned()["telea"]}


def test_passing_through_keeps_the_picture_and_its_mask(tmp_path: Path) -> None:
    clip, copy = make_clip(tmp_path, "320x240", 6), tmp_path / "copy.mp4"
    passed_through(str(clip), str(copy))
    with pytest.raises(BenchmarkError, match="the mask is gone from 0%"):
        verify(clip, copy, "320x240", every=2)
    peers._check_frames("PyAV", copy, 6)
    with pytest.raises(UnmeasurableError, match="PyAV wrote 6 frames instead of 60"):
        peers._check_frames("PyAV", copy, 60)


def test_programs_that_are_not_here_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(_say: object) -> Path:
        raise UnmeasurableError("it can't be installed: no network")

    monkeypatch.setattr(peers, "install", offline)
    monkeypatch.setattr(peers.shutil, "which", lambda _name: None)
    said: list[str] = []
    absent = LeftOut(said.append)
    programs = peers._here(absent)
    assert [program.name for program in programs] == [peers.OURS, peers.PYAV]
    assert absent.reasons == {
        peers.FFMPEG: "there is no ffmpeg on the PATH: install your system's package",
        peers.DEFACE: "it can't be installed: no network",
    }
    assert len(said) == 2


def test_a_program_that_fails_costs_no_other_its_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def pretended(command: list[str]) -> float:
        if command == ["broken"]:
            raise UnmeasurableError("broken failed: no such instruction")
        return 2.0

    monkeypatch.setattr(peers, "timed", pretended)
    monkeypatch.setattr(peers, "make_clip", lambda *_: tmp_path / "clip.mp4")
    monkeypatch.setattr(peers, "verify", lambda *_: None)
    monkeypatch.setattr(peers, "_check_frames", lambda *_: None)
    absent = LeftOut(lambda _text: None)
    programs = [peers.Program(name, lambda _clip, _out, name=name: [name]) for name in (peers.OURS, "broken", "other")]
    speeds = peers._in_turns(programs, peers.PeersPlan(repeats=2, frames=10), tmp_path, absent)
    assert speeds == {peers.OURS: [5.0, 5.0], "other": [5.0, 5.0]}
    assert absent.reasons == {"broken": "broken failed: no such instruction"}
