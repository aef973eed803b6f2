"""Packets of a stretch in memory give the very frames that the file gives."""

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.picture.planes import arrays
from pipeline.video import pieces
from pipeline.video.decode import FileSource
from pipeline.video.pieces import SliceSource
from tests.pipeline.clips import Clip

if TYPE_CHECKING:
    from pathlib import Path

STRETCH: dict[str, Any] = {
    "start": Fraction(1),
    "end": Fraction(2),
    "lead": Fraction(1, 2),
    "tail": Fraction(1, 4),
    "may_be_empty": True,
}


@pytest.mark.parametrize(
    ("codec", "suffix", "options"),
    [
        ("libx264", ".mp4", {"preset": "medium", "g": "15"}),
        ("libx264", ".mkv", {"preset": "medium", "g": "15", "x264-params": "open-gop=1"}),
        ("libx265", ".mp4", {"preset": "ultrafast", "g": "15", "x265-params": "log-level=none"}),
        ("libvpx-vp9", ".webm", {"g": "15", "cpu-used": "8", "deadline": "realtime"}),
        ("mpeg2video", ".mkv", {"g": "15", "bf": "2"}),
        ("ffv1", ".mkv", {}),
    ],
)
def test_a_slice_decodes_to_the_frames_of_the_file(
    tmp_path: Path, codec: str, suffix: str, options: dict[str, str]
) -> None:
    path = Clip(frames=75, codec=codec, options=options).write(tmp_path / f"in{suffix}")
    whole = FileSource(path, **STRETCH)
    part = pickle.loads(pickle.dumps(pieces.cut(whole)))  # noqa: S301 - as it comes to a worker
    assert not part.to_end
    sliced = SliceSource(path, **STRETCH, slice=part)

    wanted, found = list(whole), list(sliced)
    assert [frame.time for frame in found] == [frame.time for frame in wanted]
    assert [frame.planes.duration for frame in found] == [frame.planes.duration for frame in wanted]
    for one, other in zip(wanted, found, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(arrays(one.planes), arrays(other.planes), strict=True))
    assert sliced.outcome == whole.outcome
    assert sliced.outcome.frames == 30


def test_the_last_slice_ends_as_the_file_does(tmp_path: Path) -> None:
    path = Clip(frames=75, options={"g": "15"}).write(tmp_path / "in.mp4")
    whole = FileSource(path, start=Fraction(2), lead=Fraction(1), may_be_empty=True)
    part = pieces.cut(whole)
    sliced = SliceSource(path, start=Fraction(2), lead=Fraction(1), may_be_empty=True, slice=part)
    assert len(list(whole)) == len(list(sliced))
    assert part.to_end
    assert sliced.outcome == whole.outcome
