from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import closing

import pytest

from engine import select
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
