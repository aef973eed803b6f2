"""What every command's parser is made of, and the exit codes."""

from __future__ import annotations

import argparse
import logging
import sys
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import platformdirs

from commands import suggest
from pipeline.settings import config as configuration
from pipeline.settings import flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pipeline.settings.config import Config

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - it has no public name

FAILED, USAGE, INCOMPLETE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes besides 0: an error of ours, wrong usage, an input of which not all could be read, Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """A parser that keeps the line breaks of its texts, takes no abbreviated flags and says what may be meant.

    Its help shows the common flags, each in a line; `--help-all` shows every flag with all that there is to say.
    """

    def __init__(self, *, prog: str, description: str | None = None, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30),
            allow_abbrev=False,
        )
        self.more = ""
        """What `--help-all` says at its end, besides."""
        self._common: tuple[str, ...] = ()

    prepare: Callable[[], None] | None = None
    """Adds the flags that take long to know, once, when the command is given."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - as argparse has it
        """Parse as argparse does, prepared; what is unknown here is an error here, with what may be meant."""
        if self.prepare is not None:
            prepare, self.prepare = self.prepare, None
            prepare()
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self._unknown(unknown[0]))
        return found, unknown

    def shorten(self, common: Iterable[str]) -> None:
        """Leave all flags but these out of `--help`, and say that `--help-all` has them."""
        self.add_argument("--help-all", action=_HelpAll, nargs=0, help="show every flag and all that it does")
        self._common = (*common, "help_all")

    def format_help(self) -> str:
        """The help; where `shorten` was called, on one screen."""
        if not self._common:
            return super().format_help()
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, [])
        formatter.add_text(self.description)
        formatter.start_section("inputs and common flags")
        formatter.add_arguments(map(_short, sorted(filter(self._is_common, self._actions), key=self._rank)))
        formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def _is_common(self, action: argparse.Action) -> bool:
        return action.dest in self._common

    def _rank(self, action: argparse.Action) -> int:
        return self._common.index(action.dest)

    def format_help_all(self) -> str:
        """The help with every flag."""
        return super().format_help() + (f"\n{self.more}" if self.more else "")

    def error(self, message: str) -> NoReturn:
        """End with what is wrong and where to read on."""
        self.exit(USAGE, f"{self.prog}: {message}\n`{self.prog} --help` shows what is allowed.\n")

    def _unknown(self, word: str) -> str:
        flag = word.split("=")[0]
        if not flag.startswith("-"):
            return f"{word!r} is one argument too many"
        meant = suggest.flag_meant(flag, self._option_string_actions)
        return f"there is no flag {flag}" + (f"; did you mean {meant}?" if meant else "")


def _short(action: argparse.Action) -> argparse.Action:
    """An action as the short help shows it: without `--no-` and with the first clause of its help."""
    short = copy(action)
    short.option_strings = [name for name in action.option_strings if not name.startswith("--no-")]
    short.help = (action.help or "").split(";")[0]
    return short


class _HelpAll(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        assert isinstance(parser, Parser)  # noqa: S101 - only such parsers have the flag
        print(parser.format_help_all(), end="")
        parser.exit(0)


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


def add_config(parser: Parser) -> None:
    """Add the flag that names a file of settings."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE.toml",
        help="read settings from this file instead of your own config.toml; flags win over both",
    )


def settings_of(options: argparse.Namespace) -> Config:
    """The settings of a command: those of the user's file or of `--config`, and its flags over them."""
    path = options.config or _own_file()
    if path is not None and options.config is None:
        logging.getLogger("barefaced").info("settings are read from %s", path)
    from_file = configuration.read(path) if path else {}
    return configuration.build(from_file, flags.given(options))


def _own_file() -> Path | None:
    """The file of settings in the user's config directory; None where there is none."""
    path: Path = platformdirs.user_config_path("barefaced", appauthor=False) / "config.toml"
    return path if path.is_file() else None


def complain(error: BaseException) -> int:
    """Say what went wrong in a line on standard error; the exit code."""
    from pipeline.run.process import described

    print(f"barefaced: {described(error)}", file=sys.stderr)
    return FAILED
