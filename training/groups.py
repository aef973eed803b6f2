"""Groups of people whose faces are scored apart: how light the skin is, as measured, and whatever a table says."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.errors import SourceError
from training.product import worn_by

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.geometry import Landmarks
    from training.photos import Masked
    from training.product import Product

SKIN = "skin"
"""The property that is measured."""

NAME = "name"
"""The column of a table that says which photo a row is about."""

TONES = ((41.0, "light"), (10.0, "medium"), (-math.inf, "dark"))
"""The least individual typology angle of each tone, in degrees: three of the steps of Chardon et al. 1991 taken
together (41 parts light from intermediate, 10 tan from brown)."""

CHEEK = 0.12
"""Half the side of a patch of cheek, over the distance between the eyes."""


@dataclass(frozen=True)
class Groups:
    """Which groups a photo belongs to."""

    product: Product
    """Finds the face of the bare photo, whose cheeks are measured."""
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By the photo's name, then by property: what a table says, such as `glasses`: `yes`."""

    def __call__(self, masked: Masked) -> dict[str, str]:
        """The group by property; a property that is not known of this photo is left out."""
        found = dict(self.labels.get(masked.name, {}))
        wearer = worn_by(self.product.find(masked.truth), masked.alpha)
        if wearer is not None and SKIN not in found:
            found[SKIN] = tone(typology_angle(masked.truth, wearer.detection.landmarks))
        return found


def typology_angle(photo: NDArray[np.uint8], landmarks: Landmarks) -> float:
    """Degrees in [-90, 90], high for light skin: atan((L* - 50) / b*) of the median colour of both cheeks.

    It is of the photo and not of the person: light and exposure move it by more than a step.
    """
    eyes, corners = landmarks.points[:2], landmarks.points[3:]
    half = max(1, round(CHEEK * float(np.hypot(*(eyes[1] - eyes[0])))))
    patches = []
    for x, y in np.rint((eyes + corners) / 2).astype(int):
        patch = photo[max(0, y - half) : max(0, y + half + 1), max(0, x - half) : max(0, x + half + 1)]
        patches.append(patch.reshape(-1, 3))
    colours = np.concatenate(patches).astype(np.float32)[None] / 255
    lightness, _, yellow = np.median(cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)[0], axis=0).tolist()
    return math.degrees(math.atan2(lightness - 50, max(yellow, 1e-6)))


def tone(angle: float) -> str:
    """The name of a skin's lightness."""
    return next(name for least, name in TONES if angle >= least)


def read_labels(path: Path, names: Collection[str]) -> dict[str, dict[str, str]]:
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
    labels = {row[NAME]: {key: value for key, value in row.items() if key != NAME and value} for row in rows}
    if not labels.keys() & set(names):
        raise SourceError(f"{path} speaks of none of the photos; they are called {', '.join(sorted(names)[:3])} ...")
    return labels
