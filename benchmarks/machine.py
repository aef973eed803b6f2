"""On what a measurement was taken: the machine, the versions, the commit, and how much the machine was disturbed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Self

import cv2
import psutil

from pipeline.run.doctor import processor, usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FEATURES = (
    "avx2", "fma", "f16c", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_bf16", "amx_int8", "amx_tile", "asimd", "asimddp", "bf16", "i8mm", "sve", "sve2",
)  # fmt: skip
"""Features of processors that decide how fast networks run, as Linux calls them."""

PACKAGES = ("barefaced", "av", "numpy", "opencv-python", "opencv-contrib-python-headless", "openvino", "onnxruntime")
SECONDS_BETWEEN_LOOKS = 1.0


def described() -> dict[str, object]:
    """The machine, the versions and the commit, as JSON holds them beside every figure."""
    return {
        # When and on what hardware
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": ", ".join(visible(processor().split(", "))),
        "features": features(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": gpus(),
        # With which software
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": commit(),
    }


def features() -> list[str]:
    """What the processor has of `FEATURES`; empty where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    has = set(flags.partition(":")[2].split())
    return visible(name for name in FEATURES if name in has)


def peak_mb() -> float:
    """The most memory that this process has used so far, in MiB. For systems other than Windows."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux it keeps the parent's peak over exec.
        lines = (line.partition(":") for line in status.read_text(encoding="ascii", errors="replace").splitlines())
        return next(int(value.split()[0]) for key, _, value in lines if key == "VmHWM") / 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 1024


def visible(names: Iterable[str]) -> list[str]:
    """The names without features that the system lists and programs are not told of (tests/avx2.py hides them).

    OpenCV marks with a question mark what it was made for and does not find.
    """
    hidden = ("avx512", "avx_vnni", "amx") if "AVX512-SKX?" in cv2.getCPUFeaturesLine() else ()
    return [name for name in names if not name.startswith(hidden)]


def gpus() -> list[dict[str, str]]:
    """NVIDIA's GPUs here, each with its name, driver and memory; empty when there are none."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True)  # noqa: S603 - no part is the user's
    except (OSError, subprocess.CalledProcessError):
        return []

    keys = ("name", "driver", "memory")
    lines = [line.split(", ") for line in answer.stdout.splitlines()]
    return [dict(zip(keys, values, strict=True)) for values in lines if len(values) == len(keys)]


def commit() -> str | None:
    """The commit that runs, `-dirty` added when files differ from it; None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    folder = Path(__file__).resolve().parent
    try:
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)  # noqa: S603 - likewise
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Ticks:
    """Seconds of all processors together since the machine was started."""

    total: float
    stolen: float
    """Seconds that other guests of the same host had."""

    @classmethod
    def now(cls) -> Ticks | None:
        """The seconds so far; None where the system does not tell what was stolen."""
        times = psutil.cpu_times()
        if not hasattr(times, "steal"):
            return None
        return cls(sum(times) - times.guest - times.guest_nice, times.steal)  # guests' time is in the user's, too

    def stolen_since(self, before: Ticks) -> float:
        """The part of the time since `before` that was stolen, in [0, 1]."""
        return (self.stolen - before.stolen) / max(0.01, self.total - before.total)


@dataclass
class Noise:
    """Watches how much the machine is disturbed, from the beginning of its `with` block to the end."""

    looks: list[Ticks] = field(default_factory=list)
    load_before: float | None = None
    """How many programs wanted a processor in the minute before."""
    _over: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        self.load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        if Ticks.now() is not None:
            self._thread = threading.Thread(target=self._watch, name="noise", daemon=False)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        over = False
        while not over:
            self._look()
            over = self._over.wait(SECONDS_BETWEEN_LOOKS)
        self._look()

    def _look(self) -> None:
        ticks = Ticks.now()
        if ticks is not None:
            self.looks.append(ticks)

    def as_json(self) -> Mapping[str, float | None]:
        """The stolen part of the time, over all and in the worst second; None where the system does not tell."""
        if len(self.looks) < 2:
            return {"steal_share": None, "worst_steal_share": None, "load_before": self.load_before}

        # The last look comes at any moment: a part of a second in which one tick is all does not count.
        pairs = list(zip(self.looks, self.looks[1:], strict=False))
        longest = max(after.total - before.total for before, after in pairs)
        whole = [(before, after) for before, after in pairs if 2 * (after.total - before.total) >= longest]
        return {
            "steal_share": round(self.looks[-1].stolen_since(self.looks[0]), 4),
            "worst_steal_share": round(max(after.stolen_since(before) for before, after in whole), 4),
            "load_before": self.load_before,
        }
