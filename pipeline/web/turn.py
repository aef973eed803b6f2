"""One at a time: the networks are one set and run one thing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pipeline.errors import Busy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Turn:
    """Whose turn it is. Used in the event loop's thread alone."""

    def __init__(self) -> None:
        self.holder: str | None = None
        """What is being processed, in words; None when nothing is."""
        self._ending = False
        self._free = asyncio.Event()

    @asynccontextmanager
    async def taken(self, holder: str) -> AsyncIterator[None]:
        """A block in which nobody else has it; what ends already is waited for.

        Raises `Busy`, which names who has it.
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
        """Say, for whoever has it, that it ends: its last frames are on their way."""
        self._ending = self.holder is not None
