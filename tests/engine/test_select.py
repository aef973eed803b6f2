from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest

from engine import cuda, models, select
from engine.spec import Device, Precision
from pipeline.errors import BackendMissing, ConfigError
from tests.engine import networks


def test_a_file_is_a_backend() -> None:
    written = {"identity", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "torch", "torch_compile"}
    assert {*written, "torch_tensorrt"} == set(select.names())


def test_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"backend 'tensorflow' is unknown: use auto or one of .*openvino"):
        select.load(networks.detector(), backend="tensorflow")


def test_auto_takes_the_first_that_can_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="barefaced"):
        selection = select.select(networks.detector())
    with closing(selection.engine):
        assert selection.backend == "openvino"
        assert selection.passed_over == {}
        assert f"retinaface runs on {selection.engine.description}" in caplog.text


def test_auto_keeps_why_it_passed_over_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(select.find_backend("openvino"), "missing", lambda: "the package openvino is not installed")
    with caplog.at_level(logging.INFO, logger="barefaced"):
        selection = select.select(networks.detector())
    with closing(selection.engine):
        assert selection.backend == "onnxruntime"
        assert selection.passed_over == {"openvino": "the package openvino is not installed"}
        assert "not openvino: the package openvino is not installed" in caplog.text


def test_auto_that_finds_nothing_gives_every_reason() -> None:
    with pytest.raises(BackendMissing, match="no backend can run retinaface on cpu in precision int8") as raised:
        select.load(networks.detector(), precision=Precision.INT8)
    assert set(raised.value.reasons) == set(select.PREFERRED["cpu"])
    with pytest.raises(BackendMissing, match="no backend can run retinaface on cuda:0 in precision auto") as raised:
        select.load(networks.detector(), device=Device("cuda"))
    assert set(raised.value.reasons) == set(select.PREFERRED["cuda"])


@pytest.mark.parametrize(("seconds", "first"), [({"f32": 2.0, "bf16": 1.0}, True), ({"f32": 1.0, "bf16": 1.6}, False)])
def test_auto_takes_bfloat16_only_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float], first: bool
) -> None:
    """As an Intel processor that has it without AMX: there it took 1.6 times as long as float32."""
    openvino = select.find_backend("openvino")
    core = SimpleNamespace(get_property=lambda *_: ["FP32", "INT8", "FP16", "BF16"])
    monkeypatch.setattr(openvino, "_core", lambda: core)
    monkeypatch.setattr(openvino, "int8_is_exact", lambda: True)
    monkeypatch.setattr(openvino, "_seconds_of_convolution", seconds.__getitem__)
    others = [Precision.F32, Precision.INT8, Precision.FP16]  # int8 is faster and draws a little worse: who asks has it
    assert list(openvino._precisions(core)) == ([Precision.BF16, *others] if first else [*others, Precision.BF16])
    assert openvino.fastest() is (Precision.BF16 if first else Precision.F32)
    assert openvino._fastest(core, "CPU") is (Precision.BF16 if first else Precision.F32)
    assert openvino._fastest(core, "GPU") is Precision.BF16  # the processor's speed says nothing of it


def test_the_speed_of_bfloat16_is_tried_on_a_convolution_once() -> None:
    openvino = select.find_backend("openvino")
    assert "FP32" in openvino._core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    first = openvino._seconds_of_convolution("f32")
    assert 0 < first < 1
    assert openvino._seconds_of_convolution("f32") == first


def test_int8_is_refused_where_its_sums_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = select.find_backend("openvino")
    network = models.shipped("segmenter", precision=Precision.INT8)
    monkeypatch.setattr(openvino, "int8_is_exact", lambda: False)
    assert Precision.INT8 not in openvino.offer().precisions
    with pytest.raises(BackendMissing, match="has no VNNI, so that sums in int8 overflow"):
        select.load(network, backend="openvino", precision=Precision.INT8)


def test_an_explicit_choice_never_becomes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select.find_backend("openvino"), "missing", lambda: "not installed")
    with pytest.raises(BackendMissing, match="backend openvino: not installed"):
        select.load(networks.detector(), backend="openvino")
    with pytest.raises(BackendMissing):
        select.load(networks.detector(), backend="openvino", device=Device("cuda"))


def test_asking_what_is_missing_loads_no_runtime() -> None:
    program = (
        "import sys; from engine import select; select.missing();"
        "print(*{'torch', 'onnx', 'onnxruntime', 'openvino', 'tensorrt_rtx', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_device_auto_says_that_it_takes_the_cpu_and_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cuda, "missing", lambda: "there is no CUDA driver here")
    assert select.find_device("auto") == Device()
    assert "device auto takes cpu: there is no CUDA driver here" in caplog.text


def test_device_auto_takes_a_gpu_that_a_backend_can_use(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    card = cuda.Card(0, "NVIDIA GeForce RTX 3060", (8, 6))
    monkeypatch.setattr(cuda, "missing", lambda: None)
    monkeypatch.setattr(cuda, "cards", lambda: (card,))
    assert select.find_device("auto", "openvino") == Device()
    assert "openvino has no support for cuda here" in caplog.text

    offers = SimpleNamespace(missing=lambda: None, offer=lambda: SimpleNamespace(devices=("cpu", str(card))))
    monkeypatch.setattr(select, "find_backend", lambda _name: offers)
    assert select.find_device("auto") == Device("cuda")
    assert "device auto takes cuda:0 NVIDIA GeForce RTX 3060" in caplog.text


def test_any_other_device_is_taken_by_its_name() -> None:
    assert select.find_device("cuda:1") == Device("cuda", 1)
