"""Lets one visitor at a time have the networks, of which there is one set."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pipeline.errors import Busy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Turn:
    """Knows whose turn it is. Only the event loop's thread uses it."""

    def __init__(self) -> None:
        self.holder: str | None = None
        """What is being processed, such as `a file`; None when nothing is."""
        self._ending = False
        self._free = asyncio.Event()

    @asynccontextmanager
    async def taken(self, holder: str) -> AsyncIterator[None]:
        """Have the turn inside a `with` block, after waiting for a holder that is ending.

        Raises `Busy`, which names the holder, where it is not ending.
        """
        while self.holder is not None and self._ending:
            await self._free.wait()
        if self.holder is not None:
            raise Busy(f"{self.holder} is being processed: end that, or wait, and try again")
        self.holder = holder
        self._free.clear()
        try:
            yield
        finally:
            self.holder, self._ending = None, False
            self._free.set()

    def end(self) -> None:
        """Note that the holder is ending: its last frames are on their way."""
        self._ending = self.holder is not None
