"""Masked faces whose bare truth is known: the portrait of scikit-image, moved, turned and zoomed, wearing a painted
mask.

What the networks would say is put in their place: the mask that was painted, and the bare crop with errors made on
purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from pipeline.frames import Cropped, Detected, Detection, FaceCrop, Frame, Inpainted, Patch, Track, Tracked
from pipeline.geometry import CROP_SIZE, Affine, Box, Landmarks, face_crop
from pipeline.picture.pixels import read_crop

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PORTRAIT_LANDMARKS = np.array([[201.6, 100.1], [245.6, 100.9], [224.0, 120.8], [205.0, 142.0], [240.0, 142.0]])
MASK_OUTLINE = np.array(
    [
        *([128, 112], [160, 118], [186, 128], [190, 160], [176, 196], [150, 218]),
        *([128, 222], [106, 218], [80, 196], [66, 160], [70, 128], [96, 118]),
    ],
    np.float64,
)
"""In crop pixels: from the bridge of the nose to below the chin."""


@dataclass(frozen=True)
class Scene:
    """One shot of the face: where it is and what the camera makes of it."""

    width: int = 640
    height: int = 480
    eyes_px: float = 64.0
    """Between the eyes, in frame pixels: 64 shows the face at the crop's own size."""
    centre: tuple[float, float] = (0.5, 0.45)
    """Of the face, in widths and heights."""
    degrees: float = 0.0
    noise: float = 1.5
    """Of the sensor, standard deviation in 8-bit steps, new in each frame."""
    pores: float = 0.0
    """Texture of the skin finer than the portrait has, standard deviation in 8-bit steps, fixed to the face."""
    pixel_format: str = "yuv420p"
    mask_colour: tuple[int, int, int] = (140, 180, 205)

    def bare(self, *, index: int = 0) -> NDArray[np.uint8]:
        """(height, width, 3) RGB without the mask."""
        return _with_noise(self._skin(), self.noise, seed=index)

    def masked(self, *, index: int = 0) -> NDArray[np.uint8]:
        """(height, width, 3) RGB with the mask."""
        alpha = self.mask_in_frame()[..., None]
        shade = cv2.GaussianBlur(self._skin(), (0, 0), self.eyes_px / 6).mean(axis=2, keepdims=True) / 180
        worn = np.asarray(self.mask_colour, np.float32) * np.clip(shade, 0.4, 1.2)
        return _with_noise(self._skin() * (1 - alpha) + worn * alpha, self.noise, seed=index)

    def mask_in_frame(self) -> NDArray[np.float32]:
        """(height, width) in [0, 1]."""
        outline = self.crop_from_frame().inverse().apply(MASK_OUTLINE)
        drawn = np.zeros((self.height, self.width), np.uint8)
        cv2.fillPoly(drawn, [np.round(outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
        return cv2.GaussianBlur(drawn, (3, 3), 0.8).astype(np.float32) / 255

    def mask_in_crop(self) -> NDArray[np.float32]:
        """(256, 256) in [0, 1]: what a perfect segmenter says."""
        drawn = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
        cv2.fillPoly(drawn, [np.round(MASK_OUTLINE * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
        return cv2.GaussianBlur(drawn, (5, 5), 1.0).astype(np.float32) / 255

    def landmarks(self) -> Landmarks:
        return Landmarks(self._frame_from_portrait().apply(PORTRAIT_LANDMARKS).astype(np.float32))

    def crop_from_frame(self) -> Affine:
        return face_crop(self.landmarks())

    def picture(self, image: NDArray[np.uint8], *, index: int = 0) -> av.VideoFrame:
        """`image` as a decoder would give it, in the scene's pixel format, BT.709, limited range."""
        picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format=self.pixel_format, dst_colorspace=1, src_color_range=2, dst_color_range=1, interpolation="BICUBIC"
        )
        picture.pts, picture.time_base = index, Fraction(1, 30)
        return picture

    def inpainted(
        self, *, index: int = 0, spoil: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None
    ) -> Inpainted:
        """The masked frame with its patch: the bare crop, spoiled if asked."""
        return with_patch(self, index=index, spoil=spoil)

    def _frame_from_portrait(self) -> Affine:
        eyes = PORTRAIT_LANDMARKS[1] - PORTRAIT_LANDMARKS[0]
        scale, turn = self.eyes_px / np.hypot(*eyes), np.deg2rad(self.degrees)
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        middle = PORTRAIT_LANDMARKS.mean(axis=0)
        target = np.array([self.centre[0] * self.width, self.centre[1] * self.height])
        return Affine(np.column_stack([linear, target - linear @ middle]))

    def _skin(self) -> NDArray[np.float32]:
        place = self._frame_from_portrait()
        size = (self.width, self.height)
        image = cv2.warpAffine(
            portrait(), place.matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        ).astype(np.float32)
        if self.pores > 0:
            fine = Affine(np.array([[1 / 16, 0.0, 150.0], [0.0, 1 / 16, 60.0]]))
            grain = cv2.warpAffine(_pores(), place.after(fine).matrix, size, flags=cv2.INTER_CUBIC)
            image += self.pores * grain[..., None]
        return image


def with_patch(
    scene: Scene,
    *,
    index: int = 0,
    spoil: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
    track: int = 1,
) -> Inpainted:
    picture = scene.picture(scene.masked(index=index), index=index)
    truth = scene.picture(scene.bare(index=index), index=index)
    crop_from_frame = scene.crop_from_frame()
    frame = Frame(index, Fraction(index, 30), 0.0, picture)
    box = Box(0, 0, scene.width, scene.height)
    followed = Track(track, Detection(box, scene.landmarks(), 1.0), index, 0)
    image = read_crop(picture, crop_from_frame, size=CROP_SIZE)
    drawn = read_crop(truth, crop_from_frame, size=CROP_SIZE)
    crop = FaceCrop(followed, image, scene.mask_in_crop(), crop_from_frame)
    cropped = Cropped(Tracked(Detected(frame, None, cut=False), (followed,)), (crop,), ())
    return Inpainted(cropped, (Patch(crop, spoil(drawn) if spoil else drawn),))


@lru_cache(maxsize=1)
def portrait() -> NDArray[np.uint8]:
    data = pytest.importorskip("skimage.data", reason="the portrait comes with scikit-image")
    image: NDArray[np.uint8] = data.astronaut()
    return image


@lru_cache(maxsize=1)
def _pores() -> NDArray[np.float32]:
    """Texture for the portrait's face at 16 pixels to one of its own, standard deviation about 1."""
    random = np.random.default_rng(3)
    fine = random.standard_normal((2400, 2400)).astype(np.float32)
    coarse = cv2.resize(
        random.standard_normal((600, 600)).astype(np.float32), (2400, 2400), interpolation=cv2.INTER_CUBIC
    )
    mixed = cv2.GaussianBlur(fine, (0, 0), 1.5) * 3 + coarse
    return np.asarray(mixed / mixed.std(), np.float32)


def _with_noise(image: NDArray[np.float32], noise: float, *, seed: int) -> NDArray[np.uint8]:
    if noise > 0:
        random = np.random.default_rng(seed + 1000)
        image = image + noise * random.standard_normal((*image.shape[:2], 1)).astype(np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
