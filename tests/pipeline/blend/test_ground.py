"""A mask wider than its crop: what is painted where the generator does not draw."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from pipeline.blend.blend import Blend
from pipeline.blend.ground import Background, with_ground_seen
from pipeline.draw.beyond import view_of
from pipeline.frames import Beyond, FaceCrop, Inpainted, Patch, Surroundings
from pipeline.geometry import CROP_SIZE, VIEW_FROM_CROP, Box
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


def drawn_around(bare: NDArray[np.uint8], crop: FaceCrop) -> Surroundings:
    """What lies around a crop of `bare`, as large as the view."""
    matrix = view_of(crop.crop_from_frame).matrix
    image = cv2.warpAffine(bare, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return Surroundings(np.asarray(image, np.uint8), VIEW_FROM_CROP)


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
    patch = Patch(crop, item.patches[0].image, drawn_around(bare, crop) if beyond else None)
    return Inpainted(replace(item.cropped, tracked=tracked, crops=(crop,)), (patch,))


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


def test_the_ground_is_what_was_drawn_around_the_face() -> None:
    bare, painted = SCENE.bare().astype(float), shown(scene()).astype(float)
    beyond = (wide() > 0) & (np.arange(SCENE.height)[:, None] > SCENE.crop_from_frame().inverse().apply([0, 256])[1])
    smooth = [cv2.GaussianBlur(image, (0, 0), 3) for image in (bare, painted)]  # it is drawn more coarsely
    assert np.abs(smooth[0] - smooth[1])[beyond].mean() < 3


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
        items.append(
            replace(item, cropped=replace(item.cropped, crops=(crop,)), patches=(replace(item.patches[0], crop=crop),))
        )
    frames = [
        read_rgb(frame.planes, left=0, top=0, right=SCENE.width, bottom=SCENE.height) for frame in Blend()(iter(items))
    ]
    assert max(green(frame) for frame in frames) == 0
    changes = [np.abs(one.astype(int) - other)[wide() > 0].mean() for one, other in pairwise(frames)]
    assert max(changes) < 3


def striped() -> NDArray[np.uint8]:
    """A wall with fine stripes."""
    rows, columns = np.mgrid[: SCENE.height, : SCENE.width]
    stripe = 128 + 20 * np.sign(np.sin((columns + 0.4 * rows) / 2.5))
    return np.repeat(stripe[..., None], 3, axis=2).astype(np.uint8)


def before_a_wall(*, seen_before: bool) -> NDArray[np.float64]:
    """How far the ground is from the striped wall, beside a face in a mask that sticks out far to the left of its crop.

    `seen_before` has the wall alone in the first frame.
    """
    item = scene()
    crop = item.patches[0].crop
    frame_from_crop = crop.crop_from_frame.inverse()
    left, top = frame_from_crop.apply([-60, 130])
    right, bottom = frame_from_crop.apply([186, 200])
    cover = np.zeros((SCENE.height, SCENE.width), np.float32)
    cover[int(top) : int(bottom), int(left) : int(right)] = 1

    wall, bare = striped(), SCENE.bare()
    person = np.zeros((SCENE.height, SCENE.width), np.uint8)
    middle = tuple(np.rint(frame_from_crop.apply([128, 128])).astype(int).tolist())
    cv2.ellipse(person, middle, (60, 80), 0, 0, 360, 1, -1)
    shown_bare = np.where(person[..., None] > 0, bare, wall)
    masked = np.where(cover[..., None] > 0, np.array(GREEN, np.uint8), shown_bare)

    view, size = view_of(crop.crop_from_frame), (CROP_SIZE, CROP_SIZE)
    mask = np.asarray(cv2.warpAffine(cover, crop.crop_from_frame.matrix, size), np.float32)
    around = np.asarray(cv2.warpAffine(cover, view.matrix, size), np.float32)
    crop = replace(crop, mask=mask, beyond=Beyond(around, view))
    frame = replace(item.frame, planes=SCENE.picture(masked))
    drawn = np.asarray(cv2.warpAffine(shown_bare, crop.crop_from_frame.matrix, size), np.uint8)
    tracked = replace(item.cropped.tracked, detected=replace(item.cropped.tracked.detected, frame=frame))
    box = Box(middle[0] - 45, middle[1] - 60, middle[0] + 45, middle[1] + 60)
    track = replace(tracked.tracks[0], detection=replace(tracked.tracks[0].detection, box=box))
    tracked = replace(tracked, tracks=(track,))
    around = drawn_around(np.asarray(cv2.GaussianBlur(shown_bare, (0, 0), 3), np.uint8), crop)
    worn = Inpainted(replace(item.cropped, tracked=tracked, crops=(crop,)), (Patch(crop, drawn, around),))

    empty = replace(tracked, detected=replace(tracked.detected, frame=replace(frame, planes=SCENE.picture(wall))))
    nobody = Inpainted(replace(item.cropped, tracked=replace(empty, tracks=()), crops=()), ())
    *_, last = Blend()(iter([nobody, worn] if seen_before else [worn]))
    result = read_rgb(last.planes, left=0, top=0, right=SCENE.width, bottom=SCENE.height)
    beside = (cover > 0) & (np.arange(SCENE.width)[None] < frame_from_crop.apply([-10, 0])[0])
    return np.abs(result.astype(float) - wall)[beside]


def test_background_that_was_seen_before_is_shown_again() -> None:
    drawn, remembered = before_a_wall(seen_before=False), before_a_wall(seen_before=True)
    assert drawn.mean() > 10  # stripes are lost
    assert remembered.mean() < 0.5 * drawn.mean()


def winged(*, wing: int, known: bool = True) -> Inpainted:
    """A face before the striped wall in a mask that sticks out `wing` pixels to the left of the jaw, in its crop.

    The generator is right but for the wall, which it draws grey; `known`: a network says where the wall is.
    """
    item = SCENE.inpainted()
    crop = item.patches[0].crop
    person, mask = (np.zeros((CROP_SIZE, CROP_SIZE), np.uint8) for _ in range(2))
    cv2.ellipse(person, (128, 128), (70, 100), 0, 0, 360, 1, -1)
    cv2.rectangle(mask, (70 - wing, 140), (180, 200), 1, -1)
    size = (SCENE.width, SCENE.height)
    frame_from_crop = crop.crop_from_frame.inverse().matrix
    figure, cover = (cv2.warpAffine(one, frame_from_crop, size)[..., None] > 0 for one in (person, mask))
    masked = np.where(cover, np.array(GREEN, np.uint8), np.where(figure, SCENE.bare(), striped()))

    shown = np.asarray(cv2.warpAffine(masked, crop.crop_from_frame.matrix, (CROP_SIZE, CROP_SIZE)), np.uint8)
    crop = replace(crop, mask=mask.astype(np.float32), image=shown)
    frame = replace(item.frame, planes=SCENE.picture(masked))
    tracked = replace(item.cropped.tracked, detected=replace(item.cropped.tracked.detected, frame=frame))
    drawn = np.where(person[..., None] > 0, item.patches[0].image, np.uint8(128)).astype(np.uint8)
    patch = Patch(crop, drawn, ground=(1 - person if known else None))
    return Inpainted(replace(item.cropped, tracked=tracked, crops=(crop,)), (patch,))


def off_the_wall(*items: Inpainted) -> float:
    """How far what is shown in the last frame is from the wall, where the wide mask was before it."""
    *_, last = Blend()(iter(items))
    result = read_rgb(last.planes, left=0, top=0, right=SCENE.width, bottom=SCENE.height)
    frame_from_crop = SCENE.crop_from_frame().inverse()
    (left, top), (right, bottom) = np.rint(frame_from_crop.apply([[26, 146], [40, 194]])).astype(int)
    return float(np.abs(result.astype(float) - striped())[top:bottom, left:right].mean())


def test_a_wall_that_was_seen_beside_a_face_is_shown_where_its_mask_sticks_out() -> None:
    alone = off_the_wall(winged(wing=50))
    seen = off_the_wall(winged(wing=0), *[winged(wing=50)] * 5)  # it fades in
    assert alone > 10
    assert seen < 0.3 * alone
    # Where nobody knows what is wall and what is person, nothing is taken from earlier frames.
    assert off_the_wall(winged(wing=0, known=False), *[winged(wing=50, known=False)] * 5) > 0.8 * alone


def test_a_mask_is_not_remembered_as_the_wall() -> None:
    assert off_the_wall(winged(wing=50), winged(wing=50)) == pytest.approx(off_the_wall(winged(wing=50)), rel=0.05)
    background = Background()
    item = winged(wing=50)
    background.look(item.cropped.tracked, item.patches)
    seen = background.within(item.patches[0].crop.crop_from_frame)
    assert seen is not None
    image, where = seen
    assert where[60:120, 10:40].all()  # the wall above the wing
    assert np.abs(image.astype(int) - GREEN).max(axis=2)[where].min() > 60


def test_what_was_never_seen_is_not_shown_though_the_drawing_before_showed_something_there() -> None:
    drawn, stale = np.full((20, 20, 3), 100, np.float32), np.full((20, 20, 3), 140, np.uint8)
    wall, everywhere = np.ones((20, 20), np.uint8), np.ones((20, 20), np.float32)
    result, share = with_ground_seen(drawn, wall, (stale, np.zeros((20, 20), bool)), everywhere)
    assert (result == 100).all()
    assert not share.any()
    # What is seen now fades in.
    _, first = with_ground_seen(drawn, wall, (stale, np.ones((20, 20), bool)), 0 * everywhere)
    _, second = with_ground_seen(drawn, wall, (stale, np.ones((20, 20), bool)), first)
    assert 0 < first[10, 10] < second[10, 10] < 1
