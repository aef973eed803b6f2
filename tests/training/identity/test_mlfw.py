from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import SourceError
from training.evaluation.product import PhotoFace
from training.identity import mlfw
from training.identity.evaluate import Side
from training.identity.mlfw import (
    Pair,
    PairKind,
    accuracy,
    best_threshold,
    look_at_pairs,
    masked_pairs,
    protocol_scores,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pairs_file(folder: Path) -> Path:
    rows = [
        f"{fold},{same},a{number}_1.png,b{number}_2.png" for fold in (1, 2) for same in (1, 0) for number in range(6)
    ]
    (folder / "pairs.csv").write_text("fold,same,a,b\n" + "\n".join(rows) + "\n")
    return folder


def test_a_third_of_the_pairs_has_one_masked_face_and_the_others_are_made_hard(tmp_path: Path) -> None:
    found = masked_pairs(pairs_file(tmp_path), seed=0)
    assert len(found) == 24
    for pair in found:
        first, second = pair.designs
        if pair.kind is PairKind.ONE_MASKED:
            assert first is None
            assert second is not None
        else:
            assert (pair.kind is PairKind.DIFFERENT_MASKS) == pair.same
            assert (first == second) == (not pair.same)
    kinds = [pair.kind for pair in found]
    assert [kinds.count(kind) for kind in PairKind] == [8, 8, 8]
    assert {pair.designs for pair in found} != {pair.designs for pair in masked_pairs(tmp_path, seed=1)}


def test_a_limit_counts_pairs_of_a_fold_and_answer(tmp_path: Path) -> None:
    found = masked_pairs(pairs_file(tmp_path), seed=0, limit=2)
    assert [(pair.fold, pair.same) for pair in found] == [(1, True)] * 2 + [(1, False)] * 2 + [(2, True)] * 2 + [
        (2, False)
    ] * 2


def test_pairs_are_needed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no pairs\.csv"):
        masked_pairs(tmp_path, seed=0)


def test_the_best_threshold_is_right_most_often() -> None:
    scores, same = np.array([0.1, 0.9, 0.4, 0.6, 0.5]), np.array([False, True, False, True, False])
    assert 0.5 < best_threshold(scores, same) <= 0.6
    assert best_threshold(scores, np.zeros(5, bool)) == float("inf")
    assert best_threshold(scores, np.ones(5, bool)) <= 0.1


def test_a_fold_is_decided_at_the_threshold_of_the_others() -> None:
    """Fold 1 would do best at 0.5; the others do at 0.8, where its genuine pair is missed."""
    scores = np.array([0.5, 0.2] + 2 * [0.8, 0.6, 0.9, 0.65])
    same = np.array([True, False] * 5)
    fold = np.array([1, 1] + 4 * [2] + 4 * [3])
    assert accuracy(scores, same, fold).tolist() == [False] + 9 * [True]
    with pytest.raises(ValueError, match="two folds"):
        accuracy(scores, same, np.ones(10, np.int64))


def made_pairs(count: int = 12) -> list[Pair]:
    kinds = [PairKind.ONE_MASKED, PairKind.DIFFERENT_MASKS, PairKind.SAME_MASK]
    files = (Path("a.png"), Path("b.png"))
    return [Pair(number % 2, number % 3 != 2, files, (0, 1), kinds[number % 3]) for number in range(count)]


def made_side(pairs: list[Pair], cosines: NDArray[np.float64]) -> Side:
    """Two rows a pair, whose cosine is given; NaN where no face was found."""
    rows = np.array([row for cosine in cosines for row in ((1, 0), (cosine, np.sqrt(1 - cosine**2)))], np.float32)
    count = 2 * len(pairs)
    return Side(rows, np.zeros((count, 4, 4, 3), np.uint8), np.zeros(count, bool), np.full_like(rows, np.nan))


def test_accuracy_is_told_bare_masked_and_by_kind() -> None:
    """Masked, pairs of two people in the same mask score as high as one person's: they are all decided wrongly."""
    pairs = made_pairs()
    same = np.array([pair.same for pair in pairs])
    bare = made_side(pairs, np.where(same, 0.9, 0.1))
    hard = np.where(same, 0.9, 0.95)
    hard[0] = np.nan
    found = protocol_scores(pairs, bare, made_side(pairs, hard), {})["baseline"]
    assert found["pairs"] == 11
    assert found["bare"] == 1
    assert found[PairKind.SAME_MASK] == 0
    assert found[PairKind.DIFFERENT_MASKS] == found[PairKind.ONE_MASKED] == 1
    assert found["masked"] == pytest.approx(7 / 11)
    assert "same_mask" in mlfw.table({"baseline": found})


def test_each_photo_is_looked_at_as_it_is_and_as_the_protocol_masks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks are told apart by the mean of what was looked at; a mask adds its number to a photo of zeros."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    kinds = [((None, 7), PairKind.ONE_MASKED), ((5, 5), PairKind.SAME_MASK)]
    files = (tmp_path / "a.png", tmp_path / "b.png")
    pairs = [Pair(1, same=False, files=files, designs=designs, kind=kind) for designs, kind in kinds]

    def worn(photo: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], None]:
        number = next(
            n for n in range(10) if rng.bit_generator.state == np.random.default_rng([3, n]).bit_generator.state
        )
        return photo + np.uint8(number), None

    def look(image: NDArray[np.uint8]) -> PhotoFace:
        return PhotoFace(np.array([image.mean(), 1], np.float32), image, bool(image.any()), None)

    monkeypatch.setattr(mlfw, "wear", worn)
    bare, masked = look_at_pairs(pairs, look, seed=3, counted=lambda numbers: numbers)  # type: ignore[arg-type]
    assert bare.embedding[:, 0].tolist() == [0, 0, 0, 0]
    assert masked.embedding[:, 0].tolist() == [0, 7, 5, 5]
    assert masked.masked.tolist() == [False, True, True, True]
