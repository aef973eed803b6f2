"""The mean head lies where the landmarks are."""

from __future__ import annotations

import numpy as np

from pipeline.geometry import CANONICAL_LANDMARKS
from training.data.mesh import FaceMesh
from training.enrol.head import mesh_of_landmarks

EYES, MOUTH = ([33, 133], [362, 263]), (61, 291)
"""Corners of the person's right and left eye, and of the mouth, in the mesh."""


def test_eyes_and_mouth_lie_on_their_landmarks() -> None:
    mesh = mesh_of_landmarks(CANONICAL_LANDMARKS)
    assert mesh.shape == (468, 2)
    for corners, landmark in zip(
        (*EYES, *([point] for point in MOUTH)), CANONICAL_LANDMARKS[[0, 1, 3, 4]], strict=True
    ):
        assert np.abs(mesh[corners].mean(axis=0) - landmark).max() < 8


def test_it_follows_a_face_that_is_moved_scaled_and_rolled() -> None:
    angle = np.deg2rad(20)
    linear = 1.5 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = mesh_of_landmarks(CANONICAL_LANDMARKS @ linear.T + [30, -12])
    assert np.allclose(moved, mesh_of_landmarks(CANONICAL_LANDMARKS) @ linear.T + [30, -12], atol=0.01)


def test_a_nose_to_one_side_turns_the_head_that_way() -> None:
    points = CANONICAL_LANDMARKS.copy()
    points[2, 0] += 15
    turned = FaceMesh(mesh_of_landmarks(points)).turn
    straight = FaceMesh(mesh_of_landmarks(CANONICAL_LANDMARKS)).turn
    assert abs(straight) < 0.1
    assert abs(turned) > abs(straight) + 0.1
