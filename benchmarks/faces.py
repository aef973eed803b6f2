"""What networks are fed when engines are measured: the demo's portrait, a photo, in a drawn mask, as runs see it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.demo.clip import FRAME_RATE, draw_frames
from pipeline.demo.portrait import LANDMARKS, frame_from_portrait, mask_alpha, warped
from pipeline.draw.inpaint import hole_of
from pipeline.draw.segment import INPUT_SIZE
from pipeline.find.align import write_colours
from pipeline.geometry import CROP_SIZE, Landmarks, face_crop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.spec import Array

WIDTH, HEIGHT = 640, 384
"""The size of the frames in pixels: what the detector looks at in a wide picture, in multiples of 32."""
APART = 20
"""Frames of the demo's clip between two that are used."""


@dataclass(frozen=True)
class Faces:
    """Moments of the demo's clip, as the networks take them."""

    frames: NDArray[np.float32]
    """(N, 3, HEIGHT, WIDTH) in [-128, 128], as the detector takes them."""
    small: NDArray[np.float32]
    """(N, 3, INPUT_SIZE, INPUT_SIZE) in [-1, 1], as the segmenter takes them."""
    crops: NDArray[np.float32]
    """(N, 4, CROP_SIZE, CROP_SIZE): RGB in [-1, 1] and the hole in [0, 1], as the generator takes them."""

    @property
    def holes(self) -> NDArray[np.bool_]:
        """(N, CROP_SIZE, CROP_SIZE): what the generator fills."""
        return self.crops[:, 3] > 0.5

    def feed(self, network: str, count: int) -> Array:
        """The first `count` for a network of ours."""
        return {"segmenter": self.small, "generator": self.crops}.get(network, self.frames)[:count]


def moments(count: int) -> Faces:
    """`count` moments of the clip, each with the mask somewhere else."""
    frames, small, crops = [], [], []
    drawn = list(draw_frames(width=WIDTH, height=HEIGHT, frames=(count - 1) * APART + 1))
    for index in range(0, len(drawn), APART):
        place = frame_from_portrait(Fraction(index, FRAME_RATE), width=WIDTH, height=HEIGHT)
        alpha = warped((mask_alpha() * 255).astype(np.uint8), place, width=WIDTH, height=HEIGHT)

        # What the pipeline cuts out, by the true landmarks and with the true mask.
        crop_from_frame = face_crop(Landmarks(place.apply(LANDMARKS).astype(np.float32))).matrix
        size = (CROP_SIZE, CROP_SIZE)
        crop = cv2.warpAffine(drawn[index], crop_from_frame, size, borderMode=cv2.BORDER_REFLECT_101)
        mask = cv2.warpAffine(alpha, crop_from_frame, size).astype(np.float32) / np.float32(255)

        frames.append(drawn[index].transpose(2, 0, 1)[::-1].astype(np.float32) - 120)
        small.append(_colours(cv2.resize(crop, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_AREA)))
        crops.append(np.concatenate([_colours(crop), hole_of(mask)[None]]))
    return Faces(np.stack(frames), np.stack(small), np.stack(crops))


def _colours(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """(3, S, S) in [-1, 1] from (S, S, 3)."""
    planes = np.empty((3, *image.shape[:2]), np.float32)
    write_colours(np.asarray(image, np.uint8), planes)
    return planes
