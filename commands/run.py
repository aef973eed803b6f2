"""`barefaced run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from commands.parsing import FAILED, INCOMPLETE, INTERRUPTED, add, complain, settings_of
from pipeline.errors import BarefacedError
from pipeline.settings import flags, manual

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from commands.parsing import Commands
    from pipeline.run.batch import Job
    from pipeline.run.process import Ended
    from pipeline.settings.config import Config


def add_run(commands: Commands) -> None:
    """Add `run`."""
    parser = add(
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
    flags.add_stage_flag(parser)


def _run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from pipeline.run.batch import jobs
    from pipeline.run.report import joined, write_json

    ended = _process_all(jobs(options.inputs, options.output), settings, quiet=options.quiet > 0)
    if settings.report.report:
        write_json(joined([each.report for each in ended]), settings.report.report)
    for each in ended:
        _tell(each, settings, options)
    return exit_code(ended, options)


def _process_all(todo: Sequence[Job], settings: Config, *, quiet: bool) -> list[Ended]:
    """Every job in turn; a failed one does not keep the next from being done, Ctrl-C does."""
    from pipeline.run import load
    from pipeline.run.interrupt import Interrupts
    from pipeline.run.process import failed, process
    from pipeline.run.progress import Progress

    ended: list[Ended] = []
    with Interrupts() as interrupts:
        progress = Progress(interrupts, quiet=quiet)
        try:
            with load.networks(settings) as networks:
                for job in todo:
                    ended.append(process(job, settings, networks, watcher=progress))
                    if interrupts.asked:
                        break
        except (BarefacedError, KeyboardInterrupt) as error:
            ended += [failed(job, error) for job in todo[len(ended) :]]
    return ended


def _tell(ended: Ended, settings: Config, options: argparse.Namespace) -> None:
    """What became of an input, for a person; on standard error, since a report may go to standard output."""
    from pipeline.run.report import INVENTED, stage_table

    report = ended.report
    if ended.error is not None and not isinstance(ended.error, KeyboardInterrupt):
        complain(ended.error)
    for sentence in report.missing:
        print(f"barefaced: {report.input} is incomplete: {sentence}", file=sys.stderr)
    if settings.report.stats:
        print(stage_table(report.stages), file=sys.stderr)
    if options.quiet:
        return
    for sentence in report.warnings:
        print(f"barefaced: note: {sentence}", file=sys.stderr)
    if report.output is not None:
        told = f" {INVENTED}" if report.tally.masked_faces else ""
        print(f"{report.output}: {report.summary}{told}", file=sys.stderr)


def exit_code(ended: Sequence[Ended], options: argparse.Namespace) -> int:
    """That of a command after all its inputs."""
    errors = [each.error for each in ended if each.error is not None]
    foreign = [error for error in errors if not isinstance(error, BarefacedError | KeyboardInterrupt)]
    if foreign or (errors and options.traceback):
        raise (foreign or errors)[0]
    if any(each.report.interrupted for each in ended):
        return INTERRUPTED
    if errors:
        return FAILED
    return 0 if all(each.report.complete for each in ended) else INCOMPLETE
