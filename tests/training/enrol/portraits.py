"""Views of the free portrait: turned, zoomed and lit otherwise, as a recording would show the person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.demo.clip import LANDMARKS, portrait
from pipeline.geometry import Landmarks, face_crop
from training.enrol.gather import SIDE, WIDE_FROM_CROP, View, sharpness

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pose(number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A picture (512, 512, 3) RGB of the portrait, and its five landmarks (5, 2), in its own pose and light."""
    rng = np.random.default_rng(number)
    middle = tuple(LANDMARKS.mean(axis=0))
    turned = cv2.getRotationMatrix2D(middle, rng.uniform(-10, 10), rng.uniform(0.9, 1.1))
    turned[:, :2] = turned[:, :2] @ np.diag([rng.uniform(0.9, 1.1), 1.0])
    image = cv2.warpAffine(portrait(), turned, (512, 512), borderMode=cv2.BORDER_REFLECT_101)
    lit = np.clip(image.astype(np.float32) * rng.uniform(0.85, 1.1), 0, 255).astype(np.uint8)
    return lit, (LANDMARKS @ turned[:, :2].T + turned[:, 2]).astype(np.float32)


def view(number: int, *, source: str = "talk.mp4", time: float | None = None, still: bool = False) -> View:
    """The view of a pose."""
    image, points = pose(number)
    crop_from_image = face_crop(Landmarks(points))
    wide = cv2.warpAffine(image, WIDE_FROM_CROP.after(crop_from_image).matrix, (SIDE, SIDE))
    landmarks = crop_from_image.apply(points).astype(np.float32)
    seconds = number / 10 if time is None else time
    made = View(np.asarray(wide, np.uint8), landmarks, source, 1, seconds, 0.0, still)
    return View(made.crop, landmarks, source, 1, seconds, sharpness(made.canonical), still)
