"""A photo's face as a run sees it: found, cut out, searched for a mask, drawn, and embedded."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine import select
from engine.spec import Precision
from pipeline.find.align import align
from pipeline.frames import Tracked
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import read_crop
from pipeline.recognisers import Recogniser, recogniser_file
from pipeline.video.stills import still_frame
from training.evaluation.product import Product, product

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.frames import Track


BASELINE = "dlib-resnet"
"""The recogniser that has never seen a mask, which others are compared with and taught by."""


@dataclass(frozen=True)
class Face:
    """What is known of the face of a photo."""

    embedding: NDArray[np.float32]
    """(d,) of unit length, as the recogniser gives it."""
    picture: NDArray[np.uint8]
    """(S, S, 3) what the recogniser looked at."""
    masked: bool
    """Whether the segmenter found a mask."""
    drawn: NDArray[np.float32] | None
    """(d,) of the face with its mask drawn over; None unless that was asked for and a mask was found."""


@dataclass(frozen=True)
class Looker:
    """Looks at photos of one person each: the face nearest to the middle counts."""

    parts: Product
    recogniser: Recogniser

    def __call__(self, image: NDArray[np.uint8], *, draw: bool = False) -> Face | None:
        """The face of a photo (height, width, 3) RGB; None where none is found. Raises `EngineError`."""
        tracked = self.central(image)
        if tracked is None:
            return None
        cropped = self.parts.segment(tracked)
        crop, crop_from_frame = align(tracked.frame, tracked.tracks[0])
        crops = [crop]
        if draw and cropped.crops:
            drawn = still_frame(self.parts.draw(cropped))
            crops.append(read_crop(drawn.planes, crop_from_frame, size=CROP_SIZE))
        embedding, *others = self.recogniser.embed(crops)
        return Face(embedding, self.recogniser.picture(crop), bool(cropped.crops), others[0] if others else None)

    def embedding(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """(d,) of the same face, which is not searched for a mask. Raises `EngineError`."""
        tracked = self.central(image)
        return None if tracked is None else self.recogniser.embed([align(tracked.frame, tracked.tracks[0])[0]])[0]

    def central(self, image: NDArray[np.uint8]) -> Tracked | None:
        """The face nearest to the photo's middle, found; None where there is none. Raises `EngineError`."""
        tracked = self.parts.find(image)
        if not tracked.tracks:
            return None
        return Tracked(tracked.detected, (min(tracked.tracks, key=lambda each: _off_middle(each, image.shape)),))


def _off_middle(track: Track, shape: tuple[int, ...]) -> float:
    """How far a face is from the photo's middle, in pixels; a large one counts as nearer."""
    box = track.detection.box
    return float(np.hypot(*(np.array(box.centre) - np.array(shape[1::-1]) / 2))) - box.width


@contextmanager
def looker(*, recogniser: str = BASELINE, engine: str = "auto", threads: int = 1) -> Iterator[Looker]:
    """A looker with the networks that we ship, compiled. Raises as `product` does, and for the recogniser's network."""
    file = recogniser_file(recogniser)
    with product(None, engine=engine, threads=threads) as parts:
        loaded = select.load(file.network(None), backend=engine, precision=Precision.F32, threads=threads)
        try:
            yield Looker(parts, file.recogniser(loaded))
        finally:
            loaded.close()
