"""Builders for the tests of building: one that does its work and those that don't. Run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.building import Options, Progress
    from engine.spec import Network


def works(network: Network, options: Options, progress: Progress) -> bytes:
    sys.stdout.write("a library speaks on standard output\n")
    os.write(1, b"and past Python\n")
    progress("first half", 0.5)
    return network.onnx * int(str(options.get("times", 1)))


def hangs(_network: Network, options: Options, progress: Progress) -> bytes:
    progress("about to hang", 0.1)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(str(options["pid_file"])).write_text(str(child.pid))
    child.wait()
    return b""


def fails(_network: Network, _options: Options, _progress: Progress) -> bytes:
    raise ValueError("the compiler does not know node 7")


def crashes(_network: Network, _options: Options, _progress: Progress) -> bytes:
    os.abort()


def writes_half(network: Network, _options: Options, progress: Progress) -> bytes:
    """Ends as if all were well, with half of the file written."""
    progress("writing", 0.9)
    (Path(sys.argv[1]) / "compiled").write_bytes(network.onnx[: len(network.onnx) // 2])
    os._exit(0)
