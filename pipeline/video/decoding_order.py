"""Decoding times of encoded pictures, mended where an encoder made them up.

x265 works out its delay from the pictures that it holds back; of a clip shorter than that it sometimes gives decoding
times from uninitialised memory, which no container takes. Its times of presentation are right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

LONGEST_DELAY = 16
"""Pictures that an encoder may hold back to reorder them: the limit of H.264 and H.265."""


@dataclass
class DecodingOrder:
    """What is known of one encoder's times, all in ticks of its time base."""

    step: int
    """A picture's usual duration."""
    first: int | None = None
    newest: int = 0
    last_dts: int | None = None

    def feed(self, pts: int) -> None:
        """Note the time of a picture that goes to the encoder; times grow."""
        if self.first is None:
            self.first = pts
        self.newest = pts

    def mend(self, packet: av.Packet[Any]) -> None:
        """Give the packet a decoding time that grows and is not after its presentation; its own wherever that is so."""
        first = self.first if self.first is not None else 0
        # A delay is never longer than what was fed before, or the longest that there is.
        earliest = first - (self.newest - first) - LONGEST_DELAY * self.step
        dts, pts = packet.dts, packet.pts
        grows = dts is not None and (self.last_dts is None or dts > self.last_dts)
        if dts is None or not grows or dts < earliest or (pts is not None and dts > pts):
            dts = earliest if self.last_dts is None else self.last_dts + 1
            packet.dts = dts
        self.last_dts = dts
