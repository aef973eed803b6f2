"""The bench of engines counts, feeds and verifies what it says. Nothing here looks at a time."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import pytest

from benchmarks import clips, turns
from benchmarks.parts import engines
from benchmarks.parts.engines import LEAST_PSNR_DB, EnginesPlan, EngineVariant
from benchmarks.record import BenchmarkError
from engine import models, select
from engine.spec import Device, Engine, Network, Precision
from pipeline.errors import BackendMissing, EngineError


@pytest.fixture(scope="module")
def moments() -> clips.Faces:
    return clips.moments(2)


@pytest.mark.parametrize("precision", [Precision.F32, Precision.INT8])
def test_the_matrix_product_is_one(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SIDE", 32)
    network, feeds, work = turns.matrix_product(precision)
    assert work == 32**3
    weights = np.random.default_rng(3).uniform(-1, 1, (32, 32)).astype(np.float32)
    with closing(select.load(network, backend="onnxruntime", precision=precision)) as engine:
        (seen,) = engine.run(feeds).values()
    np.testing.assert_allclose(seen, feeds["x"] @ weights, atol=1e-4 if precision is Precision.F32 else 0.1)


def test_faces_are_what_the_networks_take(moments: clips.Faces) -> None:
    for name in ("segmenter", "generator"):
        spec, *others = models.manifest(name).inputs
        spec.check(moments.feed(name, 2))
        assert all(other.optional for other in others)
    assert moments.feed("retinaface", 1).shape == (1, 3, clips.HEIGHT, clips.WIDTH)
    assert 0.05 < moments.holes.mean() < 0.5
    with closing(select.load(models.shipped("segmenter"))) as segmenter:
        mask = np.asarray(segmenter.run({"crop": moments.feed("segmenter", 2)})["mask"])
    seen = mask[:, 0] > 0.5
    wanted = moments.holes[:2]
    # The segmenter finds the mask where the hole is: the feeds lie as in a run.
    assert ((seen & wanted).sum() / (seen | wanted).sum()) > 0.5


def test_psnr_by_hand() -> None:
    expected = np.array([0.0, 1.0])
    assert turns.psnr_db(expected + 0.1, expected) == pytest.approx(20.0)
    assert turns.psnr_db(expected, expected) == 200.0


def test_outputs_that_are_not_the_references_count_for_nothing(moments: clips.Faces) -> None:
    variant = EngineVariant("openvino", Precision.F32, Device(), 1)
    feeds = {"crop_and_mask": moments.feed("generator", 1)}
    with closing(variant.load(models.shipped("generator"))) as engine:
        seen = engine.run(feeds)
    holes = moments.holes[:1]
    assert engines.verify(variant, "generator", seen, feeds, holes) >= LEAST_PSNR_DB[Precision.F32]
    spoilt = {"face": np.asarray(seen["face"]) + 0.01 * holes[:, None]}
    with pytest.raises(BenchmarkError, match="dB from the reference: its times mean nothing"):
        engines.verify(variant, "generator", spoilt, feeds, holes)


def test_each_network_is_a_row_beside_its_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SIDE", 64)
    monkeypatch.setattr(turns, "LEAST_RUNS", 2)
    monkeypatch.setattr(turns, "WARM_UP_RUNS", 1)
    said: list[str] = []
    plan = EnginesPlan(batches=(1, 2), seconds=0, settings={"engine": "openvino", "precision": "f32", "threads": 1})
    measured = engines.measure(plan, said.append)
    rows = json.loads(json.dumps(measured))["engines"]
    assert [(row["network"], row["batch"]) for row in rows] == [
        (name, batch) for name in ("retinaface", "generator", "segmenter") for batch in (1, 2)
    ]
    for row in rows:
        assert row["runs"] == 2 * turns.ROUNDS
        assert row["median_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["median_ms_per_face"] == pytest.approx(row["median_ms"] / row["batch"], abs=1e-3)
        assert row["description"].endswith("cpu f32")
        assert row["gmacs"] > 0
        assert row["ceiling_share"] > 0
    assert len(said) == len(rows)


def test_an_engine_that_was_asked_for_and_is_not_here_is_an_error() -> None:
    if select.find_backend("tensorrt").missing() is None:
        pytest.skip("TensorRT is here")
    with pytest.raises(BackendMissing, match="backend tensorrt: "):
        engines.measure(EnginesPlan(settings={"engine": "tensorrt"}), print)


def test_a_network_that_an_engine_does_not_take_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    load = EngineVariant.load

    def refusing(variant: EngineVariant, network: Network) -> Engine:
        if network.name == "segmenter":
            raise EngineError("backend openvino can't compile segmenter: No suitable implementations found")
        return load(variant, network)

    monkeypatch.setattr(EngineVariant, "load", refusing)
    monkeypatch.setattr(turns, "SIDE", 64)
    monkeypatch.setattr(turns, "LEAST_RUNS", 1)
    monkeypatch.setattr(turns, "WARM_UP_RUNS", 1)
    plan = EnginesPlan(batches=(1,), seconds=0, settings={"engine": "openvino", "precision": "f32", "threads": 1})
    said: list[str] = []
    measured = engines.measure(plan, said.append)
    assert [row["network"] for row in measured["engines"]] == ["retinaface", "generator"]
    (told,) = measured["left_out"].items()
    assert told[0].startswith("segmenter on openvino")
    assert "No suitable implementations" in told[1]
    assert any("segmenter on openvino cpu f32 is left out" in sentence for sentence in said)
    assert engines.tables(measured)[-1].caption == "Left out"
