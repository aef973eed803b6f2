"""A photo as the product sees it: its own path, taken apart where evaluation steps in, and a face found and embedded.

Who holds the true mask may use it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine import select
from engine.spec import Precision
from pipeline.blend.blend import Blend
from pipeline.blend.smooth import Smooth
from pipeline.draw.inpaint import Inpaint
from pipeline.draw.segment import Segment
from pipeline.find.detect import Detect
from pipeline.find.track import track_each_detection
from pipeline.frames import Cropped, FaceCrop, Tracked
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import align, read_crop
from pipeline.recognisers import Recogniser, recogniser_file
from pipeline.run import load
from pipeline.settings.values import build
from pipeline.video.stills import still_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.frames import Track
    from pipeline.run.load import Networks


@dataclass(frozen=True)
class Product:
    """The stages of a run on one photo, one by one."""

    networks: Networks

    def find(self, image: NDArray[np.uint8]) -> Tracked:
        """The faces of a photo (height, width, 3) RGB: each detection counts, as when the product runs on a photo."""
        (tracked,) = track_each_detection(Detect(self.networks.detector)(iter([still_frame(image)])))
        return tracked

    def segment(self, tracked: Tracked) -> Cropped:
        """The faces that the segmenter finds masked, with the masks that it finds."""
        segment = Segment(self.networks.segmenter, thorough=True)
        (cropped,) = segment.answer(segment.ask(iter([tracked])))
        return cropped

    def draw(self, cropped: Cropped, generator: Engine | None = None) -> NDArray[np.uint8]:
        """The photo with its faces drawn by the generator, or by another one that takes and gives the same."""
        inpaint = Inpaint(generator or self.networks.generator, figure=self.networks.figure)
        (frame,) = Blend()(Smooth()(inpaint.answer(inpaint.ask(iter([cropped])))))
        return frame.image


def worn_by(tracked: Tracked, alpha: NDArray[np.float32]) -> Track | None:
    """The face whose box holds most of the mask `alpha` (height, width); None when no box holds any of it."""

    def held(track: Track) -> float:
        box = track.detection.box
        top, bottom, left, right = (max(0, round(edge)) for edge in (box.top, box.bottom, box.left, box.right))
        return float(alpha[top:bottom, left:right].sum())

    wearers = [track for track in tracked.tracks if held(track) > 0]
    return max(wearers, key=held, default=None)


def with_true_mask(tracked: Tracked, track: Track, alpha: NDArray[np.float32]) -> Cropped:
    """The face of `track` with the photo's mask `alpha` (height, width) in [0, 1] in place of the segmenter's."""
    image, crop_from_frame = align(tracked.frame, track)
    grey = still_frame(np.rint(alpha * 255).astype(np.uint8))
    mask = read_crop(grey.planes, crop_from_frame, size=CROP_SIZE)[..., 0].astype(np.float32) / np.float32(255)
    return Cropped(tracked, (FaceCrop(track, image, mask, crop_from_frame),), skipped=())


@contextmanager
def product(folder: Path | None, *, engine: str, threads: int, faces: Sequence[str] = ()) -> Iterator[Product]:
    """The networks as a run would compile them, with the enrolled `faces`; generator and segmenter from `folder` where
    it holds them.

    Raises as `pipeline.run.load.networks` does.
    """
    with load.networks(build({"engine": engine, "threads": threads, "face": tuple(faces)}), folder) as networks:
        yield Product(networks)


BASELINE = "dlib-resnet"
"""The recogniser that has never seen a mask, which others are compared with and taught by."""


@dataclass(frozen=True)
class PhotoFace:
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

    def __call__(self, image: NDArray[np.uint8], *, draw: bool = False) -> PhotoFace | None:
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
        return PhotoFace(embedding, self.recogniser.picture(crop), bool(cropped.crops), others[0] if others else None)

    def embedding(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """(d,) of the same face, which is not searched for a mask. Raises `EngineError`."""
        tracked = self.central(image)
        return None if tracked is None else self.recogniser.embed([align(tracked.frame, tracked.tracks[0])[0]])[0]

    def central(self, image: NDArray[np.uint8]) -> Tracked | None:
        """The face nearest to the photo's middle, found; None where there is none. Raises `EngineError`."""
        tracked = self.parts.find(image)
        if not tracked.tracks:
            return None
        return Tracked(tracked.detected, (min(tracked.tracks, key=lambda track: _off_middle(track, image.shape)),))


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
