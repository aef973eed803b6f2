"""A mask wider than its crop: what is painted where the generator does not draw."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.blend.blend import Blend
from pipeline.draw.beyond import view_of
from pipeline.frames import Beyond, Inpainted, Patch
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import read_rgb
from tests.pipeline.masked_scenes import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCENE = Scene(width=512, height=512, eyes_px=48, centre=(0.5, 0.4), noise=0, pixel_format="rgb24")
GREEN = (30, 230, 60)


def wide() -> NDArray[np.float32]:
    """(512, 512) a mask from the nose down to far below the crop."""
    cover = np.zeros((SCENE.height, SCENE.width), np.float32)
    left, top = SCENE.crop_from_frame().inverse().apply([70, 130])
    right, bottom = SCENE.crop_from_frame().inverse().apply([186, 320])
    cover[int(top) : int(bottom), int(left) : int(right)] = 1
    return cover


def scene(*, index: int = 0, beyond: bool = True) -> Inpainted:
    """The bare portrait in that mask; the generator is right."""
    item, cover = SCENE.inpainted(index=index), wide()
    bare = SCENE.bare(index=index)
    masked = np.where(cover[..., None] > 0, np.array(GREEN, np.uint8), bare)
    frame = replace(item.frame, planes=SCENE.picture(masked, index=index))

    crop = item.patches[0].crop
    view = view_of(crop.crop_from_frame)
    size = (CROP_SIZE, CROP_SIZE)
    mask = np.asarray(cv2.warpAffine(cover, crop.crop_from_frame.matrix, size), np.float32)
    around = np.asarray(cv2.warpAffine(cover, view.matrix, size), np.float32)
    crop = replace(crop, mask=mask, beyond=Beyond(around, view) if beyond else None)
    tracked = replace(item.cropped.tracked, detected=replace(item.cropped.tracked.detected, frame=frame))
    return Inpainted(replace(item.cropped, tracked=tracked, crops=(crop,)), (Patch(crop, item.patches[0].image),))


def shown(item: Inpainted) -> NDArray[np.uint8]:
    (frame,) = Blend()(iter([item]))
    return read_rgb(frame.planes, left=0, top=0, right=SCENE.width, bottom=SCENE.height)


def green(image: NDArray[np.uint8]) -> int:
    away = np.abs(image.astype(int) - GREEN).max(axis=2)
    return int(np.count_nonzero(away < 60))


def test_nothing_stays_of_a_mask_that_goes_on_beyond_the_crop() -> None:
    without = green(shown(scene(beyond=False)))
    assert without > 2000
    assert green(shown(scene())) == 0


def test_what_lies_far_from_the_mask_is_not_touched() -> None:
    near = cv2.dilate(wide(), np.ones((41, 41), np.uint8)) > 0
    bare = SCENE.bare()
    assert np.array_equal(shown(scene())[~near], bare[~near])


def test_the_ground_has_the_colours_of_what_is_around_it() -> None:
    cover, bare = wide() > 0, SCENE.bare().astype(float)
    below = cover & (np.arange(SCENE.height)[:, None] > np.flatnonzero(cover.any(axis=1))[-1] - 40)
    ring = (cv2.dilate(cover.astype(np.uint8), np.ones((41, 41), np.uint8)) > 0) & ~cover
    low, high = bare[ring].min(axis=0), bare[ring].max(axis=0)
    painted = shown(scene())[below]
    assert np.all(painted >= low - 2)
    assert np.all(painted <= high + 2)


def test_ground_is_steady_while_the_mask_flickers() -> None:
    """A mask that is found shorter in every other frame: the ground neither jumps nor lets the mask through."""
    items = []
    for index in range(8):
        item = scene(index=index)
        crop = item.patches[0].crop
        if index % 2 and crop.beyond is not None:
            mask = crop.beyond.mask.copy()
            mask[200:] = 0
            crop = replace(crop, beyond=replace(crop.beyond, mask=mask))
        items.append(Inpainted(replace(item.cropped, crops=(crop,)), (Patch(crop, item.patches[0].image),)))
    frames = [
        read_rgb(frame.planes, left=0, top=0, right=SCENE.width, bottom=SCENE.height) for frame in Blend()(iter(items))
    ]
    assert max(green(frame) for frame in frames) == 0
    changes = [np.abs(one.astype(int) - other)[wide() > 0].mean() for one, other in pairwise(frames)]
    assert max(changes) < 3
