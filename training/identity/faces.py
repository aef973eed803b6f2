"""Photos to stored faces, once before training, and the training pictures drawn from them.

`python -m training.identity.faces PHOTOS FOLDER` stores them. A photo is called `<person>_<number>` and shows that
person bare. Its face is cut out as a recogniser wants it, bare and with masks drawn on; a masked face is found anew in
the masked photo, as a run finds it. The frozen recogniser's embedding of the bare face is stored beside them. An
interrupted command goes on where it stopped.

A network whose first blocks stay as they are need not compute them again at every step: the output of its frozen front
is computed once for every stored face and kept on the disk.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import cv2
import numpy as np
import torch
from torch.nn import functional

from pipeline.errors import CheckpointError, SourceError
from pipeline.geometry import Affine
from pipeline.picture.pixels import align
from training.evaluation.photos import read, wear
from training.evaluation.product import looker
from training.identity.embeddings import TRAINING, person_of
from training.needs import bar, errors_in_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.frames import Tracked
    from training.evaluation.product import Looker

    Chip = NDArray[np.uint8]
    from torch import Tensor

    from training.identity.networks import DlibNetwork

    Rows = NDArray[np.int64]
    Rng = np.random.Generator


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
        # Whoever is cut off in between finds rows that count as untried, never as stored and empty.
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

    for number in bar(np.flatnonzero(faces.state == UNTRIED), unit="photo"):
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


FRONT_BATCH = 32


class Fronts:
    """The front's output for every stored face: bare and in each mask, as it is and mirrored; computed when first used.

    `looks` counts 0 for bare and k + 1 for mask k.
    """

    def __init__(self, faces: StoredFaces, folder: Path, network: DlibNetwork, blocks: int) -> None:
        self.faces, self.network, self.blocks = faces, network, blocks
        with torch.no_grad():
            shape = network.front(torch.zeros(1, 3, *(side - 2 * BORDER for side in faces.bare.shape[1:3])), blocks)
        entries = (len(faces.files), 1 + faces.masked.shape[1], 2)
        self.stored = _array(folder / f"front-{blocks}.npy", np.float16, (*entries, *shape.shape[1:]))
        self.done = _array(folder / f"front-{blocks}-done.npy", np.bool_, entries)

    def __call__(self, rows: NDArray[np.int64], looks: NDArray[np.int64], mirrored: NDArray[np.int64]) -> Tensor:
        """(N, channels, H, W) for N entries, channels last in memory."""
        missing = np.flatnonzero(~self.done[rows, looks, mirrored])
        for first in range(0, len(missing), FRONT_BATCH):
            some = missing[first : first + FRONT_BATCH]
            self._compute(rows[some], looks[some], mirrored[some])
        found = torch.from_numpy(self.stored[rows, looks, mirrored].astype(np.float32))
        return found.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _compute(self, rows: NDArray[np.int64], looks: NDArray[np.int64], mirrored: NDArray[np.int64]) -> None:
        pictures = as_pictures(chips_of(self.faces, rows, looks, mirrored))
        with torch.autocast("cpu", torch.bfloat16):
            value = self.network.front(pictures, self.blocks)
        self.stored[rows, looks, mirrored] = value.float().numpy()
        self.done[rows, looks, mirrored] = True


def _array(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """The array in `path`, or a new one of zeros; the system writes it to the disk when it likes."""
    if path.exists():
        return np.lib.format.open_memmap(path, "r+")
    return np.lib.format.open_memmap(path, "w+", kind, shape)


def as_pictures(chips: NDArray[np.generic]) -> Tensor:
    """(N, S, S, 3) to (N, 3, S, S) float32, channels last in memory, which is what the CPU is quick with."""
    planes = torch.from_numpy(np.ascontiguousarray(chips, np.float32)).permute(0, 3, 1, 2)
    return planes.contiguous(memory_format=torch.channels_last)


def chips_of(
    faces: StoredFaces,
    rows: NDArray[np.int64],
    looks: NDArray[np.int64],
    mirrored: NDArray[np.int64],
    *,
    border: int = 0,
) -> NDArray[np.uint8]:
    """(N, S, S, 3) stored faces, each in one of its looks, with `border` pixels more than the recogniser's picture."""
    chips = [faces.masked[row, look - 1] if look else faces.bare[row] for row, look in zip(rows, looks, strict=True)]
    turned = [chip[:, ::-1] if mirror else chip for chip, mirror in zip(chips, mirrored, strict=True)]
    off = BORDER - border
    return np.stack(turned)[:, off : len(chips[0]) - off, off : len(chips[0]) - off]


@dataclass(frozen=True)
class FaceBatch:
    """N training pictures."""

    value: Tensor
    """(N, 3, 150, 150) pictures, or what the frozen front makes of them."""
    teacher: Tensor
    """(N, d) the teacher's embeddings of the bare photos."""
    person: Tensor
    """(N,) who it is, counted from 0."""
    centres: Tensor
    """(people, d) the mean of the teacher's embeddings of each person, of unit length."""
    cover: Tensor
    """(N, C, C) how much of each place of the picture is mask, in [0, 1]."""


class Sampler:
    """Draws training pictures from stored faces: half of them mirrored, and without `fronts` varied in other ways."""

    def __init__(self, faces: StoredFaces, rows: Rows, fronts: Fronts | None = None) -> None:
        self.faces, self.rows, self.fronts = faces, rows, fronts
        self.person = np.unique(faces.people[rows], return_inverse=True)[1]
        self.order = np.argsort(self.person, kind="stable")
        self.starts = np.searchsorted(self.person[self.order], np.arange(self.person.max() + 2))
        teacher = torch.from_numpy(np.asarray(faces.teacher[rows]))
        centres = torch.zeros(int(self.person.max()) + 1, teacher.shape[1])
        # What a margin loss pulls each person's embeddings to.
        centres.index_add_(0, torch.from_numpy(self.person), teacher)
        self.centres = functional.normalize(centres)  # (people, d)

    def batch(self, count: int, masked: float, rng: Rng) -> FaceBatch:
        """A batch of `count` pictures, a part of `masked` of which wear one of their masks."""
        places = rng.integers(0, len(self.rows), count)
        return self._of(places, np.where(rng.random(count) < masked, self._masks(count, rng), 0), rng)

    def thirds(self, count: int, rng: Rng) -> FaceBatch:
        """A batch of `count` pictures in thirds: masked ones, the same photos bare, and bare ones of their people."""
        third = count // 3
        places = rng.integers(0, len(self.rows), third)
        person = self.person[places]
        # Rows in the order of people: those of one person stand beside each other.
        others = self.order[rng.integers(self.starts[person], self.starts[person + 1])]
        looks = np.concatenate([self._masks(third, rng), np.zeros(2 * third, np.int64)])
        return self._of(np.concatenate([places, places, others]), looks, rng)

    def _masks(self, count: int, rng: Rng) -> Rows:
        return rng.integers(1, 1 + self.faces.masked.shape[1], count)

    def _of(self, places: Rows, looks: Rows, rng: Rng) -> FaceBatch:
        rows, mirrored = self.rows[places], rng.integers(0, 2, len(places))
        if self.fronts is not None:
            value = self.fronts(rows, looks, mirrored)
        else:
            bordered = chips_of(self.faces, rows, looks, mirrored, border=BORDER)
            value = as_pictures(np.stack([varied(chip, rng) for chip in bordered]))
        teacher = torch.from_numpy(np.asarray(self.faces.teacher[rows]))
        cover = covers_of(self.faces, rows, looks, mirrored)
        return FaceBatch(value, teacher, torch.from_numpy(self.person[places]), self.centres, cover)


def covers_of(faces: StoredFaces, rows: Rows, looks: Rows, mirrored: Rows) -> Tensor:
    """(N, C, C) in [0, 1]: how much of each place of the recogniser's picture, without its border, is mask."""
    covers = np.where(looks[:, None, None] > 0, faces.cover[rows, np.maximum(looks - 1, 0)], 0).astype(np.float32) / 255
    turned = np.where(mirrored[:, None, None] > 0, covers[:, :, ::-1], covers)
    edge = round(COVER_SIDE * BORDER / faces.bare.shape[1])
    return torch.from_numpy(np.ascontiguousarray(turned[:, edge : COVER_SIDE - edge, edge : COVER_SIDE - edge]))


def varied(chip: NDArray[np.uint8], rng: Rng) -> NDArray[np.float32]:
    """A picture (S - 2 BORDER wide) of a stored face (S, S, 3) as another frame might have shown it."""
    side, middle = chip.shape[0] - 2 * BORDER, (chip.shape[0] - 1) / 2
    matrix = np.array(cv2.getRotationMatrix2D((middle, middle), rng.normal(0, 2.0), rng.normal(1.0, 0.025)))
    matrix[:, 2] = matrix[:, 2] + rng.normal(0, 1.5, 2) - BORDER
    picture = cv2.warpAffine(chip, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101).astype(np.float32)
    lit = (picture - 128) * rng.uniform(0.8, 1.2) + 128 + rng.normal(0, 10)
    return np.asarray(np.clip(lit, 0, 255), np.float32)


if __name__ == "__main__":
    main()
