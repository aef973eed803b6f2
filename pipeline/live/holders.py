"""Which other programs have a device open, as far as Linux lets us see."""

from __future__ import annotations

import os
from pathlib import Path


def holders(device: Path) -> tuple[str, ...]:
    """The other programs that have `device` open, such as `zoom (1234)`.

    Only those that this user may look at; empty on systems without /proc.
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
    try:
        return link.readlink() == device
    except OSError:  # closed meanwhile
        return False
