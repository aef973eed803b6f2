"""Clips of a drawn mouth whose opening is known in every frame; the mesh reads it off the picture's own colours."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `training`")

from pipeline.draw.sound import heard
from pipeline.geometry import Affine
from pipeline.video.stills import still_frame
from tests.pipeline.draw.test_mouth import FRAMES as MOMENTS
from tests.pipeline.draw.test_mouth import loudness, mouths, voice
from training.data.crops import stored_from_canonical
from training.data.mesh import Point
from training.data.wear import SIDE, Worn
from training.evaluation.mouths import (
    MouthScores,
    lips_box,
    scores,
    slope_energy,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.frames import Frame

STILL = Affine(np.array([[1.0, 0, 0], [0, 1.0, 0]]))
FRAMES = 60
MOUTH = (160, 230)
"""Column and row of the mouth's middle in the wide crop."""


def speaking(index: int) -> float:
    """An opening in pixels that never repeats itself within the clip."""
    return 8 + 4 * np.sin(index * 0.9) + 3 * np.sin(index * 0.37)


def picture(opening: float) -> np.ndarray:
    """(SIDE, SIDE, 3) dark lips around a red gap, `opening` high."""
    image = np.full((SIDE, SIDE, 3), 180, np.uint8)
    cv2.ellipse(image, MOUTH, (40, 18), 0, 0, 360, (120, 70, 70), -1)
    cv2.ellipse(image, MOUTH, (24, round(opening)), 0, 0, 360, (250, 0, 0), -1)
    return image


def red_mesh(image: np.ndarray, canonical_from_image: Affine) -> tuple[np.ndarray, float]:
    """A mesh whose lips lie where the picture is red; it is sure where there is any red."""
    rows = np.flatnonzero((image[..., 0].astype(int) - image[..., 1]).max(axis=1) > 150)
    wide = np.zeros((468, 3), np.float32)
    wide[Point.RIGHT_EYE], wide[Point.LEFT_EYE] = (110, 120, 0), (210, 120, 0)
    wide[Point.BETWEEN_EYES], wide[Point.NOSE_BASE] = (160, 120, 0), (160, 190, 0)
    wide[Point.RIGHT_CORNER], wide[Point.LEFT_CORNER] = (120, 230, 0), (200, 230, 0)
    wide[Point.ABOVE_LIPS], wide[Point.BELOW_LIPS] = (160, 212, 0), (160, 248, 0)
    if len(rows):
        wide[Point.UPPER_LIP], wide[Point.LOWER_LIP] = (160, rows[0], 0), (160, rows[-1], 0)
    mesh = wide.copy()
    mesh[:, :2] = canonical_from_image.apply(wide[:, :2])
    return mesh, float(len(rows) > 0)


def judged(drawn: Callable[[int], np.ndarray], true: Callable[[int], float] = speaking) -> dict[str, float | None]:
    """The figures of a clip whose truth opens as `true` says and whose result shows `drawn`."""
    scores = MouthScores(mesh=red_mesh)
    for index in range(FRAMES):
        bare, result = (frame(image, index) for image in (picture(true(index)), drawn(index)))
        scores.add(Worn(bare, bare, np.zeros((SIDE, SIDE), np.float32), {1: STILL}), result)
    return scores.summary()


def frame(image: np.ndarray, index: int) -> Frame:
    return replace(still_frame(image), index=index, time=Fraction(index, 25))


def test_the_truth_moves_with_itself_and_is_as_sharp() -> None:
    found = judged(lambda index: picture(speaking(index)))
    assert found["mouth"] == pytest.approx(1)
    assert found["mouth_lag_ms"] == 0
    assert found["mouth_sharpness"] == pytest.approx(1)


@pytest.mark.parametrize("late", [-2, 3])
def test_a_mouth_that_moves_late_or_early_shows_by_how_much(late: int) -> None:
    found = judged(lambda index: picture(speaking(index - late)))
    assert found["mouth_lag_ms"] == 40 * late
    assert found["mouth"] < 0.7


def test_a_mouth_that_stays_closed_goes_with_nothing() -> None:
    found = judged(lambda _index: picture(2))
    assert found["mouth"] == 0
    assert found["mouth_lag_ms"] is None


def test_a_true_mouth_that_is_still_tells_nothing() -> None:
    found = judged(lambda index: picture(speaking(index)), true=lambda _index: 4.0)
    assert (found["mouth"], found["mouth_lag_ms"]) == (None, None)


def test_a_blurred_mouth_is_less_sharp() -> None:
    found = judged(lambda index: cv2.GaussianBlur(picture(speaking(index)), (0, 0), 2))
    assert found["mouth_sharpness"] < 0.6
    assert found["mouth"] > 0.9


def test_frames_in_which_no_mesh_is_seen_are_left_out() -> None:
    blank = np.full((SIDE, SIDE, 3), 180, np.uint8)
    found = judged(lambda index: picture(speaking(index)) if index % 5 else blank)
    assert found["mouth"] == pytest.approx(1)
    assert found["mouth_sharpness"] == pytest.approx(1)
    assert judged(lambda _index: blank)["mouth_sharpness"] is None


def test_the_box_holds_the_lips_and_little_else() -> None:
    mesh, _ = red_mesh(picture(8), stored_from_canonical(SIDE).inverse())
    rows, columns = lips_box(mesh)
    assert (rows.start, rows.stop) == (pytest.approx(205, abs=2), pytest.approx(255, abs=2))
    assert (columns.start, columns.stop) == (pytest.approx(104, abs=2), pytest.approx(216, abs=2))
    flat = np.full((8, 8, 3), 90, np.uint8)
    assert slope_energy(flat) == 0


@pytest.mark.parametrize("late", [0.0, 0.16, 0.3])
def test_what_was_learned_from_one_part_of_a_voice_is_scored_on_the_other(late: float) -> None:
    found = scores(heard([voice(late)]), MOMENTS, mouths(loudness(MOMENTS)))
    assert found["learned"]["opening"] > 0.85
    assert found["learned"]["width"] is None  # it never moved
