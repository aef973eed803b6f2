"""How a recording is cut into chunks, and that a chunk's result depends on the recording and the settings alone."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import CheckpointError
from pipeline.run import chunks
from pipeline.run.chunks import ChunkPlan, FinishedChunk
from pipeline.settings.values import build
from pipeline.video.decode import FileSource
from tests.pipeline.chunked_clips import KEY_FRAMES, masked_clip
from tests.pipeline.clips import Clip
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = build({"preset": "ultrafast"})
HALF = Fraction(1, 2)


def planned(path: Path, seconds: Fraction = HALF, **trim: Fraction) -> ChunkPlan:
    return chunks.plan(FileSource(path, **trim), CONFIG, seconds=seconds)


def test_a_recording_is_cut_at_key_frames_that_are_far_enough_apart(tmp_path: Path) -> None:
    path = Clip(frames=120, options=KEY_FRAMES).write(tmp_path / "in.mp4")
    assert [chunk.begin for chunk in planned(path).chunks] == [None, *(number * HALF for number in range(1, 8))]
    plan = planned(path, Fraction(7, 10))
    assert [chunk.begin for chunk in plan.chunks] == [None, 1, 2, 3]
    assert [chunk.end for chunk in plan.chunks] == [1, 2, 3, None]
    assert sum(chunk.frames for chunk in plan.chunks) == 120


def test_a_chunk_is_computed_from_before_its_beginning_to_behind_its_end(tmp_path: Path) -> None:
    plan = planned(Clip(frames=120, options=KEY_FRAMES).write(tmp_path / "in.mp4"), Fraction(3, 2))
    assert [chunk.lead for chunk in plan.chunks] == [0, HALF, HALF]
    assert plan.chunks[0].tail > 0
    assert plan.chunks[-1].tail == 0


def test_a_short_end_stays_with_the_chunk_before(tmp_path: Path) -> None:
    path = Clip(frames=70, options=KEY_FRAMES).write(tmp_path / "in.mp4")
    assert [chunk.begin for chunk in planned(path, Fraction(1)).chunks] == [None, 1]


def test_only_what_was_asked_for_is_cut(tmp_path: Path) -> None:
    path = Clip(frames=120, options=KEY_FRAMES).write(tmp_path / "in.mp4")
    plan = planned(path, Fraction(1, 5), start=Fraction(6, 5), end=Fraction(13, 5))
    bounds = [(chunk.begin, chunk.end) for chunk in plan.chunks]
    assert bounds == [(Fraction(6, 5), Fraction(3, 2)), (Fraction(3, 2), 2), (2, Fraction(13, 5))]
    assert plan.chunks[1].lead == Fraction(3, 10)  # no frame before the start is looked at, as in one pass
    assert sum(chunk.frames for chunk in plan.chunks) == 42


@pytest.mark.parametrize("suffix", [".ts", ".h264"])
def test_a_file_that_cannot_be_entered_exactly_is_one_chunk(tmp_path: Path, suffix: str) -> None:
    plan = planned(Clip(frames=60, options=KEY_FRAMES).write(tmp_path / f"in{suffix}"))
    assert len(plan.chunks) == 1
    assert plan.whole is not None
    assert "can't be entered exactly" in plan.whole


def test_a_finished_chunk_comes_back_as_it_was(tmp_path: Path) -> None:
    path = masked_clip(60).write(tmp_path / "in.mp4")
    plan, networks = planned(path), stand_in_networks()
    finished = chunks.compute(path, tmp_path / "out.mp4", plan.chunks[1], CONFIG, networks)
    assert finished.piece.frames == finished.outcome.frames == 15
    assert finished.tally.faces == finished.tally.masked_faces == 15
    back = FinishedChunk.of_bytes(finished.as_bytes())
    assert back.as_bytes() == finished.as_bytes()
    assert back.outcome == finished.outcome
    assert back.tally.skipped == finished.tally.skipped

    again = chunks.compute(path, tmp_path / "out.mp4", plan.chunks[1], CONFIG, networks)
    assert again.piece.data == finished.piece.data


def test_a_damaged_chunk_is_found_out(tmp_path: Path) -> None:
    path = masked_clip(15).write(tmp_path / "in.mp4")
    (chunk,) = planned(path).chunks
    data = bytearray(chunks.compute(path, tmp_path / "out.mp4", chunk, CONFIG, stand_in_networks()).as_bytes())
    with pytest.raises(CheckpointError, match="a chunk is damaged"):
        FinishedChunk.of_bytes(bytes(data[: len(data) // 2]))
    data[len(data) // 2] ^= 1
    with pytest.raises(CheckpointError, match="a chunk is damaged"):
        FinishedChunk.of_bytes(bytes(data))
