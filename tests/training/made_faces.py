"""A drawn face with a mesh of known points, and a folder of stored crops made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from training.data.mesh import LEFT_CHEEK, LEFT_JAW, MIDLINE, RIGHT_CHEEK, RIGHT_JAW, Point
from training.data.real import SIDE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def mesh(size: int = 256) -> NDArray[np.float32]:
    """(468, 2) a frontal face in pixels of a picture `size` wide; points that nothing uses lie on the nose."""
    points = np.full((468, 2), [0.5, 0.5], np.float32)
    angles = np.linspace(np.pi * 1.02, np.pi * 0.5, len(RIGHT_JAW))
    jaw = np.column_stack([0.5 + 0.26 * np.cos(angles), 0.42 + 0.34 * np.sin(angles)])
    points[list(RIGHT_JAW)] = jaw
    points[list(LEFT_JAW)] = jaw * [-1, 1] + [1, 0]
    points[list(MIDLINE), 1] = np.linspace(0.36, 0.76, len(MIDLINE))
    for chain, side in ((RIGHT_CHEEK, -1), (LEFT_CHEEK, 1)):
        across, below = np.array([0.16, 0.16, 0.17, 0.14]), np.array([0.40, 0.43, 0.48, 0.56])
        points[list(chain)] = np.column_stack([0.5 + side * across, below])
    points[Point.FOREHEAD], points[Point.UPPER_LIP] = [0.5, 0.2], [0.5, 0.61]
    points[Point.RIGHT_EYE], points[Point.LEFT_EYE] = [0.34, 0.35], [0.66, 0.35]
    points[Point.RIGHT_CORNER], points[Point.LEFT_CORNER] = [0.4, 0.61], [0.6, 0.61]
    points[Point.LOWER_LIP] = [0.5, 0.62]
    return points * size


def face(size: int = 256, seed: int = 0) -> NDArray[np.uint8]:
    """(size, size, 3) RGB: an oval with eyes and mouth on a noisy ground."""
    rng = np.random.default_rng(seed)
    image = rng.integers(40, 90, (size, size, 3), np.uint8)
    skin = rng.integers(120, 220, 3).tolist()
    middle = (size // 2, int(size * 0.44))
    cv2.ellipse(image, middle, (int(size * 0.26), int(size * 0.34)), 0, 0, 360, skin, -1)
    for side in (-1, 1):
        cv2.circle(image, (size // 2 + side * size // 8, int(size * 0.35)), size // 40, (20, 20, 20), -1)
    cv2.ellipse(image, (size // 2, int(size * 0.61)), (size // 10, size // 40), 0, 0, 360, (150, 60, 60), -1)
    return cv2.GaussianBlur(image, (0, 0), 1.0)


def store(folder: Path, name: str, *, count: int = 3, side: int = 160) -> None:
    """Write `count` faces as `training.data.crops` would."""
    whole = [np.pad(face(seed=i), ((32, 32), (32, 32), (0, 0)), mode="reflect") for i in range(count)]
    crops = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in whole]
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}_crops.npy", np.stack(crops))
    points = np.concatenate([mesh(), np.zeros((468, 1), np.float32)], 1)
    np.savez(folder / f"{name}.npz", mesh=np.stack([points] * count))


def store_real(folder: Path, *, size: int = SIDE, count: int = 2) -> Path:
    """Write pairs as `training.data.real` would: a red mask on green, where the photo ends at the left quarter."""
    picture, mask = np.zeros((size, size, 4), np.uint8), np.zeros((size, size), np.uint8)
    middle = size // 2
    mask[middle : middle + 70, middle - 200 : middle + 60] = 255
    picture[..., :3] = np.where(mask[..., None] > 0, (200, 20, 20), (20, 200, 20))
    picture[:, size // 4 :, 3] = 255

    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(picture).save(folder / f"{number}.png")
        Image.fromarray(mask).save(folder / f"{number}-mask.png")
    return folder
