import cv2
import numpy as np
import pytest

pytest.importorskip("dlib", reason="the recogniser needs the extra `training`")
pytest.importorskip("face_recognition_models", reason="its weights are in the extra `training`")

from pipeline.geometry import Landmarks, face_crop
from tests.pipeline.masked_scenes import PORTRAIT_LANDMARKS, portrait
from training.evaluation.recogniser import Recogniser


def test_another_light_is_the_same_person_and_a_covered_face_less_so() -> None:
    photo = portrait()
    light = np.clip(photo * 0.8 + 10, 0, 255).astype(np.uint8)
    covered = photo.copy()
    cv2.rectangle(covered, (195, 112), (252, 175), (180, 200, 220), -1)
    crop_from_photo = face_crop(Landmarks(PORTRAIT_LANDMARKS.astype(np.float32)))
    bare, bright, masked = Recogniser().embeddings([photo, light, covered], crop_from_photo)
    assert np.linalg.norm(bare) == pytest.approx(1)
    assert bare @ bright > 0.98
    assert bare @ masked < bare @ bright - 0.01
