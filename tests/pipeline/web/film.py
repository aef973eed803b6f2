"""What the browser's camera sees: the demonstration's clip with the number of each frame drawn in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.demo.clip import CYCLE_SECONDS, FRAME_RATE, draw_frames

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 480
FRAMES = FRAME_RATE * CYCLE_SECONDS
"""A whole cycle of the motion: the film can be repeated and does not jump."""

BLOCK_PX, BITS = 32, 10
"""The number is written in blocks along the upper edge, white for 1: a 1, a 0, then Gray code, so that neighbours
differ in one block."""


def write_film(path: Path) -> None:
    """Write it as Y4M, which is what Chromium's camera for tests plays."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FRAME_RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for number, image in enumerate(draw_frames(width=WIDTH, height=HEIGHT, frames=FRAMES)):
            file.write(b"FRAME\n" + _numbered(image, number).tobytes())


def _numbered(image: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """The planes of the frame, I420, with its number."""
    picture = image.copy()
    gray = number ^ (number >> 1)
    for place, white in enumerate([1, 0, *(gray >> bit & 1 for bit in range(BITS - 2))]):
        picture[:BLOCK_PX, place * BLOCK_PX : (place + 1) * BLOCK_PX] = 235 if white else 16
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
