"""Standard input and output as files, so that other programs can stand before and behind.

Both go through a temporary directory, since a video's streams are read in several passes: what comes in is taken in
whole before work begins, and what goes out follows when it is finished, as Matroska.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PIPE = "-"
"""What stands for standard input or standard output."""


@dataclass(frozen=True)
class Ends:
    """The inputs and the output of a command with files in the place of pipes."""

    inputs: Sequence[str]
    output: str | None

    def shown(self, path: str | None) -> str | None:
        """A path as the user knows it: `-` for a file that stands for a pipe."""
        return PIPE if path is not None and Path(path).parent.name.startswith(PREFIX) else path


PREFIX = "barefaced-pipe-"


@contextmanager
def piped(inputs: Sequence[str], output: str | None, *, report: str | None) -> Iterator[Ends]:
    """Take in standard input where `-` is an input, and write the result to standard output where `-` is the output.

    An input from a pipe goes to a pipe unless `output` says otherwise. Raises `ConfigError` for a terminal in the place
    of a pipe and where two things would go through one pipe.
    """
    output = PIPE if output is None and PIPE in inputs else output
    if PIPE not in inputs and output != PIPE:
        yield Ends(inputs, output)
        return

    _check(inputs, output, report)
    with TemporaryDirectory(prefix=PREFIX) as folder:
        taken, given = Path(folder) / "input", Path(folder) / "output.mkv"
        if PIPE in inputs:
            with taken.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        yield Ends([str(taken) if name == PIPE else name for name in inputs], str(given) if output == PIPE else output)
        if given.exists():
            with given.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _check(inputs: Sequence[str], output: str | None, report: str | None) -> None:
    if inputs.count(PIPE) > 1:
        raise ConfigError("standard input can be read once: give - once")
    if PIPE in inputs and sys.stdin.isatty():
        raise ConfigError("- reads a video from a pipe, and standard input is the terminal: ffmpeg … | barefaced run -")
    if output == PIPE and len(inputs) > 1:
        raise ConfigError("only one input can go to standard output: give -o DIR")
    if output == PIPE and report == PIPE:
        raise ConfigError("video and report can't both go to standard output: give --report FILE")
    if output == PIPE and sys.stdout.isatty():
        raise ConfigError("the result would fill the terminal with bytes: give -o FILE, or lead it into a pipe")
