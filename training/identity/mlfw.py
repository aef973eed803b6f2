"""The MLFW protocol (Wang et al., arXiv 2109.05804): LFW's pairs, with masks on, in three kinds.

Two photos of one person wear different masks, photos of two people wear the same one, or one photo of a pair is masked
and the other is not. The answer is the accuracy over folds: each fold is decided at the threshold that is best on the
others. MLFW masks the photos of CALFW with templates; here LFW's are masked by `training.data.masks`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import SourceError
from training.evaluation.photos import read, wear
from training.identity.evaluate import DESIGNS, methods, side_of
from training.identity.sets import pair_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import Engine
    from training.evaluation.product import Looker, PhotoFace
    from training.identity.evaluate import Side

ONE_MASKED_EVERY = 3
"""How often a pair has only one masked face: the last of so many pairs of a fold."""


class PairKind(StrEnum):
    """What is worn in a pair."""

    DIFFERENT_MASKS = "different_masks"
    """One person twice, in two masks."""
    SAME_MASK = "same_mask"
    """Two people in the same mask."""
    ONE_MASKED = "one_masked"
    """One face masked and the other bare; of one person or of two."""


@dataclass(frozen=True)
class Pair:
    """Two photos, and the number of the mask that each wears, or None."""

    fold: int
    same: bool
    files: tuple[Path, Path]
    designs: tuple[int | None, int | None]
    kind: PairKind


def masked_pairs(folder: Path, *, seed: int, limit: int | None = None) -> list[Pair]:
    """The pairs of a `pairs.csv`, at most `limit` of each fold and answer. Raises `SourceError` without a file."""
    rows = pair_rows(folder / "pairs.csv")
    if rows is None:
        raise SourceError(f"{folder} has no pairs.csv: the MLFW protocol compares the pairs that it lists")
    seen: Counter[tuple[str, str]] = Counter()
    pairs = []

    for number, row in enumerate(rows):
        place = seen[row["fold"], row["same"]]
        seen[row["fold"], row["same"]] += 1
        if limit is not None and place >= limit:
            continue

        same, draw = row["same"] == "1", np.random.default_rng([seed, number])
        first, second = (int(design) for design in draw.choice(DESIGNS, 2, replace=False))
        kind = PairKind.DIFFERENT_MASKS if same else PairKind.SAME_MASK
        designs: tuple[int | None, int | None] = (first, second if same else first)
        if place % ONE_MASKED_EVERY == ONE_MASKED_EVERY - 1:
            kind, designs = PairKind.ONE_MASKED, (None, second)
        pairs.append(Pair(int(row["fold"]), same, (folder / row["a"], folder / row["b"]), designs, kind))
    return pairs


def look_at_pairs(
    pairs: Sequence[Pair], look: Looker, *, seed: int, counted: Callable[[range], Iterable[int]]
) -> tuple[Side, Side]:
    """The photos of P pairs as they are and as the protocol masks them, (2 P) looks each, a pair's two side by side."""
    bare: dict[int, PhotoFace] = {}
    worn: dict[int, PhotoFace] = {}
    known: dict[Path, PhotoFace | None] = {}

    for number in counted(range(2 * len(pairs))):
        pair, which = pairs[number // 2], number % 2
        path, design = pair.files[which], pair.designs[which]
        photo = read(path)
        if path not in known:
            known[path] = look(photo)

        as_it_is = masked = known[path]
        if design is not None:
            drawn = wear(photo, np.random.default_rng([seed, design]))
            masked = None if drawn is None else look(drawn[0])
        if as_it_is is not None and masked is not None:
            bare[number], worn[number] = as_it_is, masked
    return side_of(bare, 2 * len(pairs)), side_of(worn, 2 * len(pairs))


def accuracy(scores: NDArray[np.floating], same: NDArray[np.bool_], fold: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(P,) which pairs are decided rightly, each fold at the threshold that is best on the other folds.

    Raises `ValueError` for pairs of a single fold.
    """
    if len(np.unique(fold)) < 2:
        raise ValueError("the threshold of a fold is chosen on the others: pairs of two folds are needed")
    right = np.zeros(len(scores), bool)
    for number in np.unique(fold):
        here = fold == number
        right[here] = (scores[here] >= best_threshold(scores[~here], same[~here])) == same[here]
    return right


def best_threshold(scores: NDArray[np.floating], same: NDArray[np.bool_]) -> float:
    """The score from which on "the same person" is right most often."""
    order = np.argsort(scores)
    rejected_rightly = np.concatenate([[0], np.cumsum(~same[order])])
    accepted_rightly = same.sum() - np.concatenate([[0], np.cumsum(same[order])])
    best = int(np.argmax(rejected_rightly + accepted_rightly))
    return float(scores[order][best]) if best < len(scores) else float("inf")


def protocol_scores(
    pairs: Sequence[Pair], bare: Side, worn: Side, models: Mapping[str, Engine]
) -> dict[str, dict[str, Any]]:
    """Score each method: accuracy bare and masked, with its standard error over folds, and masked by kind of pair."""
    there = np.asarray((bare.there & worn.there).reshape(-1, 2).all(1))
    kept = [pair for pair, found in zip(pairs, there, strict=True) if found]
    same, fold = np.array([pair.same for pair in kept]), np.array([pair.fold for pair in kept])
    kinds = np.array([pair.kind.value for pair in kept])

    answer: dict[str, dict[str, Any]] = {}
    for name, method in methods(models, drawing=False).items():
        without, masked = (accuracy(_cosines(method(side))[there], same, fold) for side in (bare, worn))
        by_fold = [float(masked[fold == number].mean()) for number in np.unique(fold)]
        answer[name] = {
            "bare": float(without.mean()),
            "masked": float(masked.mean()),
            "standard_error": float(np.std(by_fold, ddof=1) / len(by_fold) ** 0.5),
            "pairs": len(kept),
        } | {kind.value: float(masked[kinds == kind].mean()) for kind in PairKind if (kinds == kind).any()}
    return answer


def _cosines(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """(P,) the cosines of rows 0 and 1, 2 and 3, and so on."""
    return np.asarray(np.einsum("pd,pd->p", embeddings[::2], embeddings[1::2]), np.float32)


def table(answer: Mapping[str, Mapping[str, Any]]) -> str:
    """The accuracies as lines, in per cent."""
    columns = ("bare", "masked", "standard_error", *(kind.value for kind in PairKind))
    lines = [f"{'method':<22}" + "".join(f"{column:>17}" for column in columns)]
    for name, row in answer.items():
        cells = (f"{100 * row[column]:>17.2f}" if column in row else f"{'-':>17}" for column in columns)
        lines.append(f"{name:<22}" + "".join(cells))
    return "\n".join(lines)
