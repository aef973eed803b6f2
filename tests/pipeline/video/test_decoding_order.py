"""Decoding times are mended only where an encoder made them up."""

from __future__ import annotations

from fractions import Fraction

import av
from hypothesis import given
from hypothesis import strategies as st

from pipeline.video.decoding_order import LONGEST_DELAY, DecodingOrder
from tests.pipeline.clips import Clip


def mended(times: list[tuple[int, int | None]], *, step: int = 512) -> list[int | None]:
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
    assert mended(times) == [dts for _, dts in times]


def test_times_from_nowhere_are_replaced() -> None:
    first, second = mended([(0, -79010218395612), (512, -79010218395100)])
    assert first is not None
    assert second is not None
    assert -512 * (LONGEST_DELAY + 1) <= first < second <= 512


@given(
    garbage=st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), min_size=1, max_size=8),
    step=st.integers(1, 10_000),
)
def test_whatever_comes_the_result_can_be_muxed(garbage: list[int | None], step: int) -> None:
    times = [(number * 100 * step, dts) for number, dts in enumerate(garbage)]
    found = mended(times, step=100 * step)
    assert all(dts is not None and dts <= pts for dts, (pts, _) in zip(found, times, strict=True))
    assert found == sorted(set(found), key=lambda each: each or 0)


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
