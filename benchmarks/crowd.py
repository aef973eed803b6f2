"""A clip with as many masked faces as is asked for, all else the same: the demo's portrait in a grid, each moving."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import av
import numpy as np

from pipeline.demo.clip import FRAME_RATE, encodable, video_stream
from pipeline.demo.motion import frame_from_portrait, warped
from pipeline.demo.portrait import mask_alpha, masked_portrait, portrait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.clips import MasksOf
    from pipeline.geometry import Affine

SIZE = "1280x720"
COLUMNS, ROWS = 4, 2
TAKEN = (1, 6, 3, 4, 0, 7, 2, 5)
"""Places of the grid in the order in which faces take them."""
MOST = len(TAKEN)


def make_crowd(folder: Path, faces: int, frames: int) -> Path:
    """A clip of `SIZE` with so many masked faces, without sound."""
    from benchmarks.clips import parsed

    width, height = parsed(SIZE)
    path = folder / f"crowd-{faces}-{frames}.mp4"
    with av.open(str(path), "w") as container:
        video = video_stream(container, width=width, height=height, crf=16)
        for index, image in enumerate(_drawn(faces, frames, width, height)):
            picture = encodable(image)
            picture.pts, picture.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    return path


def masks_of(faces: int) -> MasksOf:
    """Where the masks of a crowd of so many are."""
    return partial(_masks, faces)


def _masks(faces: int, index: int, *, width: int, height: int) -> list[NDArray[np.uint8]]:
    alpha = (mask_alpha() * 255).astype(np.uint8)
    masks = []
    for tile in TAKEN[:faces]:
        mask = np.zeros((height, width), np.uint8)
        _part(mask, tile)[:] = warped(alpha, _place(tile, index, width, height), **_tile_size(width, height))
        masks.append(mask)
    return masks


def _drawn(faces: int, frames: int, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """(height, width, 3) RGB of each frame."""
    random = np.random.default_rng(2)
    lower = portrait()[256:]
    faceless = np.ascontiguousarray(np.concatenate([lower[::-1], lower]))  # suit and helmet: texture, but nobody
    for index in range(frames):
        image = np.empty((height, width, 3), np.uint8)
        for order, tile in enumerate(TAKEN):
            picture = masked_portrait() if order < faces else faceless
            _part(image, tile)[:] = warped(picture, _place(tile, index, width, height), **_tile_size(width, height))
        grain = random.normal(0, 1.5, (height, width, 1)).astype(np.float32)
        yield np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def ahead(tile: int) -> Fraction:
    """By how many seconds a place of the grid is ahead in its motion, so that not all faces move alike."""
    return Fraction(tile, MOST)


def _place(tile: int, index: int, width: int, height: int) -> Affine:
    """The portrait in its place of the grid."""
    return frame_from_portrait(Fraction(index, FRAME_RATE) + ahead(tile), **_tile_size(width, height))


def _tile_size(width: int, height: int) -> dict[str, int]:
    return {"width": width // COLUMNS, "height": height // ROWS}


def _part(image: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    height, width = image.shape[0] // ROWS, image.shape[1] // COLUMNS
    top, left = tile // COLUMNS * height, tile % COLUMNS * width
    return image[top : top + height, left : left + width]
