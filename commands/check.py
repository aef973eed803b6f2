"""`barefaced check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from commands.parsing import FAILED, add
from pipeline.settings import manual

if TYPE_CHECKING:
    import argparse

    from commands.parsing import Commands


def add_check(commands: Commands) -> None:
    """Add `check`."""
    parser = add(
        commands, "check", _check, summary="whether a file says that it is synthetic", description=manual.CHECK
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="picture or video")


def _check(options: argparse.Namespace) -> int:
    from pipeline.video.labels import claims

    found = claims(options.file)
    for sentence in found:
        print(sentence)
    if not found:
        print(f"{options.file} says nothing of how it came about, which proves nothing")
    return 0 if found else FAILED
