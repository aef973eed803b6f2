"""The two plain kinds of `Pending`: outputs that are there already, and outputs that another thread is making."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future

    from engine.spec import Array


@dataclass(frozen=True)
class Done:
    """For engines that compute inside `submit`."""

    outputs: dict[str, Array]

    def result(self) -> dict[str, Array]:
        """The outputs, at once."""
        return self.outputs


@dataclass(frozen=True)
class Working:
    """For engines that compute in a thread."""

    future: Future[dict[str, Array]]

    def result(self) -> dict[str, Array]:
        """Wait for the outputs. Raises what the run raised."""
        return self.future.result()
