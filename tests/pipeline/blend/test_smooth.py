from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from pipeline.blend.blend import Blend
from pipeline.blend.smooth import Smooth, register
from pipeline.frames import FaceCrop, Inpainted, Patch
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.picture.pixels import read_crop, read_rgb
from pipeline.picture.samples import samples_of
from tests.pipeline.masked_scenes import Scene, with_patch

if TYPE_CHECKING:
    from numpy.typing import NDArray


SCENE = Scene(width=256, height=224, eyes_px=48)

CALM_SHARE = 0.55
"""Flicker on a still head must fall to this share of what the network made, noise of the camera included."""

LAG_DB = 38.0
"""PSNR inside the hole, against the bare frame, of a right drawing on a head that moves or turns."""


class Shimmer:
    """What a network adds that nobody sees in one picture: colour, blotches and a shake of half a pixel, new each
    time."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)

    def __call__(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        blotches = self.random.normal(0, 3, (8, 8, 3)).astype(np.float32)
        tint = self.random.normal(0, 2, 3).astype(np.float32)
        spoiled = crop + tint + cv2.resize(blotches, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC)
        shake = np.column_stack([np.eye(2), self.random.normal(0, 0.4, 2)])
        moved = cv2.warpAffine(spoiled, shake, (CROP_SIZE, CROP_SIZE), borderMode=cv2.BORDER_REPLICATE)
        return np.clip(moved, 0, 255).astype(np.uint8)


def flicker(items: list[Inpainted], *, after: int = 4) -> float:
    """Mean standard deviation over time inside the hole, in steps of luma, once blended."""
    lumas = [samples_of(frame.planes).components[0].samples.astype(np.float32) for frame in Blend()(iter(items))]
    return float(np.std(lumas[after:], axis=0)[SCENE.mask_in_frame() > 0.9].mean())


def shaken(item: Inpainted, shift: NDArray[np.float64]) -> Inpainted:
    """`item` as from a tracker that is off by `shift` pixels of the crop; what was drawn goes with the crop."""
    patch = item.patches[0]
    off = Affine(np.column_stack([np.eye(2), shift]))
    crop_from_frame = off.after(patch.crop.crop_from_frame)

    def moved(image: NDArray[np.generic]) -> NDArray[np.generic]:
        return cv2.warpAffine(image, off.matrix, (CROP_SIZE, CROP_SIZE), borderMode=cv2.BORDER_REPLICATE)

    image = read_crop(item.frame.planes, crop_from_frame, size=CROP_SIZE)
    crop = FaceCrop(patch.crop.track, image, moved(patch.crop.mask), crop_from_frame)
    return replace(item, patches=(Patch(crop, moved(patch.image)),))


def psnr_in_hole(scene: Scene, item: Inpainted, *, index: int) -> float:
    width, height = scene.width, scene.height
    frame = next(Blend(detail=0)(iter([item])))
    painted = read_rgb(frame.planes, left=0, top=0, right=width, bottom=height)
    truth = read_rgb(scene.picture(scene.bare(index=index)), left=0, top=0, right=width, bottom=height)
    off = (painted.astype(float) - truth)[scene.mask_in_frame() > 0.5]
    return float(10 * np.log10(255**2 / np.mean(off**2)))


def with_mask(item: Inpainted, mask: NDArray[np.float32]) -> Inpainted:
    patch = item.patches[0]
    return replace(item, patches=(replace(patch, crop=replace(patch.crop, mask=mask)),))


def test_a_still_head_does_not_flicker() -> None:
    spoil = Shimmer()
    items = [with_patch(SCENE, index=index, spoil=spoil) for index in range(12)]
    assert flicker(list(Smooth()(iter(items)))) < CALM_SHARE * flicker(items)


@pytest.mark.parametrize("jitter_px", [0.3, 0.8])
def test_a_trackers_jitter_neither_shakes_the_face_nor_stops_the_smoothing(jitter_px: float) -> None:
    spoil, random = Shimmer(), np.random.default_rng(1)
    items = [shaken(with_patch(SCENE, index=index, spoil=spoil), random.normal(0, jitter_px, 2)) for index in range(12)]
    assert flicker(list(Smooth()(iter(items)))) < CALM_SHARE * flicker(items)


@pytest.mark.parametrize(("step_px", "step_degrees"), [(3.0, 0.0), (2.0, 2.0), (-6.0, -1.0)])
def test_a_moving_head_is_followed_without_lag(step_px: float, step_degrees: float) -> None:
    scenes = [
        replace(SCENE, centre=(0.5 + step_px * index / SCENE.width, 0.45), degrees=step_degrees * index)
        for index in range(7)
    ]
    items = [with_patch(scene, index=index) for index, scene in enumerate(scenes)]
    for index, item in enumerate(Smooth()(iter(items))):
        assert psnr_in_hole(scenes[index], item, index=index) > LAG_DB


def test_a_drawing_that_is_carried_on_moves_with_the_head_and_its_mask_is_new() -> None:
    items = [with_patch(SCENE, index=index) for index in range(4)]
    moved = replace(SCENE, centre=(0.53, 0.46), degrees=2.0)
    item = with_patch(moved, index=4)
    (patch,), (before,) = item.patches, items[-1].patches
    wider = np.maximum(patch.crop.mask, np.roll(patch.crop.mask, 20, axis=0))
    carried = replace(patch, crop=replace(patch.crop, mask=wider, carried=True), image=before.image)
    *_, drawn, shown = Smooth()(iter([*items, replace(item, patches=(carried,))]))
    assert shown.patches[0].image is drawn.patches[0].image
    assert (shown.patches[0].crop.mask > wider - 0.1).mean() > 0.99
    assert psnr_in_hole(moved, shown, index=4) > LAG_DB - 4


def test_what_really_changes_is_taken_at_once() -> None:
    dark = [with_patch(SCENE, index=index) for index in range(5)]
    bright = [_lit(with_patch(SCENE, index=index)) for index in range(5, 8)]
    first_bright = list(Smooth()(iter([*dark, *bright])))[5]
    assert np.abs(first_bright.patches[0].image.astype(int) - bright[0].patches[0].image)[80:200, 80:180].mean() < 3


def test_a_face_drawn_otherwise_is_not_shown_twice() -> None:
    items = [with_patch(SCENE, index=index) for index in range(6)]
    mouth = items[-1].patches[0].image.copy()
    mouth[146:176, 100:156] = (90, 30, 30)
    items[-1] = replace(items[-1], patches=(replace(items[-1].patches[0], image=mouth),))
    smoothed = list(Smooth()(iter(items)))[-1].patches[0].image
    assert np.abs(smoothed.astype(int) - mouth)[152:170, 108:148].mean() < 12


@pytest.mark.parametrize("how", ["cut", "new track", "track lost between"])
def test_a_cut_or_another_track_begins_afresh(how: str) -> None:
    first, second = (with_patch(SCENE, index=index) for index in (0, 1))
    other = replace(second, patches=(replace(second.patches[0], image=np.clip(second.patches[0].image + 9, 0, 255)),))
    between: list[Inpainted] = []
    if how == "cut":
        tracked = other.cropped.tracked
        cut = replace(tracked, detected=replace(tracked.detected, cut=True))
        other = replace(other, cropped=replace(other.cropped, tracked=cut))
    elif how == "new track":
        patch = other.patches[0]
        track = replace(patch.crop.track, id=2)
        other = replace(other, patches=(replace(patch, crop=replace(patch.crop, track=track)),))
    else:
        between = [
            replace(
                first, cropped=replace(first.cropped, tracked=replace(first.cropped.tracked, tracks=())), patches=()
            )
        ]
    last = list(Smooth()(iter([first, *between, other])))[-1]
    assert last.patches[0].image is other.patches[0].image


def test_the_hole_grows_at_once_and_shrinks_slowly() -> None:
    items = [with_patch(SCENE, index=index) for index in range(4)]
    wide = items[0].patches[0].crop.mask
    narrow = wide.copy()
    narrow[:140] = 0
    shrinking = list(Smooth(release=0.2)(iter([items[0], *(with_mask(item, narrow) for item in items[1:])])))
    levels = [float(item.patches[0].crop.mask[126, 128]) for item in shrinking]
    assert levels == pytest.approx([1, 0.8, 0.64, 0.512], abs=0.05)
    growing = list(Smooth()(iter([with_mask(items[0], narrow), items[1]])))
    assert growing[1].patches[0].crop.mask[126, 128] == pytest.approx(1, abs=0.01)


def test_a_held_face_shows_the_average_where_its_crop_lies() -> None:
    shimmer = Shimmer()
    items = [with_patch(SCENE, index=i, spoil=shimmer) for i in range(4)]
    patch = items[3].patches[0]
    held = replace(items[3], patches=(replace(patch, crop=replace(patch.crop, held=True)),))
    steady = list(Smooth()(iter([*items[:3], held])))
    before, after = steady[2].patches[0], steady[3].patches[0]
    assert np.array_equal(after.image, before.image)
    assert np.array_equal(after.crop.mask, before.crop.mask)
    middle = np.array([[128.0, 160.0]])
    shift = after.crop.crop_from_frame.inverse().apply(middle) - patch.crop.crop_from_frame.inverse().apply(middle)
    assert np.abs(shift).max() < 0.5


def test_a_frame_without_patches_goes_through_as_it_came() -> None:
    item = replace(SCENE.inpainted(), patches=())
    assert next(Smooth()(iter([item]))) is item


def test_what_came_in_is_not_changed() -> None:
    items = [with_patch(SCENE, index=index, spoil=Shimmer()) for index in range(3)]
    before = [(item.patches[0].image.copy(), item.patches[0].crop.mask.copy()) for item in items]
    list(Smooth()(iter(items)))
    for item, (image, mask) in zip(items, before, strict=True):
        assert (item.patches[0].image == image).all()
        assert (item.patches[0].crop.mask == mask).all()


def test_a_pace_of_one_smooths_nothing() -> None:
    items = [with_patch(SCENE, index=index, spoil=Shimmer()) for index in range(3)]
    for before, after in zip(items, Smooth(pace=1.0)(iter(items)), strict=True):
        difference = np.abs(after.patches[0].image.astype(int) - before.patches[0].image)
        assert difference[100:200, 80:180].mean() < 1.5  # laid over the average, so not bit for bit


def _lit(item: Inpainted) -> Inpainted:
    """The same frame in another light."""
    patch = item.patches[0]
    lit = [np.clip(picture * 0.7 + 70, 0, 255).astype(np.uint8) for picture in (patch.crop.image, patch.image)]
    return replace(item, patches=(Patch(replace(patch.crop, image=lit[0]), lit[1]),))


SIZE = 64
EVERYWHERE = np.ones((SIZE, SIZE), np.float32)
PLACES = np.array([[20.0, 15.0], [44.0, 15.0], [20.0, 50.0], [44.0, 50.0]])


def scene() -> np.ndarray:
    noise = np.random.default_rng(5).uniform(40, 220, (16, 16)).astype(np.float32)
    return cv2.GaussianBlur(cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), (0, 0), 1.5)


def seen_through(image: np.ndarray, moved_from_fixed: Affine) -> np.ndarray:
    return cv2.warpAffine(
        image, moved_from_fixed.matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


@pytest.mark.parametrize(
    ("shift", "turn", "growth"),
    [((0.3, -0.2), 0, 0), ((-0.1, 0.15), 0.01, 0), ((0.4, 0.4), -0.008, 0.01), ((0, 0), 0, 0)],
)
def test_a_small_movement_is_found(shift: tuple[float, float], turn: float, growth: float) -> None:
    linear = np.array([[1 + growth, -turn], [turn, 1 + growth]])
    middle = np.full(2, (SIZE - 1) / 2)
    moved_from_fixed = Affine(np.column_stack([linear, middle + shift - linear @ middle]))
    found = register(seen_through(scene(), moved_from_fixed), scene(), EVERYWHERE)
    assert np.hypot(*(found.apply(PLACES) - moved_from_fixed.apply(PLACES)).T).max() < 0.08


def test_what_does_not_count_does_not_pull() -> None:
    other = scene()
    other[40:] = np.roll(other, 7, axis=1)[40:]
    where = EVERYWHERE.copy()
    where[36:] = 0
    assert np.hypot(*(register(other, scene(), where).apply(PLACES) - PLACES).T).max() < 0.05


def test_a_patch_that_moves_otherwise_hardly_pulls() -> None:
    other = scene()
    other[30:42, 20:44] = 255 - other[30:42, 20:44]
    assert np.hypot(*(register(other, scene(), EVERYWHERE).apply(PLACES) - PLACES).T).max() < 0.3


def test_a_plain_picture_stays_where_it_is() -> None:
    plain = np.full((SIZE, SIZE), 90, np.float32)
    assert register(plain + 5, plain, EVERYWHERE).matrix == pytest.approx(np.eye(2, 3))
