"""What the commands of training share, light to import: what is worn, what must be installed, and how errors end."""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pipeline.errors import BarefacedError, ConfigError, how_to_install

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator


class MaskKind(StrEnum):
    """What is worn."""

    SURGICAL = "surgical"
    CLOTH = "cloth"
    RESPIRATOR = "respirator"
    GAITER = "gaiter"
    SCARF = "scarf"


def require(command: str, *modules: str, extra: str = "training") -> None:
    """Raise `ConfigError`, naming what is missing and how to get it, unless every one of `modules` is installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(f"{command} needs {', '.join(missing)}: {how_to_install(extra)}")


@contextmanager
def errors_in_one_line(parser: ArgumentParser) -> Iterator[None]:
    """End the program with status 1 and one line, without a traceback, for an error that the user can mend."""
    try:
        yield
    except BarefacedError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
