"""Meshes of heads whose mouths are known."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import openvino
import pytest
from openvino import opset13

from pipeline.draw.mouth import NAMES
from pipeline.geometry import Affine
from tests.pipeline.masked_scenes import portrait
from training.data import mesh as meshes
from training.data.crops import central_face
from training.data.mesh import (
    MOST_DEVIATIONS,
    TYPICAL_EXPRESSION,
    Point,
    expression_of,
    head_axes,
)

EYES_APART = 90.0


def head(*, opening: float, width: float, corners: float, pout: float) -> np.ndarray:
    """(468, 3) a frontal head, the eyes `EYES_APART`, whose mouth has these lengths in parts of that."""
    mesh = np.zeros((468, 3))
    upper = 0.75
    places = {
        Point.RIGHT_EYE: (-0.5, 0.0, 0.1),
        Point.LEFT_EYE: (0.5, 0.0, 0.1),
        Point.BETWEEN_EYES: (0.0, 0.0, 0.0),
        Point.NOSE_BASE: (0.0, 0.5, -0.1),
        Point.UPPER_LIP: (0.0, upper, -0.1),
        Point.LOWER_LIP: (0.0, upper + opening, -0.1),
        Point.ABOVE_LIPS: (0.0, upper - pout / 2, -0.12),
        Point.BELOW_LIPS: (0.0, upper + opening + pout / 2, -0.12),
        Point.RIGHT_CORNER: (-width / 2, upper - corners, 0.0),
        Point.LEFT_CORNER: (width / 2, upper - corners, 0.0),
    }
    for point, place in places.items():
        mesh[point] = place
    down = np.array([0, 0.5, -0.1]) / np.hypot(0.5, 0.1)  # the head is tilted until its own axis points down
    tilt = np.array([[1, 0, 0], [0, down[1], -down[2]], [0, down[2], down[1]]])
    for point in places:
        if point not in (Point.RIGHT_EYE, Point.LEFT_EYE, Point.BETWEEN_EYES, Point.NOSE_BASE):
            mesh[point] = tilt @ mesh[point]
    mesh[[Point.RIGHT_EYE, Point.LEFT_EYE], 2] = 0.0
    return mesh * EYES_APART


def turned(mesh: np.ndarray, *, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The mesh after turns about the vertical, the axis through the ears and the line of sight, in radians."""
    (a, b, c), (d, e, f) = (np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll]))
    about_y = np.array([[a, 0, d], [0, 1, 0], [-d, 0, a]])
    about_x = np.array([[1, 0, 0], [0, b, -e], [0, e, b]])
    about_z = np.array([[c, -f, 0], [f, c, 0], [0, 0, 1]])
    return mesh @ (about_z @ about_x @ about_y).T


MOUTHS = {
    "at rest": {"opening": 0.0, "width": 0.6, "corners": 0.01, "pout": 0.16},
    "ah": {"opening": 0.2, "width": 0.58, "corners": -0.02, "pout": 0.16},
    "smile": {"opening": 0.05, "width": 0.75, "corners": 0.05, "pout": 0.14},
    "oo": {"opening": 0.04, "width": 0.42, "corners": -0.01, "pout": 0.19},
}


@pytest.mark.parametrize("mouth", MOUTHS.values(), ids=MOUTHS)
def test_numbers_are_those_of_the_mouth_in_spreads_from_a_typical_one(mouth: dict[str, float]) -> None:
    wanted = (np.array([mouth[name] for name in NAMES]) - TYPICAL_EXPRESSION[0]) / TYPICAL_EXPRESSION[1]
    assert expression_of(head(**mouth)) == pytest.approx(np.clip(wanted, -MOST_DEVIATIONS, MOST_DEVIATIONS), abs=1e-4)


@pytest.mark.parametrize("mouth", MOUTHS.values(), ids=MOUTHS)
def test_pose_size_and_place_of_the_head_do_not_matter(mouth: dict[str, float]) -> None:
    plain = head(**mouth)
    moved = 0.4 * turned(plain, yaw=0.6, pitch=-0.3, roll=0.2) + [120, 80, -30]
    assert expression_of(moved) == pytest.approx(expression_of(plain), abs=1e-4)


def test_axes_stand_at_right_angles_and_turn_with_the_head() -> None:
    plain = head(**MOUTHS["at rest"])
    across, _, apart = head_axes(turned(plain, yaw=0.5, pitch=0, roll=0))
    assert across == pytest.approx([np.cos(0.5), 0, -np.sin(0.5)])
    assert apart == pytest.approx(EYES_APART)
    across, down, _ = head_axes(turned(plain, yaw=0.4, pitch=0.3, roll=0.9))
    assert across @ down == pytest.approx(0, abs=1e-9)


def test_many_meshes_are_measured_at_once_and_a_wrong_one_is_cut_off() -> None:
    gaping = head(opening=5.0, width=0.6, corners=0.0, pout=0.16)
    found = expression_of(np.stack([head(**MOUTHS["at rest"]), gaping]))
    assert found.shape == (2, 4)
    assert found[1, 0] == MOST_DEVIATIONS


@pytest.mark.usefixtures("_mesh")
def test_a_photo_of_a_smile_shows_it_however_it_is_turned_and_scaled() -> None:
    """The portrait's smile parts the lips, is wide and lifts its corners; the network sees the photo anew each time."""
    photo, found = portrait(), []
    for turn, scale in ((0, 1.0), (15, 1.0), (-15, 0.8)):
        height, width = photo.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
        face = central_face(cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101))
        assert face is not None
        found.append(expression_of(face[1]))
    opening, width, corners, pout = np.array(found).T
    assert max(np.ptp(opening), np.ptp(width)) < 0.6
    assert max(np.ptp(corners), np.ptp(pout)) < 1.2  # a pixel of the crop is two thirds of a deviation
    assert min(opening.min(), width.min(), corners.min()) > 0.4


def network_that_tells_colours() -> openvino.CompiledModel:
    """A stand-in for the mesh network: every coordinate is the mean of the picture, and it takes a while."""
    picture = opset13.parameter([1, 192, 192, 3], np.float32)
    slow = picture
    for _ in range(40):
        slow = opset13.sin(slow)
    mean = opset13.reduce_mean(picture, np.array([1, 2, 3]), keep_dims=False)
    mean = opset13.add(mean, opset13.multiply(opset13.reduce_mean(slow, np.array([1, 2, 3])), np.float32(0)))
    points = opset13.broadcast(opset13.reshape(mean, np.array([1, 1]), special_zero=False), np.array([1, 1404]))
    model = openvino.Model([points, opset13.reshape(mean, np.array([1, 1]), special_zero=False)], [picture])
    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1})


def test_faces_in_two_threads_are_not_mixed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_that_tells_colours()
    monkeypatch.setattr(meshes, "mesh_network", lambda: network)
    monkeypatch.setattr(meshes, "_OF_THREAD", threading.local(), raising=False)
    itself = Affine(np.array([[1.0, 0, 0], [0, 1.0, 0]]))

    def sure_of(level: int) -> set[float]:
        picture = np.full((256, 256, 3), level, np.uint8)
        return {round(meshes.mesh_of(picture, itself)[1], 4) for _ in range(60)}

    with ThreadPoolExecutor(2) as threads:
        dark, light = threads.map(sure_of, (0, 255))
    assert (len(dark), len(light)) == (1, 1)
    assert dark != light
