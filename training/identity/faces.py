"""Photos to stored faces, once before training: `python -m training.identity.faces PHOTOS FOLDER`.

A photo is called `<person>_<number>` and shows that person bare. Its face is cut out as a recogniser wants it, bare and
with masks drawn on; a masked face is found anew in the masked photo, as a run finds it. The frozen recogniser's
embedding of the bare face is stored beside them. An interrupted command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import cv2
import numpy as np

from pipeline.errors import CheckpointError, SourceError
from pipeline.find.align import align
from pipeline.geometry import Affine
from training.evaluation.photos import read, wear
from training.evaluation.product import looker
from training.identity.embeddings import TRAINING, person_of
from training.needs import errors_in_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.frames import Tracked
    from training.evaluation.product import Looker

    Chip = NDArray[np.uint8]

BORDER = 8
"""Pixels around the recogniser's picture that are stored with it, so that a shifted picture stays inside."""
COVER_SIDE = 40
"""Side of the stored map that says how much of each place is mask."""
FLUSH_EVERY = 100
UNTRIED, STORED, WITHOUT_FACE = 0, 1, 2
"""The states of a photo."""


@dataclass(frozen=True)
class StoredFaces:
    """N photos' faces in arrays on the disk; rows count only where `state` is STORED."""

    files: tuple[str, ...]
    """(N,) the photos' names."""
    state: NDArray[np.uint8]
    """(N,)"""
    bare: NDArray[np.uint8]
    """(N, S, S, 3) RGB: the recogniser's picture with `BORDER` pixels around it."""
    masked: NDArray[np.uint8]
    """(N, K, S, S, 3) the same photo with each of K masks."""
    cover: NDArray[np.uint8]
    """(N, K, COVER_SIDE, COVER_SIDE) how much of each place is mask, 255 for all of it."""
    teacher: NDArray[np.float32]
    """(N, d) the frozen recogniser's embeddings of the bare faces, of unit length."""

    @classmethod
    def open(cls, folder: Path, *, writable: bool = False) -> StoredFaces:
        """The arrays of `folder`. Raises `CheckpointError` where there are none."""
        mode: Literal["r+", "r"] = "r+" if writable else "r"
        try:
            files = tuple(json.loads((folder / "files.json").read_text()))
            arrays = (np.load(folder / f"{name}.npy", mmap_mode=mode) for name in list(cls.__annotations__)[1:])
            return cls(files, *arrays)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{folder} holds no stored faces ({error}): training.identity.faces writes them"
            ) from error

    @classmethod
    def create(cls, folder: Path, files: Sequence[str], *, side: int, masks: int, width: int) -> StoredFaces:
        """Empty arrays in `folder` for faces `side` pixels wide and embeddings of `width` numbers."""
        count = len(files)
        folder.mkdir(parents=True, exist_ok=True)
        for name, kind, shape in (
            ("state", np.uint8, ()),
            ("bare", np.uint8, (side, side, 3)),
            ("masked", np.uint8, (masks, side, side, 3)),
            ("cover", np.uint8, (masks, COVER_SIDE, COVER_SIDE)),
            ("teacher", np.float32, (width,)),
        ):
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, (count, *shape)).flush()
        (folder / "files.json").write_text(json.dumps(list(files)))
        return cls.open(folder, writable=True)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows that hold a face."""
        return np.flatnonzero(self.state == STORED)

    @property
    def people(self) -> NDArray[np.int64]:
        """(N,) who is in each photo, counted from 0."""
        return np.unique([person_of(Path(name)) for name in self.files], return_inverse=True)[1]

    def flush(self) -> None:
        """Write everything to the disk, the states last."""
        for name in ("bare", "masked", "cover", "teacher", "state"):
            cast("np.memmap[Any, Any]", getattr(self, name)).flush()


def by_person(names: Sequence[str], seed: int) -> list[str]:
    """File names with the people shuffled and each person's photos together, so that the first are a fair sample."""
    people = sorted({person_of(Path(name)) for name in names})
    place = dict(zip(people, np.random.default_rng(seed).permutation(len(people)), strict=True))
    return sorted(names, key=lambda name: (place[person_of(Path(name))], name))


@dataclass(frozen=True)
class FaceCutter:
    """Cuts faces out of photos as the recogniser wants them."""

    look: Looker

    @property
    def side(self) -> int:
        """Side of a stored face in pixels."""
        return self.look.recogniser.size + 2 * BORDER

    def chip(self, tracked: Tracked) -> tuple[Chip, Affine]:
        """The face (side, side, 3) and chip-from-photo."""
        crop, crop_from_photo = align(tracked.frame, tracked.tracks[0])
        shift = Affine(np.array([[1.0, 0.0, BORDER], [0.0, 1.0, BORDER]]))
        chip_from_crop = shift.after(self.look.recogniser.picture_from_crop)
        chip = cv2.warpAffine(crop, chip_from_crop.matrix, (self.side, self.side))
        return np.asarray(chip, np.uint8), chip_from_crop.after(crop_from_photo)

    def store(self, photo: Chip, number: int, seed: int, faces: StoredFaces) -> bool:
        """Store the face of `photo` as row `number`; False where it is not found, bare or in any of its masks."""
        tracked = self.look.central(photo)
        if tracked is None:
            return False
        faces.bare[number] = self.chip(tracked)[0]
        faces.teacher[number] = self.look.recogniser.embed([align(tracked.frame, tracked.tracks[0])[0]])[0]

        for mask in range(faces.masked.shape[1]):
            worn = wear(photo, np.random.default_rng([seed, number, mask, TRAINING]))
            found = None if worn is None else self.look.central(worn[0])
            if worn is None or found is None:
                return False
            faces.masked[number, mask], chip_from_photo = self.chip(found)
            alpha = cv2.warpAffine(worn[1], chip_from_photo.matrix, (self.side, self.side))
            small = cv2.resize(alpha, (COVER_SIDE, COVER_SIDE), interpolation=cv2.INTER_AREA)
            faces.cover[number, mask] = np.rint(small * 255)
        return True


def store_all(photos: Path, folder: Path, look: Looker, *, masks: int, seed: int) -> StoredFaces:
    """Store the faces of every photo that is not stored yet. Raises `SourceError` for a folder without photos."""
    cutter = FaceCutter(look)
    if (folder / "files.json").exists():
        faces = StoredFaces.open(folder, writable=True)
    else:
        names = [path.name for path in photos.glob("*") if path.is_file()]
        if not names:
            raise SourceError(f"{photos} holds no photos")
        width = look.recogniser.engine.outputs[0].shape[-1] or 0
        faces = StoredFaces.create(folder, by_person(names, seed), side=cutter.side, masks=masks, width=width)
    for number in np.flatnonzero(faces.state == UNTRIED):
        found = cutter.store(read(photos / faces.files[number]), int(number), seed, faces)
        faces.state[number] = STORED if found else WITHOUT_FACE
        if number % FLUSH_EVERY == 0:
            faces.flush()
    faces.flush()
    return faces


def main() -> None:
    """Read the options and store the faces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--masks", type=int, default=2, help="how many masks each face wears, one after the other")
    parser.add_argument("--seed", type=int, default=0, help="of the masks and the order of people")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with errors_in_one_line(parser), looker() as look:
        faces = store_all(options.photos, options.folder, look, masks=options.masks, seed=options.seed)
        print(f"{options.folder}: {len(faces.rows)} of {len(faces.files)} photos")  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
