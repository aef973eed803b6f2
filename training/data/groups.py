"""Groups of people whose faces are scored apart: what a table says of each photo."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from pipeline.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    Labels = Mapping[str, Mapping[str, str]]
    """By the photo's name, then by property: such as `glasses`: `yes`."""

NAME = "name"
"""The column that says which photo a row is about."""


def read_labels(path: Path, names: Collection[str]) -> Labels:
    """A CSV table whose column `name` holds photos' names without suffix; each other column is a property.

    Empty cells say nothing. Raises `SourceError` when it can't be read so, or speaks of none of `names`.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} can't be read as a CSV table: {error}") from error
    if not rows or NAME not in rows[0]:
        raise SourceError(f"{path} needs a first line with the column {NAME!r}, and rows below it")
    if any(None in row or None in row.values() for row in rows):
        raise SourceError(f"{path} has a row with more or fewer cells than its first line")
    labels = {row[NAME]: {key: value for key, value in row.items() if key != NAME and value} for row in rows}
    if not labels.keys() & set(names):
        raise SourceError(f"{path} speaks of none of the photos; they are called {', '.join(sorted(names)[:3])} ...")
    return labels
