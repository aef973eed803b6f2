"""`barefaced bench peers`: other programs on the same clip, and other generators on the same engine, in the same run.

deface 1.5.0 (https://github.com/ORB-HD/deface, MIT) is the one program of the kind that installs whole from the package
index, its network included. It finds faces in every frame and blurs them; barefaced finds them, tracks them and draws
them anew. PyAV and ffmpeg do nothing but decode and encode. All are timed as a user starts them: the whole command,
start and loading included.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import av
from platformdirs import user_cache_path

from benchmarks.clips import make_clip, verify
from benchmarks.literature import generators, published
from benchmarks.noise import Noise
from benchmarks.parts.pipeline import child_environment
from benchmarks.passthrough import OPTIONS
from benchmarks.record import BenchmarkError, Better, Document, Series, document
from pipeline.settings.config import as_json, build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SIZE = "854x480"
OURS, DEFACE, PYAV, FFMPEG = "barefaced", "deface 1.5.0", "PyAV, decode and encode", "ffmpeg, decode and encode"

REQUIREMENTS = ("deface==1.5.0", "onnx", "onnxruntime")

METHOD = (
    f"The demo's clip, {SIZE}. Each command is timed whole, loading included; the commands take turns, figures are "
    "medians, ratios medians over turns. deface keeps the sound (-k), runs on ONNX Runtime on the CPU, finds faces in "
    "every frame and blurs them. barefaced runs with its defaults: faces found in every n-th frame, tracked between, "
    "the mask segmented and the face drawn in every frame. PyAV and ffmpeg decode and encode with barefaced's preset "
    "and quality and copy the sound. Generators of the literature are graphs with random weights at 256x256, checked "
    "against their published multiply-adds; they run on the engine and in the precision of ours, a matrix product "
    "beside them. What others published is in a list of its own: nothing in it was measured here."
)


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    repeats: int = 3
    frames: int = 360
    """Twelve seconds: long enough that starting up is a small part of any."""
    seconds: float = 3.0
    """For each generator."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings of the networks other than the defaults, by key."""


@dataclass(frozen=True)
class Program:
    """A program, and how it is told to work from one file to another."""

    name: str
    command: Callable[[Path, Path], Sequence[str]]


def measure(plan: Plan, *, say: Callable[[str], None]) -> Document:
    """Measure all that is here and give the result as JSON holds it; `say` is told what happens.

    Raises `BenchmarkError` when a command fails or its output is not what it should be.
    """
    config = build(plan.settings)
    programs, left_out = _here(say)
    with Noise() as noise, tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name:
        speeds = _in_turns(programs, plan, Path(name), say)
        rows, series, missing = generators.measure(config.engine, seconds=plan.seconds, say=say)
    ours = speeds.pop(OURS)
    told = {name: _beside(ours, theirs) for name, theirs in speeds.items()}
    for name, each in told.items():
        say(f"barefaced {median(ours):.1f} fps, {name} {each['fps']:.2f} fps: {each['ratio']:.2f} times as fast")
    measured = [Series(f"peers/{name}/fps", "fps", Better.MORE, fps) for name, fps in {OURS: ours, **speeds}.items()]
    return document(
        "peers",
        method=METHOD,
        settings=as_json(config),
        noise=noise,
        series=[*measured, *series],
        figures={
            "size": SIZE,
            "frames": plan.frames,
            "fps": round(median(ours), 2),
            "peers": told,
            "generators": rows,
            "left_out": left_out | missing,
            "published": published.as_json(),
            "all_fps": [round(each, 2) for each in ours],
        },
    )


def _here(say: Callable[[str], None]) -> tuple[list[Program], dict[str, str]]:
    """The programs that can run here, ours first, and by name why another can't."""
    left_out: dict[str, str] = {}
    found = [Program(OURS, lambda clip, out: [sys.executable, "-m", "cli", "run", str(clip), "-o", str(out), "-q"])]
    found.append(Program(PYAV, lambda clip, out: [sys.executable, "-m", "benchmarks.passthrough", str(clip), str(out)]))
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        left_out[FFMPEG] = "there is no ffmpeg on the PATH: install your system's package"
    else:
        found.append(Program(FFMPEG, lambda clip, out: _ffmpeg(ffmpeg, clip, out)))
    try:
        deface = str(install(say))
    except BenchmarkError as error:
        left_out[DEFACE] = f"it can't be installed: {error}"
    else:
        backend = ["--backend", "onnxrt", "--ep", "CPUExecutionProvider"]
        found.append(Program(DEFACE, lambda clip, out: [deface, str(clip), "-o", str(out), "-k", *backend]))
    for name, reason in left_out.items():
        say(f"{name} is left out: {reason}")
    return found, left_out


def _ffmpeg(ffmpeg: str, clip: Path, out: Path) -> list[str]:
    quality = ["-c:v", "libx264", "-preset", OPTIONS["preset"], "-crf", OPTIONS["crf"], "-c:a", "copy"]
    return [ffmpeg, "-y", "-loglevel", "error", "-i", str(clip), *quality, str(out)]


def _in_turns(
    programs: Sequence[Program], plan: Plan, folder: Path, say: Callable[[str], None]
) -> dict[str, list[float]]:
    """Frames a second of each program in each turn."""
    clip = make_clip(folder, SIZE, plan.frames)
    speeds: dict[str, list[float]] = {program.name: [] for program in programs}
    for turn in range(plan.repeats):
        for number, program in enumerate(programs):
            target = folder / f"{number}-{turn}.mp4"
            speeds[program.name].append(plan.frames / timed(program.command(clip, target)))
            if program.name == OURS:
                verify(clip, target, SIZE)
            _check_frames(program.name, target, plan.frames)
        say(f"turn {turn + 1}: " + ", ".join(f"{name} {fps[-1]:.1f} fps" for name, fps in speeds.items()))
    return speeds


def _beside(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, object]:
    return {
        "fps": round(median(theirs), 3),
        "ratio": round(median(one / other for one, other in zip(ours, theirs, strict=True)), 3),
        "all_fps": [round(each, 3) for each in theirs],
    }


def install(say: Callable[[str], None]) -> Path:
    """The `deface` command, installed into an environment of its own in the user's cache unless it is there.

    Raises `BenchmarkError` when it can't be installed.
    """
    folder = user_cache_path("barefaced") / "bench" / "deface-1.5.0"
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    command = scripts / ("deface.exe" if sys.platform == "win32" else "deface")
    if not command.exists():
        say(f"installing {' '.join(REQUIREMENTS)} into {folder}")
        venv.create(folder, with_pip=True, clear=True)
        timed([str(scripts / "python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS])
    return command


def timed(command: Sequence[str]) -> float:
    """Seconds that a command takes. Raises `BenchmarkError` with its last words when it fails."""
    began = perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=child_environment())  # noqa: S603
    seconds = perf_counter() - began
    if done.returncode:
        raise BenchmarkError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return seconds


def _check_frames(name: str, path: Path, expected: int) -> None:
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    if abs(frames - expected) > 2:
        raise BenchmarkError(f"{name} wrote {frames} frames instead of {expected}")
