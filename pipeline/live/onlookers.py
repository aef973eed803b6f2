"""Which other programs have a camera open, and whether anybody watches a virtual camera, as far as Linux shows it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 1.0
"""How long to wait between two looks: a look walks through all programs."""

PATIENCE_SECONDS = 10.0
"""How long a device must be closed before nobody counts as watching: meetings close and open a camera when they change
its settings."""


def holders(device: Path) -> tuple[str, ...]:
    """The other programs that have `device` open, such as `zoom (1234)`.

    Only the programs that this user may look at are found, and none on systems without /proc.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            if any(_leads_to(link, device) for link in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text(encoding='utf-8').strip()} ({process.name})")
        except OSError:  # it has ended, or is somebody else's
            continue
    return tuple(found)


def _leads_to(link: Path, device: Path) -> bool:
    """Whether an open file of a process, as /proc links to it, is `device`."""
    try:
        return link.readlink() == device
    except OSError:  # closed meanwhile
        return False


class Onlookers:
    """Asks the system whether another program has a device open. One thread asks; another may set `device`, once.

    Somebody counts as watching until the device is known, and for a while after the last one has left.
    """

    def __init__(self, watching: Callable[[Path], tuple[str, ...]] = holders) -> None:
        self.device: Path | None = None
        self._watching = watching
        self._looked = self._seen = time.monotonic()

    def __call__(self) -> bool:
        """Whether somebody watches."""
        now = time.monotonic()
        if self.device is None:
            self._seen = now
        elif now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if self._watching(self.device):
                self._seen = now
        return now - self._seen < PATIENCE_SECONDS
