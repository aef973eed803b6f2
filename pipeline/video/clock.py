"""Packet times that never jump.

Broadcast and joined recordings restart their clock in the middle of the file. Each such jump is taken out of all
streams alike, so that picture and sound stay together. Whoever reads the same file gets the same times.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av

    Packet = av.Packet[Any]

FORWARD_SECONDS = 10
BACKWARD_SECONDS = 1
"""Beyond these a change of time is a restarted clock, not a pause or a reordering."""


def unbroken(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The packets of one file, video and sound among them, in file order, with every jump of their clock taken out.

    Around a jump the last packets of one stream follow the first new ones of another, so each stream goes over to the
    new clock by itself, to the same one if it fits.
    """
    newest = Fraction(0)
    offsets: dict[int, Fraction] = {}
    expected: dict[int, Fraction] = {}
    for packet in packets:
        tick, index = packet.time_base, packet.stream.index
        if packet.dts is not None and tick:
            time = packet.dts * tick
            if packet.stream.type in ("video", "audio"):
                awaited = expected.get(index, time + newest)
                offset = offsets.get(index, newest)
                if is_jump(time + offset - awaited):
                    offset = awaited - time if is_jump(time + newest - awaited) else newest
                    newest = offset
                offsets[index] = offset
                expected[index] = time + offset + (packet.duration or 0) * tick
            shift = round(offsets.get(index, newest) / tick)
            packet.dts += shift
            packet.pts = None if packet.pts is None else packet.pts + shift
        yield packet


def is_jump(seconds: Fraction) -> bool:
    """True for a change of time that only a restarted clock makes."""
    return seconds > FORWARD_SECONDS or seconds < -BACKWARD_SECONDS
