"""Whose face it is, and whether it was drawn: `barefaced evaluate identity` and `own-faces`, `verify` and `check`."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import ExitStack, nullcontext
from math import acos, degrees
from pathlib import Path
from typing import TYPE_CHECKING

from commands.parsing import FAILED, add, at_least_one
from pipeline.errors import ConfigError
from pipeline.settings import flags, manual, values
from pipeline.whole_file import temporary_folder

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from commands.parsing import Commands
    from engine.spec import Engine
    from training.evaluation.evaluate import DrawnBy, Person
    from training.evaluation.photos import FixedPairs
    from training.identity.evaluate import BareAndWorn
    from training.identity.sets import PhotoSet


SETTINGS = {"both": ("U-U", "U-M", "M-M", "MLFW"), "probe": ("U-U", "U-M"), "none": ("U-U", "U-M", "M-M")}
"""What is compared, by `--masks`."""


def add_evaluate_identity(what: Commands) -> None:
    """Add `evaluate identity`."""
    parser = add(
        what,
        "identity",
        _evaluate_identity,
        summary="recognising people with and without masks",
        description=manual.EVALUATE_IDENTITY,
    )

    # Who is compared with whom, in which masks.
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos of people, several of each")
    parser.add_argument(
        "--protocol",
        choices=["all-pairs", "mlfw"],
        default="all-pairs",
        help="all-pairs compares everybody with everybody; mlfw decides the pairs of pairs.csv in masks, fold by fold "
        "(default: all-pairs)",
    )
    parser.add_argument(
        "--masks",
        choices=list(SETTINGS),
        help="which sides of a comparison wear drawn masks, or none where masks are worn in the photos (default: none "
        "where DIR has a labels.csv, else both)",
    )
    parser.add_argument("--mask-seed", type=int, default=0, metavar="N", help="of the drawn masks (default: 0)")
    parser.add_argument(
        "--limit",
        type=at_least_one,
        metavar="N",
        help="only the first N people; with mlfw the first N pairs a fold and answer",
    )
    parser.add_argument(
        "--draw", type=int, default=0, metavar="N", help="draw over the masks of the first N photos, and score that too"
    )

    # By which networks, and where the scores go.
    parser.add_argument(
        "--models", type=Path, action="append", metavar="DIR", help="more networks, as training.identity.export writes"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE.npz",
        help="keep faces and embeddings here, and take them from here; biometric data",
    )
    parser.add_argument("--json", metavar="FILE", help="write the scores as JSON; - is standard output")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write ROC and DET curves here, a PNG a setting")
    parser.add_argument("--engine", default="auto", metavar="NAME", help="runs the networks (default: auto)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads of each; 0: its choice")


def _evaluate_identity(options: argparse.Namespace) -> int:
    from pipeline.run.report import write_json
    from training.identity import evaluate, metrics
    from training.identity.sets import photo_set
    from training.needs import require

    if options.protocol == "mlfw":
        return _evaluate_mlfw(options)
    if options.plots:
        require("evaluate identity --plots", "matplotlib")
    photos = photo_set(options.data, limit=options.limit)
    masks = options.masks or ("both" if photos.masked is None else "none")
    looked = _looked(options, photos, masks)
    with ExitStack() as stack:
        models = _models(options, stack)
        scores = evaluate.scores(photos, looked, models, settings=SETTINGS[masks], drawn=options.draw)
    told = scores.told | {"masks": masks, "mask_seed": options.mask_seed, "data": photos.name}
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        for setting, curves in scores.curves.items():
            metrics.write(options.plots / f"roc-{setting}.png", metrics.roc(curves, f"{photos.name}, {setting}"))
            metrics.write(options.plots / f"det-{setting}.png", metrics.det(curves, f"{photos.name}, {setting}"))
    if options.json:
        write_json(told, options.json)
    if options.json != "-":
        print(metrics.table(told))
    return 0


def _evaluate_mlfw(options: argparse.Namespace) -> int:
    from pipeline.run.report import write_json
    from training.evaluation.product import looker
    from training.identity import mlfw

    for name in ("masks", "draw", "keep", "plots"):
        if getattr(options, name):
            raise ConfigError(f"--protocol mlfw decides what is masked and has no curves: leave --{name} out")
    pairs = mlfw.masked_pairs(options.data, seed=options.mask_seed, limit=options.limit)
    with looker(engine=options.engine, threads=options.threads) as look:
        bare, worn = mlfw.look_at_pairs(pairs, look, seed=options.mask_seed, counted=_counter(options))
    with ExitStack() as stack:
        scores = mlfw.protocol_scores(pairs, bare, worn, _models(options, stack))
    if options.json:
        write_json({"protocol": "mlfw", "mask_seed": options.mask_seed, "methods": scores}, options.json)
    if options.json != "-":
        print(mlfw.table(scores))
    return 0


def _counter(options: argparse.Namespace) -> Callable[[range], Iterable[int]]:
    """What shows how far the photos are."""
    from tqdm import tqdm

    def counted(numbers: range) -> Iterable[int]:
        yield from tqdm(numbers, unit="photo", disable=options.quiet > 0 or not sys.stderr.isatty(), leave=False)

    return counted


def _looked(options: argparse.Namespace, photos: PhotoSet, masks: str) -> BareAndWorn:
    """What is known of the photos: kept from before, or looked at now."""
    import numpy as np

    from training.identity.evaluate import BareAndWorn, look_at

    if options.keep is not None and options.keep.exists():
        found = BareAndWorn.load(options.keep)
        if len(found.design) != len(photos.files):
            raise ConfigError(
                f"{options.keep} holds {len(found.design)} photos, {photos.name} has {len(photos.files)}: "
                "give another --keep, or remove it"
            )
        if options.draw and np.isnan(found.worn.drawn[: options.draw]).all():
            raise ConfigError(f"{options.keep} was made without --draw: give another --keep, or remove it")
        return found

    from training.evaluation.product import looker

    wearing = {"both": np.ones_like(photos.probes), "probe": photos.probes, "none": np.zeros_like(photos.probes)}[masks]
    with looker(engine=options.engine, threads=options.threads) as look:
        looked = look_at(
            photos, look, wearing=wearing, seed=options.mask_seed, draw=options.draw, counted=_counter(options)
        )
    if options.keep is not None:
        looked.save(options.keep)
    return looked


def _models(options: argparse.Namespace, stack: ExitStack) -> dict[str, Engine]:
    """What is compared with the baseline, by name: ours, and those of `--models`."""
    from engine import models, select
    from engine.spec import Precision
    from pipeline.recognisers import recogniser_file
    from pipeline.recognisers.barefaced import NETWORK
    from training.evaluation.product import BASELINE

    ours = recogniser_file(BASELINE).UNMASKER
    files = {name: models.shipped(name) for name in (ours, NETWORK) if name is not None}
    for folder in options.models or ():
        files |= {name: models.shipped(name, folder) for name in models.names(folder)}
    found = {}
    for name, file in files.items():
        found[name] = select.load(file, backend=options.engine, precision=Precision.F32, threads=options.threads)
        stack.callback(found[name].close)
    return found


def add_evaluate_own_faces(what: Commands) -> None:
    """Add `evaluate own-faces`."""
    parser = add(
        what,
        "own-faces",
        _evaluate_own_faces,
        summary="what faces learned from a few photos are worth, person by person",
        description=manual.EVALUATE_OWN_FACES,
    )

    # On whom, and what is learned from.
    parser.add_argument(
        "--pairs", type=Path, required=True, metavar="DIR", help="truth/NAME.jpg, mask/NAME.png, paint/NAME.jpg"
    )
    parser.add_argument(
        "--references", type=Path, metavar="DIR", help="NAME/*.jpg: others of each (default: reference/ in the pairs)"
    )
    parser.add_argument(
        "--photos", type=at_least_one, metavar="N", help="learn from the first N of each (default: all)"
    )
    parser.add_argument("--limit", type=at_least_one, metavar="N", help="only the first N people")

    # What is measured, and where the scores go.
    parser.add_argument("--fast", action="store_true", help="without perceptual distance and identity")
    parser.add_argument("--json", metavar="FILE", help="write the scores as JSON; - is standard output")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="forty people at most, to look at")
    parser.add_argument("--engine", default="auto", metavar="NAME", help="runs the networks (default: auto)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads of each; 0: its choice")


def _evaluate_own_faces(options: argparse.Namespace) -> int:
    from barefaced.enrolment import NEEDS
    from training.needs import require

    learned = () if options.fast else ("stlpips_pytorch", "dlib", "face_recognition_models")
    require("evaluate own-faces", *NEEDS, "skimage", *learned)
    from tqdm import tqdm

    from engine import models
    from pipeline.run.report import write_json
    from training.evaluation import evaluate
    from training.evaluation.photos import FixedPairs, reference_photos

    pairs = FixedPairs.of(options.pairs, limit=options.limit)
    folder = options.references or options.pairs / "reference"
    references = reference_photos(folder, pairs.names, most=options.photos)
    found = []
    quiet = options.quiet > 0 or not sys.stderr.isatty()
    for person in tqdm(
        _people(pairs, references, options), total=len(pairs), unit="person", disable=quiet, leave=False
    ):
        found.append(person)
        if not options.quiet and not sys.stderr.isatty():
            print(f"barefaced: {len(found)} of {len(pairs)}: {person.told}", file=sys.stderr)

    told = {"photos": options.photos, "generator_sha256": models.shipped("generator").sha256}
    scores = evaluate.summary_of_people(found) | told
    if options.sheet:
        evaluate.sheet_of_people(options.sheet, found)
    if options.json:
        write_json(scores, options.json)
    if options.json != "-":
        print(evaluate.table_of_people(scores))
    return 0


def _people(pairs: FixedPairs, references: Sequence[Sequence[Path]], options: argparse.Namespace) -> Iterator[Person]:
    """What an own face is worth to each: learned as by `enroll`, drawn with as by `run --face`, and forgotten."""
    from PIL import Image

    from barefaced.enrolment import Learning, keep
    from barefaced.removal import Remover
    from training.evaluation import evaluate
    from training.evaluation.measures import Judge
    from training.evaluation.photos import read
    from training.evaluation.product import product

    settings = {"engine": options.engine, "threads": options.threads}
    learning = Learning(minutes=10.0, person=None, recognition=True, tell=lambda _: None, note=lambda _: None)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("barefaced-own-faces-"))
        parts = stack.enter_context(product(None, **settings))
        shipped = stack.enter_context(Remover(overwrite=True, **settings))

        def learn(name: str, photos: Sequence[Path]) -> Path:
            file = folder / f"{name}.face"
            keep(learning(photos, values.build(settings)), file, sheet=None, overwrite=False)
            return file

        def draw(masked: NDArray[np.uint8], face: Path | None) -> tuple[NDArray[np.uint8], DrawnBy]:
            source, target = folder / "masked.png", folder / "drawn.png"
            Image.fromarray(masked).save(source)
            with nullcontext(shipped) if face is None else Remover(overwrite=True, face=[str(face)], **settings) as one:
                report = one.file(source, target)
            return read(target), report.tally.drawers_as_json()

        judge = Judge.of(parts, learned=not options.fast)
        yield from evaluate.people(pairs, references, judge, learn=learn, draw=draw)


def add_check(commands: Commands) -> None:
    """Add `check`."""
    parser = add(
        commands, "check", _check, summary="tell whether a file says that it is synthetic", description=manual.CHECK
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="picture or video")


def _check(options: argparse.Namespace) -> int:
    from pipeline.video.labels import NEEDS, claims, credentials

    found = claims(options.file)
    signed, drawn = credentials(options.file)
    for sentence in (*found, *signed):
        print(sentence)
    if importlib.util.find_spec("c2pa") is None:
        print(f"barefaced: C2PA was not looked for: {NEEDS}", file=sys.stderr)
    if not found and not drawn:
        print(f"{options.file} does not say that it is synthetic, which proves nothing")
    return 0 if found or drawn else FAILED


KEYS = ("recogniser", "recogniser-file", "detector", "detect-size", "detect-threshold")
"""The settings of a run that mean something here, with those of the engine."""


def add_verify(commands: Commands) -> None:
    """Add `verify`."""
    parser = add(
        commands, "verify", _verify, summary="tell whether two pictures show the same person", description=manual.VERIFY
    )
    parser.add_argument("a", type=Path, metavar="A", help="a picture with one face")
    parser.add_argument("b", type=Path, metavar="B", help="another one")
    flags.add_flags(parser, lambda setting: setting.key in KEYS or setting.group == "engine")


def _verify(options: argparse.Namespace) -> int:
    settings = values.build(flags.given(options))
    from pipeline.people.embed import portrait
    from pipeline.run import load

    with load.examiner(settings) as examiner:
        looks = [portrait(path, examiner) for path in (options.a, options.b)]
        least = examiner.embedder.least
        margin = looks[0].margin(looks[1], least)
    masked = [look.bare is None for look in looks]
    threshold = least.masked if all(masked) else least.mixed if any(masked) else least.bare

    # An angle, since a cosine is read as a per cent, which it is not.
    apart, most = (degrees(acos(min(1.0, max(-1.0, cosine)))) for cosine in (margin + threshold, threshold))
    says = "same person" if margin >= 0 else "different people"
    print(f"{says}: their embeddings are {apart:.1f}° apart, and up to {most:.1f}° counts as one person")
    for path, hidden in zip((options.a, options.b), masked, strict=True):
        if hidden and not options.quiet:
            print(f"{path} shows a masked face: less of it is seen, and the decision is less certain")
    if not options.quiet:
        print(manual.NO_PROOF)
    return 0
