"""Runs a compiler in a process of its own: shows its progress, limits its time, and keeps its output in a log.

A compiler that hangs is ended, and one that crashes takes nothing with it: both are an `EngineError` that names the
log. Its result counts only when it ended well, and its file has the length and the hash that it reported last.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from tqdm import tqdm

from engine.cache import logger
from pipeline.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.spec import Network

Options: TypeAlias = Mapping[str, object]
"""The options of the compiler, as JSON holds them."""

TIME_LIMIT_SECONDS = 900.0
NETWORK, ORDER, COMPILED = "network.onnx", "order.json", "compiled"
"""The names of files in the directory that both processes share."""


@dataclass(frozen=True)
class Order:
    """Which network is to be compiled, and by which builder."""

    builder: str
    """The `module:function` that `engine.build_child` calls, whose docstring gives the signature."""
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
        [sys.executable, "-m", "engine.build_child", str(folder)],
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
    """The compiler's error, which `engine.build_child` writes as the last line of the log."""
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
