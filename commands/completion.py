"""`barefaced completion`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from commands.parsing import add
from pipeline.settings import manual

if TYPE_CHECKING:
    import argparse

    from commands.parsing import Commands, Parser

SHELLS = ("bash", "zsh", "fish", "tcsh")


def add_completion(commands: Commands, whole: Parser) -> None:
    """Add `completion`, which completes what `whole` parses."""
    parser = add(
        commands,
        "completion",
        partial(_completion, whole),
        summary="let the Tab key complete commands and flags",
        description=manual.COMPLETION,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")


def _completion(whole: Parser, options: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(whole, options.shell))
    return 0
