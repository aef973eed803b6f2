"""Before and after in one picture, and what was found drawn on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from PIL import Image

import cli
from pipeline.demo.clip import masked_portrait, write_clip
from pipeline.frames import Cropped, FaceCrop, Frame, Inpainted, Patch, Skipped
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.run import load
from pipeline.run.shown import BARE, DRAWN, LEFT, Compared, Overlaid
from pipeline.settings.config import Compare
from pipeline.video.stills import still_frame
from tests.pipeline.faces import track_of, tracked, upright
from tests.stand_ins import as_if_loaded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

HEIGHT, WIDTH = 240, 320
BEFORE = still_frame(np.full((HEIGHT, WIDTH, 3), 50, np.uint8))
MASK = np.ones((CROP_SIZE, CROP_SIZE), np.float32)
IMAGE = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)


def bright(items: Iterator[Inpainted]) -> Iterator[Frame]:
    """In the place of blending: everything becomes bright."""
    for item in items:
        yield replace(item.frame, planes=still_frame(np.full((HEIGHT, WIDTH, 3), 200, np.uint8)).planes)


def item(*, drawn: bool = False, skipped: Skipped | None = None) -> Inpainted:
    track = track_of(upright(x=100, y=60, scale=0.3), 7)
    crops = (FaceCrop(track, IMAGE, MASK, Affine(np.eye(2, 3))),) if drawn else ()
    left = () if skipped is None else ((track, skipped),)
    cropped = Cropped(tracked(BEFORE, track), crops, left)
    return Inpainted(cropped, tuple(Patch(crop, IMAGE) for crop in crops))


def test_a_split_picture_is_before_on_the_left_and_after_on_the_right() -> None:
    (frame,) = Compared(bright, Compare.SPLIT)(iter([item()]))
    assert (frame.image[:, : WIDTH // 2 - 2] == 50).all()
    assert (frame.image[:, WIDTH // 2 - 1] == 255).all()
    assert (frame.image[:, WIDTH // 2 :] == 200).all()


def test_side_by_side_both_are_whole_at_half_their_size() -> None:
    (frame,) = Compared(bright, Compare.SIDE)(iter([item()]))
    assert frame.image.shape == (HEIGHT, WIDTH, 3)
    middle = frame.image[HEIGHT // 4 : -HEIGHT // 4]
    assert (middle[:, : WIDTH // 2] == 50).all()
    assert (middle[:, WIDTH // 2 :] == 200).all()
    assert (frame.image[: HEIGHT // 4] == 0).all()


@pytest.mark.parametrize(
    ("made", "colour"),
    [
        (item(drawn=True), DRAWN),
        (item(skipped=Skipped.TURNED_AWAY), LEFT),
        (item(skipped=Skipped.BARE), BARE),
    ],
)
def test_every_face_has_a_box_in_the_colour_of_what_was_done(made: Inpainted, colour: tuple[int, int, int]) -> None:
    (frame,) = Overlaid(bright)(iter([made]))
    box = made.cropped.tracked.tracks[0].detection.box
    assert (frame.image[round(box.bottom), round((box.left + box.right) / 2)] == colour).all()
    assert (frame.image[-5:, -5:] == 200).all()


def test_frames_stay_with_their_items() -> None:
    made = [
        replace(item(), cropped=replace(item().cropped, tracked=tracked(replace(BEFORE, index=n)))) for n in range(3)
    ]
    assert [frame.index for frame in Compared(bright, Compare.SPLIT)(iter(made))] == [0, 1, 2]


def gray(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [round(frame.time, 3) for frame in container.decode(video=0)]


def test_a_matte_is_white_where_something_was_drawn_and_black_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load, "networks", as_if_loaded)
    clip, out, matte = (tmp_path / name for name in ("talk.mp4", "bare.mkv", "matte.mkv"))
    write_clip(clip, width=320, height=240, frames=12)
    lossless = ["--codec", "ffv1", "-o", str(out)]
    assert cli.main(["run", str(clip), *lossless, "--matte", str(tmp_path / "matte.png")]) == 1
    assert "the matte of this input must end in .mkv" in capsys.readouterr().err
    assert cli.main(["run", str(clip), *lossless, "--matte", str(matte)]) == 0
    with av.open(str(clip)) as before, av.open(str(out)) as after:
        pairs = zip(before.decode(video=0), after.decode(video=0), strict=True)
        changed = [one.to_ndarray(format="rgb24") != other.to_ndarray(format="rgb24") for one, other in pairs]
    mattes = gray(matte)
    assert times(matte) == times(out)
    for white, differs in zip(mattes, changed, strict=True):
        assert set(np.unique(white)) == {0, 255}
        assert ((white == 255) != differs.any(axis=2)).mean() < 0.01  # another conversion to RGB
        assert 0.02 < (white == 255).mean() < 0.5


def test_the_matte_of_a_picture_is_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "networks", as_if_loaded)
    photo, matte = tmp_path / "me.png", tmp_path / "matte.png"
    Image.fromarray(masked_portrait()).save(photo)
    assert cli.main(["run", str(photo), "-o", str(tmp_path / "bare.png"), "--matte", str(matte)]) == 0
    with Image.open(matte) as picture, Image.open(photo) as before, Image.open(tmp_path / "bare.png") as after:
        changed = (np.asarray(before.convert("RGB")) != np.asarray(after.convert("RGB"))).any(axis=2)
        assert ((np.asarray(picture.convert("L")) == 255) == changed).all()
