"""Photos of people in real masks to pictures that networks learn from: `python -m training.data.real PHOTOS FOLDER`.

Nobody knows what such a mask hides, so a generator has nothing there to be compared with: its drawing is shown to the
discriminator alone. The segmenter learns where the masks are: it finds them itself, looking at each face many times,
and somebody looks at what it found and corrects it.

For each masked face the command writes `NAME.png`, a square around the face, transparent beyond the photo's border, and
`NAME-mask.png`, white where something is worn. Correct masks with any editor of pictures, and remove the pairs of faces
that should not be learned from. A pair that is there is never written again.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from engine.models import shipped
from engine.select import load
from pipeline.draw.segment import segmenter_input
from pipeline.errors import CheckpointError, SourceError
from pipeline.geometry import CROP_SIZE, Affine, face_crop
from pipeline.picture.pixels import FADE, GREY, in_frame, read_crop
from pipeline.video.stills import still_frame
from training.data.crops import CENTRE, WIDEST, finder, photo, pictures_in, wider
from training.data.mesh import square
from training.data.samples import TrainingSample, colourless, degrade, jitter, recolour
from training.needs import bar, errors_in_one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.frames import Frame

SIDE = round(CROP_SIZE / WIDEST)
"""A picture's side: the canonical crop is as fine in it as in a run, and the widest view that is learned from fits."""

STORED_FROM_CANONICAL = square(SIDE, CENTRE, SIDE)
"""Where the canonical crop lies in a picture."""

APART = 3
"""One photo in so many is kept apart, for evaluation: of a hundred and fifty fifty."""

LEAST_SIDE = 96
"""A face whose crop has fewer pixels a side in the photo than this is too coarse to learn from."""

LOOKS = 24
"""How often a face is looked at."""

LEAST_WORN = 0.03
"""The share of a crop that must be mask for a face to count as masked, as in a run."""

_CROP = np.s_[(SIDE - CROP_SIZE) // 2 : (SIDE + CROP_SIZE) // 2, (SIDE - CROP_SIZE) // 2 : (SIDE + CROP_SIZE) // 2]
"""The canonical crop in a picture."""

_SURE = (0.25, 0.75)
"""What fewer looks than the first share call mask is none, what more than the second do is."""


@dataclass(frozen=True)
class RealMasks:
    """Pictures of faces in real masks."""

    pictures: tuple[NDArray[np.uint8], ...]
    """(SIDE, SIDE, 4) RGB, and 255 where the photo is, 0 beyond its border."""
    masks: tuple[NDArray[np.uint8], ...]
    """(SIDE, SIDE) 255 where something is worn, 0 elsewhere; between them what is half covered or in doubt."""

    @classmethod
    def read(cls, folder: Path) -> RealMasks:
        """The pairs in `folder`, by name. Raises `CheckpointError` where there are none, or one is of another size."""
        pictures, masks = [], []
        for path in sorted(folder.glob("*-mask.png")):
            of = path.with_name(path.name.replace("-mask.png", ".png"))
            try:
                pictures.append(np.asarray(Image.open(of).convert("RGBA")))
                masks.append(np.asarray(Image.open(path).convert("L")))
            except (UnidentifiedImageError, OSError) as error:
                raise CheckpointError(f"{of} or its mask can't be read as a picture: {error}") from error
            if not pictures[-1].shape[:2] == masks[-1].shape == (SIDE, SIDE):
                raise CheckpointError(f"{of} and its mask must have {SIDE} pixels a side, as they were written")
        if not masks:
            raise CheckpointError(f"{folder} holds no *-mask.png: training.data.real writes them")
        return cls(tuple(pictures), tuple(masks))

    def __len__(self) -> int:
        return len(self.masks)

    def draw(self, index: int, rng: np.random.Generator, *, size: int, seeks: bool) -> TrainingSample:
        """The face of `index` at `size`, jittered and degraded; its truth is the same face, masked but not degraded.

        `seeks` is for the segmenter, which is shown wider views too, and grey beyond the photo's border.
        """
        view = jitter(rng, size)
        if seeks and rng.random() < 0.35:
            view = wider(rng, size).after(view)
        view_from_stored = view.after(STORED_FROM_CANONICAL.inverse())

        stored = recolour(self.pictures[index][..., :3], rng)
        picture = seen(stored, view_from_stored, size, cv2.BORDER_REPLICATE)
        alpha = seen(self.masks[index], view_from_stored, size).astype(np.float32) / np.float32(255)
        if rng.random() < 0.06:
            picture = colourless(picture)
        shown = degrade(picture, rng) if rng.random() < 0.6 else picture

        if seeks:
            inside = seen(self.pictures[index][..., 3], view_from_stored, size) > 127
            shown, alpha = greyed(shown, inside), going_on(alpha, inside)
        return TrainingSample(shown, picture, alpha)


def seen(
    image: NDArray[np.uint8], view_from_stored: Affine, size: int, border: int = cv2.BORDER_CONSTANT
) -> NDArray[np.uint8]:
    """A view of what is stored, averaged where it is coarser."""
    if view_from_stored.scale < 0.7:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 / view_from_stored.scale), np.uint8)
    return np.asarray(cv2.warpAffine(image, view_from_stored.matrix, (size, size), borderMode=border), np.uint8)


def greyed(picture: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A view (S, S, 3) that turns grey where it is not `inside` (S, S) the photo, as `pixels.faded` has it."""
    away = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = np.minimum(away / (FADE * len(picture)), 1)[..., None]
    return np.asarray(np.rint(picture + share * (GREY - picture.astype(np.float32))), np.uint8)


def going_on(alpha: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(S, S) `alpha` that goes on where it is not `inside` (S, S) the photo, half of the way to grey, as in `close_up`.

    Were there none, a network would learn that masks end at the border, and begin to end them before it.
    """
    sure = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)  # at the border it is mixed
    if not sure.any():
        return np.zeros_like(alpha)
    away, nearest = cv2.distanceTransformWithLabels(1 - sure, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros(int(nearest.max()) + 1, np.float32)
    values[nearest[sure > 0]] = alpha[sure > 0]
    return np.where(away < FADE * len(alpha) / 2, values[nearest], 0).astype(np.float32)


def found_by(segmenter: Engine, picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(SIDE, SIDE) the mask of a face that the segmenter finds in many views of its `picture` (SIDE, SIDE, 4).

    A view as close as the crop says more than a wider one; beyond the crop the wider ones are alone.
    """
    likely, weight = np.zeros((2, SIDE, SIDE), np.float32)
    size = segmenter.inputs[0].shape[-1] or CROP_SIZE
    for look in range(LOOKS):
        view = jitter(rng, size)
        if look % 3 == 2:
            view = wider(rng, size).after(view)
        view_from_stored = view.after(STORED_FROM_CANONICAL.inverse())

        shown = seen(recolour(picture[..., :3], rng), view_from_stored, size, cv2.BORDER_REPLICATE)
        inside = seen(picture[..., 3], view_from_stored, size) > 127
        ((found,),) = segmenter.run({"crop": segmenter_input([greyed(shown, inside)])})["mask"]

        back = view_from_stored.inverse().matrix
        importance = np.float32(1 if look % 3 < 2 else 0.1)
        likely += importance * cv2.warpAffine(np.asarray(found, np.float32), back, (SIDE, SIDE))
        weight += importance * cv2.warpAffine(np.ones((size, size), np.float32), back, (SIDE, SIDE))

    share = np.interp(likely / np.maximum(weight, np.float32(1e-3)), _SURE, (0, 1))
    return np.asarray(np.where(picture[..., 3] > 127, np.rint(255 * share), 0), np.uint8)


def cut(frame: Frame, stored_from_frame: Affine) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 4) the square around a face: RGB, and 255 where the frame is."""
    inside = in_frame(stored_from_frame, frame.width, frame.height, size=SIDE)
    return np.dstack([read_crop(frame.planes, stored_from_frame, size=SIDE), np.uint8(255) * inside])


def write_all(photos: Path, folder: Path, *, apart: bool = False) -> int:
    """Write picture and mask of each face in `photos` that wears one, as the segmenter sees it; how many there are.

    Of a photo in which it sees none the largest face is written. `apart`: those photos that are kept apart, else the
    others. Raises `SourceError` for a folder without such pictures and for a picture that can't be read.
    """
    used = [path for number, path in enumerate(pictures_in(photos), start=1) if (number % APART == 0) == apart]
    if not used:
        raise SourceError(f"{photos} holds too few pictures: training.data.real takes photos of people in masks")

    folder.mkdir(parents=True, exist_ok=True)
    segmenter = load(shipped("segmenter"), threads=1)
    try:
        return sum(_write(path, folder, segmenter) for path in bar(used, unit="photo"))
    finally:
        segmenter.close()


def _write(path: Path, folder: Path, segmenter: Engine) -> int:
    """Write the pairs of one photo, but those that are there; how many faces it has."""
    frame = still_frame(photo(path))
    shown: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for face in sorted(finder()(frame), key=lambda face: -face.box.width):
        crop_from_frame = face_crop(face.landmarks)
        if CROP_SIZE / crop_from_frame.scale < LEAST_SIDE:
            continue
        picture = cut(frame, STORED_FROM_CANONICAL.after(crop_from_frame))
        mask = found_by(segmenter, picture, np.random.default_rng(0))
        if not shown or mask[_CROP].mean() > 255 * LEAST_WORN:
            shown.append((picture, mask))

    for number, (picture, mask) in enumerate(shown):
        kept = folder / f"{path.stem}-{number}-mask.png"
        if not kept.exists():
            Image.fromarray(picture).save(folder / f"{path.stem}-{number}.png")
            Image.fromarray(mask).save(kept)
    return len(shown)


def main() -> None:
    """Read the flags and write the pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help=f"of people in masks; every {APART}rd, by name, is kept apart")
    parser.add_argument("folder", type=Path, help="gets a picture and a mask for each masked face")
    parser.add_argument("--apart", action="store_true", help="write those that are kept apart, to measure with")
    flags = parser.parse_args()
    cv2.setNumThreads(1)
    with errors_in_one_line(parser):
        count = write_all(flags.photos, flags.folder, apart=flags.apart)
        print(f"{count} faces in {flags.folder}: look at their masks and correct them")  # noqa: T201 (the answer)


if __name__ == "__main__":
    main()
