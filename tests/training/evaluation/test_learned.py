import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the perceptual network needs the extra `training`")
pytest.importorskip("stlpips_pytorch", reason="its weights are in the extra `training`")
pytest.importorskip("dlib", reason="the recogniser needs the extra `training`")
pytest.importorskip("face_recognition_models", reason="its weights are in the extra `training`")


from pipeline.geometry import Landmarks, face_crop
from tests.pipeline.masked_scenes import PORTRAIT_LANDMARKS, portrait
from training.evaluation.learned import DlibRecogniser, PerceptualDistance


def test_more_blur_is_farther_and_the_same_is_nowhere() -> None:
    distance = PerceptualDistance()
    truth = portrait()[:256, 96:352]
    wanted = distance.features(truth)
    blurred = [np.asarray(cv2.GaussianBlur(truth, (0, 0), sigma), np.uint8) for sigma in (1, 3, 6)]
    found = [distance.between(distance.features(image), wanted) for image in blurred]
    assert distance.between(wanted, wanted) == 0
    assert 0.05 < found[0] < found[1] < found[2]


def test_a_shift_of_one_pixel_is_nearer_than_a_little_blur() -> None:
    distance = PerceptualDistance()
    truth, moved = portrait()[:256, 96:352], portrait()[:256, 97:353]
    blurred = np.asarray(cv2.GaussianBlur(truth, (0, 0), 1.5), np.uint8)
    wanted, shifted, soft = (distance.features(image) for image in (truth, moved, blurred))
    assert distance.between(shifted, wanted) < 0.3 * distance.between(soft, wanted)


def test_another_light_is_the_same_person_and_a_covered_face_less_so() -> None:
    photo = portrait()
    light = np.clip(photo * 0.8 + 10, 0, 255).astype(np.uint8)
    covered = photo.copy()
    cv2.rectangle(covered, (195, 112), (252, 175), (180, 200, 220), -1)
    crop_from_photo = face_crop(Landmarks(PORTRAIT_LANDMARKS.astype(np.float32)))
    bare, bright, masked = DlibRecogniser().embeddings([photo, light, covered], crop_from_photo)
    assert np.linalg.norm(bare) == pytest.approx(1)
    assert bare @ bright > 0.98
    assert bare @ masked < bare @ bright - 0.01
