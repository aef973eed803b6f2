"""What is expected of each curve is judged as it is said; points are measured on verified clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from benchmarks import child, clips
from benchmarks.clips import verify
from benchmarks.parts import scale
from benchmarks.record import BenchmarkError, LeftOut, UnmeasurableError
from pipeline.demo.clip import LANDMARKS, frame_from_portrait
from pipeline.frames import Detection
from pipeline.geometry import Box, Landmarks
from pipeline.run.batch import Job
from pipeline.settings.values import build
from tests.benchmarks import documents
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.frames import Frame

SETTINGS = {"preset": "ultrafast", "overwrite": True, "detect-every": 1}
WIDTH, HEIGHT = clips.parsed(clips.CROWD_SIZE)


def verdict(curve: str, curves: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    return next(verdict for verdict in scale.judged(curves) if verdict["curve"] == curve)


def test_every_curve_has_an_expectation_and_is_judged() -> None:
    assert [row["curve"] for row in scale.judged(documents.curves())] == [row.curve for row in scale.EXPECTATIONS]


def points(key: str, values: dict[int | str, float]) -> list[dict[str, object]]:
    return [{"at": at, key: value} for at, value in values.items()]


def test_batching_pays_by_hand() -> None:
    assert scale.faces_figure(points("frame_ms", {0: 10.0, 1: 20.0, 2: 25.0, 8: 66.0})) == pytest.approx(5.6)
    assert scale.faces_figure(points("frame_ms", {0: 10.0, 1: 10.0, 8: 30.0})) == float("inf")
    (faces, *_) = scale.EXPECTATIONS
    assert faces.judged(5.6)["met"]
    assert not faces.judged(5.61)["met"]


def test_exponents_by_hand() -> None:
    proportional = points("frame_ms", {"10x10": 3.0, "20x20": 12.0, "40x40": 48.0})
    assert scale.exponent(proportional) == pytest.approx(1.0)
    assert scale.exponent(points("frame_ms", {"10x10": 3.0, "20x20": 6.0})) == pytest.approx(0.5)
    assert scale.exponent(proportional[:1]) is None


def test_memory_is_counted_by_the_thousand_frames() -> None:
    memory = points("peak_rss_mb", {90: 400.0, 360: 401.0, 2090: 410.0})
    assert scale.growth_per_thousand(memory) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("curve", "spoil"),
    [
        ("faces", {"at": 8, "frame_ms": 900.0}),
        ("resolution", {"at": "3840x2160", "frame_ms": 9000.0}),
        ("length", {"at": 1440, "peak_rss_mb": 900.0}),
        ("threads", {"at": 2, "frame_ms": 60.0}),
        ("batch", {"at": 8, "ms_per_face": 60.0}),
    ],
)
def test_a_curve_of_another_shape_is_not_met(curve: str, spoil: dict[str, object]) -> None:
    curves = documents.curves()
    before = verdict(curve, curves)
    assert before["met"] or curve == "faces"
    next(point for point in curves[curve] if point["at"] == spoil["at"]).update(spoil)
    after = verdict(curve, curves)
    assert not after["met"]
    assert after["measured"] > before["measured"]  # type: ignore[operator]


def test_curves_without_the_points_for_it_are_not_judged() -> None:
    curves = documents.curves() | {"threads": [], "batch": []}
    curves["faces"] = curves["faces"][:2]
    assert [verdict["curve"] for verdict in scale.judged(curves)] == ["resolution", "length"]


def found_in_crowd(faces: int, frame: Frame) -> tuple[Detection, ...]:
    """The faces of a crowd, as its motion says."""
    found = []
    width, height = WIDTH // clips.COLUMNS, HEIGHT // clips.ROWS
    for tile in clips.TAKEN[:faces]:
        place = frame_from_portrait(frame.time + clips.ahead(tile), width=width, height=height)
        points = place.apply(LANDMARKS) + np.array([tile % clips.COLUMNS * width, tile // clips.COLUMNS * height])
        (left, top), (right, bottom) = points.min(axis=0) - 40, points.max(axis=0) + 40
        found.append(Detection(Box(left, top, right, bottom), Landmarks(points.astype(np.float32)), 0.99))
    return tuple(found)


@pytest.mark.parametrize("faces", [0, 3])
def test_a_crowd_has_so_many_masks_and_they_are_looked_at(faces: int, tmp_path: Path) -> None:
    path, target = clips.make_crowd(tmp_path, faces, 2), tmp_path / "out.mp4"
    networks = stand_in_networks(lambda frame: found_in_crowd(faces, frame))
    told = child.whole(Job(path, target), build(SETTINGS), networks)
    assert told["masked_faces"] == 2 * faces
    seen = verify(path, target, clips.CROWD_SIZE, every=1, masks_of=clips.crowd_masks(faces))
    assert (seen.frames, seen.gone_share) == (2, 1.0)


def test_one_mask_that_stays_is_told(tmp_path: Path) -> None:
    path, target = clips.make_crowd(tmp_path, 3, 2), tmp_path / "out.mp4"
    networks = stand_in_networks(lambda frame: found_in_crowd(2, frame))
    child.whole(Job(path, target), build(SETTINGS), networks)
    with pytest.raises(BenchmarkError, match="the mask is gone from 67%"):
        verify(path, target, clips.CROWD_SIZE, every=1, masks_of=clips.crowd_masks(3))


def test_a_detector_sees_as_many_as_there_are(tmp_path: Path) -> None:
    from pipeline.run import load
    from pipeline.video.decode import FileSource

    with load.detector(build()) as detector:
        for faces in (0, 8):
            frame = next(iter(FileSource(clips.make_crowd(tmp_path, faces, 1))))
            assert len(detector(frame)) == faces


def test_the_same_work_whatever_the_faces(tmp_path: Path) -> None:
    sizes = []
    for faces in (0, 8):
        with av.open(str(clips.make_crowd(tmp_path, faces, 3))) as container:
            sizes.append(sum(packet.size for packet in container.demux(video=0)))
    assert max(sizes) < 2 * min(sizes)


def test_points_alternate_with_ceilings_and_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def pretended(
        mode: str, clip: Path, _warm: Path, target: Path, _settings: Mapping[str, object]
    ) -> dict[str, object]:
        order.append(mode)
        told = child.whole(Job(clip, target), build(SETTINGS), stand_in_networks())
        fps = 100.0 if mode == "ceiling" else 40.0 + 10 * len(order)
        return told | {"fps": fps, "peak_rss_mb": 300.0}

    monkeypatch.setattr(scale, "run_child", pretended)
    clip = clips.make_clip(tmp_path, "320x240", 3)
    bench = scale.Bench(scale.ScalePlan(), tmp_path, LeftOut(lambda _text: None))
    case = scale.Case("length", 3, clip, clip, "320x240", {}, 3)
    told = bench.point(case)
    assert order == ["ceiling", "pipeline"] * 3
    assert told == {"at": 3, "frame_ms": 12.5, "ceiling_ms": 10.0, "added_ms": 2.5, "peak_rss_mb": 300.0}
    times, ratios = bench.series
    assert times.values == pytest.approx([1000 / 60, 12.5, 10.0])
    assert ratios.values == pytest.approx([100 / 60, 1.25, 1.0])


def test_a_point_that_can_not_be_measured_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pretended(_bench: scale.Bench, case: scale.Case) -> dict[str, object]:
        if case.at == 2:
            raise UnmeasurableError("benchmarks.child failed: out of memory")
        return {"at": case.at}

    monkeypatch.setattr(scale.Bench, "point", pretended)
    absent = LeftOut(lambda _text: None)
    cases = [scale.Case("threads", at, tmp_path, tmp_path, "320x240", {}, 1) for at in (1, 2, 3)]
    assert scale.Bench(scale.ScalePlan(), tmp_path, absent).points(cases) == [{"at": 1}, {"at": 3}]
    assert absent.reasons == {"threads 2": "benchmarks.child failed: out of memory"}
