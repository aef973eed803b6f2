"""The commands: parse, build, call, print. What is heavy to import is imported inside the command that needs it."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from pipeline import config as configuration
from pipeline import flags, manual
from pipeline.errors import BarefacedError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.batch import Job
    from pipeline.config import Config
    from pipeline.interrupt import Interrupts
    from pipeline.live import LiveRun
    from pipeline.process import Ended
    from pipeline.terminal import Terminal

Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"  # noqa: SLF001 - it has no public name

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
    _add_bench(commands)
    for command in commands.choices.values():
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


def _add_bench(commands: Commands) -> None:
    parser = _add(commands, "bench", _bench, summary="how fast it is on this machine", description=manual.BENCH)
    parser.add_argument("what", choices=("pipeline", "peers"))
    parser.add_argument("--json", metavar="FILE", help="write the measurements as JSON; - is standard output")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="measured runs of each kind (default: 3)")
    parser.add_argument(
        "--size", action="append", metavar="WxH", help="only this size, may be given again (default: all three)"
    )
    parser.add_argument(
        "--frames", type=int, default=180, metavar="N", help="length (default: 180; 10000 shows that memory stays flat)"
    )


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
        shown = show(options.output, watcher=Progress(interrupts, quiet=options.quiet > 0), say=say)
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
            print(f"{'ok' if each.works else '--'}  {each.name:<14} {each.says}")
        print(f"auto takes {found.auto}" if found.auto else "auto finds none that works: barefaced doctor says more")
    if options.json:
        write_json(found.as_json(), options.json)
    return 0 if found.auto else FAILED


def _bench(options: argparse.Namespace) -> int:
    from pipeline.report import write_json

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    if options.what == "peers":
        from benchmarks import peers

        measured = peers.measure(repeats=options.repeats, say=say)
    else:
        from benchmarks import pipeline
        from benchmarks.clips import SIZES

        plan = pipeline.Plan(repeats=options.repeats, frames=options.frames, sizes=options.size or SIZES)
        measured = pipeline.measure(plan, say=say)
    if options.json:
        write_json(measured, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
