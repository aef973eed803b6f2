"""How a measurement is written down: one schema, described in docs/benchmarks.md, the spread of samples, and tables."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import machine
from pipeline.errors import BarefacedError, ConfigError, EngineError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.machine import Noise


RESAMPLES = 1000
"""How often a bootstrap draws the samples anew."""
AT_ONCE = 50
"""How many of those drawings are in memory together: a live run has thousands of samples."""
CONFIDENCE = 0.95
"""How sure it is that the true median lies in an interval."""


@dataclass(frozen=True)
class Interval:
    """Where a figure may lie, ends included."""

    low: float
    high: float

    def outside(self, low: float, high: float) -> bool:
        """Whether it lies wholly below `low` or wholly above `high`."""
        return self.high < low or self.low > high


@dataclass(frozen=True)
class Spread:
    """The figures of samples."""

    count: int
    median: float
    p95: float
    p99: float
    interval: Interval
    """Where the true median may lie."""


def spread_of(values: Sequence[float]) -> Spread:
    """The figures of samples in the order in which they were taken. Raises `ValueError` when there are none."""
    samples = _checked(values)
    median, p95, p99 = (float(np.percentile(samples, share)) for share in (50, 95, 99))
    return Spread(len(samples), median, p95, p99, _interval(_medians(samples)))


def factor_between(before: Sequence[float], after: Sequence[float]) -> tuple[float, Interval]:
    """The factor by which the median changed, and the interval of that factor.

    As many samples on both sides are taken in pairs, turn by turn, so that what happens in every run at the same turn
    (warming up, filling up) cancels; else both sides vary by themselves. Raises `ValueError` for none, or values that
    are not above 0.
    """
    first, second = _checked(before), _checked(after)
    if min(first.min(), second.min()) <= 0:
        raise ValueError("a factor needs samples above 0")

    if len(first) == len(second):
        factors = np.log(second / first)
        return math.exp(float(np.median(factors))), _interval(np.exp(_medians(factors)))
    factor = float(np.median(second) / np.median(first))
    return factor, _interval(_medians(second) / _medians(first, seed=2))


def _checked(values: Sequence[float]) -> NDArray[np.float64]:
    samples = np.asarray(values, np.float64)
    if not samples.size:
        raise ValueError("there are no samples")
    return samples


def _medians(samples: NDArray[np.float64], *, seed: int = 1) -> NDArray[np.float64]:
    """(RESAMPLES,): of samples drawn anew in blocks of neighbours, since slow moments outlast a sample.

    The circular block bootstrap (Politis and Romano 1992) with blocks of the root of n.
    """
    count = len(samples)
    length = math.isqrt(count)
    random = np.random.default_rng(seed)

    medians = []
    for _ in range(0, RESAMPLES, AT_ONCE):
        starts = random.integers(0, count, (AT_ONCE, -(-count // length)))
        places = (starts[..., None] + np.arange(length)).reshape(AT_ONCE, -1)[:, :count] % count
        medians.append(np.median(samples[places], axis=1))
    return np.concatenate(medians)


def _interval(medians: NDArray[np.float64]) -> Interval:
    rest = 50 * (1 - CONFIDENCE)
    return Interval(float(np.percentile(medians, rest)), float(np.percentile(medians, 100 - rest)))


SCHEMA = 1
"""Raised when a reader of older files would misread newer ones."""

ALL = "all"

Document = dict[str, Any]
"""A measurement as JSON holds it."""

LONGEST = 30
"""Longer words than so many letters are broken into lines on the page."""
NONE = "-"
"""The words of a cell for which there is no figure."""
NEEDED = {"schema": int, "bench": str, "machine": dict}
"""Keys of every document."""
NEEDED_OF_PARTS = {"method": str, "noise": dict, "settings": dict, "series": list}
"""Keys of a document of one part besides."""
NEEDED_OF_SERIES = {"name": str, "unit": str, "better": str, "values": list}


class BenchmarkError(BarefacedError):
    """A measured run did not do its work, and its time means nothing; or a file is not what a bench wrote."""


class UnmeasurableError(BenchmarkError):
    """Something can't be measured on this machine, which says nothing against the rest."""


UNMEASURABLE = (UnmeasurableError, ConfigError, EngineError)
"""What is raised when a package, an engine or a machine can't do what was to be measured."""


@dataclass
class LeftOut:
    """Gathers what can't be measured, each with its reason, so that it costs no other figure."""

    say: Callable[[str], None]
    reasons: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Measure `name` inside the block; where that can't be done here, the reason is kept and said."""
        try:
            yield
        except UNMEASURABLE as error:
            self.reasons[name] = str(error)
            self.say(f"{name} is left out: {error}")


class Better(StrEnum):
    """Which way a figure improves."""

    MORE = "more"
    LESS = "less"


@dataclass(frozen=True)
class Series:
    """Every sample of one figure, in the order in which they were taken."""

    name: str
    """Part, case and figure, such as `pipeline/640x480/fps`."""
    unit: str
    better: Better
    values: Sequence[float]

    @property
    def spread(self) -> Spread:
        """The median, the percentiles and the interval of the samples."""
        return spread_of(self.values)

    def as_json(self) -> Document:
        """The series as JSON holds it, with its median, percentiles and interval."""
        seen = self.spread

        return {
            "name": self.name,
            "unit": self.unit,
            "better": str(self.better),
            "median": round(seen.median, 4),
            "p95": round(seen.p95, 4),
            "p99": round(seen.p99, 4),
            "interval": [round(seen.interval.low, 4), round(seen.interval.high, 4)],
            "values": [round(value, 4) for value in self.values],
        }


def document(
    part: str,
    *,
    method: str,
    settings: Mapping[str, object],
    noise: Noise,
    series: Sequence[Series],
    figures: Mapping[str, object],
) -> Document:
    """A part's measurement: the keys that every part has, and its own `figures` beside them."""
    return {
        "schema": SCHEMA,
        "bench": part,
        "method": method,
        "machine": machine.described(),
        "noise": noise.as_json(),
        "settings": dict(settings),
        # What this part alone has, and every sample
        **figures,
        "series": [one.as_json() for one in series],
    }


def joined(parts: Mapping[str, Document], left_out: Mapping[str, str]) -> Document:
    """Several parts in one document; `left_out` says by part why it was not measured."""
    return {
        "schema": SCHEMA,
        "bench": ALL,
        "machine": machine.described(),
        "left_out": dict(left_out),
        "parts": dict(parts),
    }


def parts_of(whole: Document) -> dict[str, Document]:
    """The parts of a document, by name: its own, or the one that it is."""
    parts: dict[str, Document] = whole["parts"] if whole["bench"] == ALL else {whole["bench"]: whole}
    return parts


def series_of(whole: Document) -> dict[str, Series]:
    """Every series of a document, by name."""
    return {
        found["name"]: Series(found["name"], found["unit"], Better(found["better"]), tuple(found["values"]))
        for part in parts_of(whole).values()
        for found in part["series"]
    }


def shown(value: float) -> str:
    """A number as short as it tells enough: three digits, or all before the point."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(digits, 6)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace(",", "\u202f")


def share(value: float | None) -> str:
    """A share in whole percent, or that there is none."""
    return NONE if value is None else f"{value:.0%}"


@dataclass(frozen=True)
class Table:
    """Cells as they are shown. Every column but the first whose cells are numbers stands to the right."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table in Markdown, its caption above."""
        rule = ["---:" if self._numeric(column) else "---" for column in range(len(self.headers))]
        lines = [self.headers, rule, *self.rows]
        return f"{self.caption}:\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def html(self) -> str:
        """The table as the page shows it."""
        numeric = [' class="number"' if self._numeric(column) else "" for column in range(len(self.headers))]
        head = "".join(f"<th{kind}>{escape(text)}</th>" for text, kind in zip(self.headers, numeric, strict=True))

        rows = ""
        for row in self.rows:
            long = [' class="long"' if len(cell) > LONGEST else "" for cell in row]
            cells = zip(row, numeric, long, strict=True)
            rows += (
                "<tr>" + "".join(f"<td{number or wide}>{escape(text)}</td>" for text, number, wide in cells) + "</tr>"
            )
        return (
            f'<div class="wide"><table><caption>{escape(self.caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )

    def _numeric(self, column: int) -> bool:
        cells = [row[column] for row in self.rows if row[column] != NONE]
        return column > 0 and bool(cells) and all(cell.lstrip("+-")[:1].isdigit() for cell in cells)


def left_out(reasons: Mapping[str, str]) -> list[Table]:
    """What could not be measured, each with the reason; no table where nothing was left out."""
    return [Table("Left out", ("what", "why"), tuple(reasons.items()))] if reasons else []


def read(path: Path) -> Document:
    """A document from a file. Raises `SourceError` when it can't be read, `BenchmarkError` when it is none of ours."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{path} can't be read: {error.strerror or error}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{path} is not JSON: {error}") from error

    try:
        check(found)
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {error}; `barefaced bench --json FILE` writes one") from error
    whole: Document = found
    return whole


def check(found: object) -> None:
    """Raise `BenchmarkError` unless it is a document of this schema."""
    whole = _with_keys(found, NEEDED, "the document")
    if whole["schema"] != SCHEMA:
        raise BenchmarkError(f"schema {whole['schema']!r} is another one than {SCHEMA}: measure again")
    if whole["bench"] == ALL:
        for part in _with_keys(whole, {"parts": dict, "left_out": dict}, "the document")["parts"].values():
            check(part)
        return

    part = _with_keys(whole, NEEDED_OF_PARTS, whole["bench"])
    for found_series in part["series"]:
        series = _with_keys(found_series, NEEDED_OF_SERIES, f"a series of {whole['bench']}")
        if not series["values"] or series["better"] not in list(Better):
            raise BenchmarkError(f"series {series['name']} has no samples, or does not say which way is better")


def _with_keys(found: object, needed: Mapping[str, type], what: str) -> Document:
    if not isinstance(found, dict):
        raise BenchmarkError(f"{what} is no object")
    for key, kind in needed.items():
        if not isinstance(found.get(key), kind):
            raise BenchmarkError(f"{what} has no {key!r}, or it is no {kind.__name__}")
    return found
