"""The hidden part of each face, drawn by the generator: all faces of a frame in one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.align import write_colours
from pipeline.frames import Inpainted, Patch
from pipeline.geometry import CROP_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.frames import Cropped, FaceCrop

GROW_PX = 6
"""How far the hole reaches beyond the mask, in crop pixels: a mask's rim colours the skin beside it."""


def hole_of(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, S) in [0, 1], what the generator fills: the mask's likely pixels, grown by `GROW_PX` and softened."""
    likely = (mask > 0.3).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * GROW_PX + 1, 2 * GROW_PX + 1))
    return np.asarray(cv2.blur(cv2.dilate(likely, disc).astype(np.float32), (3, 3)), np.float32)


def generator_input(crops: Sequence[FaceCrop]) -> NDArray[np.float32]:
    """(N, 4, S, S): RGB in [-1, 1] and the hole in [0, 1] of N crops."""
    feed = np.empty((len(crops), 4, CROP_SIZE, CROP_SIZE), np.float32)
    for crop, planes in zip(crops, feed, strict=True):
        write_colours(crop.image, planes[:3])
        planes[3] = hole_of(crop.mask)
    return feed


@dataclass(frozen=True)
class Inpaint:
    """Stage: draw what each mask hides."""

    engine: Engine

    def __call__(self, stream: Iterator[Cropped]) -> Iterator[Inpainted]:
        """Each frame with one patch for each of its crops."""
        for cropped in stream:
            if not cropped.crops:
                yield Inpainted(cropped=cropped, patches=())
                continue
            faces = self.engine.run({"crop_and_mask": generator_input(cropped.crops)})["face"]
            images = (
                np.clip(np.rint((np.asarray(faces, np.float32) + 1.0) * 127.5), 0, 255)
                .astype(np.uint8)
                .transpose(0, 2, 3, 1)
            )
            patches = zip(cropped.crops, images, strict=True)
            yield Inpainted(cropped=cropped, patches=tuple(Patch(crop=crop, image=image) for crop, image in patches))
