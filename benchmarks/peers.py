"""`barefaced bench peers`: the same clip, on the same machine, in the same run, through another program.

deface 1.5.0 (https://github.com/ORB-HD/deface, MIT) is the one program of the kind that installs whole from the package
index, its network included. It finds faces in every frame and blurs them; barefaced finds them, tracks them and draws
them anew. Both are timed as a user starts them: the whole command, start and loading included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import av
from platformdirs import user_cache_path

from benchmarks import machine
from benchmarks.clips import make_clip, verify
from benchmarks.pipeline import child_environment
from benchmarks.record import BenchmarkError
from pipeline.config import as_json, build

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZE = "854x480"
FRAMES = 360
"""Twelve seconds: long enough that starting up is a small part of either."""

REQUIREMENTS = ("deface==1.5.0", "onnx", "onnxruntime")

METHOD = (
    f"The demo's clip, {SIZE}. Each command is timed whole, loading included; runs of both alternate, "
    "figures are medians. deface keeps the sound (-k), runs on ONNX Runtime on the CPU, finds faces in every frame and "
    "blurs them. barefaced runs with its defaults: faces found in every n-th frame and tracked between, the mask "
    "segmented and the face drawn in every frame."
)


def measure(*, repeats: int, say: Callable[[str], None]) -> dict[str, object]:
    """Measure both and give the result as JSON holds it; `say` is told what happens.

    Raises `BenchmarkError` when a command fails or its output is not what it should be.
    """
    deface = install(say)
    with tempfile.TemporaryDirectory(prefix="barefaced-bench-") as name:
        folder = Path(name)
        clip = make_clip(folder, SIZE, FRAMES)
        ours, theirs = [], []
        for turn in range(repeats):
            target, blurred = folder / f"ours-{turn}.mp4", folder / f"theirs-{turn}.mp4"
            ours.append(FRAMES / timed([sys.executable, "-m", "cli", "run", str(clip), "-o", str(target), "-q"]))
            verify(clip, target, SIZE)
            backend = ["--backend", "onnxrt", "--ep", "CPUExecutionProvider"]
            theirs.append(FRAMES / timed([str(deface), str(clip), "-o", str(blurred), "-k", *backend]))
            _check_frames(blurred)
            say(f"run {turn + 1}: barefaced {ours[-1]:.1f} fps, deface {theirs[-1]:.2f} fps")
    fps, peer_fps = median(ours), median(theirs)
    say(f"barefaced {fps:.1f} fps, deface 1.5.0 {peer_fps:.2f} fps: {fps / peer_fps:.1f} times as fast")
    return {
        "bench": "peers",
        "method": METHOD,
        "machine": machine.described(),
        "settings": as_json(build()),
        "size": SIZE,
        "frames": FRAMES,
        "fps": round(fps, 2),
        "peers": {"deface 1.5.0": {"fps": round(peer_fps, 3), "ratio": round(fps / peer_fps, 2)}},
        "all_fps": [round(each, 2) for each in ours],
        "all_peer_fps": [round(each, 3) for each in theirs],
    }


def install(say: Callable[[str], None]) -> Path:
    """The `deface` command, installed into an environment of its own in the user's cache unless it is there."""
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


def _check_frames(path: Path) -> None:
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    if abs(frames - FRAMES) > 2:
        raise BenchmarkError(f"deface wrote {frames} frames instead of {FRAMES}")
