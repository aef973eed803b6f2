"""The product's own path on one photo, taken apart where evaluation steps in: who holds the true mask may use it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.blend.blend import Blend
from pipeline.blend.smooth import Smooth
from pipeline.draw.inpaint import Inpaint
from pipeline.draw.segment import Segment
from pipeline.find.align import align
from pipeline.find.detect import Detect
from pipeline.find.track import track_each_detection
from pipeline.frames import Cropped, FaceCrop
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import read_crop
from pipeline.run import load
from pipeline.settings.config import build
from pipeline.video.stills import still_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.frames import Track, Tracked
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
        segment = Segment(self.networks.segmenter)
        (cropped,) = segment.answer(segment.ask(iter([tracked])))
        return cropped

    def draw(self, cropped: Cropped, generator: Engine | None = None) -> NDArray[np.uint8]:
        """The photo with its faces drawn by the generator, or by another one that takes and gives the same."""
        inpaint = Inpaint(generator or self.networks.generator)
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
