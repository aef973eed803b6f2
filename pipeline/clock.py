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
    """The packets of one file, video and sound among them, in file order, with every jump of their clock taken out."""
    offset = Fraction(0)
    expected: dict[int, Fraction] = {}
    for packet in packets:
        tick = packet.time_base
        if packet.dts is not None and tick:
            if packet.stream.type in ("video", "audio"):
                time = packet.dts * tick + offset
                jump = time - expected.get(packet.stream_index, time)
                if jump > FORWARD_SECONDS or jump < -BACKWARD_SECONDS:
                    offset -= jump
                expected[packet.stream_index] = packet.dts * tick + offset + (packet.duration or 0) * tick
            shift = round(offset / tick)
            packet.dts += shift
            packet.pts = None if packet.pts is None else packet.pts + shift
        yield packet
