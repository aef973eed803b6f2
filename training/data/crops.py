"""Photos to stored crops: `python -m training.data.crops PHOTOS FOLDER NAME`, once before training.

Each photo's most central face is found by the product's own detector, cut out with the product's own `face_crop`, a
quarter wider, and measured with a face mesh.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from engine.select import load
from pipeline.detectors import DEFAULT, Detector, detector_file
from pipeline.errors import SourceError
from pipeline.geometry import CROP_SIZE, Affine, face_crop
from pipeline.video.stills import still_frame
from training.data.mesh import mesh_of, square
from training.needs import bar, errors_in_one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = 1.25
"""How much wider than the canonical crop a stored one is, so that jitter stays inside."""

CENTRE = ((CROP_SIZE - 1) / 2, (CROP_SIZE - 1) / 2)
"""The middle of the canonical crop."""


def stored_from_canonical(size: int) -> Affine:
    """Where the canonical crop lies in a stored one of `size` pixels."""
    return square(MARGIN * CROP_SIZE, CENTRE, size)


@cache
def finder() -> Detector:
    """The product's detector, on one thread."""
    file = detector_file(DEFAULT)
    return file.detector(load(file.network(), threads=1), size=320, threshold=0.4)


def central_face(image: NDArray[np.uint8]) -> tuple[Affine, NDArray[np.float32]] | None:
    """`canonical_from_image` and mesh (468, 3) in the crop of a photo's most central face, large ones first.

    None where no face is found or the mesh network sees none.
    """
    found = finder()(still_frame(image))
    if not found:
        return None
    middle = np.array(image.shape[1::-1]) / 2
    central = min(found, key=lambda face: float(np.hypot(*(np.array(face.box.centre) - middle))) - face.box.width)
    canonical_from_image = face_crop(central.landmarks)
    mesh, sure = mesh_of(image, canonical_from_image)
    return (canonical_from_image, mesh) if sure >= 0.5 else None


def photo(path: Path) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of a picture file. Raises `SourceError` for one that is none."""
    try:
        return np.asarray(Image.open(path).convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise SourceError(f"{path} can't be read as a picture: {error}") from error


def pictures_in(folder: Path) -> list[Path]:
    """The files of a folder that are called as pictures are, by name."""
    known = Image.registered_extensions()
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in known)


def cut(path: Path, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """The stored crop (size, size, 3) and mesh of a photo's most central face; None where no face is found.

    Raises `SourceError` for a file that is no picture.
    """
    image = photo(path)
    found = central_face(image)
    if found is None:
        return None

    canonical_from_image, mesh = found
    matrix = stored_from_canonical(size).after(canonical_from_image).matrix
    crop = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(crop, np.uint8), mesh


def cut_all(photos: Path, folder: Path, name: str, *, size: int, workers: int) -> int:
    """Write the crops of the pictures in the folder `photos` to `folder` as `name`; how many had a face.

    Raises `SourceError` for a folder without pictures or without faces, for a picture that can't be read, and for a set
    that is there already.
    """
    if (folder / f"{name}.npz").exists():
        raise SourceError(f"{folder}/{name}.npz is there already: give the set another name, or remove that one first")

    files = pictures_in(photos)
    if not files:
        raise SourceError(f"{photos} holds no pictures: training.data.crops takes a folder of photos of bare faces")

    folder.mkdir(parents=True, exist_ok=True)
    crops = np.lib.format.open_memmap(folder / f"{name}_crops.npy", "w+", np.uint8, (len(files), size, size, 3))
    meshes: list[NDArray[np.float32]] = []
    with ProcessPoolExecutor(workers) as pool:
        for found in bar(pool.map(partial(cut, size=size), files, chunksize=16), unit="photo", total=len(files)):
            if found is not None:
                crops[len(meshes)] = found[0]
                meshes.append(found[1])

    crops.flush()
    if not meshes:
        raise SourceError(f"in none of the {len(files)} pictures of {photos} is a face found")
    np.savez(folder / f"{name}.npz", mesh=np.array(meshes))
    return len(meshes)


WIDEST = 0.45
"""Scale of the widest view: a second look covers twice the crop, and a tracker may make it a little wider."""


def wider(rng: np.random.Generator, side: int) -> Affine:
    """view-from-crop, both `side` wide about one centre: a view that shows more around the face."""
    scale, middle = rng.uniform(WIDEST, 0.8), (side - 1) / 2
    return Affine(np.array([[scale, 0.0, middle - scale * middle], [0.0, scale, middle - scale * middle]]))


def scene(
    stored: NDArray[np.uint8],
    view_from_stored: Affine,
    side: int,
    other: NDArray[np.uint8],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """(side, side, 3) a stored crop in a view that may show more than it holds.

    Beyond its border the border goes on, as in `read_crop`, or there is another photo, `other`, behind it.
    """
    border = cv2.BORDER_REPLICATE if rng.random() < 0.6 else cv2.BORDER_REFLECT_101
    size = (side, side)
    view = cv2.warpAffine(stored, view_from_stored.matrix, size, flags=cv2.INTER_LINEAR, borderMode=border)
    if rng.random() < 0.4:
        inside = cv2.warpAffine(np.ones(stored.shape[:2], np.float32), view_from_stored.matrix, size)
        soft = cv2.GaussianBlur(inside, (0, 0), rng.uniform(0.3, side / 40))[..., None]
        behind = cv2.resize(other[len(other) // 2 :: -1], size, interpolation=cv2.INTER_LINEAR)  # no upright face
        view = np.rint(view * soft + behind * (1 - soft))
    return np.asarray(view, np.uint8)


def no_face(stored: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(side, side, 3) an enlarged corner of a stored crop: hair, clothes or background, as false detections show."""
    size = int(len(stored) * rng.uniform(0.12, 0.3))
    top, left = (int(rng.choice([0, len(stored) - size])) for _ in range(2))
    corner = stored[top : top + size, left : left + size]
    return np.asarray(cv2.resize(corner, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def main() -> None:
    """Read the flags and cut."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", help="train, val, or sharp for pictures at least as fine as the canonical crop")
    parser.add_argument("--size", type=int, default=208, help="side of a stored crop; 320 for fine pictures")
    parser.add_argument("--workers", type=int, default=2)
    flags = parser.parse_args()
    cv2.setNumThreads(0)
    with errors_in_one_line(parser):
        count = cut_all(flags.photos, flags.folder, flags.name, size=flags.size, workers=flags.workers)
        print(f"{count} faces in {flags.folder}/{flags.name}.npz")  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
