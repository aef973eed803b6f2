"""The command line: parse, call, and one line for what went wrong."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from commands.bench import add_bench
from commands.evaluate import add_evaluate
from commands.live import add_cameras, add_live
from commands.machine import add_build, add_demo, add_doctor, add_engines
from commands.mask import add_mask
from commands.parsing import INTERRUPTED, Parser, Version, add_loudness, complain
from commands.run import add_run
from commands.serve import add_serve
from commands.verify import add_verify
from pipeline.errors import BarefacedError
from pipeline.settings import manual

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence


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
        return complain(error)
    except KeyboardInterrupt:
        if options.traceback:
            raise
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="barefaced", description=manual.ABOUT, epilog=manual.EXAMPLES)
    parser.add_argument("--version", action=Version, nargs=0, help="say which version this is")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_run(commands)
    add_live(commands)
    add_cameras(commands)
    add_serve(commands)
    add_demo(commands)
    add_doctor(commands)
    add_engines(commands)
    add_build(commands)
    add_bench(commands)
    add_mask(commands)
    add_verify(commands)
    evaluations = add_evaluate(commands)
    for command in (*commands.choices.values(), *evaluations.choices.values()):
        add_loudness(command)
    return parser


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
