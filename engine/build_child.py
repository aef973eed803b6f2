"""The process that compiles: `python -m engine.build_child FOLDER`, started by `engine.building`.

FOLDER holds the network and the order; the compiled bytes go there too. Standard output carries one JSON object a line:
how far it is, and last the length and the hash of what was made. All else that is said, by libraries too, goes to
standard error, which is the log. A builder is a function of `Network`, options and `Progress` that gives the bytes.
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
"""Told what is being done and how much of all is done, from 0 to 1."""
Builder: TypeAlias = Callable[[Network, Options, Progress], bytes]


@dataclass(frozen=True)
class Teller:
    """Tells the parent how far it is."""

    stream: IO[str]

    def progress(self, phase: str, share: float) -> None:
        """Tell a share from 0 to 1."""
        self.tell({"phase": phase, "share": round(min(1.0, max(0.0, share)), 4)})

    def tell(self, what: dict[str, object]) -> None:
        """Tell one object."""
        self.stream.write(json.dumps(what) + "\n")
        self.stream.flush()


def main() -> int:
    """Do what the order in the directory says."""
    folder = Path(sys.argv[1])
    # Libraries write to file descriptor 1 on their own; the parent must hear nothing but the teller.
    teller = Teller(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    order = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    module, _, function = order["builder"].partition(":")
    try:
        builder: Builder = getattr(importlib.import_module(module), function)
        network = Network.of(order["network"], (folder / NETWORK).read_bytes())
        compiled = builder(network, order["options"], teller.progress)
    except Exception as error:
        sys.stderr.write(f"error: {str(error) or type(error).__name__}\n".replace("\n", " ").rstrip() + "\n")
        return 1
    (folder / COMPILED).write_bytes(compiled)
    teller.tell({"bytes": len(compiled), "sha256": hashlib.sha256(compiled).hexdigest()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
