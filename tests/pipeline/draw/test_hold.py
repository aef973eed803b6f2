import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.draw.hold import Holder
from pipeline.geometry import CROP_SIZE


def face(seed: int = 0) -> NDArray[np.uint8]:
    """Soft blotches, as a face has them."""
    small = np.random.default_rng(seed).integers(40, 220, (12, 12, 3), np.uint8)
    return np.asarray(cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC), np.uint8)


def noisy(image: NDArray[np.uint8], sigma: float, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_a_still_face_is_held_until_its_time_is_up() -> None:
    holder = Holder(every=3)
    assert [holder.holds(1, face()) for _ in range(7)] == [False, True, True, False, True, True, False]


def test_every_frame_is_looked_at_when_asked_for() -> None:
    holder = Holder(every=1)
    assert not any(holder.holds(1, face()) for _ in range(3))


def test_the_noise_of_a_camera_is_no_change() -> None:
    holder = Holder(every=100)
    held = [holder.holds(1, noisy(face(), 8.0, seed)) for seed in range(20)]
    assert held == [False] + [True] * 19


def test_a_blink_is_a_change() -> None:
    holder = Holder(every=100)
    shut = face()
    shut[80:100, 80:110] = 90
    assert [holder.holds(1, image) for image in (face(), shut, shut, face())] == [False, False, True, False]


def test_slow_changes_add_up() -> None:
    holder = Holder(every=100)
    held = [holder.holds(1, (face().astype(int) * (400 - i) // 400).astype(np.uint8)) for i in range(24)]
    assert True in held
    assert held.count(False) >= 3


def test_another_face_a_new_one_and_a_cut_are_looked_at() -> None:
    holder = Holder(every=100)
    assert not holder.holds(1, face())
    assert not holder.holds(2, face())
    holder.keep([1, 2], cut=False)
    assert holder.holds(1, face())
    assert not holder.holds(2, face(seed=1))
    holder.keep([1], cut=False)
    assert not holder.holds(2, face(seed=1))
    holder.keep([1, 2], cut=True)
    assert not holder.holds(1, face())
