"""Copied streams: their order is mended, their cut follows the video's."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import pytest

from pipeline.video.codecs import Codec
from pipeline.video.remux import Remux, Span, chapters, clip_subtitle, select
from tests.pipeline.clips import Clip, Sound

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = Span(Fraction(0))


def copied(source: Path, target: Path, spans: list[tuple[Fraction | None, Span]]) -> Remux:
    """All streams but the video, copied in steps."""
    with av.open(str(source)) as opened, av.open(str(target), "w") as output:
        remux = Remux(opened, output, select(opened, 0, target, Codec.H264), target)
        for time, span in spans:
            remux.copy_until(time, span)
        return remux


def packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as opened:
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in opened.demux() if packet.size]


def sound_of_clip(tmp_path: Path) -> Path:
    """A file whose second stream is sound."""
    return Clip(frames=60, sounds=(Sound(),)).write(tmp_path / "in.mp4")


def sound_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as opened:
        audio = opened.streams.audio[0]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in opened.demux(audio) if packet.size]


def test_copying_in_steps_copies_everything_once(tmp_path: Path) -> None:
    source = sound_of_clip(tmp_path)
    steps = [(Fraction(step, 7), WHOLE) for step in range(20)]
    copied(source, tmp_path / "out.mp4", [*steps, (None, WHOLE)])
    assert packets(tmp_path / "out.mp4") == sound_packets(source)


def test_nothing_is_copied_ahead_of_the_video(tmp_path: Path) -> None:
    source = sound_of_clip(tmp_path)
    copied(source, tmp_path / "out.mp4", [(Fraction(1, 2), WHOLE)])
    expected = [each for each in sound_packets(source) if each[0] < Fraction(1, 2)]
    assert packets(tmp_path / "out.mp4") == expected


def test_cut_leaves_out_what_begins_later(tmp_path: Path) -> None:
    source = sound_of_clip(tmp_path)
    copied(source, tmp_path / "out.mp4", [(None, Span(Fraction(0), cut=Fraction(1)))])
    assert packets(tmp_path / "out.mp4")[-1][0] < 1


def test_times_that_go_back_are_moved_up_by_the_least(tmp_path: Path) -> None:
    source = sound_of_clip(tmp_path)
    with av.open(str(source)) as opened, av.open(str(tmp_path / "out.mp4"), "w") as output:
        remux = Remux(opened, output, select(opened, 0, tmp_path / "out.mp4", Codec.H264), tmp_path / "out.mp4")
        found = [packet for packet in opened.demux(opened.streams.audio[0]) if packet.size][:4]
        found[2].pts = found[2].dts = found[0].dts
        times = []
        for packet in found:
            remux.repair(packet)
            times.append(packet.dts)
    assert remux.repaired == 1
    assert times == [-1024, 0, 1, 2048]


@pytest.mark.parametrize(
    ("start", "end", "span", "expected"),
    [
        (500, 1500, WHOLE, (500, 1000)),
        (-200, 300, WHOLE, (0, 300)),
        (500, 1500, Span(Fraction(0), cut=Fraction(1)), (500, 500)),
        (500, 1500, Span(Fraction(1), trimmed=True, cut=Fraction(2)), (500, 500)),
    ],
)
def test_subtitles_last_as_long_as_they_are_seen(start: int, end: int, span: Span, expected: tuple[int, int]) -> None:
    packet = av.Packet(b"Hello")
    packet.time_base, packet.pts, packet.dts, packet.duration = Fraction(1, 1000), start, start, end - start
    clip_subtitle(packet, span)
    assert (packet.pts, packet.duration) == expected


def test_chapters_outside_are_gone_and_others_are_clipped(tmp_path: Path) -> None:
    marks = ((Fraction(0), Fraction(1), "One"), (Fraction(1), Fraction(2), "Two"), (Fraction(2), Fraction(3), "Three"))
    path = Clip(frames=90, chapters=marks, width=64, height=48).write(tmp_path / "in.mkv")
    with av.open(str(path)) as opened:
        kept = chapters(opened, Span(Fraction(1, 2), trimmed=True, cut=Fraction(3, 2)))
        times = [(each["start"] * each["time_base"], each["end"] * each["time_base"]) for each in kept]
    assert [each["metadata"]["title"] for each in kept] == ["One", "Two"]
    assert times == [(Fraction(0), Fraction(1, 2)), (Fraction(1, 2), Fraction(1))]
