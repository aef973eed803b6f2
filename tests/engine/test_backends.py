"""The contract that every backend keeps: one test file for all of them, whatever is in `engine/backends/`."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine import models, select
from engine.spec import Device, Engine, Network, Precision
from pipeline.errors import BackendMissing, EngineError, ShapeError
from tests.engine import networks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.spec import Array

PICTURE = [name for name in select.names() if name != "identity"]
"""Backends that compute what the network says."""
WITH_GPU = ("torch", "torch_compile", "tensorrt_rtx")
"""Backends that the extras bring and that must run on a GPU where there is to be one."""
TOLERANCES = {Precision.F32: 1e-4, Precision.FP16: 5e-3, Precision.BF16: 3e-2}
"""How far an output in [0, 1] may be from the reference's: bfloat16 keeps 8 bits of a number, float16 keeps 11."""


@pytest.fixture(autouse=True)
def captured_graphs_are_run_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.compile` takes minutes for all that is asked here; that it captures the graphs is seen without."""
    if os.environ.get("BAREFACED_TEST_COMPILER") != "1":
        from engine.backends import torch_compile

        monkeypatch.setattr(torch_compile, "COMPILER", "eager")


def load(name: str, network: Network, precision: Precision = Precision.AUTO, *, device: Device | None = None) -> Engine:
    """The network on one backend; skips with its reason where it can't run here."""
    reason = select.find_backend(name).missing()
    if reason is not None:
        pytest.skip(reason)
    device = device or Device.named(select.find_backend(name).offer().devices[0].split()[0])
    try:
        return select.load(network, backend=name, device=device, precision=precision, threads=1)
    except BackendMissing as error:
        pytest.skip(str(error))


def pictures(count: int) -> Array:
    return np.random.default_rng(count).uniform(-1, 1, (count, 3, 32, 32)).astype(np.float32)


@pytest.fixture(params=select.names())
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with closing(load(request.param, networks.tower())) as loaded:
        yield loaded


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("half", [False, True], ids=["", "half_weights"])
@pytest.mark.parametrize("name", PICTURE)
def test_same_picture_as_the_reference(name: str, half: bool, precision: Precision) -> None:
    with closing(load("torch", networks.tower())) as reference:
        expected = reference.run({"picture": pictures(3)})["mask"]
    with closing(load(name, networks.tower(half=half), precision)) as engine:
        seen = engine.run({"picture": pictures(3)})["mask"]
    assert seen.dtype == np.float32
    tolerance = max(TOLERANCES[precision], 1e-3 if half else 0.0)
    np.testing.assert_allclose(seen, expected, atol=tolerance)


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("name", PICTURE)
def test_same_scores_for_the_detector_at_sizes_that_are_open(name: str, precision: Precision) -> None:
    blobs = [
        np.random.default_rng(0).uniform(-100, 100, (count, 3, height, width)).astype(np.float32)
        for count, height, width in ((1, 96, 160), (2, 96, 160), (1, 64, 96))
    ]
    with closing(load("onnxruntime", networks.detector())) as reference:
        expected = [reference.run({"input": blob})["conf"] for blob in blobs]
    with closing(load(name, networks.detector(), precision)) as engine:
        for blob, scores in zip(blobs, expected, strict=True):
            np.testing.assert_allclose(engine.run({"input": blob})["conf"], scores, atol=TOLERANCES[precision])


@pytest.mark.parametrize("name", PICTURE)
def test_a_batch_gives_what_its_pictures_give_alone(name: str) -> None:
    with closing(load(name, networks.tower(), Precision.F32)) as engine:
        for count in range(1, 9):
            batch = pictures(count)
            together = engine.run({"picture": batch})["mask"]
            alone = np.concatenate([engine.run({"picture": batch[i : i + 1]})["mask"] for i in range(count)])
            assert together.shape == (count, 2, 32, 32)
            np.testing.assert_allclose(together, alone, atol=TOLERANCES[Precision.F32])


@pytest.mark.parametrize("name", select.names())
def test_the_fastest_precision_is_the_first_of_those_offered(name: str) -> None:
    backend = select.find_backend(name)
    if backend.missing() is not None:
        pytest.skip(backend.missing())
    assert backend.fastest() is backend.offer().precisions[0]


def test_openvino_computes_the_same_with_weights_in_a_file_that_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAREFACED_CACHE", str(tmp_path))
    crops = np.random.default_rng(0).uniform(-1, 1, (3, 4, 256, 256)).astype(np.float32)
    found = []
    for _ in range(2):
        with closing(load("openvino", models.shipped("generator"), Precision.F32)) as engine:
            engine.run({"crop_and_mask": crops[:2]})
            for path in tmp_path.glob("*.engine") if found else ():
                path.unlink()
                path.write_bytes(b"another file")
            found.append(engine.run({"crop_and_mask": crops})["face"])
    assert np.array_equal(*found)


def test_says_what_it_takes_and_gives(engine: Engine) -> None:
    assert [(spec.name, spec.shape, spec.dtype) for spec in engine.inputs] == [
        ("picture", (None, 3, 32, 32), np.float32)
    ]
    assert [(spec.name, spec.shape, spec.dtype) for spec in engine.outputs] == [("mask", (None, 2, 32, 32), np.float32)]
    assert engine.description


def test_outputs_have_the_shape_it_says(engine: Engine) -> None:
    for count in (1, 5, 8):
        outputs = engine.run({"picture": pictures(count)})
        assert {name: (array.shape, array.dtype) for name, array in outputs.items()} == {
            "mask": ((count, 2, 32, 32), np.float32)
        }


def test_runs_may_be_under_way_together(engine: Engine) -> None:
    feeds = [pictures(1) * scale for scale in (1, 0.5, 0.25)]
    pending = [engine.submit({"picture": feed}) for feed in feeds]
    results = [run.result()["mask"] for run in pending]
    for feed, result in zip(feeds, results, strict=True):
        np.testing.assert_array_equal(result, engine.run({"picture": feed})["mask"])


def test_results_stay_as_they_were(engine: Engine) -> None:
    first = engine.run({"picture": pictures(1)})["mask"]
    kept = first.copy()
    engine.run({"picture": -pictures(1)})
    np.testing.assert_array_equal(first, kept)


def test_result_asked_twice_is_the_same(engine: Engine) -> None:
    pending = engine.submit({"picture": pictures(1)})
    np.testing.assert_array_equal(pending.result()["mask"], pending.result()["mask"])


def test_feeds_may_be_read_only_and_strided(engine: Engine) -> None:
    plain = pictures(2)
    odd = np.repeat(plain, 2, axis=0)[::2]
    odd.flags.writeable = False
    np.testing.assert_array_equal(engine.run({"picture": odd})["mask"], engine.run({"picture": plain})["mask"])


@pytest.mark.parametrize("shape", [(1, 3, 32, 31), (1, 4, 32, 32), (3, 32, 32)])
def test_wrong_shape_is_told(engine: Engine, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"picture has shape .*, expected \(None, 3, 32, 32\)") as raised:
        engine.run({"picture": np.zeros(shape, np.float32)})
    assert raised.value.actual == shape


def test_wrong_type_and_wrong_names_are_told(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"picture holds float64, expected float32"):
        engine.run({"picture": np.zeros((1, 3, 32, 32))})
    with pytest.raises(EngineError, match=r"fed \['image'\], expected \['picture'\]"):
        engine.run({"image": pictures(1)})


def test_closing_twice_is_fine_and_running_after_it_is_not(engine: Engine) -> None:
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run({"picture": pictures(1)})
    with pytest.raises(EngineError, match="closed"):
        engine.submit({"picture": pictures(1)})


@pytest.mark.parametrize("name", select.names())
@pytest.mark.parametrize("damage", ["cut_off", "empty", "text"])
def test_a_damaged_file_is_an_engine_error(name: str, damage: str) -> None:
    onnx = {"cut_off": networks.detector().onnx[:900_000], "empty": b"", "text": b"this is no network"}[damage]
    with pytest.raises(EngineError, match="broken_net"):
        load(name, Network.of("broken_net", onnx))


@pytest.mark.parametrize("name", select.names())
def test_cuda_is_cuda_or_refused(name: str) -> None:
    required = os.environ.get("BAREFACED_REQUIRE_GPU") == "1" and name in WITH_GPU
    if select.find_backend(name).missing() is not None and not required:
        pytest.skip(str(select.find_backend(name).missing()))
    try:
        engine = select.load(networks.detector(), backend=name, device=Device("cuda"))
    except BackendMissing as error:
        assert list(error.reasons) == [name]
        if required:
            raise
        return
    with closing(engine):
        assert "cuda:0" in engine.description


@pytest.mark.parametrize("name", select.names())
def test_a_precision_that_is_not_there_is_refused(name: str) -> None:
    if select.find_backend(name).missing() is not None:
        pytest.skip(str(select.find_backend(name).missing()))
    with pytest.raises(BackendMissing) as raised:
        select.load(networks.detector(), backend=name, precision=Precision.INT8)
    assert list(raised.value.reasons) == [name]
    assert "int8" in raised.value.reasons[name]


INTERRUPTED = """
import signal, sys, threading
from engine import models, select
signal.signal(signal.SIGINT, signal.default_int_handler)
loaded = [select.load(models.shipped(name), backend=sys.argv[1], threads=1) for name in ("segmenter", "generator")]
def first_in_first_out():
    while loaded:
        loaded.pop(0).close()
if sys.argv[2] == "elsewhere":
    closing = threading.Thread(target=first_in_first_out)
    closing.start()
    closing.join()
else:
    first_in_first_out()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("heard")
"""
"""A process that closes its networks and is interrupted: a runtime that leaves its signal stack freed crashes there."""


@pytest.mark.parametrize("closed", ["here", "elsewhere"])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_ctrl_c_is_heard_after_closing(name: str, closed: str) -> None:
    reason = select.find_backend(name).missing()
    if reason is not None:
        pytest.skip(reason)
    ran = subprocess.run([sys.executable, "-c", INTERRUPTED, name, closed], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "heard\n"), ran.stderr


LOADS = """
import sys
from engine import models, select
engine = select.load(models.shipped("segmenter"), backend="openvino", threads=1)
print("openvino_telemetry" in sys.modules, "ssl" in sys.modules)
import openvino.tools.ovc
"""


def test_openvinos_converter_and_telemetry_are_not_loaded() -> None:
    ran = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "False False\n"), ran.stderr


def test_networks_that_are_compiled_side_by_side_share_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = importlib.import_module("engine.backends.openvino")
    made: list[object] = []

    @lru_cache(maxsize=1)
    def slow() -> object:
        made.append(object())
        time.sleep(0.1)
        return made[-1]

    monkeypatch.setattr(backend, "_first_core", slow)
    with ThreadPoolExecutor(3) as threads:
        cores = list(threads.map(lambda _: backend._core(), range(3)))
    assert len(made) == 1
    assert cores == made * 3
