"""Whose face a recogniser takes a picture for: dlib's ResNet, frozen, which no loss here uses.

The faces are cut out by dlib's own five landmarks, of the package `dlib-bin`; the network runs on an engine of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dlib
import face_recognition_models
import numpy as np

from engine.select import load
from engine.spec import Precision
from pipeline.geometry import CROP_SIZE
from pipeline.picture.pixels import read_crop
from pipeline.recognisers import dlib_resnet, unit
from pipeline.video.stills import still_frame

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
        self._engine = load(dlib_resnet.network(None), precision=Precision.F32, threads=1)

    def embeddings(self, images: list[NDArray[np.uint8]], crop_from_image: Affine) -> NDArray[np.float32]:
        """(N, 128) of the same face in N pictures of the same scene, all cut out by the landmarks that the first shows.

        Raises `EngineError`.
        """
        crops = [read_crop(still_frame(image).planes, crop_from_image, size=CROP_SIZE) for image in images]
        shape = self._predictor(crops[0], dlib.rectangle(*BOX))
        chips = np.stack([dlib.get_face_chip(crop, shape, CHIP_SIZE, CHIP_PADDING) for crop in crops])
        found = self._engine.run({"chip": chips.transpose(0, 3, 1, 2).astype(np.float32)})["embedding"]
        return unit(found.astype(np.float32))
