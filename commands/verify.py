"""`barefaced verify` and `barefaced check`: whose face it is, and whether it was drawn."""

from __future__ import annotations

import importlib.util
import sys
from math import acos, degrees
from pathlib import Path
from typing import TYPE_CHECKING

from commands.parsing import FAILED, add
from pipeline.settings import flags, manual, values

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
    from pipeline.video.credentials import NEEDS, credentials
    from pipeline.video.labels import claims

    found = claims(options.file)
    signed, drawn = credentials(options.file)
    for sentence in (*found, *signed):
        print(sentence)
    if importlib.util.find_spec("c2pa") is None:
        print(f"barefaced: C2PA was not looked for: {NEEDS}", file=sys.stderr)
    if not found and not drawn:
        print(f"{options.file} does not say that it is synthetic, which proves nothing")
    return 0 if found or drawn else FAILED


KEYS = ("recogniser", "recogniser-file", "detector", "detect-size", "detect-threshold")
"""The settings of a run that mean something here, with those of the engine."""


def add_verify(commands: Commands) -> None:
    """Add `verify`."""
    parser = add(commands, "verify", _verify, summary="whether two pictures show one person", description=manual.VERIFY)
    parser.add_argument("a", type=Path, metavar="A", help="a picture with one face")
    parser.add_argument("b", type=Path, metavar="B", help="another one")
    flags.add_flags(parser, lambda setting: setting.key in KEYS or setting.group == "engine")


def _verify(options: argparse.Namespace) -> int:
    settings = values.build(flags.given(options))
    from pipeline.people.embed import portrait
    from pipeline.run import load

    with load.examiner(settings) as examiner:
        looks = [portrait(path, examiner) for path in (options.a, options.b)]
        least = examiner.embedder.least
        margin = looks[0].margin(looks[1], least)
    masked = [look.bare is None for look in looks]
    threshold = least.masked if all(masked) else least.mixed if any(masked) else least.bare

    # An angle, since a cosine is read as a per cent, which it is not.
    apart, most = (degrees(acos(min(1.0, max(-1.0, cosine)))) for cosine in (margin + threshold, threshold))
    says = "same person" if margin >= 0 else "different people"
    print(f"{says}: their embeddings are {apart:.1f}° apart, and up to {most:.1f}° counts as one person")
    for path, hidden in zip((options.a, options.b), masked, strict=True):
        if hidden and not options.quiet:
            print(f"{path} shows a masked face: less of it is seen, and the decision is less certain")
    if not options.quiet:
        print(manual.NO_PROOF)
    return 0
