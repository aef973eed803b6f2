"""Restarted clocks are taken out of all streams alike."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.video.clock import unbroken
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
    return [packet.dts for packet in unbroken(iter(fakes))]  # type: ignore[arg-type]


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
