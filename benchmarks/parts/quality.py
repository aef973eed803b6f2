"""How near drawn faces come to true ones, against the milliseconds that each face takes.

Scores and times of one generator after the other, on the same pictures and in the same places of the product.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import literature, turns
from benchmarks.clips import demo_masks, moments
from benchmarks.drawing import Against, Figure, PlotPoint
from benchmarks.machine import Noise
from benchmarks.parts import Part, Plan, count, option
from benchmarks.record import NONE, Better, LeftOut, Series, Table, UnmeasurableError, document, left_out, shown
from pipeline.demo.clip import CYCLE_SECONDS, FRAME_RATE, frame_from_portrait, masked_portrait, portrait, warped
from pipeline.settings.values import as_json, build
from training.needs import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.parts import Say
    from benchmarks.record import Document
    from engine.spec import Engine
    from pipeline.settings.config import EngineConfig
    from training.evaluation.evaluate import Marks
    from training.evaluation.photos import MaskedPhoto, MaskedPhotos

ROUNDS, WARM_UP_ROUNDS = 15, 2
PACKAGES = ("onnx", "skimage")
"""Modules of the extra `training` that scores need."""
LEARNED = Path("face-space.npz")
"""Where `barefaced evaluate generator --baselines` keeps the mean face and the face space it learned."""
PAPER = Path("mcsam-paper")
"""Where it keeps the paper's network that it trained."""

HOW_TO_LEARN = "barefaced evaluate generator --baselines CROPS leaves it"

OURS, PAPERS_OWN, AT_OUR_COST = "ours", "the paper's, at its own size", "the paper's, at our cost"

MEASURES = ("hole_psnr", "hole_ssim")
"""The measures of `training.evaluation.measures` inside the hole: the rest of a picture is the same for all."""

METHOD = (
    "Every generator takes the same place in the product: the same faces, the true mask, the same blending; the result "
    "is compared with the bare picture inside the hole at 256x256 (docs/evaluation.md says how). Its time is that of "
    f"one face alone, generators in turns, {ROUNDS} rounds after {WARM_UP_ROUNDS} that don't count; OpenCV's methods "
    "take their time in one thread. Without --pairs the pictures are moments of the demo: one portrait, one drawn "
    "mask, moved, turned and zoomed. That is one face: it tells the order of the generators, not how good they are."
)


@dataclass(frozen=True, kw_only=True)
class QualityPlan(Plan):
    """On which pictures, and beside which generators that were learned before."""

    pairs: Path | None = option(
        "--pairs", None, type=Path, metavar="DIR", help="photos with true faces, as `evaluate generator` has"
    )
    limit: int | None = count("--limit", None, "only the first N of them")
    moments: int = 12
    """How many moments of the demo are taken without pairs."""
    baseline_runs: Path = option(
        "--baseline-runs", Path("runs/baselines"), type=Path, metavar="DIR",
        help="what `evaluate generator --baselines` learned",
    )  # fmt: skip


@dataclass(frozen=True)
class Moments:
    """Masked photos whose truth can be had anywhere: the demo's portrait, bare and in its drawn mask."""

    count: int
    width: int = 480
    height: int = 480

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the moments, by number."""
        return tuple(f"moment-{number}" for number in range(self.count))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> MaskedPhoto:
        """One moment of the cycle, with its truth and its mask."""
        from training.evaluation.photos import MaskedPhoto

        index = number * FRAME_RATE * CYCLE_SECONDS // self.count
        size = {"width": self.width, "height": self.height}
        place = frame_from_portrait(Fraction(index, FRAME_RATE), **size)
        (alpha,) = demo_masks(index, **size)
        truth, image = (warped(picture, place, **size) for picture in (portrait(), masked_portrait()))
        return MaskedPhoto(self.names[number], "surgical", truth, alpha.astype(np.float32) / np.float32(255), image)


def measure(plan: QualityPlan, say: Say) -> Document:
    """Score and time every generator that is here.

    Raises `ConfigError` when a package that scoring needs is not here, and `SourceError` for pairs that can't be read.
    """
    require("bench quality", *PACKAGES)
    from training.evaluation import evaluate
    from training.evaluation.measures import Judge
    from training.evaluation.photos import FixedPairs
    from training.evaluation.product import product

    config = build(plan.settings)
    photos: MaskedPhotos = Moments(plan.moments)
    if plan.pairs is not None:
        photos = FixedPairs.of(plan.pairs, limit=plan.limit)

    with Noise() as noise, ExitStack() as stack:
        parts = stack.enter_context(product(None, engine=config.engine.engine, threads=config.engine.threads))
        rivals = Rivals.here(plan.baseline_runs, config.engine, stack, say)
        marks, _ = evaluate.score(photos, parts, Judge.of(parts, learned=False), rivals.scored, labels={}, counted=iter)
        engines = {OURS: parts.networks.generator, **rivals.scored, **rivals.only_timed}
        times = in_turns(engines)

    rows, series = [], []
    for name, engine in engines.items():
        judged = evaluate.TRUE if name == OURS else name
        scores = {} if name in rivals.only_timed else {key: _scores(marks, judged, key) for key in MEASURES}
        rows.append(_row(name, engine.description, times[name], scores))
        series.append(Series(f"quality/{name}/time", "ms a face", Better.LESS, times[name]))
        if scores:
            series.append(Series(f"quality/{name}/hole PSNR", "dB", Better.MORE, scores["hole_psnr"]))
        say(_line(rows[-1]))
    for row in rows:
        row["on_front"] = on_front(row, rows)

    return document(
        "quality",
        method=METHOD,
        settings=as_json(config),
        noise=noise,
        series=series,
        figures={
            "pictures": "pairs" if plan.pairs else "moments of the demo: one portrait",
            "photos": len(marks),
            "generators": rows,
            "left_out": rivals.left_out,
        },
    )


@dataclass(frozen=True)
class Rivals:
    """What our generator is compared with, as far as it is here."""

    scored: Mapping[str, Engine]
    only_timed: Mapping[str, Engine]
    """Untrained networks: what they draw means nothing."""
    left_out: Mapping[str, str]
    """Why a rival is not here and how to get it, by its name."""

    @classmethod
    def here(cls, learned: Path, config: EngineConfig, stack: ExitStack, say: Say) -> Rivals:
        """The baselines that learn nothing, those that were learned into `learned`, and the paper's network."""
        from training.evaluation.baselines import FaceSpace, unlearned, untrained

        scored: dict[str, Engine] = dict(unlearned())
        only_timed: dict[str, Engine] = {}
        absent = LeftOut(say)

        if (learned / LEARNED).exists():
            scored |= untrained(FaceSpace.read(learned / LEARNED))
        else:
            absent.reasons["mean-face, gappy-pca"] = f"{learned / LEARNED} is not here: {HOW_TO_LEARN}"

        with absent.attempt(PAPERS_OWN):
            only_timed[PAPERS_OWN] = stack.enter_context(closing(turns.loaded(literature.papers_untrained(), config)))
        with absent.attempt(AT_OUR_COST):
            if not (learned / PAPER).exists():
                raise UnmeasurableError(f"{learned / PAPER} is not here: {HOW_TO_LEARN} --paper-seconds N")
            trained = literature.papers_trained(learned / PAPER)
            scored[AT_OUR_COST] = stack.enter_context(closing(turns.loaded(trained, config)))
        return cls(scored, only_timed, absent.reasons)


def in_turns(engines: Mapping[str, Engine]) -> dict[str, list[float]]:
    """Milliseconds of one face alone, by engine: all of them once in each round."""
    feeds = {"crop_and_mask": moments(1).feed("generator", 1)}
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(WARM_UP_ROUNDS + ROUNDS):
        for name, engine in engines.items():
            began = perf_counter()
            engine.run(feeds)
            times[name].append(1000 * (perf_counter() - began))
    return {name: taken[WARM_UP_ROUNDS:] for name, taken in times.items()}


def on_front(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether nothing is both as fast and as near, and better in one of them (Pareto). False for what has no score."""
    if row["hole_psnr"] is None:
        return False
    speed, worth = row["ms_per_face"], row["hole_psnr"]
    return not any(
        other["hole_psnr"] is not None
        and other["ms_per_face"] <= speed
        and other["hole_psnr"] >= worth
        and (other["ms_per_face"], other["hole_psnr"]) != (speed, worth)
        for other in rows
    )


def _scores(marks: Sequence[Marks], name: str, measure: str) -> list[float]:
    return [value for photo in marks if (value := photo.scores[name][measure]) is not None]


def _row(name: str, description: str, times: Sequence[float], scores: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    means = {key: round(float(np.mean(scores[key])), 4) if key in scores else None for key in MEASURES}
    return {
        "name": name,
        "description": description,
        "ms_per_face": round(float(np.median(times)), 3),
        "p95_ms": round(float(np.percentile(times, 95)), 3),
        **means,
    }


def _line(row: Mapping[str, Any]) -> str:
    worth = "untrained, no score" if row["hole_psnr"] is None else f"hole PSNR {row['hole_psnr']:.2f} dB"
    return f"{row['name']:<28} {row['ms_per_face']:8.2f} ms a face, {worth}"


def tables(part: Document) -> list[Table]:
    """A row for each generator, and what was left out."""
    rows = []
    for row in part["generators"]:
        scores = (NONE if row[key] is None else f"{row[key]:.2f}" for key in MEASURES)
        unsurpassed = "yes" if row["on_front"] else "no"
        rows.append((row["name"], shown(row["ms_per_face"]), *scores, unsurpassed, row["description"]))

    caption = f"Inside the hole, {part['photos']} pictures ({part['pictures']})"
    headers = ("generator", "ms a face", "PSNR, dB", "SSIM", "unsurpassed", "what it is")
    return [Table(caption, headers, tuple(rows)), *left_out(part["left_out"])]


def figures(part: Document) -> Iterator[Figure]:
    """Every generator by its time and its score."""
    points = [
        PlotPoint(
            row["name"],
            row["ms_per_face"],
            row["hole_psnr"],
            row["on_front"],
            "orange" if row["name"] == OURS else "blue",
        )
        for row in part["generators"]
    ]

    label = "Nearness to the true face against milliseconds a face"
    caption = f"{label}, {part['photos']} pictures ({part['pictures']}). Nothing measured surpasses the dashed line."
    yield Figure("quality", caption, label, Against(points, "milliseconds a face", "PSNR in the hole, dB"))


PART = Part("Quality against time", 4, QualityPlan, measure, tables, figures, short={})
