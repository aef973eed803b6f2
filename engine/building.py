"""Runs a compiler in a process of its own, and compiles engines ahead of time for this machine or for others.

The process shows its progress, its time is limited, and its output is kept in a log. A compiler that hangs is ended,
and one that crashes takes nothing with it: both are an `EngineError` that names the log. Its result counts only when it
ended well, and its file has the length and the hash that it reported last.

The process is `python -m engine.building FOLDER`. FOLDER holds the network and the order; the compiled bytes go there
too. Standard output carries one JSON object a line: the progress, and last the length and the hash of what was made.
All other output, of libraries too, goes to standard error, which is the log. A builder is a function of `Network`,
options and `Progress` that gives the bytes.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, TypeAlias, cast

from tqdm import tqdm

from engine import cache
from engine.cache import logger
from engine.select import names
from engine.spec import Network
from pipeline.errors import ConfigError, EngineError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.cache import Label
    from engine.spec import Precision


Options: TypeAlias = Mapping[str, object]
"""The options of the compiler, as JSON holds them."""

TIME_LIMIT_SECONDS = 900.0
NETWORK, ORDER, COMPILED = "network.onnx", "order.json", "compiled"
"""The names of files in the directory that both processes share."""


@dataclass(frozen=True)
class Order:
    """Which network is to be compiled, and by which builder."""

    builder: str
    """The `module:function` that `engine.building` calls, whose docstring gives the signature."""
    network: Network
    options: Options = field(default_factory=dict)
    time_limit_seconds: float = TIME_LIMIT_SECONDS


def build(order: Order, *, log: Path) -> bytes:
    """Compile in a process of its own; `log` is written anew with all output of the compiler.

    Shows a line of progress on a terminal. Raises `EngineError` when the compiler fails, crashes, is not done within
    the time limit or leaves a file that is not whole.
    """
    with tempfile.TemporaryDirectory(prefix="barefaced-build-") as name, _opened(log) as said:
        folder = Path(name)
        (folder / NETWORK).write_bytes(order.network.onnx)
        asked = {"builder": order.builder, "network": order.network.name, "options": dict(order.options)}
        (folder / ORDER).write_text(json.dumps(asked), encoding="utf-8")
        last = _run(folder, order, said, log)
        compiled = (folder / COMPILED).read_bytes() if (folder / COMPILED).exists() else b""

    if last != {"bytes": len(compiled), "sha256": hashlib.sha256(compiled).hexdigest()}:
        raise EngineError(f"compiling {order.network.name} left a file that is not whole; its log is {log}")
    return compiled


def _run(folder: Path, order: Order, said: IO[bytes], log: Path) -> dict[str, object]:
    """Run the compiler, and give its last report. Raises `EngineError` unless it ended well."""
    process = subprocess.Popen(  # noqa: S603 - it is this Python with a module of ours
        [sys.executable, "-m", "engine.building", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=said,
        env=_environment(),
        start_new_session=True,  # so that what the compiler starts ends with it
    )
    late = threading.Event()

    def expire() -> None:
        late.set()
        _end(process)

    limit = threading.Timer(order.time_limit_seconds, expire)
    limit.start()
    try:
        last = _follow(process, order.network.name)
        code = process.wait()
    finally:
        limit.cancel()
        limit.join()
        _end(process)
    if late.is_set():
        what = f"was not done after {order.time_limit_seconds:g} s and was ended"
    elif code:
        what = f"failed ({_reason(log) or _ended(code)})"
    else:
        return last
    raise EngineError(f"compiling {order.network.name} {what}; its log is {log}")


def _follow(process: subprocess.Popen[bytes], name: str) -> dict[str, object]:
    """Show the progress of the process until it ends, and give its last report."""
    last: dict[str, object] = {}
    quiet = None if logger.isEnabledFor(logging.WARNING) else True  # None: only on a terminal

    with _Bar(
        desc=f"compiling {name}", total=1.0, disable=quiet, leave=False, bar_format="{desc} {percentage:3.0f}%"
    ) as bar:
        assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
        for line in process.stdout:
            try:
                last = dict(json.loads(line))
            except (ValueError, TypeError):
                continue  # a line that was cut off with the process
            if "share" in last:
                bar.update(float(str(last["share"])) - bar.n)

    process.stdout.close()
    return last


class _Bar(tqdm):  # type: ignore[misc]  # it comes without types
    """A progress bar without the thread that watches over bars."""

    monitor_interval = 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started; nothing happens when it has ended."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _ended(code: int) -> str:
    """Say how a process ended, by its exit code."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"it crashed: {signal.Signals(-code).name}"
    except ValueError:
        return f"it crashed: signal {-code}"


def _reason(log: Path) -> str:
    """The compiler's error, which `engine.building` writes as the last line of the log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1].removeprefix("error: ")[:300] if lines and lines[-1].startswith("error: ") else ""


def _environment() -> dict[str, str]:
    """The environment in which a child process finds the same modules as this one."""
    root = str(Path(__file__).resolve().parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}


@contextmanager
def _opened(log: Path) -> Iterator[IO[bytes]]:
    """Open the log, or a nameless file where the log can't be written, which must not prevent compiling."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file: IO[bytes] = log.open("wb")
    except OSError as error:
        logger.warning("the compiler's log can't be written to %s: %s", log, error.strerror or error)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the next line's
    with file:
        yield file


Progress: TypeAlias = Callable[[str, float], None]
"""Called with the name of the present phase and the share of all work that is done, from 0 to 1."""
Builder: TypeAlias = Callable[[Network, Options, Progress], bytes]


@dataclass(frozen=True)
class Reporter:
    """Writes progress for the parent process to read."""

    stream: IO[str]

    def progress(self, phase: str, share: float) -> None:
        """Report the present phase, and the share of all work that is done, from 0 to 1."""
        self.report({"phase": phase, "share": round(min(1.0, max(0.0, share)), 4)})

    def report(self, value: dict[str, object]) -> None:
        """Write one JSON object on a line."""
        self.stream.write(json.dumps(value) + "\n")
        self.stream.flush()


def main() -> int:
    """Compile what the order in the directory says, and give the exit code."""
    folder = Path(sys.argv[1])
    # Libraries write to file descriptor 1 by themselves; the parent must read nothing but the reports.
    reporter = Reporter(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)

    order = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    module, _, function = order["builder"].partition(":")
    try:
        builder: Builder = getattr(importlib.import_module(module), function)
        network = Network.of(order["network"], (folder / NETWORK).read_bytes())
        compiled = builder(network, order["options"], reporter.progress)
    except Exception as error:
        sys.stderr.write(f"error: {str(error) or type(error).__name__}\n".replace("\n", " ").rstrip() + "\n")
        return 1

    (folder / COMPILED).write_bytes(compiled)
    reporter.report({"bytes": len(compiled), "sha256": hashlib.sha256(compiled).hexdigest()})
    return 0


COMPILERS = ("tensorrt", "tensorrt_rtx")
"""The backends that define `build`."""


class Compiler(Protocol):
    """What a backend defines that compiles ahead of time."""

    def build(
        self, network: Network, *, precision: Precision, capabilities: tuple[str, ...], time_limit_seconds: float
    ) -> tuple[Label, bytes]:
        """Compile for compute capabilities such as "86", or without any for the GPU that is here.

        Raises `BackendMissing` where that is impossible, `EngineError` when compiling fails.
        """
        ...


@dataclass(frozen=True)
class Built:
    """What is known of an engine file that was written."""

    network: str
    capabilities: tuple[str, ...]
    """The compute capabilities that it runs on, such as `8.6`; or the one GPU's name and architecture."""
    file: str
    bytes: int

    def as_json(self) -> dict[str, object]:
        """The fields as JSON holds them."""
        return asdict(self)


def compiler(name: str) -> Compiler:
    """Import the backend called `name`. Raises `ConfigError` when it is none, or does not compile ahead of time."""
    if name not in COMPILERS:
        why = "does not compile ahead of time" if name in names() else "is unknown"
        raise ConfigError(f"backend {name!r} {why}: use one of {', '.join(COMPILERS)}")
    return cast("Compiler", importlib.import_module(f"engine.backends.{name}"))


def capabilities_of(text: str) -> tuple[str, ...]:
    """Split compute capabilities: `7.5,12.0`, which the command line has checked, to ("75", "120")."""
    return tuple(dict.fromkeys(part.replace(".", "") for part in text.split(",")))


def build_all(
    name: str,
    networks: Iterable[Network],
    folder: Path | None,
    *,
    precision: Precision,
    capabilities: tuple[str, ...],
    time_limit_seconds: float,
) -> Iterator[Built]:
    """Compile each network by the backend called `name`, and report each file when it is written.

    Files go to `folder`, or to the cache where it is None. Raises `ConfigError` for another backend, `BackendMissing`,
    `EngineError`, and `SinkError` when a file can't be written.
    """
    chosen = compiler(name)
    target = folder or cache.default_folder()
    for network in networks:
        label, compiled = chosen.build(
            network, precision=precision, capabilities=capabilities, time_limit_seconds=time_limit_seconds
        )

        path = target / label.file_name
        try:
            cache.write(path, label, compiled)
        except OSError as error:
            raise SinkError(f"{path} can't be written: {error.strerror or error}") from error
        yield Built(network.name, tuple(map(_dotted, label.devices)), str(path), path.stat().st_size)


def _dotted(device: str) -> str:
    """Turn `sm86` into `8.6`, and leave any other name as it is."""
    matched = re.fullmatch(r"sm([0-9]+)([0-9])", device)
    return f"{matched[1]}.{matched[2]}" if matched else device


if __name__ == "__main__":
    sys.exit(main())
