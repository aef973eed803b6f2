"""Contact sheets: what the worst and the middling results look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from pipeline.errors import SinkError
from pipeline.video.stills import synthetic_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CELL = 192
"""Width of a picture on a sheet, in pixels."""

TITLE = 18
"""Height of the line above a column."""


def column(title: str, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures (height, width, 3) of one size below each other, `CELL` wide, under a title."""
    height = round(pictures[0].shape[0] * CELL / pictures[0].shape[1])
    head = np.full((TITLE, CELL, 3), 255, np.uint8)
    cv2.putText(head, title, (3, TITLE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    shown = [cv2.resize(picture, (CELL, height), interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.vstack([head, *shown]).astype(np.uint8)


def write(path: Path, rows: Sequence[Sequence[NDArray[np.uint8]]]) -> None:
    """Rows of columns as one PNG, filled up with white. Raises `SinkError` when it can't be written."""
    bands = []
    for columns in rows:
        tall = max(picture.shape[0] for picture in columns)
        filled = [
            np.pad(picture, ((0, tall - len(picture)), (0, 0), (0, 0)), constant_values=255) for picture in columns
        ]
        bands.append(np.hstack(filled))

    wide = max(band.shape[1] for band in bands)
    sheet = np.vstack(
        [np.pad(band, ((0, 0), (0, wide - band.shape[1]), (0, 0)), constant_values=255) for band in bands]
    )
    try:
        Image.fromarray(sheet).save(path, format="PNG", pnginfo=synthetic_png())
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror or error}") from error
