"""Times that grow: the clock of a file that is read, and the decoding times of pictures that are written.

Broadcast and joined recordings restart their clock in the middle of the file. Each such jump is taken out of all
streams alike, so that picture and sound stay together. Whoever reads the same file gets the same times.

x265 works out its delay from the pictures that it holds back; of a clip shorter than that it sometimes gives decoding
times from uninitialised memory, which no container takes. Its times of presentation are right.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
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


STORES_DURATIONS = ("mov", "avi", "gif", "apng", "webp")
"""Containers that say how long each picture stands, or at which moments there is none: a hole is meant there."""
LEAST_GAPS, STEADY_SHARE, MOST_KINDS = 24, 0.97, 64
"""How many distances of pictures there must be, which share of them equal, and how many different ones at most, so that
pictures come at a constant rate."""
HOLE, MPEG_HOLE = 1.5, 2.5
"""How many times the usual distance of two pictures is a hole; in MPEG-PS several pictures may share one time, and
FFmpeg may be one off with those that it makes up."""


@dataclass
class Gaps:
    """The distances between the pictures of a video, in ticks, by which a loss may show where nothing else tells."""

    hole: float = HOLE
    """How many times the usual distance is a hole."""
    _last: int | None = None
    _counts: Counter[int] = field(default_factory=Counter)
    _first: dict[int, int] = field(default_factory=dict)
    """Each distance to the time at which it first came."""

    def see(self, ticks: int, *, counts: bool) -> None:
        """Note the time of the next picture, and its distance from the one before if it `counts`."""
        if self._last is not None and counts and len(self._counts) <= MOST_KINDS:
            self._counts[ticks - self._last] += 1
            self._first.setdefault(ticks - self._last, self._last)
        self._last = ticks

    def holes(self) -> tuple[int, int] | None:
        """How many pictures would fit into holes, and the time before the first; None without any or a constant rate.

        A time may be a tick off, where a container rounds it.
        """
        total = self._counts.total()
        if total < LEAST_GAPS or len(self._counts) > MOST_KINDS:
            return None
        (middle, _), *_ = self._counts.most_common(1)
        equal = {gap: count for gap, count in self._counts.items() if abs(gap - middle) <= max(1, middle // 50)}
        steady = sum(equal.values())
        usual = Fraction(sum(gap * count for gap, count in equal.items()), steady)
        wide = {gap: count for gap, count in self._counts.items() if gap >= self.hole * usual}
        if not wide or steady < STEADY_SHARE * total or steady + sum(wide.values()) < total:
            return None
        room = sum((round(gap / usual) - 1) * count for gap, count in wide.items())
        return room, min(self._first[gap] for gap in wide)


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
