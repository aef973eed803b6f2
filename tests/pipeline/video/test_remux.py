"""Copied streams: their order is mended, their cut follows the video's."""

from __future__ import annotations

import resource
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from pipeline.video.codecs import Codec
from pipeline.video.remux import Remux, Span, chapters, clip_subtitle, select
from tests.pipeline.clips import SAMPLE_RATE, Clip, Sound, beeps, encode_sound
from tests.pipeline.video.test_torture import through

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

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
    expected = [packet for packet in sound_packets(source) if packet[0] < Fraction(1, 2)]
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
        times = [(chapter["start"] * chapter["time_base"], chapter["end"] * chapter["time_base"]) for chapter in kept]
    assert [chapter["metadata"]["title"] for chapter in kept] == ["One", "Two"]
    assert times == [(Fraction(0), Fraction(1, 2)), (Fraction(1, 2), Fraction(1))]


# Much beside a short film -----------------------------------------------------------------------------------------


def with_long_sound(path: Path, *, seconds: int, tracks: int) -> Path:
    """Two seconds of picture, and sound that goes on in every track: one packet again and again."""
    clip = Clip(frames=60, width=64, height=64)
    with av.open(str(path), "w") as output:
        pictures = list(clip.video_packets(clip.add_video(output)))
        sounds = [clip.add_sound(output, Sound()) for _ in range(tracks)]
        (packet, *_) = encode_sound(sounds[0], beeps(Fraction(1), 1000))
        for number in range(seconds * SAMPLE_RATE // 1024):
            while pictures and pictures[0].dts * pictures[0].time_base <= Fraction(number * 1024, SAMPLE_RATE):
                output.mux(pictures.pop(0))
            for stream in sounds:
                again: av.Packet[Any] = av.Packet(bytes(packet))
                again.stream, again.time_base, again.duration = stream, Fraction(1, SAMPLE_RATE), 1024
                again.pts = again.dts = 1024 * number
                output.mux(again)
    return path


def tiny(number: int, width: int, height: int, _flash: bool) -> NDArray[np.uint8]:
    """A picture of one grey."""
    return np.full((height, width, 3), number % 200, np.uint8)


LINES = tuple((Fraction(n, 1000), Fraction(n + 1, 1000), "word " * 1000) for n in range(1000))
SHORT = Clip(frames=30, width=64, height=64)
MARKS = tuple((Fraction(number, 1000), Fraction(number + 1, 1000), "x") for number in range(5000))
LOADED: dict[str, Callable[[Path], Path]] = {
    "much sound": lambda path: with_long_sound(path, seconds=600, tracks=1),
    "many tracks": lambda path: with_long_sound(path, seconds=3, tracks=60),
    "tiny frames": Clip(frames=2000, width=16, height=16, draw=tiny).write,
    "many chapters": SHORT.but(rate=Fraction(6), chapters=MARKS).write,
    "many subtitles": SHORT.but(subtitles=LINES).write,
    "one huge subtitle": SHORT.but(subtitles=((Fraction(0), Fraction(1), "x" * 5_000_000),)).write,
}


@pytest.mark.parametrize("kind", LOADED)
def test_a_file_of_which_little_is_picture_is_copied_whole_in_little_memory(kind: str, tmp_path: Path) -> None:
    source = LOADED[kind](tmp_path / "in.mkv")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reading, sink = through(source, tmp_path / "out.mkv")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # kilobytes
    assert reading.outcome.complete
    assert not sink.outcome.problems
    assert contents(tmp_path / "out.mkv") == contents(source)


def contents(path: Path) -> tuple[Counter[int], dict[int, int], int]:
    """Packets of each stream, bytes of each but the video, and the number of chapters."""
    packets, sizes = Counter[int](), Counter[int]()
    with av.open(str(path)) as opened:
        for packet in opened.demux():
            packets[packet.stream_index] += packet.size > 0
            sizes[packet.stream_index] += packet.size * (packet.stream.type != "video")
        return packets, sizes, len(opened.chapters())
