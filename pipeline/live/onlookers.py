"""Whether anybody watches a virtual camera, where the system lets us know."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.live.holders import holders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK_SECONDS = 1.0
"""How often it is looked: looking means walking through all programs."""

PATIENCE_SECONDS = 10.0
"""How long nobody must have watched: meetings close and open a camera when they change its settings."""


class Onlookers:
    """Asks the system who has a device open. Used by one thread; `device` may be set by another, once.

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
