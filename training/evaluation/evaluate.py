"""`barefaced evaluate generator`: how near the drawn faces are to the true ones. The protocol is docs/evaluation.md.

Each photo goes through the product's own path, once with the true mask and once with the segmenter's, and is compared
with the bare photo at 256x256. For `barefaced evaluate own-faces` it goes through the whole product, once with the
shipped network and once with a face that was learned from other photos of the same person.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.onnx_file import multiply_adds
from pipeline.errors import SinkError, SourceError
from pipeline.frames import Skipped
from training.evaluation.measures import MEASURES, TRUTH, Judge, kernel_distance, thin_parts
from training.evaluation.photos import read, sheet_column, write_sheet
from training.evaluation.product import with_true_mask, worn_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.frames import Cropped, FaceCrop, Track
    from training.evaluation.photos import FixedPairs, Labels, MaskedPhoto, MaskedPhotos
    from training.evaluation.product import Product

    DrawnBy = Mapping[str, Mapping[str, int]]
    """Which network drew how many faces, and why, as a run's report says it."""

TRUE, PREDICTED, UNTOUCHED = "true_mask", "predicted_mask", "untouched"
"""What a result was made with: the mask that was drawn, the one that the segmenter found, nothing at all."""

DRAWN, NOT_FOUND, NO_FACE = "drawn", "face not found", "no face in the bare photo"
"""What became of a photo, beside the reasons of `Skipped`."""


@dataclass(frozen=True)
class Result:
    """What came out for one photo."""

    images: Mapping[str, NDArray[np.uint8]]
    """The photo as each way left it, by name: `true_mask`, `predicted_mask`, `untouched` and the baselines."""
    iou: float | None
    """Intersection over union of the segmenter's mask and the true one; 0 where it saw none, None where not asked."""
    thin: float | None
    """The share of straps and loops that the segmenter found; None where there are none, or it was not asked."""
    fate: str


@dataclass(frozen=True)
class Marks:
    """How the results of one photo did."""

    number: int
    kind: str
    hole_fraction: float
    scores: Mapping[str, Mapping[str, float | None]]
    """The scores by result, then by measure."""
    iou: float | None
    thin: float | None
    fate: str
    groups: Mapping[str, str]
    """The group that the photo's person belongs to, for each property, such as `glasses`."""
    features: Mapping[str, NDArray[np.float32]]
    """Features of the lower face in each result, and in the truth under `measures.TRUTH`; or nothing."""


def process(product: Product, masked: MaskedPhoto, baselines: Mapping[str, Engine]) -> Result:
    """A masked photo through the product, with either mask, and through each baseline with the true one.

    A face that is not found keeps its mask, and so it is scored.
    """
    tracked = product.find(masked.image)
    wearer = worn_by(tracked, masked.alpha)
    if wearer is None:
        ways = (TRUE, PREDICTED, UNTOUCHED, *baselines)
        return Result(dict.fromkeys(ways, masked.image), None, None, NOT_FOUND)

    truly, found = with_true_mask(tracked, wearer, masked.alpha), product.segment(tracked)
    images = {TRUE: product.draw(truly), PREDICTED: product.draw(found), UNTOUCHED: masked.image}
    images |= {name: product.draw(truly, engine) for name, engine in baselines.items()}
    return Result(images, *_overlap(truly.crops[0], found, wearer))


def _overlap(truly: FaceCrop, found: Cropped, wearer: Track) -> tuple[float | None, float | None, str]:
    """The segmenter's IoU for `wearer`, its recall of thin parts, and what became of the face."""
    thin = thin_parts(truly.mask)
    for crop in found.crops:
        if crop.track.id == wearer.id:
            ours, theirs = crop.mask > 0.5, truly.mask > 0.5
            iou = float((ours & theirs).sum() / max(1, (ours | theirs).sum()))
            return iou, float(ours[thin].mean()) if thin.any() else None, DRAWN
    reason = next(reason for track, reason in found.skipped if track.id == wearer.id)
    missed = 0.0 if reason in (Skipped.BARE, Skipped.UNCERTAIN) else None
    return missed, missed if thin.any() else None, reason.value


def score(
    photos: MaskedPhotos,
    product: Product,
    judge: Judge,
    baselines: Mapping[str, Engine],
    *,
    labels: Labels,
    counted: Callable[[Iterable[int]], Iterable[int]],
) -> tuple[list[Marks], Counter[str]]:
    """Every photo's marks, and how many photos ended how.

    `labels` say which groups a photo belongs to; `counted` sees the numbers pass, for a progress bar.
    Raises `SourceError` when there is nothing to score.
    """
    marks, fates = [], Counter[str]()
    for number in counted(range(len(photos))):
        masked = photos[number]
        if masked is None:
            fates[NO_FACE] += 1
            continue

        result = process(product, masked, baselines)
        fates[result.fate] += 1
        judged = judge(masked, result.images)
        marks.append(
            Marks(
                number,
                masked.kind,
                masked.hole_fraction,
                judged.scores,
                result.iou,
                result.thin,
                result.fate,
                labels.get(masked.name, {}),
                judged.features,
            )
        )

    if not marks:
        raise SourceError(f"in none of the {len(photos)} photos is there a face to draw a mask on")
    return marks, fates


def summary(
    marks: Sequence[Marks], fates: Counter[str], product: Product, baselines: Mapping[str, Engine]
) -> dict[str, Any]:
    """The scores as JSON holds them: means over photos."""
    made = {UNTOUCHED: "the mask stays on"} | {name: engine.description for name, engine in baselines.items()}
    return {
        "photos": len(marks),
        "fates": dict(fates),
        "gmacs": round(multiply_adds(product.networks.files["generator"]) / 1e9, 3),
        "generator_sha256": product.networks.hashes["generator"],
        "engine": product.networks.generator.description,
        **_means(marks),
        "per_type": {kind: _means(those) for kind, those in by_kind(marks).items()},
        "per_group": {
            name: {value: {"photos": len(those)} | _means(those) for value, those in values.items()}
            for name, values in by_group(marks).items()
        },
        "baselines": {name: means(marks, name) | {"description": description} for name, description in made.items()},
    }


def by_kind(marks: Sequence[Marks]) -> dict[str, list[Marks]]:
    """The marks of each kind of mask."""
    kinds = sorted({photo.kind for photo in marks})
    return {kind: [photo for photo in marks if photo.kind == kind] for kind in kinds}


def by_group(marks: Sequence[Marks]) -> dict[str, dict[str, list[Marks]]]:
    """The marks of each group, by property and then by value."""
    found: dict[str, dict[str, list[Marks]]] = {}
    for name in sorted({name for photo in marks for name in photo.groups}):
        values = sorted({photo.groups[name] for photo in marks if name in photo.groups})
        found[name] = {value: [photo for photo in marks if photo.groups.get(name) == value] for value in values}
    return found


def _means(marks: Sequence[Marks]) -> dict[str, object]:
    return {
        "hole_fraction": _mean([photo.hole_fraction for photo in marks]),
        "segmenter_iou": _mean([photo.iou for photo in marks]),
        "thin_part_recall": _mean([photo.thin for photo in marks]),
        TRUE: means(marks, TRUE),
        PREDICTED: means(marks, PREDICTED),
    }


def means(marks: Sequence[Marks], name: str) -> dict[str, float | None]:
    """The mean of each measure of the results called `name`, over the photos that have it, and their `kid`."""
    return _mean_scores(marks, name) | dict(zip(("kid", "kid_low", "kid_high"), _kid(marks, name), strict=True))


def _mean_scores(those: Sequence[Marks | Person], name: str) -> dict[str, float | None]:
    return {measure: _mean([one.scores[name][measure] for one in those]) for measure in MEASURES}


def _kid(marks: Sequence[Marks], name: str) -> tuple[float | None, float | None, float | None]:
    """The kernel distance of the results called `name` from the truths, and its interval."""
    seen = [photo.features for photo in marks if photo.features]
    drawn, true = (np.array([features[which] for features in seen]) for which in (name, TRUTH))
    found = kernel_distance(drawn, true)
    if found is None:
        return None, None, None
    distance, low, high = (round(value, 6) for value in found)
    return distance, low, high


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 5) if known else None


def table(scores: Mapping[str, Any]) -> str:
    """The means of a summary, for a person."""
    rows = {name: scores[name] for name in (TRUE, PREDICTED)} | scores["baselines"]
    columns = (*MEASURES, "kid")
    lines = [f"{'':<16}" + "".join(f"{measure:>12}" for measure in columns)]
    for name, values in rows.items():
        cells = "".join(f"{'-' if values[m] is None else format(values[m], '.4f'):>12}" for m in columns)
        lines.append(f"{name:<16}{cells}")
    return "\n".join(lines)


def sheet(path: Path, marks: Sequence[Marks], photos: MaskedPhotos, product: Product, *, count: int = 10) -> None:
    """The `count` worst pictures with the true mask and the middle ones, by PSNR in the hole, as a PNG.

    From the top: masked, drawn with the true mask, drawn with the segmenter's, the truth.
    """
    ordered = sorted(marks, key=lambda photo: photo.scores[TRUE]["hole_psnr"] or 0.0)
    middle = max(count, (len(ordered) - count) // 2)
    bands = [band for band in (ordered[:count], ordered[middle : middle + count]) if band]
    write_sheet(path, [[_column(photo, photos, product) for photo in band] for band in bands])


def sheets_of_groups(folder: Path, marks: Sequence[Marks], photos: MaskedPhotos, product: Product) -> None:
    """A `sheet` of each kind of mask and of each group, in `folder` as `kind-surgical.png`, `glasses-yes.png`.

    Raises `SinkError` when they can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"{folder} can't be made: {error.strerror or error}") from error
    for name, values in (("kind", by_kind(marks)), *by_group(marks).items()):
        for value, those in values.items():
            plain = re.sub(r"[^\w-]+", "-", f"{name}-{value}")  # a table's words become a file's name
            sheet(folder / f"{plain}.png", those, photos, product, count=5)


def _column(marks: Marks, photos: MaskedPhotos, product: Product) -> NDArray[np.uint8]:
    masked = photos[marks.number]
    assert masked is not None  # noqa: S101 - it has marks
    images = process(product, masked, {}).images
    title = f"{masked.name} {marks.scores[TRUE]['hole_psnr']:.1f} dB"
    return sheet_column(title, [masked.image, images[TRUE], images[PREDICTED], masked.truth])


SHIPPED, OWN = "shipped", "own_face"
"""What a person's photo was drawn by: the shipped network, or the person's own where there is one."""

BETTER = {"hole_psnr": 1, "hole_ssim": 1, "perceptual": -1, "identity": 1}
"""The measures that tables of own faces show, and which way each gets better: 1 upwards, -1 downwards."""

MOST_SHOWN, IN_A_ROW = 40, 10
"""How many people a sheet of own faces shows at most, and how many of them beside each other."""


@dataclass(frozen=True)
class Person:
    """What an own face was worth to one person."""

    name: str
    photos: int
    """How many photos there were to learn from."""
    refused: str | None
    """Why there is no face; None where there is one."""
    seconds: float
    """How long it took to learn the face, or to refuse it."""
    drawn_by: DrawnBy
    """What drew the second result; nothing where there is no face, or none was drawn."""
    scores: Mapping[str, Mapping[str, float | None]]
    """The scores by result, `SHIPPED` and `OWN`, then by measure. Who was refused has the same ones twice."""
    column: NDArray[np.uint8]
    """(height, width, 3) what a sheet shows: masked, shipped, own, true, and a photo that was learned from."""

    @property
    def gain_db(self) -> float:
        """How much nearer to the truth the own face is in the hole, in decibels."""
        return _gain_db(self.scores)

    @property
    def told(self) -> str:
        """The person's gain, or why there is none, in a line."""
        ended = f"{self.gain_db:+.2f} dB" if self.refused is None else f"no face: {self.refused}"
        return f"{self.name} ({self.seconds:.0f} s): {ended}"

    def worse(self, measure: str) -> bool:
        """Whether the own face did worse than the shipped network."""
        own, shipped = self.scores[OWN][measure], self.scores[SHIPPED][measure]
        return own is not None and shipped is not None and (own - shipped) * BETTER[measure] < 0


def people(
    pairs: FixedPairs,
    references: Sequence[Sequence[Path]],
    judge: Judge,
    *,
    learn: Callable[[str, Sequence[Path]], Path],
    draw: Callable[[NDArray[np.uint8], Path | None], tuple[NDArray[np.uint8], DrawnBy]],
) -> Iterator[Person]:
    """What an own face is worth to each person of `pairs`, one after the other; `references` are photos of each.

    `learn` takes the person's name and photos and gives the file of the face, or raises `SourceError` to refuse it.
    `draw` takes the masks off a photo with a face or without one, and says what drew.
    """
    for number, photos in enumerate(references):
        masked = pairs[number]
        began, refused, face = perf_counter(), None, None
        try:
            face = learn(masked.name, photos)
        except SourceError as error:
            refused = str(error)
        seconds = perf_counter() - began

        shipped, _ = draw(masked.image, None)
        own, drawn_by = (shipped, {}) if face is None else draw(masked.image, face)
        scores = judge(masked, {SHIPPED: shipped, OWN: own}).scores
        title = f"{masked.name} {'refused' if refused else format(_gain_db(scores), '+.2f') + ' dB'}"
        column = sheet_column(title, [masked.image, shipped, own, masked.truth, read(photos[0])])
        yield Person(masked.name, len(photos), refused, seconds, drawn_by, scores, column)


def _gain_db(scores: Mapping[str, Mapping[str, float | None]]) -> float:
    own, shipped = (scores[name]["hole_psnr"] or 0.0 for name in (OWN, SHIPPED))
    return own - shipped


def summary_of_people(found: Sequence[Person]) -> dict[str, Any]:
    """The scores of own faces as JSON holds them; in the mean of all the shipped network draws who was refused."""
    faces = [person for person in found if person.refused is None]

    return {
        "people": len(found),
        "faces": len(faces),
        "drawn": sum(person.name in person.drawn_by for person in faces),
        "worse": {measure: sum(person.worse(measure) for person in faces) for measure in BETTER},
        "seconds": _mean([person.seconds for person in found]),
        "mean": {name: _mean_scores(found, name) for name in (SHIPPED, OWN)},
        "mean_of_faces": {name: _mean_scores(faces, name) for name in (SHIPPED, OWN)},
        "per_person": {
            person.name: {
                "photos": person.photos,
                "refused": person.refused,
                "seconds": round(person.seconds, 1),
                "drawn_by": person.drawn_by,
                **{name: _mean_scores([person], name) for name in (SHIPPED, OWN)},
            }
            for person in found
        },
    }


def table_of_people(scores: Mapping[str, Any]) -> str:
    """What `summary_of_people` gave, for a person: each measure shipped and own."""
    faces, everybody = scores["faces"], scores["per_person"]
    rows = {name: values for name, values in everybody.items() if values["refused"] is None}
    rows |= {f"all {scores['people']}": scores["mean"], f"{faces} with a face": scores["mean_of_faces"]}

    lines = [f"{'':<24}" + "".join(f"{measure:>20}" for measure in BETTER)]
    lines += [f"{'':<24}" + "".join(f"{name:>10}" for name in ("shipped", "own") * len(BETTER))]
    for title, values in rows.items():
        cells = [values[name][measure] for measure in BETTER for name in (SHIPPED, OWN)]
        lines.append(f"{title:<24}" + "".join(f"{'-' if cell is None else format(cell, '.4f'):>10}" for cell in cells))
    lines.append(f"{'worse with it':<24}" + "".join(f"{scores['worse'][measure]:>20}" for measure in BETTER))
    lines += [f"no face for {name}: {values['refused']}" for name, values in everybody.items() if values["refused"]]
    return "\n".join(lines)


def sheet_of_people(path: Path, found: Sequence[Person]) -> None:
    """Forty people at most as a PNG, from the greatest loss in the hole to the greatest gain.

    From the top: masked, shipped, own, true, and a photo that was learned from. Raises `SinkError`.
    """
    ordered = sorted(found, key=lambda person: person.gain_db)
    places = np.unique(np.linspace(0, len(ordered) - 1, MOST_SHOWN).astype(int))
    columns = [ordered[place].column for place in places]
    write_sheet(path, [columns[begin : begin + IN_A_ROW] for begin in range(0, len(columns), IN_A_ROW)])
