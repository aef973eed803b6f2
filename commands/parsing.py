"""What every command's parser is made of, and the exit codes."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from pipeline.settings import config as configuration
from pipeline.settings import flags

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.settings.config import Config

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - it has no public name

FAILED, USAGE, INCOMPLETE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes besides 0: an error of ours, wrong usage, an input of which not all could be read, Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """A parser that keeps the line breaks of its texts, takes no abbreviated flags and points to --help."""

    def __init__(self, *, prog: str, description: str | None = None, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    prepare: Callable[[], None] | None = None
    """Adds the flags that take long to know, once, when the command is given."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - as argparse has it
        """Parse as argparse does, prepared."""
        if self.prepare is not None:
            prepare, self.prepare = self.prepare, None
            prepare()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End with what is wrong and where to read on."""
        self.exit(USAGE, f"{self.prog}: {message}\n`{self.prog} --help` shows what is allowed.\n")


class Version(argparse.Action):
    """Look the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Say it and end."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"barefaced {version('barefaced')}")
        except PackageNotFoundError:
            print("barefaced, not installed (make setup installs it)")
        parser.exit(0)


def add(
    commands: Commands,
    name: str,
    command: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str,
    epilog: str | None = None,
) -> Parser:
    """A command with its help; `command` is what it does, and gives the exit code."""
    parser = commands.add_parser(name, help=summary, description=description, epilog=epilog)
    parser.set_defaults(command=command)
    return parser


def add_loudness(parser: argparse.ArgumentParser, *, default: object = 0) -> None:
    """Add the flags that every command has; `default` is what they have where they are not given."""
    group = parser.add_argument_group("what is said meanwhile")
    group.add_argument("-q", "--quiet", action="count", default=default, help="no progress and no summary, errors only")
    group.add_argument("-v", "--verbose", action="count", default=default, help="say more; twice: everything")
    group.add_argument(
        "--traceback", action="store_true", default=default, help="show where in the program an error came from"
    )


def at_least_one(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def settings_of(options: argparse.Namespace) -> Config:
    """The settings of a command: its file's, and its flags over them."""
    from_file = configuration.read(options.config) if options.config else {}
    return configuration.build(from_file, flags.given(options))


def complain(error: BaseException) -> int:
    """Say what went wrong in a line on standard error; the exit code."""
    from pipeline.run.process import described

    print(f"barefaced: {described(error)}", file=sys.stderr)
    return FAILED
