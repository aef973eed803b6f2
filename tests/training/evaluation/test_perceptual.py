import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the perceptual network needs the extra `training`")
pytest.importorskip("stlpips_pytorch", reason="its weights are in the extra `training`")

from tests.pipeline.masked_scenes import portrait
from training.evaluation.perceptual import PerceptualDistance


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
