"""The sets of photos that recognition is measured on: LFW's folds, MFR2, any folder of people."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipeline.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BARE = "no-mask"
"""The kind of a bare face in a `labels.csv`."""


@dataclass(frozen=True)
class PhotoSet:
    """N photos of people."""

    name: str
    files: tuple[Path, ...]
    people: NDArray[np.int64]
    """(N,) who is in each, counted from 0."""
    masked: NDArray[np.bool_] | None
    """(N,) who wears a real mask, as `labels.csv` says; None where there is no such file."""
    pairs: NDArray[np.int64] | None
    """(P, 2) which photos of a person are compared, as `pairs.csv` says; None: all."""

    @property
    def probes(self) -> NDArray[np.bool_]:
        """(N,) those that are compared with another photo of the same person as the second of a pair."""
        found = np.zeros(len(self.files), bool)
        found[self.genuine[:, 1]] = True
        return found

    @property
    def genuine(self) -> NDArray[np.int64]:
        """(P, 2) the pairs of different photos of one person, each once."""
        if self.pairs is not None:
            return self.pairs
        first, second = np.triu_indices(len(self.files), 1)
        same = self.people[first] == self.people[second]
        return np.column_stack([first[same], second[same]])


def photo_set(folder: Path, *, limit: int | None = None) -> PhotoSet:
    """The photos of `folder`, at most those of the first `limit` people.

    With a `pairs.csv` (fold, same, a, b) the photos that it names, `<person>_<number>` with a suffix; else pictures in
    folders called after people, or `<person>_<number>` side by side. Raises `SourceError` where there are none, or
    fewer than two people.
    """
    pictures = Image.registered_extensions()
    rows = pair_rows(folder / "pairs.csv")
    if rows is not None:
        files = sorted({folder / row[column] for row in rows for column in ("a", "b")})
    else:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in pictures)

    owners = [_person(path, folder) for path in files]
    kept = set(sorted(set(owners))[:limit])
    files = [path for path, owner in zip(files, owners, strict=True) if owner in kept]
    if len(kept) < 2:
        raise SourceError(
            f"{folder} holds photos of {len(kept)} people: name them PERSON_NUMBER.jpg or PERSON/NAME.jpg"
        )

    people = np.unique([_person(path, folder) for path in files], return_inverse=True)[1]
    pairs = None
    if rows is not None:
        number = {path.name: index for index, path in enumerate(files)}
        same = [(row["a"], row["b"]) for row in rows if row["same"] == "1" and row["a"] in number]
        pairs = np.array([(number[one], number[other]) for one, other in same], np.int64)
    return PhotoSet(folder.name, tuple(files), people, _labels(folder, files), pairs)


def _person(path: Path, folder: Path) -> str:
    return path.stem.rpartition("_")[0] if path.parent == folder else path.relative_to(folder).parts[0]


def _labels(folder: Path, files: list[Path]) -> NDArray[np.bool_] | None:
    """Who is masked, of `labels.csv`: name, number, kind; the photo is called `<name>_<number>`."""
    path = folder / "labels.csv"
    if not path.exists():
        return None
    with path.open(newline="", encoding="utf-8-sig") as file:
        kinds = {(row[0], int(row[1])): row[2] for row in csv.reader(file, skipinitialspace=True) if row}
    try:
        found = [kinds[_person(photo, folder), int(photo.stem.rpartition("_")[2])] for photo in files]
    except (KeyError, ValueError) as error:
        raise SourceError(f"{path} has no line for every photo: {error} is missing") from error
    return np.array([kind.strip() != BARE for kind in found])


def pair_rows(path: Path) -> list[dict[str, str]] | None:
    """The lines of a `pairs.csv` by column, None where there is no file. Raises `SourceError` for another table."""
    if not path.exists():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"same", "a", "b"} <= rows[0].keys():
        raise SourceError(f"{path} needs the columns fold, same, a and b")
    return rows
