"""The command line: parse, call, and one line for what went wrong."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from commands.bench import add_bench
from commands.enroll import add_enroll, add_faces
from commands.evaluate import add_evaluate, add_mask
from commands.identity import add_check, add_verify
from commands.live import add_cameras, add_live, add_serve
from commands.machine import add_build, add_completion, add_demo, add_doctor, add_engines
from commands.parsing import (
    FAILED,
    INTERRUPTED,
    USAGE,
    Parser,
    Version,
    add_loudness,
    command_meant,
    complain,
    looks_like_input,
)
from commands.run import add_run
from pipeline.errors import BarefacedError
from pipeline.settings import manual

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Mapping, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code. `arguments` are those of the process unless given."""
    parser, names = _parser()
    options = parser.parse_args(_with_command(list(sys.argv[1:] if arguments is None else arguments), parser, names))
    _set_up_logging(options.verbose - options.quiet)
    command: Callable[[argparse.Namespace], int] = options.command
    _keep_standard_streams()
    try:
        if getattr(options, "json", None) is not None:
            from pipeline.run.report import check_json

            check_json(options.json)  # what can't be written is better known before the work
        return _flushed(command(options))
    except BarefacedError as error:
        if options.traceback:
            raise
        return complain(error)
    except KeyboardInterrupt:
        if options.traceback:
            raise
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has ended, as `head` does
        from pipeline.run.report import give_up_standard_output

        give_up_standard_output()
        return FAILED


def _keep_standard_streams() -> None:
    """Lead standard streams nowhere that the caller has closed; the next file that is opened would take their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _flushed(code: int) -> int:
    """The exit code, once all that was printed has left. Raises `BrokenPipeError` while it can still be handled."""
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def _with_command(arguments: list[str], parser: Parser, commands: Collection[str]) -> list[str]:
    """The arguments, with `run` before them where files stand in the place of a command.

    Ends the program where there is neither: with the help, or with a command that may have been meant.
    """
    if not arguments:
        parser.print_help(sys.stderr)
        parser.exit(USAGE)

    first, files = arguments[0], [word for word in arguments if word == "-" or not word.startswith("-")]
    if first in (*commands, "-h", "--help", "--version"):
        return arguments

    if not first.startswith("-") and not looks_like_input(first):
        meant = command_meant(first, commands)
        hint = f"; did you mean `barefaced {meant}`?" if meant else ""
        parser.error(f"there is no command and no file {first!r}{hint}")
    return ["run", *arguments] if any(map(looks_like_input, files)) else arguments


def _parser() -> tuple[Parser, Mapping[str, Parser]]:
    parser = Parser(prog="barefaced", description=manual.ABOUT, epilog=manual.EXAMPLES)
    parser.add_argument("--version", action=Version, nargs=0, help="say which version this is")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    add_run(commands)
    add_live(commands)
    add_cameras(commands)
    add_serve(commands)
    add_enroll(commands)
    add_faces(commands)
    add_demo(commands)
    add_doctor(commands)
    add_engines(commands)
    add_build(commands)
    add_bench(commands)
    add_mask(commands)
    add_verify(commands)
    add_check(commands)
    add_completion(commands, parser)
    evaluations = add_evaluate(commands)

    for command in (*commands.choices.values(), *evaluations.choices.values()):
        add_loudness(command)
    return parser, commands.choices


def _set_up_logging(loudness: int) -> None:
    level = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(loudness, logging.DEBUG)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("barefaced: %(message)s"))
    logger = logging.getLogger("barefaced")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.ERROR if loudness < 0 else level)
    logger.propagate = False


if __name__ == "__main__":
    sys.exit(main())
