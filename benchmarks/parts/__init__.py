"""The parts of `barefaced bench`: a part is one file in here, and its name is the file's name.

A file holds a part's plan, its measurement, its tables and its figures, and ends with `PART`, which lists them. Adding
a part is adding a file. The first line of its docstring is what `barefaced bench --help` says of it. The command line
lists the parts whenever it starts, so nothing heavy is imported before one is measured or shown.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import pkgutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.errors import ConfigError
from pipeline.rules import Whole
from pipeline.settings.flags import parser_of
from training.needs import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from benchmarks.drawing import Figure
    from benchmarks.record import Document, Table

    Say: TypeAlias = Callable[[str], None]

EXTRA = "bench"
"""The optional dependencies that measuring and drawing may need."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a part is to measure. Fields that `option` made are flags of its command."""

    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings of the program other than the defaults, by key."""


def option(flag: str, default: Any, **argument: Any) -> Any:  # noqa: ANN401 - as `dataclasses.field`
    """A field of a plan that is also a flag; `argument` is what argparse is told of it."""
    return field(default=default, metadata={"flag": flag, "argument": argument})


def count(flag: str, default: Any, meaning: str) -> Any:  # noqa: ANN401 - likewise
    """A field of a plan that is also a flag for a whole number of at least 1."""
    checked = parser_of(flag.removeprefix("--"), Whole(1, 10**9))
    return option(flag, default, type=checked, metavar="N", help=meaning)


def counts(flag: str, default: Any, meaning: str) -> Any:  # noqa: ANN401 - likewise
    """A field of a plan that is also a flag for whole numbers of at least 1, which may be given again and again."""
    made = count(flag, default, meaning)
    made.metadata["argument"]["action"] = "append"
    return made


@dataclass(frozen=True)
class Part:
    """One part of the bench, and all that the command line and the page need to know of it."""

    title: str
    """Its heading on the page."""
    order: int
    """Its place among the parts when all are measured and shown."""
    plan: type[Any]
    """A subclass of `Plan`."""
    measure: Callable[[Any, Say], Document]
    """Measures what a plan says and gives a document; is told a sentence for each figure as soon as it is there."""
    tables: Callable[[Document], list[Table]]
    figures: Callable[[Document], Iterable[Figure]] = lambda _document: ()
    short: Mapping[str, object] | None = None
    """Fields of the plan when all parts are measured; None for a part that is not among them."""
    packages: tuple[str, ...] = ()
    """Modules of the extra `bench` without which it can't measure."""

    def add_flags(self, group: argparse._ArgumentGroup) -> None:
        """Add the flags of its plan. A flag that is not given leaves no trace."""
        for known in dataclasses.fields(self.plan):
            if "flag" in known.metadata:
                argument = known.metadata["argument"]
                group.add_argument(known.metadata["flag"], dest=known.name, default=argparse.SUPPRESS, **argument)

    def planned(self, settings: Mapping[str, object], given: Mapping[str, object]) -> Plan:
        """Its plan, with whatever of `given` is a field of it."""
        names = {known.name for known in dataclasses.fields(self.plan)}
        plan: Plan = self.plan(settings=settings, **{name: value for name, value in given.items() if name in names})
        return plan


def names() -> tuple[str, ...]:
    """Every part there is a file for, in alphabetical order. Imports nothing."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def summary(name: str) -> str:
    """The first line of a part's docstring, with which its file begins. Read alone: every command's help has it."""
    with Path(__path__[0], f"{name}.py").open(encoding="utf-8") as file:
        return file.readline().strip().strip('"')


def part(name: str) -> Part:
    """The part called `name`. Raises `ConfigError` when there is no such file."""
    if name not in names():
        raise ConfigError(f"there is no part {name!r}: there are {', '.join(names())}")
    found: Part = importlib.import_module(f"{__name__}.{name}").PART
    return found


def measure(name: str, plan: Plan, say: Say) -> Document:
    """Measure one part. Raises `ConfigError` where a package that it needs is not installed."""
    chosen = part(name)
    require(f"bench {name}", *chosen.packages, extra=EXTRA)
    return chosen.measure(plan, say)


def measure_all(settings: Mapping[str, object], say: Say) -> Document:
    """Every part with its shorter plan, which takes about a quarter of an hour on two cores.

    A part that can't be measured here is left out, and the document says why. Raises `BenchmarkError` when a run did
    not do its work, or no part could be measured.
    """
    from benchmarks.record import BenchmarkError, LeftOut, joined

    measured: dict[str, Document] = {}
    left_out = LeftOut(say)
    for name in in_order(names()):
        chosen = part(name)
        if chosen.short is None:
            continue
        say(f"-- {name}")
        with left_out.attempt(name):
            measured[name] = measure(name, chosen.planned(settings, chosen.short), say)

    if not measured:
        raise BenchmarkError("no part could be measured: " + "; ".join(left_out.reasons.values()))
    return joined(measured, left_out.reasons)


def in_order(found: Iterable[str]) -> list[str]:
    """The names of parts in the order in which they are measured and shown."""
    return sorted(found, key=lambda name: part(name).order)


def shown(whole: Document) -> dict[str, tuple[Part, Document]]:
    """The parts that a document has, in the order in which they are shown, each with its own document."""
    from benchmarks.record import parts_of

    found = parts_of(whole)
    return {name: (part(name), found[name]) for name in in_order(found)}
