"""On what a measurement was taken: the machine, the versions, the commit."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.doctor import memory_bytes, processor, usable_cores

PACKAGES = ("barefaced", "av", "numpy", "opencv-python", "opencv-contrib-python-headless", "openvino", "onnxruntime")


def described() -> dict[str, object]:
    """What goes beside every figure, as JSON holds it."""
    memory = memory_bytes()
    return {
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gib": round(memory[0] / 2**30, 1) if memory else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": commit(),
    }


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
