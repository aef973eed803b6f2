"""The demonstration leaves two clips, both beside each other, and a picture; and it says that the face is invented."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from PIL import Image

import cli
from pipeline.demo import clip, show
from pipeline.demo.clip import write_clip
from pipeline.errors import SinkError, SourceError
from pipeline.run import load
from pipeline.video.containers import SYNTHETIC
from pipeline.video.stills import SYNTHETIC_PICTURE
from tests.stand_ins import as_if_loaded

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = 12


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demonstration at a size and length that a test can wait for."""
    monkeypatch.setattr(load, "networks", as_if_loaded)
    monkeypatch.setattr(show, "WIDTH", 320)
    monkeypatch.setattr(show, "HEIGHT", 240)
    monkeypatch.setattr(show, "write_clip", lambda path, **size: write_clip(path, frames=FRAMES, **size))
    monkeypatch.setattr(show, "MOMENTS", (clip.Fraction(0), clip.Fraction(1, 5)))


@pytest.mark.usefixtures("small")
def test_it_leaves_films_and_a_picture_and_says_that_the_face_is_invented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shown"
    for _ in range(2):
        assert cli.main(["demo", "-o", str(folder)]) == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {"input.mp4", "output.mp4", "side-by-side.mp4", "before-after.png"}
    said = capsys.readouterr().out
    assert all(name in said for name in names)
    assert "invented" in said
    with av.open(str(folder / "side-by-side.mp4")) as both:
        assert both.metadata["comment"] == SYNTHETIC
        assert len(both.streams.audio) == 1
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in both.decode(video=0)]
    assert len(frames) == FRAMES
    assert frames[0].shape == (240, 640, 3)
    left, right = frames[5][:, :320], frames[5][:, 320:]
    assert np.abs(left - right).mean() > 1
    with Image.open(folder / "before-after.png") as picture:
        assert picture.size == (240, 360)
        assert picture.info["Comment"] == SYNTHETIC_PICTURE


def test_a_shorter_output_is_not_shown_as_whole(tmp_path: Path) -> None:
    whole, short = tmp_path / "whole.mp4", tmp_path / "short.mp4"
    write_clip(whole, width=320, height=240, frames=4)
    write_clip(short, width=320, height=240, frames=3)
    with pytest.raises(SourceError, match="fewer frames"):
        show.write_side_by_side(whole, short, tmp_path / "both.mp4")
    with pytest.raises(SourceError, match="not the whole clip"):
        show.write_before_after(whole, short, tmp_path / "both.png")


def test_a_label_changes_its_corner_alone() -> None:
    grey = np.full((240, 320, 3), 128, np.uint8)
    rows, _ = np.nonzero((show.labelled(grey, "before") != grey).any(axis=2))
    assert rows.min() > 210
    assert (grey == 128).all()


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="can't be made"):
        show.show(tmp_path / "file" / "demo", settings={}, watcher=None, say=print)  # type: ignore[arg-type]
