"""On what a measurement was taken: the machine, the versions, the commit."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.run.doctor import memory_bytes, processor, usable_cores

FEATURES = (
    "avx2", "fma", "f16c", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_bf16", "amx_int8", "amx_tile", "asimd", "asimddp", "bf16", "i8mm", "sve", "sve2",
)  # fmt: skip
"""Of processors, as Linux calls them: those that decide how fast networks run."""

PACKAGES = ("barefaced", "av", "numpy", "opencv-python", "opencv-contrib-python-headless", "openvino", "onnxruntime")


def described() -> dict[str, object]:
    """What goes beside every figure, as JSON holds it."""
    memory = memory_bytes()
    return {
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "features": features(),
        "cores": usable_cores(),
        "memory_gib": round(memory[0] / 2**30, 1) if memory else None,
        "gpus": gpus(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": commit(),
    }


def features() -> list[str]:
    """What the processor has of `FEATURES`; empty where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    told = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    has = set(told.partition(":")[2].split())
    return [name for name in FEATURES if name in has]


def gpus() -> list[dict[str, str]]:
    """NVIDIA's GPUs here, with their driver; empty when there are none."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=True)  # noqa: S603 - no part is the user's
    except (OSError, subprocess.CalledProcessError):
        return []
    keys = ("name", "driver", "memory")
    lines = [line.split(", ") for line in told.stdout.splitlines()]
    return [dict(zip(keys, values, strict=True)) for values in lines if len(values) == len(keys)]


def commit() -> str | None:
    """The commit that runs, `-dirty` added when files differ from it; None outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - whichever git the user has
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
