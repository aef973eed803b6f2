"""Other programs on the same clip, and generators of the literature on the same engine, in the same run.

deface 1.5.0 (https://github.com/ORB-HD/deface, MIT) is the one program of the kind that installs whole from the package
index, its network included. It finds faces in every frame and blurs them; barefaced finds them, tracks them and draws
them anew. PyAV and ffmpeg do nothing but decode and encode. All are timed as a user starts them: the whole command,
start and loading included.
What others have published about their speed stands in a list of its own, each with its source and hardware: never
beside our figures in a table or a plot, since it is of other pictures, other work and other machines.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import av
from platformdirs import user_cache_path

from benchmarks import literature, turns
from benchmarks.child import child_environment
from benchmarks.clips import make_clip, verify
from benchmarks.drawing import Bar, Bars, Figure
from benchmarks.machine import Noise
from benchmarks.parts import Part, Plan, count
from benchmarks.passthrough import OPTIONS
from benchmarks.record import NONE, Better, LeftOut, Series, Table, UnmeasurableError, document, left_out, share, shown
from pipeline.settings.values import as_json, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.parts import Say
    from benchmarks.record import Document


@dataclass(frozen=True)
class Published:
    """One published figure."""

    program: str
    says: str
    hardware: str
    source: str


PUBLISHED = (
    Published("DeepFaceLive", "25 fps, Face Animator", "35 TFLOPS asked for", "its README"),
    Published("LivePortrait", "14.8 ms a frame, batch of 1, 10 warm-ups", "RTX 4090", "its speed.py and README"),
    Published("FasterLivePortrait", "30 fps and more, before and after included", "RTX 3090", "its README"),
    Published(
        "Linux-Fake-Background-Webcam", "34.45 fps, standard deviation 1.54, 1080p", "i3-10100F", "a user, issue 160"
    ),
    Published("Deep-Live-Cam", "9 to 13 fps", "RTX 5080, laptop", "users, issues 1533 and 1535"),
    Published("Deep-Live-Cam", "15 to 17 fps", "RTX 6000 Ada", "a user, issue 1049"),
    Published(
        "MI-GAN 512", "about 6 ms a picture of 512x512, fp16", "Pixel 8a, GPU", "google-ai-edge/litert-samples, 178"
    ),
    Published("MI-GAN", "1200.8 ms a picture of 1024x1024", "iPad M2", "the poster of RETHINED (WACV 2025)"),
    Published("RETHINED", "17.59 ms a picture of 1024x1024", "iPad M2", "its poster (WACV 2025)"),
    Published("CoordFill", "90.3 ms a picture of 1024x1024", "iPad M2", "the poster of RETHINED (WACV 2025)"),
    Published("HiFill", "real time at 2K", "GTX 1080 Ti", "its abstract (CVPR 2020)"),
    Published("facefusion, deface, VisoMaster", "nothing published", "", "their READMEs and documentation"),
)


def published() -> list[dict[str, str]]:
    """What others have published, as JSON holds it."""
    return [asdict(figure) for figure in PUBLISHED]


SIZE = "854x480"
OURS, DEFACE, PYAV, FFMPEG = "barefaced", "deface 1.5.0", "PyAV, decode and encode", "ffmpeg, decode and encode"

REQUIREMENTS = ("deface==1.5.0", "onnx", "onnxruntime")

METHOD = (
    f"The demo's clip, {SIZE}. Each command is timed whole, loading included; the commands take turns, figures are "
    "medians, ratios medians over turns. deface keeps the sound (-k), runs on ONNX Runtime on the CPU, finds faces in "
    "every frame and blurs them. barefaced runs with its defaults: faces found in every n-th frame, tracked between, "
    "the mask segmented, the face drawn anew where it has changed. PyAV and ffmpeg decode and encode with barefaced's "
    "preset and quality and copy the sound. Generators of the literature are graphs with random weights at 256x256, "
    "checked against their published multiply-adds; they run on the engine and in the precision of ours, a matrix "
    "product beside them. What others published is in a list of its own: nothing in it was measured here."
)


@dataclass(frozen=True, kw_only=True)
class PeersPlan(Plan):
    """How often the commands are timed, and how long each generator."""

    repeats: int = count("--repeats", 3, "runs of each program (default: 3)")
    frames: int = 360
    """Twelve seconds: long enough that starting up is a small part of any."""
    seconds: float = 3.0
    """How long each generator runs."""


@dataclass(frozen=True)
class Program:
    """A program, and the command that makes it work from one file to another."""

    name: str
    command: Callable[[Path, Path], Sequence[str]]


def measure(plan: PeersPlan, say: Say) -> Document:
    """Measure all programs and generators that are here.

    Raises `BenchmarkError` when barefaced fails or its output is not what it should be. Others that fail are left out.
    """
    config = build(plan.settings)
    absent = LeftOut(say)
    programs = _here(absent)
    with Noise() as noise, tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name:
        speeds = _in_turns(programs, plan, Path(name), absent)
        rows, series, missing = literature.measure(config.engine, seconds=plan.seconds, say=say)

    ours = speeds.pop(OURS)
    peers = {name: _beside(ours, theirs) for name, theirs in speeds.items()}
    for name, peer in peers.items():
        say(f"barefaced {median(ours):.1f} fps, {name} {peer['fps']:.2f} fps: {peer['ratio']:.2f} times as fast")

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
            "peers": peers,
            "generators": rows,
            "left_out": absent.reasons | missing,
            "published": published(),
            "all_fps": [round(fps, 2) for fps in ours],
        },
    )


def _here(absent: LeftOut) -> list[Program]:
    """The programs that can run here, ours first."""
    python = [sys.executable, "-m"]
    found = [Program(OURS, lambda clip, out: [*python, "cli", "run", str(clip), "-o", str(out), "-q"])]
    found.append(Program(PYAV, lambda clip, out: [*python, "benchmarks.passthrough", str(clip), str(out)]))

    with absent.attempt(FFMPEG):
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            raise UnmeasurableError("there is no ffmpeg on the PATH: install your system's package")
        found.append(Program(FFMPEG, lambda clip, out: _ffmpeg(ffmpeg, clip, out)))
    with absent.attempt(DEFACE):
        deface = str(install(absent.say))
        backend = ["--backend", "onnxrt", "--ep", "CPUExecutionProvider"]
        found.append(Program(DEFACE, lambda clip, out: [deface, str(clip), "-o", str(out), "-k", *backend]))
    return found


def _ffmpeg(ffmpeg: str, clip: Path, out: Path) -> list[str]:
    quality = ["-c:v", "libx264", "-preset", OPTIONS["preset"], "-crf", OPTIONS["crf"], "-c:a", "copy"]
    return [ffmpeg, "-y", "-loglevel", "error", "-i", str(clip), *quality, str(out)]


def _in_turns(programs: Sequence[Program], plan: PeersPlan, folder: Path, absent: LeftOut) -> dict[str, list[float]]:
    """Frames a second of each program in each turn; a program that fails is left out from then on."""
    clip = make_clip(folder, SIZE, plan.frames)
    speeds: dict[str, list[float]] = {program.name: [] for program in programs}

    for turn in range(plan.repeats):
        for number, program in enumerate(programs):
            target = folder / f"{number}-{turn}.mp4"
            if program.name == OURS:
                speeds[OURS].append(plan.frames / timed(program.command(clip, target)))
                verify(clip, target, SIZE)
            elif program.name not in absent.reasons:
                with absent.attempt(program.name):
                    speeds[program.name].append(plan.frames / timed(program.command(clip, target)))
                    _check_frames(program.name, target, plan.frames)

        speeds = {name: fps for name, fps in speeds.items() if name not in absent.reasons}
        absent.say(f"turn {turn + 1}: " + ", ".join(f"{name} {fps[-1]:.1f} fps" for name, fps in speeds.items()))
    return speeds


def _beside(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, object]:
    return {
        "fps": round(median(theirs), 3),
        "ratio": round(median(one / other for one, other in zip(ours, theirs, strict=True)), 3),
        "all_fps": [round(fps, 3) for fps in theirs],
    }


def install(say: Say) -> Path:
    """The `deface` command, installed into an environment of its own in the user's cache unless it is there.

    Raises `UnmeasurableError` when it can't be installed.
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
    """Seconds that a command takes. Raises `UnmeasurableError` with its last words when it fails."""
    began = perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=child_environment())  # noqa: S603
    seconds = perf_counter() - began
    if done.returncode:
        raise UnmeasurableError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return seconds


def _check_frames(name: str, path: Path, expected: int) -> None:
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    if abs(frames - expected) > 2:
        raise UnmeasurableError(f"{name} wrote {frames} frames instead of {expected}")


def tables(part: Document) -> list[Table]:
    """The programs, the generators, what was left out, and what others published."""
    programs = [("barefaced", shown(part["fps"]), "1")]
    programs += [(name, shown(peer["fps"]), shown(peer["ratio"])) for name, peer in part["peers"].items()]
    rows = tuple(
        (
            row["name"], shown(row["median_ms"]), shown(row["p95_ms"]), shown(row["gmacs"]),
            shown(row["published_gmacs"]) if "published_gmacs" in row else NONE, share(row["ceiling_share"]),
            row.get("note") or NONE,
        )
        for row in part["generators"]
    )  # fmt: skip
    others = tuple((row["program"], row["says"], row["hardware"] or NONE, row["source"]) for row in part["published"])

    programs_headers = ("program", "fps", "barefaced is so many times as fast")
    headers = ("generator", "ms a face", "p95", "GMACs", "published", "of ceiling", "note")
    others_headers = ("program", "figure", "hardware", "source")
    return [
        Table(f"Programs, whole commands, {part['size']}, {part['frames']} frames", programs_headers, tuple(programs)),
        Table("Generators at 256x256, random weights but for ours", headers, rows),
        *left_out(part["left_out"]),
        Table("Published by others, not measured here", others_headers, others),
    ]


def figures(part: Document) -> Iterator[Figure]:
    """The speed of programs, and that of generators."""
    bars = [Bar(OURS, part["fps"], "orange", tuple(part["all_fps"]))]
    for name, peer in part["peers"].items():
        bars.append(Bar(name, peer["fps"], "blue" if name == DEFACE else "grey", tuple(peer["all_fps"])))
    label = f"Whole commands on the same clip, {part['size']}"
    caption = f"{label}. Grey does nothing but decode and encode."
    yield Figure("peers", caption, label, Bars(bars, "frames a second"))

    rows = sorted(part["generators"], key=lambda row: float(row["median_ms"]))
    bars = [Bar(row["name"], row["median_ms"], "orange" if row["name"] == "ours" else "blue") for row in rows]
    label = "Generators at 256x256 on the same engine"
    yield Figure("generators", f"{label}: milliseconds a face.", label, Bars(bars, "milliseconds a face"))


PART = Part(
    "Beside others", 7, PeersPlan, measure, tables, figures,
    short={"repeats": 1, "frames": 120, "seconds": 1.5}, packages=turns.PACKAGES,
)  # fmt: skip
