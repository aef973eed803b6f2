"""The check on a GPU keeps within its time, loses no step to another, and says what it would do without a GPU."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.parts import gpu, part
from benchmarks.parts.gpu import Step
from benchmarks.record import UnmeasurableError, check
from engine import select
from tests.benchmarks import documents
from tests.engine.cuda_stand_in import StandInDriver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FACE_MS = {"torch": 9.0, "onnxruntime": 6.0}


def engines(name: str) -> dict[str, Any]:
    rows = [
        {"network": "generator", "engine": name, "precision": "fp16", "batch": batch, "median_ms": FACE_MS[name],
         "median_ms_per_face": FACE_MS[name] / batch}
        for batch in (1, 2, 4, 8)
    ]  # fmt: skip
    return documents.engines() | {"engines": rows}


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """A GPU that torch and ONNX Runtime run on; steps give made-up measurements, and are noted with their settings."""
    taken: list[tuple[str, tuple[str, ...]]] = []

    def pretended(step: Step, settings: Sequence[str]) -> dict[str, Any]:
        taken.append((step.name, tuple(settings)))
        what = step.arguments[0]
        return engines(step.arguments[-1]) if what == "engines" else getattr(documents, what)()

    class Backend:
        def __init__(self, name: str) -> None:
            self.name = name

        def missing(self) -> str | None:
            return None if self.name in FACE_MS else "it is not installed"

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: StandInDriver())
    monkeypatch.setattr(select, "find_backend", Backend)
    monkeypatch.setattr(Step, "run", pretended)
    return taken


def test_the_limits_are_less_than_eight_minutes() -> None:
    assert sum(step.seconds for step in (*gpu.backend_steps(), *gpu.run_steps())) <= gpu.MOST_SECONDS


def test_every_step_is_a_command_that_the_bench_understands() -> None:
    import cli

    for step in (*gpu.backend_steps(), *gpu.run_steps()):
        options = cli._parser()[0].parse_args(["bench", *step.arguments, "--device", "cuda", "--json", "m.json"])
        part(step.arguments[0]).planned({}, vars(options))


def test_whole_runs_are_on_the_fastest_backend(a_gpu: list[tuple[str, tuple[str, ...]]]) -> None:
    measured = gpu.measure(gpu.Plan(), lambda _text: None)
    check(measured)
    assert measured["backend"] == "onnxruntime"
    assert a_gpu[:2] == [(f"networks on {name}", ("--device", "cuda")) for name in FACE_MS]
    assert {settings for _, settings in a_gpu[2:]} == {("--device", "cuda", "--engine", "onnxruntime")}
    assert [name for name, _ in a_gpu[2:]] == [step.name for step in gpu.run_steps()]
    assert set(measured["left_out"]) == {"networks on torch_compile", "networks on tensorrt_rtx"}

    networks, runs, *_ = gpu.tables(measured)
    assert networks.rows[1] == ("onnxruntime", "fp16", "6", "3", "1.5", "0.75")
    assert ("live, 1920x1080", "30 fps", "84 ms old at p95") in runs.rows


def test_a_step_that_fails_costs_no_other(
    a_gpu: list[tuple[str, tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretended = Step.run

    def failing(step: Step, settings: Sequence[str]) -> dict[str, Any]:
        if step.name == "networks on onnxruntime":
            raise UnmeasurableError("it was not done after 30 seconds")
        return pretended(step, settings)

    monkeypatch.setattr(Step, "run", failing)
    measured = gpu.measure(gpu.Plan(), lambda _text: None)
    assert measured["backend"] == "torch"
    assert measured["left_out"]["networks on onnxruntime"] == "it was not done after 30 seconds"
    assert a_gpu[-1][0] == "live, 1920x1080"


def test_a_step_that_hangs_or_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for script, seconds, says in (
        ("exec sleep 60", 0, "it was not done after 0 seconds"),
        ("echo out of memory >&2; exit 1", 60, "out of memory"),
    ):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        with pytest.raises(UnmeasurableError, match=says):
            Step("a step", ("engines",), seconds).run(())


def test_without_a_gpu_it_says_what_it_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    said: list[str] = []
    measured = gpu.measure(gpu.Plan(), said.append)
    check(measured)
    for step in (*gpu.backend_steps(), *gpu.run_steps()):
        assert any(step.name in sentence and "--device cuda" in sentence for sentence in said), step.name
    assert "there is no CUDA driver here" in measured["left_out"]["every step"]
    assert gpu.tables(measured)[-1].caption == "Left out"
