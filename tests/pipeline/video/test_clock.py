"""Restarted clocks are taken out of all streams alike, and decoding times grow."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import av
from hypothesis import given
from hypothesis import strategies as st

from pipeline.video.clock import LONGEST_DELAY, DecodingOrder, SteadyClock
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
from tests.pipeline.clips import Clip, Sound, images_of, number_in, times_of
from tests.pipeline.video.test_torture import first_flash_and_beep

if TYPE_CHECKING:
    from pathlib import Path


TICK = Fraction(1, 1000)


@dataclass
class Stream:
    index: int
    type: str = "video"


@dataclass
class FakePacket:
    stream: Stream
    dts: int | None
    pts: int | None
    duration: int = 40
    time_base: Fraction = TICK


VIDEO, AUDIO, TEXT = Stream(0), Stream(1, "audio"), Stream(2, "subtitle")


def mended(*packets: tuple[Stream, int]) -> list[int | None]:
    fakes = [FakePacket(stream, time, time) for stream, time in packets]
    return [packet.dts for packet in SteadyClock()(iter(fakes))]  # type: ignore[arg-type]


def test_steady_clocks_are_left_alone() -> None:
    assert mended((VIDEO, 0), (AUDIO, 3), (VIDEO, 40), (TEXT, 50), (VIDEO, 9000)) == [0, 3, 40, 50, 9000]


def test_restart_continues_where_the_stream_was() -> None:
    assert mended((VIDEO, 5000), (VIDEO, 5040), (VIDEO, 0), (VIDEO, 40)) == [5000, 5040, 5080, 5120]


def test_forward_jump_is_closed() -> None:
    assert mended((VIDEO, 0), (VIDEO, 40), (VIDEO, 90000), (VIDEO, 90040)) == [0, 40, 80, 120]


def test_late_packets_of_the_old_clock_keep_their_place() -> None:
    before = [(VIDEO, 5000), (AUDIO, 5000), (VIDEO, 5040)]
    around = [(VIDEO, 0), (AUDIO, 5040), (VIDEO, 40), (AUDIO, 0), (TEXT, 10)]
    assert mended(*before, *around) == [5000, 5000, 5040, 5080, 5040, 5120, 5080, 5090]


def test_joined_recordings_play_through_in_sync(tmp_path: Path) -> None:
    part = Clip(frames=60, sounds=(Sound(),)).write(tmp_path / "part.ts").read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part + part)
    source = FileSource(joined)
    for _ in FileSink(source, tmp_path / "out.mp4")(iter(source)):
        pass
    times = times_of(tmp_path / "out.mp4")
    assert all(0 < b - a < Fraction(1, 10) for a, b in pairwise(times))
    assert [number_in(image) for image in images_of(tmp_path / "out.mp4")] == [*range(60), *range(60)]
    for near in (1.0, 3.0):
        flash, beep = first_flash_and_beep(tmp_path / "out.mp4", near=near)
        assert abs(flash - beep) < 1 / 30


def decoding_times(times: list[tuple[int, int | None]], *, step: int = 512) -> list[int | None]:
    """Decoding times of packets (pts, dts) that an encoder gave after all pictures were fed."""
    order = DecodingOrder(step)
    for pts in sorted(pts for pts, _ in times):
        order.feed(pts)
    found = []
    for pts, dts in times:
        packet = av.Packet(b"picture")
        packet.pts, packet.dts = pts, dts
        order.mend(packet)
        found.append(packet.dts)
    return found


def test_sound_times_are_left_alone() -> None:
    times: list[tuple[int, int | None]] = [(0, -1024), (512, -512), (2048, 0), (1536, 512), (1024, 1024)]
    assert decoding_times(times) == [dts for _, dts in times]


def test_times_from_nowhere_are_replaced() -> None:
    first, second = decoding_times([(0, -79010218395612), (512, -79010218395100)])
    assert first is not None
    assert second is not None
    assert -512 * (LONGEST_DELAY + 1) <= first < second <= 512


@given(
    garbage=st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), min_size=1, max_size=8),
    step=st.integers(1, 10_000),
)
def test_whatever_comes_the_result_can_be_muxed(garbage: list[int | None], step: int) -> None:
    times = [(number * 100 * step, dts) for number, dts in enumerate(garbage)]
    found = decoding_times(times, step=100 * step)
    assert all(dts is not None and dts <= pts for dts, (pts, _) in zip(found, times, strict=True))
    assert found == sorted(set(found), key=lambda pts: pts or 0)


def test_encoders_of_ours_need_no_mending() -> None:
    clip = Clip(frames=40, times=[Fraction(n * n, 300) for n in range(40)], time_base=Fraction(1, 90000))
    for codec, options in (
        ("libx264", {"preset": "veryfast"}),
        ("libx265", {"preset": "veryfast", "x265-params": "log-level=none"}),
    ):
        encoder = av.CodecContext.create(codec, "w")
        encoder.width, encoder.height, encoder.pix_fmt = clip.width, clip.height, "yuv420p"
        encoder.time_base, encoder.framerate, encoder.options = Fraction(1, 90000), Fraction(30), options
        order = DecodingOrder(3000)
        pictures = [clip.frame(number, time, Fraction(1, 90000)) for number, time in enumerate(clip.moments)]
        for picture in [*pictures, None]:
            if picture is not None:
                order.feed(picture.pts)
            for packet in encoder.encode(picture):
                own = packet.dts
                order.mend(packet)
                assert packet.dts == own, codec
