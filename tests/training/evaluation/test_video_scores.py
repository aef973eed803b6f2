"""Clips whose result is made from the truth with known faults."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage", reason="SSIM is scikit-image's")

from pipeline.errors import SourceError
from pipeline.geometry import Affine
from pipeline.video.stills import still_frame
from training.data.wear import Worn
from training.evaluation.video_scores import VideoScores, joined, measure, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.frames import Frame

SIZE = 320
STILL = Affine(np.array([[1.0, 0, 0], [0, 1.0, 0]]))
Picture = np.ndarray
FRAMES = 24


def scene(x: float) -> Picture:
    """(SIZE, SIZE, 3) soft blotches on grey, moved by `x` pixels to the right."""
    rng = np.random.default_rng(4)
    blotches = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE + 80)).astype(np.float32), (0, 0), 9)
    moved = cv2.warpAffine(blotches, np.array([[1.0, 0, x - 40], [0, 1.0, 0]]), (SIZE, SIZE))
    grey = np.clip(128 + 900 * moved, 0, 255)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def alpha() -> Picture:
    covered = np.zeros((SIZE, SIZE), np.float32)
    covered[120:240, 80:240] = 1
    return covered


def shaken(index: int) -> float:
    return 6 * np.sin(index * 0.9) + 4 * np.sin(index * 0.37)


def clip(
    result_of: Callable[[int, Picture], Picture], *, where: Callable[[int], float] = shaken
) -> Iterator[tuple[Worn, Frame]]:
    """Frames whose hole holds what `result_of` makes of the frame's number and truth; the rest is the truth."""
    for index in range(FRAMES):
        truth, covered = scene(where(index)), alpha()
        masked = truth.copy()
        masked[covered > 0] = (40, 90, 160)
        drawn = truth.copy()
        drawn[covered > 0] = result_of(index, truth)[covered > 0]
        frames = [
            replace(still_frame(image), index=index, time=Fraction(index, 25)) for image in (truth, masked, drawn)
        ]
        yield Worn(frames[0], frames[1], covered, {1: STILL}), frames[2]


def found(pairs: Iterator[tuple[Worn, Frame]]) -> dict[str, float | int | None]:
    scores, _ = measure(pairs, title="made")
    return scores.summary()


def noisy(index: int, truth: Picture, *, levels: float) -> Picture:
    rng = np.random.default_rng(index)
    return np.clip(truth + rng.normal(0, levels, truth.shape[:2])[..., None], 0, 255).astype(np.uint8)


def test_truth_itself_is_faultless() -> None:
    told = found(clip(lambda _index, truth: truth))
    assert told["hole_psnr"] > 90
    assert told["hole_ssim"] == pytest.approx(1)
    assert told["flicker"] == pytest.approx(1)
    assert told["seam"] == pytest.approx(1)
    assert told["lag_ms"] == pytest.approx(0, abs=4)
    assert (told["frames"], told["standing"]) == (FRAMES, 0)


def test_psnr_counts_the_hole_only() -> None:
    told = found(clip(lambda _index, truth: truth // 2 * 2 + 1, where=lambda _index: 0.0))
    wrong = (scene(0.0).astype(int) // 2 * 2 + 1 - scene(0.0))[alpha() > 0]
    assert told["hole_psnr"] == pytest.approx(10 * np.log10(255**2 / (wrong**2).mean()), abs=0.01)


def test_noise_flickers_as_much_as_it_changes() -> None:
    """Noise of deviation s differs from frame to frame by 2 s / sqrt(pi) on average."""
    told = found(clip(lambda index, truth: noisy(index, truth, levels=10), where=lambda index: 0.8 * (index % 2)))
    change = np.abs(scene(0.8).astype(float) - scene(0.0))[alpha() > 0].mean()
    assert told["flicker"] > 3
    assert told["flicker"] == pytest.approx(np.hypot(2 * 10 / np.sqrt(np.pi), change) / change, rel=0.12)


def test_still_picture_in_the_hole_does_not_flicker() -> None:
    assert found(clip(lambda _index, _truth: scene(0.0)))["flicker"] == 0


@pytest.mark.parametrize("late", [0, 1, 3])
def test_what_comes_late_is_late_by_so_much(late: int) -> None:
    told = found(clip(lambda index, _truth: scene(shaken(index - late))))
    assert told["lag_ms"] == pytest.approx(late * 40, abs=8)


def test_still_face_has_no_lag_to_see() -> None:
    assert found(clip(lambda index, truth: noisy(index, truth, levels=3), where=lambda _index: 0.0))["lag_ms"] is None


def test_step_at_the_rim_is_a_seam() -> None:
    seams = [
        found(clip(lambda _index, truth, step=step: np.minimum(truth, 255 - step) + np.uint8(step)))["seam"]
        for step in (0, 10, 30)
    ]
    assert seams[0] == pytest.approx(1, abs=0.02)
    assert seams[0] < seams[1] < seams[2]


def test_frame_that_came_back_as_it_went_in_is_standing() -> None:
    told = found((worn, worn.masked) for worn, _ in clip(lambda _index, truth: truth))
    assert told["standing"] == FRAMES
    assert told["seam"] > 1.5


def test_frames_without_a_mask_count_nothing() -> None:
    pairs = [(replace(worn, alpha=np.zeros_like(worn.alpha), places={}), worn.bare) for worn, _ in clip(lambda _, t: t)]
    scores, columns = measure(iter(pairs), title="bare")
    assert columns == []
    told = scores.summary()
    assert told["frames"] == 0
    assert all(told[name] is None for name in ("hole_psnr", "hole_ssim", "flicker", "lag_ms", "seam"))


def test_clips_in_which_nobody_wears_a_mask_are_named() -> None:
    with pytest.raises(SourceError, match=r"a\.mp4, b\.mp4"):
        joined(dict.fromkeys(("a.mp4", "b.mp4"), VideoScores().summary()))


def test_mean_is_over_the_clips_that_have_the_measure() -> None:
    still = VideoScores().summary()
    moving = still | {"frames": 4, "hole_psnr": 20.0, "flicker": 1.5}
    other = still | {"hole_psnr": 30.0}
    told = joined({"a": moving, "b": other})
    assert told["mean"]["hole_psnr"] == 25
    assert told["mean"]["flicker"] == 1.5
    assert told["mean"]["seam"] is None
    assert "25.000" in table(told)
