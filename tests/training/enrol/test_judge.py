"""The exam: what is right scores high, and only what a mask hides counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipeline.geometry import CANONICAL_LANDMARKS
from tests.training.enrol.portraits import view
from training.data.mesh import FaceMesh
from training.enrol.judge import APART_SECONDS, Exam, choose, mesh_of_landmarks, missing, spanning, variety

if TYPE_CHECKING:
    from pathlib import Path


VIEWS = [view(number) for number in range(6)]


def test_masks_of_every_kind_hide_the_lower_face_and_come_again_alike() -> None:
    exam, again = Exam.of(VIEWS), Exam.of(VIEWS)
    assert np.array_equal(exam.masked, again.masked)
    assert not np.array_equal(exam.masked, Exam.of(VIEWS, seed=1).masked)
    hidden = exam.alphas > 0.5
    assert (hidden.mean((1, 2)) > 0.04).all()
    assert hidden[:, 160:200, 110:146].mean() > 0.95
    assert not hidden[:, :80].any()


def test_the_truth_scores_higher_than_a_guess() -> None:
    exam = Exam.of(VIEWS)
    truths = exam.truths.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    fed: list[int] = []

    def knowing(feed: np.ndarray) -> np.ndarray:
        first = sum(fed)
        fed.append(len(feed))
        return truths[first : first + len(feed)]

    true, grey = exam.drawn(knowing), exam.drawn(lambda feed: np.zeros_like(feed[:, :3]))
    assert np.array_equal(true, exam.truths)
    assert exam.psnr(true) > 80
    assert 5 < exam.psnr(grey) < 25
    outside = exam.alphas <= 0.5
    assert np.array_equal(grey[outside], exam.truths[outside])


def test_the_sheet_is_a_picture_of_all_four(tmp_path: Path) -> None:
    exam = Exam.of(VIEWS)
    exam.sheet(tmp_path / "sheet.png", exam.masked, exam.truths, count=3)
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.size == (3 * 192, 4 * 192 + 18)


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


RECORDED = [view(number) for number in range(30)]


def test_the_end_of_a_video_is_held_back_apart_in_time() -> None:
    choice = choose(RECORDED)
    assert choice.held_back == tuple(RECORDED[24:])
    assert max(one.time for one in choice.learned) < RECORDED[24].time - APART_SECONDS
    assert len(choice.learned) == 19
    assert choice.everything == tuple(RECORDED)


def test_the_end_of_each_video_is_held_back() -> None:
    other = [replace(one, source="second.mp4") for one in RECORDED]
    held_back = choose([*RECORDED, *other]).held_back
    assert [one.source for one in held_back] == ["talk.mp4"] * 6 + ["second.mp4"] * 6


def test_one_photo_in_five_is_held_back_and_none_of_fewer() -> None:
    photos = [replace(one, still=True, source=f"{number}.jpg") for number, one in enumerate(RECORDED[:11])]
    assert choose(photos).held_back == (photos[4], photos[9])
    assert len(choose(photos).learned) == 9
    assert choose(photos[:4]).held_back == ()
    assert choose(photos[:4]).learned == tuple(photos[:4])


def test_the_views_that_are_kept_are_unlike_each_other() -> None:
    alike = [replace(RECORDED[0], time=float(number)) for number in range(20)]
    kept = spanning([*alike, RECORDED[3], RECORDED[7]], 3)
    assert kept == (alike[0], RECORDED[3], RECORDED[7])
    assert spanning(RECORDED, 50) == tuple(RECORDED)


def test_variety_tells_one_view_from_many() -> None:
    still, moving = variety(RECORDED[:1] * 5), variety(RECORDED)
    assert still == {"sideways": 0.0, "upward": 0.0, "mouth": 0.0}
    assert moving["mouth"] > 1
    assert np.isfinite(list(moving.values())).all()
    assert len(missing(RECORDED[:1] * 5)) == 3
