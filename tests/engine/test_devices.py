"""Devices that were never at hand: what is asked of ONNX Runtime and OpenVINO where they say that one is there."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import onnxruntime
import pytest

from engine import cuda, select
from engine.backends import onnxruntime as ort
from engine.backends import openvino
from engine.spec import Device, Precision
from pipeline.errors import BackendMissing
from tests.engine import networks

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHERS = {kind: provider for kind, provider in ort.PROVIDERS.items() if kind != "cpu"}


class Session:
    """A session that comes up on the provider that was asked for, or on the CPU."""

    asked: Any
    options: onnxruntime.SessionOptions
    falls_back = False

    def __init__(self, _onnx: bytes, options: onnxruntime.SessionOptions, providers: Sequence[Any]) -> None:
        Session.asked, Session.options = providers[0], options

    def get_providers(self) -> list[str]:
        asked = self.asked if isinstance(self.asked, str) else self.asked[0]
        return ["CPUExecutionProvider"] if self.falls_back else [asked, "CPUExecutionProvider"]


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the build of ONNX Runtime is made to offer."""
    there = ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(Session, "falls_back", False)
    monkeypatch.setattr(cuda, "missing", lambda: "no driver")
    return there


def load(kind: str, precision: Precision = Precision.AUTO, index: int = 0) -> str:
    device = Device(kind, index)
    return ort.load(networks.tower(), device=device, precision=precision, threads=0).description


@pytest.mark.parametrize("kind", OTHERS)
def test_onnxruntime_asks_for_the_device_that_was_asked_for(kind: str, providers: list[str]) -> None:
    providers.insert(0, OTHERS[kind])
    assert f" {Device(kind)} " in load(kind)
    asked = Session.asked if kind == "coreml" else Session.asked[0]
    assert asked == OTHERS[kind]
    assert kind in ort.offer().devices


def test_a_second_gpu_is_asked_for_by_its_number(providers: list[str]) -> None:
    providers.append("DmlExecutionProvider")
    assert "directml:1" in load("directml", index=1)
    assert Session.asked == ("DmlExecutionProvider", {"device_id": "1"})
    assert not Session.options.enable_mem_pattern


@pytest.mark.parametrize("kind", OTHERS)
def test_a_build_without_the_device_says_which_one_has_it(kind: str, providers: list[str]) -> None:
    assert providers == ["CPUExecutionProvider"]
    with pytest.raises(BackendMissing, match=f"this build has no {kind} .pip install onnxruntime"):
        load(kind)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_device_that_comes_up_as_the_cpu_is_an_error(
    kind: str, providers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    providers.append(OTHERS[kind])
    monkeypatch.setattr(Session, "falls_back", True)
    with pytest.raises(BackendMissing, match="came up as CPUExecutionProvider"):
        load(kind)


def test_int8_is_refused_where_nobody_checked_it(providers: list[str]) -> None:
    providers.append("CoreMLExecutionProvider")
    with pytest.raises(BackendMissing, match="int8 was never checked on coreml"):
        load("coreml", Precision.INT8)


class Core:
    """An OpenVINO with a processor, and with what `available_devices` names besides."""

    def __init__(self, *devices: str) -> None:
        self.available_devices = ["CPU", *devices]
        self.compiled: list[tuple[str, list[list[int]], dict[str, object]]] = []

    def get_property(self, target: str, name: str) -> Any:
        if name == "FULL_DEVICE_NAME":
            return f"a {target}"
        return ["FP16", "INT8"] if target == "NPU" else ["FP32", "FP16"]

    def compile_model(self, model: Any, target: str, settings: dict[str, object]) -> Any:
        self.compiled.append((target, model.shapes, settings))
        hint = SimpleNamespace(to_string=lambda: settings["INFERENCE_PRECISION_HINT"])
        exported = io.BytesIO(b"")
        return SimpleNamespace(get_property=lambda _name: hint, export_model=lambda: exported)


class Model:
    """A network that notes the shapes that it is given."""

    def reshape(self, shapes: dict[str, Any]) -> None:
        self.shapes = [[size.get_length() if size.is_static else -1 for size in shape] for shape in shapes.values()]


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Core:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    there = Core("GPU.0", "GPU.1", "NPU")
    monkeypatch.setattr(openvino, "_core", lambda: there)
    monkeypatch.setattr(openvino.OpenVinoEngine, "_read", lambda _self, _core: Model())
    monkeypatch.setattr(openvino.Cache, "find", lambda _self, _label: None)
    monkeypatch.setattr(openvino.Cache, "keep", lambda _self, _label, _bytes: None)
    return there


@pytest.mark.parametrize(
    ("device", "target", "hint"),
    [(Device("intel"), "GPU.0", "f32"), (Device("intel", 1), "GPU.1", "f32"), (Device("npu"), "NPU", "f16")],
)
def test_openvino_compiles_for_the_device_that_was_asked_for(
    core: Core, device: Device, target: str, hint: str
) -> None:
    engine = openvino.load(networks.tower(), device=device, precision=Precision.AUTO, threads=4)
    engine._program(((1, 3, 32, 32),))
    engine._program(((3, 3, 32, 32),))
    assert f" {device} " in engine.description
    assert {where for where, _, _ in core.compiled} == {target}
    assert core.compiled[-1][1] == [[3 if target == "NPU" else -1, 3, 32, 32]]
    assert core.compiled[-1][2]["INFERENCE_PRECISION_HINT"] == hint
    assert "INFERENCE_NUM_THREADS" not in core.compiled[-1][2]


def test_the_processor_is_taken_without_a_look_at_what_else_there_is(core: Core) -> None:
    """Looking loads the libraries that drive GPUs and NPUs."""
    del core.available_devices
    openvino.load(networks.tower(), device=Device(), precision=Precision.AUTO, threads=0)
    assert openvino.fastest() is Precision.F32


def test_a_device_that_openvino_does_not_see_is_an_error(core: Core) -> None:
    core.available_devices.remove("NPU")
    with pytest.raises(BackendMissing, match=r"what is there: CPU, GPU\.0, GPU\.1, not on npu"):
        openvino.load(networks.tower(), device=Device("npu"), precision=Precision.AUTO, threads=0)


def test_gpu_is_the_first_gpu_there_is_and_is_said(
    core: Core, providers: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert select.find_device("gpu") == Device("intel")
    assert "device gpu takes intel" in caplog.text
    core.available_devices[:] = ["CPU"]
    providers.append("DmlExecutionProvider")
    assert select.find_device("gpu") == Device("directml")


@pytest.mark.usefixtures("core")
def test_auto_takes_no_other_device_than_cuda_or_the_cpu(
    providers: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    providers.append("DmlExecutionProvider")
    assert select.find_device("auto") == Device()
    assert "device auto takes cpu: no driver" in caplog.text


def test_without_any_gpu_each_kind_says_why(core: Core, providers: list[str]) -> None:
    core.available_devices[:] = ["CPU"]
    assert len(providers) == 1
    with pytest.raises(BackendMissing, match=r"no GPU can be used here \(cuda: no driver; rocm: ") as refused:
        select.find_device("gpu")
    assert "--device cpu always works" in str(refused.value)
