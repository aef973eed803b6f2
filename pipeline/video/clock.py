"""Times that grow: the clock of a file that is read, and the decoding times of pictures that are written.

Broadcast and joined recordings restart their clock in the middle of the file. Each such jump is taken out of all
streams alike, so that picture and sound stay together. Whoever reads the same file gets the same times.

x265 works out its delay from the pictures that it holds back; of a clip shorter than that it sometimes gives decoding
times from uninitialised memory, which no container takes. Its times of presentation are right.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av

    Packet = av.Packet[Any]
    import av


FORWARD_SECONDS = 10
BACKWARD_SECONDS = 1
"""Beyond these a change of time is a restarted clock, not a pause or a reordering."""


@dataclass
class SteadyClock:
    """Takes every jump out of the times of one file's packets, and knows whether there was any."""

    jumps: int = 0

    def __call__(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """The packets, video and sound among them, in file order, on a clock that never jumps.

        Around a jump the last packets of one stream follow the first new ones of another, so each stream goes over to
        the new clock by itself, to the same one if it fits.
        """
        newest = Fraction(0)
        offsets: dict[int, Fraction] = {}
        expected: dict[int, Fraction] = {}
        for packet in packets:
            tick, index = packet.time_base, packet.stream.index
            if packet.dts is not None and tick:
                time = packet.dts * tick
                # Subtitles and data pause for minutes, so they say nothing of the clock and follow the others.
                if packet.stream.type in ("video", "audio"):
                    awaited = expected.get(index, time + newest)
                    offset = offsets.get(index, newest)
                    if is_jump(time + offset - awaited):
                        offset = awaited - time if is_jump(time + newest - awaited) else newest
                        newest = offset
                        self.jumps += 1
                    offsets[index] = offset
                    expected[index] = time + offset + (packet.duration or 0) * tick

                shift = round(offsets.get(index, newest) / tick)
                packet.dts += shift
                packet.pts = None if packet.pts is None else packet.pts + shift
            yield packet


def is_jump(seconds: Fraction) -> bool:
    """True for a change of time that only a restarted clock makes."""
    return seconds > FORWARD_SECONDS or seconds < -BACKWARD_SECONDS


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
