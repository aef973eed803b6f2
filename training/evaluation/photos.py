"""Photos whose masks are known, and contact sheets of what became of them.

They are fixed pairs from a folder, or bare photos on which we draw masks at a fixed seed.

`python -m training.evaluation.photos near-infrared|disguised PHOTOS FOLDER` writes photos as a near-infrared camera
would have taken them, or of people who wear the next one's face as a mask of silicone.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.errors import SinkError, SourceError
from pipeline.geometry import CROP_SIZE
from pipeline.video.stills import synthetic_png
from training.data import masks
from training.data.crops import MARGIN, central_face, pictures_in
from training.data.mesh import FaceMesh, Point
from training.needs import MaskKind, errors_in_one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from numpy.typing import NDArray

    from pipeline.geometry import Affine

    Labels = Mapping[str, Mapping[str, str]]
    """Labels by the photo's name, then by property, such as `glasses`: `yes`."""
    from collections.abc import Sequence


@dataclass(frozen=True)
class MaskedPhoto:
    """A photo that wears a mask, and what is beneath it."""

    name: str
    kind: str
    """Which kind of mask, such as `surgical`."""
    truth: NDArray[np.uint8]
    """(height, width, 3) RGB: the bare photo."""
    alpha: NDArray[np.float32]
    """(height, width) in [0, 1]: how much of each pixel is mask."""
    image: NDArray[np.uint8]
    """(height, width, 3) RGB: the photo with the mask."""

    @property
    def hole_fraction(self) -> float:
        """Part of the photo that is mask."""
        return float(self.alpha.mean())


class MaskedPhotos(Protocol):
    """A set of masked photos; the same number gives the same photo every time."""

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called, by number."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, number: int) -> MaskedPhoto | None:
        """One of them; None where no mask can be drawn because no face is found in the bare photo."""
        ...


@dataclass(frozen=True)
class FixedPairs:
    """`truth/NAME.jpg`, `mask/NAME.png` (8-bit alpha a) and `paint/NAME.jpg`: masked is truth x (1 - a) + paint x a.

    NAME ends in `_KIND`.
    """

    folder: Path
    names: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path, *, limit: int | None = None) -> FixedPairs:
        """The photos of `folder` in alphabetical order, at most `limit`. Raises `SourceError` when there are none."""
        names = sorted(path.stem for path in (folder / "truth").glob("*.jpg"))
        if not names:
            raise SourceError(f"{folder} has no truth/*.jpg: --pairs takes a folder with truth/, mask/ and paint/")
        return cls(folder, tuple(names[:limit]))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> MaskedPhoto:
        """Raises `SourceError` for a pair that is incomplete or whose pictures differ in size."""
        name = self.names[number]
        truth, paint = (read(self.folder / part / f"{name}.jpg") for part in ("truth", "paint"))
        alpha = read(self.folder / "mask" / f"{name}.png", mode="L").astype(np.float32) / np.float32(255)
        if not truth.shape == paint.shape == (*alpha.shape, 3):
            raise SourceError(f"{name}: truth {truth.shape}, paint {paint.shape} and mask {alpha.shape} differ in size")
        if alpha.max() < 0.5:
            raise SourceError(f"{self.folder}/mask/{name}.png is no mask: it hides nothing")
        mixed = truth * (1 - alpha[..., None]) + paint * alpha[..., None]
        return MaskedPhoto(name, name.rpartition("_")[2], truth, alpha, np.rint(mixed).astype(np.uint8))


def reference_photos(folder: Path, names: Sequence[str], *, most: int | None = None) -> list[tuple[Path, ...]]:
    """The photos `folder/NAME/*` of each of `names`, in alphabetical order, at most `most` of each.

    Raises `SourceError` when there are none of somebody.
    """
    found = {name: pictures_in(folder / name) for name in names}
    without = [name for name, photos in found.items() if not photos]
    if without:
        raise SourceError(
            f"{folder} has no photos of {', '.join(without[:3])}: it holds NAME/*.jpg of each pair's NAME"
        )
    return [tuple(photos[:most]) for photos in found.values()]


@dataclass(frozen=True)
class DrawnPairs:
    """Bare photos, each with a mask of ours; kinds take turns, and photo and seed decide all the rest."""

    files: tuple[Path, ...]
    seed: int

    @classmethod
    def of(cls, folder: Path, *, seed: int, limit: int | None = None) -> DrawnPairs:
        """The pictures of `folder` in alphabetical order, at most `limit`. Raises `SourceError` when there are none."""
        files = pictures_in(folder)
        if not files:
            raise SourceError(f"{folder} holds no pictures: --data takes a folder of photos of bare faces")
        return cls(tuple(files[:limit]), seed)

    @property
    def names(self) -> tuple[str, ...]:
        """The files' names without suffix."""
        return tuple(path.stem for path in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> MaskedPhoto | None:
        """Raises `SourceError` for a file that can't be read."""
        truth = read(self.files[number])
        kind = list(MaskKind)[number % len(MaskKind)]
        drawn = wear(truth, np.random.default_rng([self.seed, number]), kind)
        return drawn and MaskedPhoto(self.files[number].stem, kind.value, truth, drawn[1], drawn[0])


def wear(
    photo: NDArray[np.uint8], rng: np.random.Generator, kind: MaskKind | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """A photo (height, width, 3) with a mask drawn on its most central face at the photo's own size, and the alpha.

    Without a `kind` the generator draws one. None where no face is found, or the mask lies outside the picture.
    """
    found = central_face(photo)
    if found is None:
        return None
    crop_from_photo, mesh = found

    photo_from_crop = crop_from_photo.inverse()
    points = photo_from_crop.apply(mesh[:, :2])
    side = round(CROP_SIZE * MARGIN * photo_from_crop.scale)
    left, top = np.rint(photo_from_crop.apply([CROP_SIZE / 2, CROP_SIZE / 2]) - side / 2).astype(int)

    height, width = photo.shape[:2]
    rows, columns = (
        np.clip(np.arange(start, start + side), 0, end - 1) for start, end in ((top, height), (left, width))
    )
    drawn, cover = masks.draw(
        photo[rows][:, columns], FaceMesh((points - [left, top]).astype(np.float32)), rng, kind=kind
    )

    inside = np.s_[max(0, top) : min(height, top + side), max(0, left) : min(width, left + side)]
    there = np.s_[max(0, -top) : min(side, height - top), max(0, -left) : min(side, width - left)]
    image, alpha = photo.copy(), np.zeros((height, width), np.float32)
    image[inside], alpha[inside] = drawn[there], cover[there]
    return (image, alpha) if alpha.max() >= 0.5 else None


def read(path: Path, *, mode: str = "RGB") -> NDArray[np.uint8]:
    """A picture as an array. Raises `SourceError`, which names the file."""
    try:
        with Image.open(path) as opened:
            return np.asarray(opened.convert(mode))
    except FileNotFoundError as error:
        raise SourceError(f"{path} is not there") from error
    except (UnidentifiedImageError, OSError) as error:
        raise SourceError(f"{path} can't be read as a picture: {error}") from error


NAME = "name"
"""The column that says which photo a row is about."""


def read_labels(path: Path, names: Collection[str]) -> Labels:
    """A CSV table whose column `name` holds photos' names without suffix; each other column is a property.

    Empty cells say nothing. Raises `SourceError` when it can't be read so, or speaks of none of `names`.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} can't be read as a CSV table: {error}") from error

    if not rows or NAME not in rows[0]:
        raise SourceError(f"{path} needs a first line with the column {NAME!r}, and rows below it")
    if any(None in row or None in row.values() for row in rows):
        raise SourceError(f"{path} has a row with more or fewer cells than its first line")

    labels = {row[NAME]: {key: value for key, value in row.items() if key != NAME and value} for row in rows}
    if not labels.keys() & set(names):
        raise SourceError(f"{path} speaks of none of the photos; they are called {', '.join(sorted(names)[:3])} ...")
    return labels


CELL = 192
"""Width of a picture on a sheet, in pixels."""

TITLE = 18
"""Height of the line above a column."""


def sheet_column(title: str, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures (height, width, 3) below each other, each `CELL` wide, under a title."""
    head = np.full((TITLE, CELL, 3), 255, np.uint8)
    cv2.putText(head, title, (3, TITLE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    sizes = [(CELL, round(CELL * picture.shape[0] / picture.shape[1])) for picture in pictures]
    shown = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image, size in zip(pictures, sizes, strict=True)]
    return np.vstack([head, *shown]).astype(np.uint8)


def write_sheet(path: Path, rows: Sequence[Sequence[NDArray[np.uint8]]]) -> None:
    """Rows of columns as one PNG, filled up with white. Raises `SinkError` when it can't be written."""
    bands = []
    for columns in rows:
        tall = max(picture.shape[0] for picture in columns)
        filled = [
            np.pad(picture, ((0, tall - len(picture)), (0, 0), (0, 0)), constant_values=255) for picture in columns
        ]
        bands.append(np.hstack(filled))

    wide = max(band.shape[1] for band in bands)
    sheet = np.vstack(
        [np.pad(band, ((0, 0), (0, wide - band.shape[1]), (0, 0)), constant_values=255) for band in bands]
    )
    try:
        Image.fromarray(sheet).save(path, format="PNG", pnginfo=synthetic_png())
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror or error}") from error


def disguised(
    crop: NDArray[np.uint8], mesh: FaceMesh, other: NDArray[np.uint8], other_mesh: FaceMesh, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The crop (S, S, 3) of somebody who wears another's face as a mask of silicone, with holes for the eyes.

    The other's face is bent so that its mesh lies on this one, smoothed as skin without pores is, and shines. It is no
    mask that hides a mouth: a mouth is seen, and nothing is to be removed.
    """
    bent, _ = cv2.findHomography(other_mesh.points[:, :2].astype(np.float32), mesh.points[:, :2].astype(np.float32))
    face = np.asarray(cv2.warpPerspective(other, bent, crop.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101), np.uint8)
    face = np.asarray(cv2.bilateralFilter(face, 9, rng.uniform(20, 60), 7), np.uint8)
    shine = np.clip(masks.blurred(face.mean(axis=2).astype(np.float32), 3) / 255 - 0.6, 0, 1)[..., None]
    rubber = np.clip(face + rng.uniform(0, 120) * shine + rng.normal(0, 6, 3), 0, 255)

    hull = cv2.convexHull(((mesh.points - mesh.points.mean(0)) * 1.06 + mesh.points.mean(0)).astype(np.float32))
    worn = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(worn, [np.rint(hull[:, 0, :2]).astype(np.int32)], 255, cv2.LINE_AA)
    width = float(np.linalg.norm(mesh.across))
    for eye in (mesh[Point.RIGHT_EYE], mesh[Point.LEFT_EYE]):
        middle = (round(float(eye[0])), round(float(eye[1])))
        cv2.ellipse(worn, middle, (round(0.13 * width), round(0.08 * width)), 0, 0, 360, 0, -1, cv2.LINE_AA)
    soft = masks.blurred(worn.astype(np.float32) / np.float32(255), 0.8)[..., None]
    return np.asarray(np.rint(crop * (1 - soft) + rubber * soft), np.uint8)


def altered(how: str, paths: Sequence[Path]) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Each photo near-infrared, or disguised as the person of the next one; photos without a face are left out."""
    known: dict[Path, tuple[NDArray[np.uint8], Affine, FaceMesh] | None] = {}
    for number, path in enumerate(paths):
        rng = np.random.default_rng(number)
        if how == NEAR_INFRARED:
            yield path, masks.near_infrared(read(path), rng)
            continue

        for one in (path, paths[(number + 1) % len(paths)]):
            if one not in known:
                known[one] = _face(read(one))
        mine, theirs = known.pop(path), known[paths[(number + 1) % len(paths)]]
        if mine is None or theirs is None:
            continue
        photo, canonical_from_photo, mesh = mine
        crop, other = (_canonical(image, place) for image, place in ((photo, canonical_from_photo), theirs[:2]))
        worn = disguised(crop, mesh, other, theirs[2], rng)
        height, width = photo.shape[:2]
        moved = cv2.warpAffine((worn.astype(np.float32) - crop), canonical_from_photo.inverse().matrix, (width, height))
        yield path, np.clip(np.rint(photo + moved), 0, 255).astype(np.uint8)


NEAR_INFRARED, DISGUISED = "near-infrared", "disguised"


def _face(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Affine, FaceMesh] | None:
    found = central_face(image)
    return None if found is None else (image, found[0], FaceMesh(found[1][:, :2]))


def _canonical(image: NDArray[np.uint8], canonical_from_image: Affine) -> NDArray[np.uint8]:
    size, border = (CROP_SIZE, CROP_SIZE), cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpAffine(image, canonical_from_image.matrix, size, borderMode=border), np.uint8)


def main() -> None:
    """Read the options and write the photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("how", choices=[NEAR_INFRARED, DISGUISED])
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=None, metavar="N", help="only the first N photos")
    options = parser.parse_args()
    with errors_in_one_line(parser):
        paths = pictures_in(options.photos)[: options.limit]
        options.folder.mkdir(parents=True, exist_ok=True)
        for path, image in altered(options.how, paths):
            Image.fromarray(image).save(options.folder / f"{path.stem}.png", pnginfo=synthetic_png())


if __name__ == "__main__":
    main()
