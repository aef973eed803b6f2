"""How much memory this process has."""

from __future__ import annotations

import sys
from pathlib import Path


def resident_mb() -> float:
    """Memory in use, in MiB (10^6 bytes would read higher); on other systems than Linux the peak instead."""
    status = _status()
    return status["VmRSS"] / 1024 if status else peak_mb()


def peak_mb() -> float:
    """The most memory that this process has had, in MiB."""
    status = _status()
    if status:
        # Not ru_maxrss: on Linux it keeps the parent's peak over exec.
        return status["VmHWM"] / 1024
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 1024


def _status() -> dict[str, int]:
    path = Path("/proc/self/status")
    if not path.exists():
        return {}
    lines = (line.partition(":") for line in path.read_text(encoding="ascii", errors="replace").splitlines())
    return {key: int(value.split()[0]) for key, _, value in lines if key in ("VmRSS", "VmHWM")}
