"""Before and after in one picture, and what was found drawn on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.frames import Cropped, FaceCrop, Frame, Inpainted, Patch, Skipped
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.run.shown import BARE, DRAWN, LEFT, Compared, Overlaid
from pipeline.settings.config import Compare
from pipeline.video.stills import still_frame
from tests.pipeline.faces import track_of, tracked, upright

if TYPE_CHECKING:
    from collections.abc import Iterator

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
