"""Recognition with and without masks: each method of embedding a masked face, scored on the same comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from pipeline.recognisers import unit
from training.evaluation.photos import read, wear
from training.identity.metrics import (
    Comparisons,
    Rates,
    Resampled,
    change,
    draws,
    interval,
    rates_at,
    summary,
    threshold_at,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import Engine
    from training.evaluation.product import Looker, PhotoFace
    from training.identity.sets import PhotoSet

    Vectors = NDArray[np.float32]

DESIGNS = 100
"""Masks to choose from: a design looks alike on everybody."""
RESAMPLES = 300
PICTURE = "chip"
"""The input of a network that takes the same picture as the baseline's."""
MEASURES = ("eer", "fmr100", "fmr1000")
"""The measures that have intervals, in the order of `Resampled.measures`."""
BARE_FMRS = {"fmr100": 0.01, "fmr1000": 0.001}


@dataclass(frozen=True, eq=False)
class Side:
    """One look at each of N photos."""

    embedding: Vectors
    """(N, d), NaN where no face was found or nothing was to be looked at."""
    pictures: NDArray[np.uint8]
    """(N, S, S, 3) what the recogniser looked at; of no meaning where no face was found."""
    masked: NDArray[np.bool_]
    """(N,) where the segmenter found a mask."""
    drawn: Vectors
    """(N, d) of the face with its mask drawn over, NaN where there is none."""

    @property
    def there(self) -> NDArray[np.bool_]:
        """(N,) where a face was found."""
        return np.asarray(~np.isnan(self.embedding).any(1))


@dataclass(frozen=True)
class BareAndWorn:
    """All that is known of a set's photos."""

    bare: Side
    worn: Side
    """The photos with masks drawn on, or those in which masks are really worn."""
    design: NDArray[np.int64]
    """(N,) which drawn mask each wears; -1 for real ones."""

    def save(self, path: Path) -> None:
        """Keep faces and embeddings, which are biometric data, in a file that was asked for."""
        sides = {"bare": self.bare, "worn": self.worn}
        stored = {f"{name}_{key}": value for name, side in sides.items() for key, value in vars(side).items()}
        np.savez(path, design=self.design, **stored)

    @classmethod
    def load(cls, path: Path) -> BareAndWorn:
        """Read what `save` kept."""
        stored = np.load(path)
        bare, worn = (Side(*(stored[f"{name}_{key}"] for key in Side.__annotations__)) for name in ("bare", "worn"))
        return cls(bare, worn, stored["design"])


def look_at(
    photos: PhotoSet,
    look: Looker,
    *,
    wearing: NDArray[np.bool_],
    seed: int,
    draw: int,
    counted: Callable[[range], Iterable[int]],
) -> BareAndWorn:
    """Look at every photo as it is, a masked one by its label, and at those of `wearing` (N,) with a drawn mask.

    In the first `draw` photos masks are drawn over and the result embedded, too.
    """
    design = np.where(wearing, np.random.default_rng(seed).integers(0, DESIGNS, len(photos.files)), -1)
    seen: dict[str, dict[int, PhotoFace]] = {"bare": {}, "worn": {}}

    for number in counted(range(len(photos.files))):
        photo = read(photos.files[number])
        pictures: dict[str, NDArray[np.uint8]] = {"bare": photo}
        if photos.masked is not None and photos.masked[number]:
            pictures = {"worn": photo}
        elif wearing[number]:
            drawn = wear(photo, np.random.default_rng([seed, design[number]]))
            pictures |= {} if drawn is None else {"worn": drawn[0]}
        for name, picture in pictures.items():
            face = look(picture, draw=name == "worn" and number < draw)
            if face is not None:
                seen[name][number] = face

    sides = {name: side_of(found, len(photos.files)) for name, found in seen.items()}
    return BareAndWorn(**sides, design=design)


def side_of(found: Mapping[int, PhotoFace], count: int) -> Side:
    """The faces that were `found`, by row, as one side of `count` rows."""
    faces = list(found.values())
    embedding, drawn = np.full((2, count, len(faces[0].embedding) if faces else 1), np.nan, np.float32)
    pictures = np.zeros((count, *(faces[0].picture.shape if faces else (1, 1, 3))), np.uint8)
    masked = np.zeros(count, bool)
    for number, face in found.items():
        embedding[number], pictures[number], masked[number] = face.embedding, face.picture, face.masked
        if face.drawn is not None:
            drawn[number] = face.drawn
    return Side(embedding, pictures, masked, drawn)


def _repaired_as(engine: Engine, embedding_of: Callable[[Side], Vectors], side: Side) -> Vectors:
    return repaired(engine, side, embedding_of(side))


def methods(models: Mapping[str, Engine], *, drawing: bool) -> dict[str, Callable[[Side], Vectors]]:
    """What may become of a look, by name.

    A model that takes pictures is another recogniser: it is asked for all faces, for masked ones alone, and for masked
    ones together with the EUM. A model that takes embeddings repairs those of masked faces; the others keep theirs.
    `drawing` adds the methods that look at the drawn face, and fall back on the hidden one where no mask was found.
    """
    recognisers = {name: engine for name, engine in models.items() if engine.inputs[0].name == PICTURE}
    repairing = {name: engine for name, engine in models.items() if name not in recognisers}
    found: dict[str, Callable[[Side], Vectors]] = {"baseline": lambda side: side.embedding}

    for name, engine in repairing.items():
        if not name.endswith("_drawn"):
            found[name] = partial(_repaired_as, engine, lambda side: side.embedding)

    for name, engine in recognisers.items():
        found[name] = cache(partial(recognised, engine))
        found[f"{name} where masked"] = partial(_where_masked, found[name])
        if "eum_srt" in repairing:
            found[f"eum_srt and {name}"] = partial(_summed, found["eum_srt"], found[f"{name} where masked"])

    # What is drawn is invented: these methods embed it all the same, to see what it tells.
    if not drawing:
        return found
    found["inpainted"] = drawn_or_own
    for name, engine in repairing.items():
        if name.endswith("_drawn"):
            found[name] = partial(_repaired_as, engine, drawn_or_own)
    if "eum_srt" in repairing:
        srt, second = repairing["eum_srt"], repairing.get("eum_srt_drawn", repairing["eum_srt"])
        found["eum_srt on inpainted"] = lambda side: repaired(srt, side, drawn_or_own(side))
        found["fusion"] = lambda side: unit(
            repaired(srt, side, side.embedding) + repaired(second, side, drawn_or_own(side))
        )
    return found


def _where_masked(method: Callable[[Side], Vectors], side: Side) -> Vectors:
    return np.where(side.masked[:, None], method(side), side.embedding)


def _summed(one: Callable[[Side], Vectors], other: Callable[[Side], Vectors], side: Side) -> Vectors:
    return unit(one(side) + other(side))


def recognised(engine: Engine, side: Side) -> Vectors:
    """(N, d) what another recogniser makes of the same pictures, NaN where no face was found."""
    out: Vectors | None = None
    for some in np.array_split(np.flatnonzero(side.there), max(1, len(side.embedding) // 32)):
        if not len(some):
            continue
        given = engine.run({PICTURE: side.pictures[some].transpose(0, 3, 1, 2).astype(np.float32)})
        vectors = unit(given["embedding"].astype(np.float32))
        out = np.full((len(side.embedding), vectors.shape[1]), np.nan, np.float32) if out is None else out
        out[some] = vectors
    return side.embedding if out is None else out


def drawn_or_own(side: Side) -> Vectors:
    """The drawn face's embedding, or the face's own where nothing was drawn."""
    return np.where(np.isnan(side.drawn), side.embedding, side.drawn)


def repaired(engine: Engine, side: Side, vectors: Vectors) -> Vectors:
    """`vectors` with those of masked faces put through a model."""
    out = vectors.copy()
    which = np.flatnonzero(side.masked & ~np.isnan(vectors).any(1))
    for some in np.array_split(which, max(1, len(which) // 64 + 1)):
        if len(some):
            out[some] = engine.run({"masked": vectors[some]})["embedding"]
    return out


@dataclass(frozen=True)
class Comparing:
    """Which embeddings a setting compares."""

    reference: Side
    probe: Side
    pairs: NDArray[np.int64]
    """(G, 2) genuine: photos of reference and probe."""
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    """The photos of references and probes that are compared across people."""
    cross: NDArray[np.bool_]
    """(rows, columns) which of them are."""
    people: NDArray[np.int64]

    def scores(self, method: Callable[[Side], Vectors]) -> Comparisons:
        """All scores of a method, and whose they are."""
        one, two = method(self.reference), method(self.probe)
        genuine = np.einsum("gd,gd->g", one[self.pairs[:, 0]], two[self.pairs[:, 1]])
        impostor = (one[self.rows] @ two[self.columns].T)[self.cross]
        first, second = np.nonzero(self.cross)
        owners = self.people[self.rows][first], self.people[self.columns][second]
        return Comparisons(genuine, self.people[self.pairs[:, 0]], impostor, *owners)


def comparing(photos: PhotoSet, looked: BareAndWorn, setting: str, among: NDArray[np.bool_]) -> Comparing:
    """What a setting compares: reference and probe, U for unmasked and M for masked; MLFW is M-M at its hardest.

    MLFW: one person's two photos wear different masks, and two people the same one. `among` (N,) are the photos that
    may be looked at; where a face was not found there is nothing to compare.
    """
    reference, probe = ("M", "M") if setting == "MLFW" else setting.split("-")
    sides = {"U": looked.bare, "M": looked.worn}
    one, two = sides[reference], sides[probe]
    there = one.there & among, two.there & among
    pairs = photos.genuine if reference == probe else np.concatenate([photos.genuine, photos.genuine[:, ::-1]])
    pairs = pairs[there[0][pairs[:, 0]] & there[1][pairs[:, 1]]]

    rows, columns = (np.flatnonzero(side) for side in there)
    cross = photos.people[rows][:, None] != photos.people[columns]
    if reference == probe:
        cross &= rows[:, None] < columns

    # At its hardest: one person's two photos look less alike, and two people's more.
    if setting == "MLFW":
        pairs = pairs[looked.design[pairs[:, 0]] != looked.design[pairs[:, 1]]]
        cross &= looked.design[rows][:, None] == looked.design[columns]
    return Comparing(one, two, pairs, rows, columns, cross, photos.people)


def score(
    photos: PhotoSet,
    looked: BareAndWorn,
    models: Mapping[str, Engine],
    *,
    settings: tuple[str, ...],
    among: NDArray[np.bool_],
    drawing: bool,
) -> tuple[dict[str, dict[str, dict[str, object]]], dict[str, dict[str, Rates]]]:
    """Measures and curves of every method in every setting that has comparisons, on the photos of `among`.

    Intervals are of a bootstrap over people; `change` is a measure's relative change against the baseline, on the same
    draws. `at_bare_thresholds` holds FMR and FNMR where bare faces have an FMR of 1 % and 0.1 %.
    """
    people = int(photos.people.max()) + 1
    weights = draws(people, RESAMPLES, seed=0)
    plain, with_drawn = methods(models, drawing=False), methods(models, drawing=drawing)
    told: dict[str, dict[str, dict[str, object]]] = {}
    curves: dict[str, dict[str, Rates]] = {}
    thresholds: dict[str, float] = {}

    for setting in settings:
        what = comparing(photos, looked, setting, among)
        if not len(what.pairs) or not what.cross.any():
            continue
        told[setting], curves[setting] = {}, {}
        base: NDArray[np.float64] | None = None

        for name, method in (plain if setting == "U-U" else with_drawn).items():
            scores = what.scores(method)
            if setting == "U-U" and name == "baseline":
                thresholds = {key: threshold_at(scores.impostor, fmr) for key, fmr in BARE_FMRS.items()}

            ready = Resampled.of(scores, people)
            found = np.array([ready.measures(drawn) for drawn in weights])
            base = found if base is None else base
            told[setting][name] = _row(scores, found, base, thresholds)
            curves[setting][name] = Rates.of(scores.genuine, scores.impostor)
    return told, curves


def _row(
    scores: Comparisons, found: NDArray[np.float64], base: NDArray[np.float64], thresholds: Mapping[str, float]
) -> dict[str, object]:
    """What JSON holds of a method; `found` and `base` (draws, 3) are its measures and the baseline's, draw by draw."""
    return summary(scores.genuine, scores.impostor) | {
        "genuine": len(scores.genuine),
        "impostor": len(scores.impostor),
        "interval": {key: interval(found[:, at]) for at, key in enumerate(MEASURES)},
        "change": {key: change(found[:, at], base[:, at]) for at, key in enumerate(MEASURES)},
        "at_bare_thresholds": {key: _rates_at(scores, threshold) for key, threshold in thresholds.items()},
    }


def _rates_at(scores: Comparisons, threshold: float) -> dict[str, float]:
    (matched,), (missed,) = rates_at(scores.genuine, scores.impostor, np.array([threshold]))
    return {"threshold": threshold, "fmr": matched, "fnmr": missed, "avg": (matched + missed) / 2}


@dataclass(frozen=True)
class Scores:
    """What an evaluation found."""

    told: dict[str, object]
    """The scores as JSON holds them."""
    curves: dict[str, dict[str, Rates]]
    """The curves by setting and method."""


def scores(
    photos: PhotoSet, looked: BareAndWorn, models: Mapping[str, Engine], *, settings: tuple[str, ...], drawn: int
) -> Scores:
    """All settings on all photos, and again, with the methods that need it, on the first `drawn`, which were drawn."""
    everything = np.ones(len(photos.files), bool)
    told, curves = score(photos, looked, models, settings=settings, among=everything, drawing=False)
    answer: dict[str, object] = {
        "settings": told,
        "photos": len(photos.files),
        "people": int(photos.people.max()) + 1,
        "not_found": {name: _missing(photos, looked, name) for name in ("bare", "worn")},
        "found_masked": {name: float(side.masked[side.there].mean()) for name, side in _sides(looked).items()},
    }

    if drawn:
        first = np.arange(len(photos.files)) < drawn
        hidden = tuple(setting for setting in settings if setting != "U-U")
        some, _ = score(photos, looked, models, settings=hidden, among=first, drawing=True)
        answer["drawn"] = {"photos": int(first.sum()), "settings": some}
    return Scores(answer, curves)


def _sides(looked: BareAndWorn) -> dict[str, Side]:
    return {name: side for name, side in (("bare", looked.bare), ("worn", looked.worn)) if side.there.any()}


def _missing(photos: PhotoSet, looked: BareAndWorn, name: str) -> int:
    """Photos that should show a face so, and in which none was found."""
    side = {"bare": looked.bare, "worn": looked.worn}[name]
    really = np.zeros(len(photos.files), bool) if photos.masked is None else photos.masked
    wanted = really | (looked.design >= 0) if name == "worn" else ~really
    return int((wanted & ~side.there).sum())
