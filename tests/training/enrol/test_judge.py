"""The exam: what is right scores high, and only what a mask hides counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.training.enrol.portraits import view
from training.enrol.judge import Exam

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
