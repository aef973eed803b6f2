"""Photos to embeddings, once before training: `python -m training.identity.embeddings PHOTOS FOLDER`.

A photo is called `<person>_<number>` and shows that person bare. Its face is embedded as it is, and with masks drawn
on, found and cut out anew each time as a run would. Parts that are there already are not made again.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.errors import CheckpointError, SourceError
from pipeline.whole_file import whole_file
from training.evaluation.photos import read, wear
from training.evaluation.product import looker
from training.needs import bar, errors_in_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.evaluation.product import Looker

    Vector = NDArray[np.float32]

PART = 200
"""How many photos a file holds."""

TRAINING = 1
"""Ends the seed of each mask here, so that none is one of the evaluation's."""


@dataclass(frozen=True)
class Embedded:
    """Photos of N bare faces, each masked K times."""

    people: NDArray[np.str_]
    """(N,) who it is."""
    bare: NDArray[np.float32]
    """(N, d)"""
    masked: NDArray[np.float32]
    """(N, K, d)"""
    drawn: NDArray[np.float32]
    """(N, K, d): with the mask drawn over; NaN where that was not tried, or the segmenter found no mask."""

    @classmethod
    def read(cls, folder: Path) -> Embedded:
        """All parts in `folder`. Raises `CheckpointError` where there are none or one is not ours."""
        parts = sorted(folder.glob("part-*.npz"))
        if not parts:
            raise CheckpointError(f"{folder} holds no embeddings: training.identity.embeddings writes them")
        try:
            loaded = [np.load(part) for part in parts]
            return cls(*(np.concatenate([part[name] for part in loaded]) for name in cls.__annotations__))
        except (OSError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{folder}: a part is not what we wrote ({error}); remove it and run again"
            ) from error


def person_of(photo: Path) -> str:
    """Who is in a photo called `<person>_<number>`."""
    return photo.stem.rpartition("_")[0]


def embed(photos: Sequence[Path], look: Looker, *, masks: int, seed: int, first: int, draw: bool) -> Embedded:
    """The embeddings of photos; those in which a face is not found, bare or in any of its masks, are left out.

    `first` is the number of the first photo; it and `seed` decide the masks.
    """
    people, bare, masked, drawn = [], [], [], []
    for number, path in enumerate(photos, start=first):
        photo = read(path)
        worn = [wear(photo, np.random.default_rng([seed, number, mask, TRAINING])) for mask in range(masks)]
        seen = look.embedding(photo)
        in_masks = [masked_photo[0] for masked_photo in worn if masked_photo is not None]
        found = [pair for picture in in_masks if (pair := _hidden(look, picture, draw=draw)) is not None]

        if seen is None or len(found) < masks:
            continue
        people.append(person_of(path))
        bare.append(seen)
        masked.append([hidden for hidden, _ in found])
        drawn.append([over for _, over in found])
    vectors = (np.array(rows, np.float32) for rows in (bare, masked, drawn))
    return Embedded(np.array(people, np.str_), *vectors)


def _hidden(look: Looker, image: NDArray[np.uint8], *, draw: bool) -> tuple[Vector, Vector] | None:
    """A masked face's embedding, and that of the face drawn over it or NaN; None where none is found."""
    if draw:
        face = look(image, draw=True)
        if face is not None:
            return face.embedding, face.embedding * np.nan if face.drawn is None else face.drawn
        return None
    embedding = look.embedding(image)
    return None if embedding is None else (embedding, embedding * np.float32(np.nan))


def main() -> None:
    """Read the flags and embed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--masks", type=int, default=2, help="how many masks each face wears, one after the other")
    parser.add_argument("--seed", type=int, default=0, help="of the masks")
    parser.add_argument("--draw", type=int, default=0, metavar="N", help="draw over the masks of the first N photos")
    parser.add_argument("--part", default="0/1", metavar="I/N", help="only every N-th file from the I-th, from 0")
    flags = parser.parse_args()
    cv2.setNumThreads(1)
    with errors_in_one_line(parser):
        _embed_all(flags)


def _embed_all(flags: argparse.Namespace) -> None:
    """Raises `SourceError` for a folder without photos and for a file that is none."""
    files = sorted(path for path in flags.photos.glob("*") if path.is_file())
    if not files:
        raise SourceError(f"{flags.photos} holds no photos")
    flags.folder.mkdir(parents=True, exist_ok=True)

    mine, of = (int(number) for number in flags.part.split("/"))
    with looker() as look:
        for number, first in enumerate(bar(range(0, len(files), PART), unit="file")):
            part = files[first : first + PART]
            target = flags.folder / f"part-{number:04d}.npz"
            if number % of != mine or target.exists():
                continue
            draw = first < flags.draw
            found = embed(part, look, masks=flags.masks, seed=flags.seed, first=first, draw=draw)
            with whole_file(target, overwrite=True) as unfinished:
                np.savez(unfinished, **vars(found))
            print(f"{target}: {len(found.people)} of {len(part)} photos")  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
