"""What the commands of training share, light to import: what is worn, what must be installed, bars, how errors end."""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pipeline.errors import BarefacedError, ConfigError, how_to_install

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable, Iterator


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


def bar(
    things: Iterable[Any] | None = None, *, unit: str, total: int | None = None, done: int = 0, hidden: bool = False
) -> Any:  # noqa: ANN401 - tqdm has no types
    """Show on a terminal how many of `things`, or of a `total`, are done, and how long the rest takes; else nothing.

    It is iterated over, or entered and told by `update` and `set_postfix`. `hidden` shows nothing anywhere.
    """
    from tqdm import tqdm

    return tqdm(things, unit=unit, total=total, initial=done, disable=hidden or None, dynamic_ncols=True)


@contextmanager
def errors_in_one_line(parser: ArgumentParser) -> Iterator[None]:
    """End the program with status 1 and one line, without a traceback, for an error that the user can mend."""
    try:
        yield
    except BarefacedError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
