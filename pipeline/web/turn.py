"""One at a time: the networks are one set and run one thing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Iterator


class Turn:
    """Whose turn it is. Used in the event loop's thread alone."""

    def __init__(self) -> None:
        self.holder: str | None = None
        """What is being processed, in words; None when nothing is."""

    @contextmanager
    def taken(self, holder: str) -> Iterator[None]:
        """A block in which nobody else has it. Raises `Busy`, which names who has."""
        if self.holder is not None:
            raise Busy(f"{self.holder} is being processed: end that, or wait, and try again")
        self.holder = holder
        try:
            yield
        finally:
            self.holder = None
