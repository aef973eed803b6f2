"""TensorRT for RTX compiles our networks here, without a GPU, for real: what can be shown of its engines is."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING

import pytest

import cli
from engine import building, cache, cuda, models
from engine.backends import tensorrt_rtx
from engine.spec import Precision, TensorSpec
from engine.tensorrt_plan import Phases, described_shapes, ranges
from pipeline.errors import BackendMissing, CheckpointError, ConfigError, EngineError
from tests.engine import networks

if TYPE_CHECKING:
    from pathlib import Path

import numpy as np

FLOAT = np.dtype(np.float32)
needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="not installed: tensorrt-rtx (barefaced[rtx])"
)
PLAN_VERSION, PLAN_LENGTH = slice(24, 28), slice(16, 24)
"""Where a plan's header holds the compiler's version and the plan's length; seen, not documented."""


@needs_compiler
def test_every_network_is_compiled_for_every_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--engine", "tensorrt_rtx", "--compute-capability", "7.5,8.6,8.9,12.0", "-o", str(tmp_path), "--json", "-"]
    assert cli.main(["build", *asked]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [set(built) for built in told] == [{"network", "capabilities", "file", "bytes"}] * 6
    assert {built["network"] for built in told} == {
        "retinaface",
        "generator",
        "segmenter",
        "figure",
        "eum_srt",
        "recogniser",
    }
    for built in told:
        label, plan = cache.read(tmp_path / built["file"])
        assert built["capabilities"] == ["7.5", "8.6", "8.9", "12.0"]
        assert label.devices == ("sm75", "sm86", "sm89", "sm120")
        assert (label.backend, label.version, label.precision) == ("tensorrt_rtx", "1.7.1.116", "fp16")
        assert built["bytes"] == (tmp_path / built["file"]).stat().st_size > len(plan)
        assert plan[:4] == b"vtrt"
        assert int.from_bytes(plan[PLAN_LENGTH], "little") == len(plan)
        assert ".".join(str(part) for part in plan[PLAN_VERSION]) == label.version


@needs_compiler
@pytest.mark.parametrize("precision", [Precision.F32, Precision.BF16])
def test_each_precision_is_another_engine(precision: Precision, tmp_path: Path) -> None:
    network = models.shipped("segmenter")
    plans = {}
    for asked in (precision, Precision.FP16):
        (built,) = building.build_all(
            "tensorrt_rtx", [network], tmp_path, precision=asked, capabilities=("86",), time_limit_seconds=600
        )
        label, plans[asked] = cache.read(tmp_path / built.file)
        assert label.precision == asked
    ratio = len(plans[precision]) / len(plans[Precision.FP16])
    # Weights in float32 take twice the room.
    assert ratio > 1.2 if precision is Precision.F32 else 0.7 < ratio < 1.3


@needs_compiler
def test_the_compiler_itself_does_not_know_a_damaged_or_foreign_file() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    runtime = trt.Runtime(trt.Logger(trt.Logger.INTERNAL_ERROR))
    validity, diagnostics = runtime.get_engine_validity(b"x" * 1000)
    assert validity == trt.EngineValidity.INVALID
    assert diagnostics & int(trt.EngineInvalidityDiagnostics.MALFORMED_ENGINE)


@needs_compiler
def test_a_damaged_engine_file_is_refused(tmp_path: Path) -> None:
    (built,) = building.build_all(
        "tensorrt_rtx",
        [models.shipped("segmenter")],
        tmp_path,
        precision=Precision.FP16,
        capabilities=("89",),
        time_limit_seconds=600,
    )
    path = tmp_path / built.file
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"holds .* of .* bytes: build it anew"):
        cache.read(path)
    path.write_bytes(whole[:-100] + bytes(100))
    with pytest.raises(CheckpointError, match="damaged"):
        cache.read(path)


@needs_compiler
def test_a_network_that_the_parser_refuses_is_quoted() -> None:
    node = pytest.importorskip("onnx", reason="install barefaced[rtx]").helper.make_node("Fancy", ["x"], ["y"])
    network = networks.build("fancy", [node], {}, inputs={"x": [1, 3]}, outputs={"y": [1, 3]})
    with pytest.raises(EngineError, match=r"compiling fancy failed \(tensorrt_rtx can't read fancy: .*Fancy"):
        tensorrt_rtx.build(
            network,
            precision=Precision.F32,
            capabilities=("86",),
            time_limit_seconds=600,
        )


@needs_compiler
@pytest.mark.parametrize(
    ("capabilities", "precision", "reason"),
    [
        (("99",), Precision.FP16, r"does not know compute capability 9\.9; it has 7\.5, 8\.0, 8\.6"),
        (("75", "86"), Precision.BF16, r"7\.5 has no bf16; use precision fp16"),
        (("86",), Precision.INT8, "needs a network that was quantised"),
    ],
)
def test_what_a_card_does_not_have_is_refused(capabilities: tuple[str, ...], precision: Precision, reason: str) -> None:
    with pytest.raises(BackendMissing, match=reason):
        tensorrt_rtx.build(networks.detector(), precision=precision, capabilities=capabilities, time_limit_seconds=600)


@needs_compiler
def test_without_a_card_the_cure_is_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "missing", lambda: "there is no CUDA driver here")
    with pytest.raises(BackendMissing, match=r"no CUDA driver here; or give --compute-capability, such as 8\.6"):
        tensorrt_rtx.build(networks.detector(), precision=Precision.FP16, capabilities=(), time_limit_seconds=600)


def test_an_engine_that_does_not_compile_ahead_of_time_is_told() -> None:
    with pytest.raises(
        ConfigError, match="'openvino' does not compile ahead of time: use one of tensorrt, tensorrt_rtx"
    ):
        building.compiler("openvino")
    with pytest.raises(ConfigError, match="'tensorflow' is unknown"):
        building.compiler("tensorflow")


def test_capabilities_are_read_once_each() -> None:
    assert building.capabilities_of("7.5,12.0,7.5") == ("75", "120")


def test_open_sizes_become_ranges() -> None:
    crop, picture = TensorSpec("crop", (None, 4, 256, 256), FLOAT), TensorSpec("input", (None, 3, None, None), FLOAT)
    assert ranges(crop) == ((1, 4, 256, 256), (1, 4, 256, 256), (8, 4, 256, 256))
    assert ranges(picture) == ((1, 3, 32, 32), (1, 3, 640, 640), (8, 3, 1280, 1280))
    assert described_shapes((crop, picture)) == "crop 1..8x4x256x256, input 1..8x3x32..1280x32..1280"


def test_progress_of_phases_within_phases_never_goes_back() -> None:
    phases, shares = Phases(), []
    phases.start("all", None, 2)
    for half in range(2):
        phases.start("part", "all", 4)
        for step in range(4):
            phases.step("part", step)
            shares.append(phases.share)
        phases.finish("part")
        phases.step("all", half)
        shares.append(phases.share)
    phases.step("unknown", 3)
    assert shares == sorted(shares)
    assert shares[:5] == [0.125, 0.25, 0.375, 0.5, 0.5]
    assert shares[-1] == 1.0
