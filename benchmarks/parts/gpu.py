"""Everything that counts on an NVIDIA GPU, in at most eight minutes; without one it says what it would do.

Every step is a command of the bench in a process of its own, with a time limit: a compiler that hangs costs its own
step and no other. The limits add up to less than eight minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.child import child_environment
from benchmarks.machine import Noise
from benchmarks.parts import Part, Plan
from benchmarks.record import NONE, LeftOut, Table, UnmeasurableError, document, left_out, series_of, shown
from engine import cuda, select
from pipeline.settings.values import as_json, build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.parts import Say
    from benchmarks.record import Document

MOST_SECONDS = 480
DEVICE = "cuda"
BACKENDS = {"torch": 30, "onnxruntime": 30, "torch_compile": 60, "tensorrt_rtx": 60}
"""The backends that are measured, each with its limit in seconds, those that compile quickly first."""

METHOD = (
    "Every network on every backend that runs on the GPU, in each of its precisions, for 1, 2, 4 and 8 faces, its "
    "output compared with the reference's before a time counts. The backend whose generator takes a face in the "
    "shortest time then runs the demo's clip file to file, a crowd of 1, 2, 4 and 8 masked faces, and a live run. "
    "Inputs and outputs are in the program's memory, so that copying to the GPU and back is in every time."
)


@dataclass(frozen=True)
class Step:
    """A command of the bench that is run on the GPU."""

    name: str
    arguments: tuple[str, ...]
    seconds: int
    """How long it may take before it is given up."""

    def run(self, settings: Sequence[str]) -> Document:
        """What the command measured. Raises `UnmeasurableError` with its last words, or when its time is over."""
        with tempfile.TemporaryDirectory(prefix="barefaced-bench-") as folder:
            record = Path(folder, "measured.json")
            command = [sys.executable, "-m", "cli", "bench", *self.arguments, *settings, "--json", str(record)]
            try:
                subprocess.run(  # noqa: S603 - our own command
                    command, capture_output=True, text=True, check=True, timeout=self.seconds, env=child_environment()
                )
            except subprocess.TimeoutExpired as error:
                raise UnmeasurableError(f"it was not done after {self.seconds} seconds") from error
            except subprocess.CalledProcessError as error:
                raise UnmeasurableError(error.stderr.strip()[-300:]) from error

            measured: Document = json.loads(record.read_text(encoding="utf-8"))
            return measured


def backend_steps() -> list[Step]:
    """The networks on each backend."""
    batches = [word for batch in (1, 2, 4, 8) for word in ("--batch", str(batch))]
    return [
        Step(f"networks on {name}", ("engines", *batches, "--seconds", "0.4", "--engine", name), seconds)
        for name, seconds in BACKENDS.items()
    ]


def run_steps() -> list[Step]:
    """Whole runs, on the backend that is fastest. Each leaves time to start it: some compile the networks again."""
    file = ("pipeline", "--repeats", "1", "--frames", "90")
    live = ("live", "--minutes", "0.5")
    return [
        Step("file to file, 1280x720", (*file, "--size", "1280x720"), 45),
        Step("file to file, 1920x1080", (*file, "--size", "1920x1080"), 50),
        Step("1, 2, 4 and 8 faces", ("scale", "--repeats", "1", "--curve", "faces"), 85),
        Step("live, 1280x720", (*live, "--size", "1280x720"), 60),
        Step("live, 1920x1080", (*live, "--size", "1920x1080"), 60),
    ]


def measure(plan: Plan, say: Say) -> Document:
    """Say every step, and take those that can be taken here; where there is no GPU, none can."""
    for step in (*backend_steps(), *run_steps()):
        say(f"at most {step.seconds:2d} s  {step.name}: barefaced bench {' '.join(step.arguments)} --device {DEVICE}")

    absent, best = LeftOut(say), ""
    steps: dict[str, Document] = {}
    with Noise() as noise, absent.attempt("every step"):
        _refuse(cuda.missing())
        for step in backend_steps():
            with absent.attempt(step.name):
                _refuse(select.find_backend(step.arguments[-1]).missing())
                steps[step.name] = step.run(("--device", DEVICE))
        best = fastest(steps)
        for step in run_steps():
            with absent.attempt(step.name):
                _refuse("" if best else "no backend ran the generator on the GPU")
                steps[step.name] = step.run(("--device", DEVICE, "--engine", best))

    return document(
        "gpu",
        method=METHOD,
        settings=as_json(build({**plan.settings, "device": DEVICE})),
        noise=noise,
        series=[one for step in steps.values() for one in series_of(step).values()],
        figures={"backend": best, "steps": steps, "left_out": absent.reasons},
    )


def _refuse(reason: str | None) -> None:
    """Raise `UnmeasurableError` where there is a reason."""
    if reason:
        raise UnmeasurableError(reason)


def _generators(steps: dict[str, Document]) -> Iterator[Document]:
    for measured in steps.values():
        for row in measured.get("engines", ()):
            if row["network"] == "generator":
                yield row


def fastest(steps: dict[str, Document]) -> str:
    """The backend whose generator takes one face in the shortest time; empty where none has run."""
    alone = [row for row in _generators(steps) if row["batch"] == 1]
    return str(min(alone, key=lambda row: float(row["median_ms"]))["engine"]) if alone else ""


def _runs(name: str, measured: Document) -> Iterator[tuple[str, str, str]]:
    """What a step measured of whole runs: which run, its speed, and its cost."""
    for figures in measured.get("sizes", {}).values():
        yield name, f"{shown(figures['fps'])} fps", f"{shown(figures['added_ms'])} ms added"
    for point in measured.get("curves", {}).get("faces", ()):
        speed, cost = shown(1000 / point["frame_ms"]), shown(point["added_ms"])
        yield f"{point['at']} faces, 1280x720", f"{speed} fps", f"{cost} ms added"
    if "age_ms" in measured:
        yield name, f"{shown(measured['fps'])} fps", f"{shown(measured['age_ms']['p95'])} ms old at p95"


def tables(part: Document) -> list[Table]:
    """The generator's milliseconds a face by backend, and the runs on the one that is fastest."""
    rows: dict[tuple[str, str], dict[int, float]] = {}
    for row in _generators(part["steps"]):
        rows.setdefault((row["engine"], row["precision"]), {})[row["batch"]] = row["median_ms_per_face"]
    faces = (1, 2, 4, 8)
    networks = tuple(
        (*key, *(shown(times[count]) if count in times else NONE for count in faces)) for key, times in rows.items()
    )

    runs = [run for name, measured in part["steps"].items() for run in _runs(name, measured)]
    headers = ("backend", "precision", *(f"{count} at once" for count in faces))
    return [
        Table("The generator on the GPU, ms a face", headers, networks),
        Table(f"Runs on {part['backend'] or 'no backend'}", ("run", "speed", "cost"), tuple(runs)),
        *left_out(part["left_out"]),
    ]


PART = Part("On a GPU", 9, Plan, measure, tables, packages=("onnx",))
