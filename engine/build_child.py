"""The process that compiles: `python -m engine.build_child FOLDER`, started by `engine.building`.

FOLDER holds the network and the order; the compiled bytes go there too. Standard output carries one JSON object a line:
the progress, and last the length and the hash of what was made. All other output, of libraries too, goes to standard
error, which is the log. A builder is a function of `Network`, options and `Progress` that gives the bytes.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from engine.building import COMPILED, NETWORK, ORDER, Options
from engine.spec import Network

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


if __name__ == "__main__":
    sys.exit(main())
