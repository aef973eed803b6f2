from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from pipeline.blend.blend import Blend, correction
from pipeline.blend.hole import Hole, find_hole
from pipeline.blend.texture import block_energies
from pipeline.draw.inpaint import GROW_PX
from pipeline.errors import SourceError
from pipeline.frames import Inpainted, Patch
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.picture.pixels import FIELD_SIZE, read_rgb
from pipeline.picture.samples import samples_of
from tests.pipeline.masked_scenes import Scene, with_patch

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray


SMALL = Scene(width=256, height=224, eyes_px=48)
"""The face at three quarters of the crop's size."""

CLOSE_UP = Scene(width=720, height=560, eyes_px=200, pores=2.5)
"""The face at three times the crop's size."""

EXACT_DB, CAST_DB, SEAM_DB = 40.0, 38.0, 36.0
"""PSNR inside the hole against the bare frame: the right drawing, one with a colour cast, one whose hole is darker."""

STEP = 0.5
"""Levels of brightness a pixel; the eye sees a step of about two."""

REACHED_PX = 10
"""As far beyond the mask as blending compares colours, in crop pixels."""

DETAIL_RATIO = (0.5, 1.35)
"""Energy of fine detail on the drawn skin over that of the bare face, in each octave; 1 at best."""


def whole(picture: av.VideoFrame) -> NDArray[np.uint8]:
    return read_rgb(picture, left=0, top=0, right=picture.width, bottom=picture.height)


def psnr_in_hole(scene: Scene, painted: av.VideoFrame, *, index: int = 0) -> float:
    truth = whole(scene.picture(scene.bare(index=index)))
    off = (whole(painted).astype(float) - truth)[scene.mask_in_frame() > 0.5]
    return float(10 * np.log10(255**2 / np.mean(off**2)))


def slope_along_the_rim(picture: av.VideoFrame) -> float:
    """Of what differs from the bare frame of `SMALL`, in levels a pixel."""
    truth = whole(SMALL.picture(SMALL.bare()))
    off = cv2.GaussianBlur(whole(picture).astype(np.float32) - truth, (0, 0), 1.5)
    slope = np.hypot(cv2.Sobel(off, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(off, cv2.CV_32F, 0, 1, scale=1 / 8))
    mask = (SMALL.mask_in_frame() > 0.5).astype(np.uint8)
    rim = cv2.dilate(mask, np.ones((19, 19), np.uint8)) - cv2.erode(mask, np.ones((3, 3), np.uint8))
    return float(slope[rim > 0].mean())


def painted(scene: Scene, blend: Blend, spoil=None) -> av.VideoFrame:  # noqa: ANN001 - a function of a crop
    return next(blend(iter([scene.inpainted(spoil=spoil)]))).planes


def cast(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.clip(crop * np.array([0.9, 1.0, 1.12]) + (10, -6, 0), 0, 255).astype(np.uint8)


def soft(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = cv2.resize(crop, (112, 112), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def grown(mask: NDArray[np.float32], *, px: float) -> NDArray[np.float32]:
    """`mask` (S, S) in [0, 1] reaching `px` pixels further."""
    size = 2 * int(np.ceil(px)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.dilate(mask, disc), np.float32)


def reached(item: Inpainted, blend: Blend) -> NDArray[np.bool_]:
    """Where in the frame the paint may lie: the mask with what is grown and feathered, with a pixel to spare."""
    crop = item.patches[0].crop
    scale = crop.crop_from_frame.inverse().scale
    far = blend.grow_px + blend.grow_frame_px / scale + 1.25 * blend.feather_px + 7
    wide = grown(crop.mask, px=far)
    size = (item.frame.width, item.frame.height)
    return cv2.warpAffine(wide, crop.crop_from_frame.inverse().matrix, size, flags=cv2.INTER_LINEAR) > 0


def test_a_frame_without_patches_is_the_same_frame() -> None:
    item = replace(SMALL.inpainted(), patches=())
    assert next(Blend()(iter([item]))) is item.frame


def test_a_mask_that_covers_nothing_changes_nothing() -> None:
    item = SMALL.inpainted()
    empty = replace(item.patches[0].crop, mask=np.zeros((CROP_SIZE, CROP_SIZE), np.float32))
    frame = next(Blend()(iter([replace(item, patches=(Patch(empty, item.patches[0].image),))])))
    assert frame.planes.format.name == "yuv420p"
    assert (whole(frame.planes) == whole(item.frame.planes)).all()


@pytest.mark.parametrize(
    "name",
    ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "nv12", "yuv420p10le", "p010le", "rgb24", "gbrp", "gray", "yuyv422"],
)
def test_pixels_outside_stay_bit_for_bit_and_the_decoders_picture_too(name: str) -> None:
    scene, blend = replace(SMALL, pixel_format=name, degrees=10), Blend()
    item = scene.inpainted(spoil=cast)
    before = [bytes(plane) for plane in item.frame.planes.planes]
    frame = next(blend(iter([item])))
    assert [bytes(plane) for plane in item.frame.planes.planes] == before
    outside = ~reached(item, blend)
    changed = 0
    for old, new in zip(samples_of(item.frame.planes).components, samples_of(frame.planes).components, strict=True):
        far = outside[:: old.grid.step_y, :: old.grid.step_x]
        assert (old.samples[far] == new.samples[far]).all()
        changed += np.count_nonzero(old.samples != new.samples)
    assert changed > 1000
    assert frame.planes.format.name == name


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "yuvj420p", "yuv420p10le", "p010le", "rgb24", "gbrp10le"])
def test_a_right_drawing_gives_the_bare_face(name: str) -> None:
    scene = replace(SMALL, pixel_format=name)
    assert psnr_in_hole(scene, painted(scene, Blend(detail=0))) > EXACT_DB


@pytest.mark.parametrize("eyes_px", [16.0, 30.0, 64.0])
@pytest.mark.parametrize("degrees", [0.0, 30.0])
def test_any_size_and_any_turn_of_the_head(eyes_px: float, degrees: float) -> None:
    scene = replace(SMALL, eyes_px=eyes_px, degrees=degrees)
    assert psnr_in_hole(scene, painted(scene, Blend(detail=0))) > (29 if eyes_px < 20 else 36)


@pytest.mark.parametrize("eyes_px", [4.0, 9.0, 13.5, 20.0])
def test_tiny_faces_with_detail(eyes_px: float) -> None:
    scene = replace(SMALL, eyes_px=eyes_px)
    frames = list(Blend()(iter([with_patch(scene, index=index, spoil=soft) for index in range(3)])))
    assert psnr_in_hole(scene, frames[-1].planes, index=2) > 22


def test_a_colour_cast_is_met() -> None:
    assert psnr_in_hole(SMALL, painted(SMALL, Blend(detail=0), cast)) > CAST_DB
    assert psnr_in_hole(SMALL, painted(SMALL, Blend(detail=0, colour_limit_levels=0), cast)) < 28


def test_a_hole_that_was_drawn_darker_leaves_no_seam() -> None:
    hole = grown(SMALL.mask_in_crop(), px=REACHED_PX)[..., None]
    darker = painted(SMALL, Blend(detail=0), lambda crop: np.clip(crop - 14.0 * hole, 0, 255).astype(np.uint8))
    assert psnr_in_hole(SMALL, darker) > SEAM_DB


def test_no_step_shows_along_the_rim() -> None:
    hole = grown(SMALL.mask_in_crop(), px=REACHED_PX)[..., None]
    spoiled = painted(SMALL, Blend(detail=0), lambda crop: np.clip(cast(crop) - 10.0 * hole, 0, 255).astype(np.uint8))
    assert slope_along_the_rim(spoiled) < STEP


def test_no_step_shows_where_the_drawing_goes_off_within_the_network_s_own_hole() -> None:
    """As a network draws it, which sees the rim of its hole: the darker the deeper."""
    hole = (grown(SMALL.mask_in_crop(), px=GROW_PX) > 0.5).astype(np.uint8)
    depth = np.minimum(cv2.distanceTransform(hole, cv2.DIST_L2, 5) / 16, 1)[..., None]
    spoiled = painted(SMALL, Blend(detail=0), lambda crop: np.clip(cast(crop) - 10.0 * depth, 0, 255).astype(np.uint8))
    assert slope_along_the_rim(spoiled) < STEP


@pytest.mark.parametrize("scene", [CLOSE_UP, replace(CLOSE_UP, degrees=12.0), replace(SMALL, noise=4.0)])
def test_a_soft_drawing_is_not_a_soft_patch(scene: Scene) -> None:
    items = [with_patch(scene, index=index, spoil=soft) for index in range(3)]
    none, some, whole = (
        detail_ratios(scene, list(blend(iter(items)))[-1].planes, index=2)
        for blend in (Blend(detail=0, edges=0), Blend(edges=0), Blend(detail=1, edges=0))
    )
    low, high = DETAIL_RATIO
    assert whole.min() > low
    assert whole.max() < high
    assert (some[0] - none[0]) / (whole[0] - none[0]) == pytest.approx(Blend().detail ** 2, abs=0.1)  # energies add up
    assert none[0] < 0.6


def test_edges_are_steeper_where_the_frame_has_more_pixels_than_the_crop_and_nowhere_else() -> None:
    small, large = (
        [painted(scene, Blend(detail=0, edges=edges), soft) for edges in (0, 1)] for scene in (SMALL, CLOSE_UP)
    )
    assert np.array_equal(whole(small[0]), whole(small[1]))
    plain, steep = (slope_of_the_mouth(CLOSE_UP, picture) for picture in large)
    assert steep > 1.2 * plain
    assert steep < slope_of_the_mouth(CLOSE_UP, CLOSE_UP.picture(CLOSE_UP.bare()))
    # Pores that were drawn are edges too, and gain a little.
    assert detail_ratios(CLOSE_UP, painted(CLOSE_UP, Blend(), soft), index=0).max() < 1.2 * DETAIL_RATIO[1]


def slope_of_the_mouth(scene: Scene, picture: av.VideoFrame) -> float:
    """The steepest slopes of luma around the mouth, in levels a pixel."""
    left, top, right, bottom = 92, 142, 164, 178
    corners = scene.crop_from_frame().inverse().apply([[left, top], [right, bottom]]).astype(int)
    luma = samples_of(picture).components[0].samples.astype(np.float32)
    around = luma[corners[0, 1] : corners[1, 1], corners[0, 0] : corners[1, 0]]
    return float(np.percentile(np.hypot(*np.gradient(around)), 98))


def detail_ratios(scene: Scene, picture: av.VideoFrame, *, index: int) -> NDArray[np.float64]:
    """Median energy of each octave on the cheeks and the chin, over that of the bare face."""
    places = np.array(
        [[x, y] for x, y in ((92, 134), (164, 134), (96, 142), (160, 142), (128, 196), (112, 198), (144, 198))]
    )
    frame_from_crop = scene.crop_from_frame().inverse()
    octaves = max(1, 1 + round(np.log2(frame_from_crop.scale)))
    centres = frame_from_crop.apply(places)
    truth, drawn = (
        samples_of(one).components[0].samples.astype(np.float32)
        for one in (scene.picture(scene.bare(index=index)), picture)
    )
    energies = [
        block_energies(luma, centres, octaves=octaves, block_px=12 * frame_from_crop.scale) for luma in (drawn, truth)
    ]
    ratio: NDArray[np.float64] = np.median(energies[0], axis=1) / np.median(energies[1], axis=1)
    return ratio


def test_a_held_face_keeps_its_colours_and_a_new_drawing_meets_those_around_it() -> None:
    first = SMALL.inpainted(spoil=cast)
    (patch,) = first.patches
    tinted = replace(patch.crop, image=cast(patch.crop.image))
    held, anew = (replace(patch, crop=replace(tinted, held=is_held)) for is_held in (True, False))
    frames = Blend(detail=0)(iter([replace(first, patches=(drawn,)) for drawn in (patch, held, anew)]))
    fitted, shown, refitted = (whole(frame.planes) for frame in frames)
    assert (shown == fitted).all()
    assert (refitted != fitted).any()


def test_a_drawing_that_is_carried_on_keeps_its_colours_in_another_hole() -> None:
    first = SMALL.inpainted(spoil=cast)
    (patch,) = first.patches
    tinted = replace(patch.crop, image=cast(patch.crop.image), mask=0.999 * patch.crop.mask, carried=True)
    frames = Blend(detail=0)(iter([first, replace(first, patches=(replace(patch, crop=tinted),))]))
    fitted, shown = (whole(frame.planes).astype(int) for frame in frames)
    assert np.abs(shown - fitted).max() <= 1


def test_grain_changes_from_frame_to_frame_and_pores_do_not() -> None:
    for scene, moving in ((replace(SMALL, noise=5.0), True), (replace(CLOSE_UP, noise=0.2, pores=5.0), False)):
        items = [with_patch(scene, index=index, spoil=soft) for index in range(8)]
        lumas = [samples_of(frame.planes).components[0].samples.astype(float) for frame in Blend()(iter(items))]
        bare = [
            samples_of(scene.picture(scene.bare(index=index))).components[0].samples.astype(float) for index in (6, 7)
        ]
        inside = scene.mask_in_frame() > 0.9
        drawn_change, real_change = (np.abs(two[-1] - two[-2])[inside].mean() for two in (lumas, bare))
        assert drawn_change == pytest.approx(real_change, rel=0.5, abs=0.8)
        assert (drawn_change > 2) == moving


def test_the_same_input_gives_the_same_output() -> None:
    one, other = (whole(list(Blend()(iter([SMALL.inpainted(index=i) for i in range(3)])))[-1].planes) for _ in range(2))
    assert (one == other).all()


def test_ten_bits_stay_ten_bits() -> None:
    scene = replace(SMALL, pixel_format="yuv420p10le", noise=0)
    frame = next(Blend()(iter([scene.inpainted()])))
    values = samples_of(frame.planes).components[0].samples[scene.mask_in_frame() > 0.9]
    assert len(np.unique(values % 4)) == 4


def test_two_faces_in_one_frame() -> None:
    item = SMALL.inpainted()
    patch = item.patches[0]
    aside = Affine(np.array([[1.0, 0, 40.0], [0, 1.0, 0]])).after(patch.crop.crop_from_frame)
    blue = np.full((CROP_SIZE, CROP_SIZE, 3), (0, 0, 255), np.uint8)
    second = Patch(replace(patch.crop, track=replace(patch.crop.track, id=2), crop_from_frame=aside), blue)
    one = whole(next(Blend()(iter([item]))).planes)
    both = whole(next(Blend(colour_limit_levels=0)(iter([replace(item, patches=(patch, second))]))).planes)
    assert (one != both).any()
    assert both[..., 2].astype(int).max() > 240


@pytest.mark.parametrize("shift", [(-120.0, 0.0), (150.0, 0.0), (0.0, 130.0), (600.0, 0.0)])
def test_a_face_that_leaves_the_frame(shift: tuple[float, float]) -> None:
    item = SMALL.inpainted()
    patch = item.patches[0]
    moved = Affine(np.array([[1.0, 0, shift[0]], [0, 1.0, shift[1]]])).after(patch.crop.crop_from_frame)
    frame = next(
        Blend()(iter([replace(item, patches=(replace(patch, crop=replace(patch.crop, crop_from_frame=moved)),))]))
    )
    assert (frame.width, frame.height) == (item.frame.width, item.frame.height)


def test_a_format_that_cannot_be_painted_is_refused() -> None:
    with pytest.raises(SourceError, match="rgb565le"):
        item = SMALL.inpainted()
        tracked = item.cropped.tracked
        odd = replace(item.frame, planes=item.frame.planes.reformat(format="rgb565le"))
        detected = replace(tracked.detected, frame=odd)
        list(Blend()(iter([replace(item, cropped=replace(item.cropped, tracked=replace(tracked, detected=detected)))])))


def test_time_and_index_go_through() -> None:
    item = SMALL.inpainted(index=5)
    frame = next(Blend()(iter([item])))
    assert (frame.index, frame.time, frame.arrived) == (item.frame.index, item.frame.time, item.frame.arrived)
    assert (frame.planes.pts, frame.planes.time_base) == (item.frame.planes.pts, item.frame.planes.time_base)
    assert frame.planes.colorspace == item.frame.planes.colorspace


@pytest.fixture
def hole() -> Hole:
    mask = np.zeros((256, 256), np.float32)
    mask[110:210, 80:176] = 1
    return find_hole(mask, grow_px=4, feather_px=8)


@pytest.fixture
def face() -> np.ndarray:
    noise = np.random.default_rng(2).uniform(60, 220, (8, 8, 3)).astype(np.float32)
    return cv2.resize(noise, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_CUBIC)


def inside(hole: Hole, field: np.ndarray) -> np.ndarray:
    return field[cv2.resize(hole.covered, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_AREA) == 255]


def test_a_right_drawing_is_left_alone(face: np.ndarray, hole: Hole) -> None:
    assert np.abs(correction(face, face, hole, limit=48)).max() < 0.1


def test_a_cast_is_taken_away(face: np.ndarray, hole: Hole) -> None:
    cast = np.array([12, -8, 20], np.float32)
    assert inside(hole, correction(face, face + cast, hole, limit=200)) == pytest.approx(
        np.broadcast_to(-cast, inside(hole, face).shape), abs=1.5
    )


def test_a_wrong_contrast_is_set_right(face: np.ndarray, hole: Hole) -> None:
    drawn = 0.8 * face + 10
    mended = drawn + correction(face, drawn, hole, limit=200)
    assert np.abs(inside(hole, mended - face)).mean() < 0.35 * np.abs(inside(hole, drawn - face)).mean()


def test_light_from_one_side_is_followed(face: np.ndarray, hole: Hole) -> None:
    light = np.linspace(-20, 20, FIELD_SIZE, dtype=np.float32)[None, :, None]
    mended = face - light + correction(face, face - light, hole, limit=200)
    assert np.abs(inside(hole, mended - face)).mean() < 4
    assert np.abs(light).mean() > 9


def test_what_is_hidden_says_nothing(face: np.ndarray, hole: Hole) -> None:
    soiled = face.copy()
    soiled[cv2.resize(hole.grown, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_AREA) > 0] = (0, 0, 255)
    assert np.abs(correction(soiled, face, hole, limit=48)).max() < 0.1


def test_something_else_beside_the_mask_does_not_tint_the_face(hole: Hole) -> None:
    face = np.full((FIELD_SIZE, FIELD_SIZE, 3), 150, np.float32)
    real = face.copy()
    real[30:36] = (20, 20, 220)  # a blue strap across
    assert np.abs(inside(hole, correction(real, face, hole, limit=48))).mean() < 3


def test_no_correction_is_larger_than_the_limit(face: np.ndarray, hole: Hole) -> None:
    assert np.abs(correction(face, face + 120, hole, limit=30)).max() <= 30


def test_without_a_rim_nothing_is_said(face: np.ndarray) -> None:
    everything = find_hole(np.ones((256, 256), np.float32), grow_px=4, feather_px=8)
    assert not correction(face, face + 50, everything, limit=48).any()
