"""A small visible mark on frames whose faces are partly drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.blend.paste import paste

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.frames import Frame

_TEXT = "SYNTHETIC"
_DRAWN_PX = 96
"""Height at which the badge is drawn, before it is shrunk to its size."""


@dataclass(frozen=True)
class Mark:
    """Stage: a translucent badge in the lower right corner of every frame, which says that faces in it are
    synthetic."""

    height_share: float = 0.04
    """The badge's height as a share of the frame's shorter side. Raise it for small screens."""
    opacity: float = 0.6
    """From 0, not to be seen, to 1, hiding what lies below."""

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Raises `SourceError` for a picture in a format that can't be painted on."""
        for frame in frames:
            height = max(10, round(self.height_share * min(frame.width, frame.height)))
            colour, alpha = badge(height)
            margin = height // 2
            picture = paste(
                frame.planes,
                left=frame.width - margin - colour.shape[1],
                top=frame.height - margin - height,
                colour=colour,
                alpha=self.opacity * alpha,
            )
            yield replace(frame, planes=picture)


@lru_cache(maxsize=4)
def badge(height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The badge at `height` pixels: (height, w, 3) RGB in [0, 255] and (height, w) alpha in [0, 1], both float32.

    White letters and a ring, cut in two, on a dark plate with round ends, so that it shows on any ground.
    """
    (text_width, _), _ = cv2.getTextSize(_TEXT, cv2.FONT_HERSHEY_DUPLEX, 1.6, 3)
    middle, width = _DRAWN_PX // 2, _DRAWN_PX + text_width + 3 * _DRAWN_PX // 4
    plate = np.zeros((_DRAWN_PX, width), np.uint8)
    cv2.line(plate, (middle, middle), (width - middle, middle), 255, _DRAWN_PX - 8, cv2.LINE_AA)
    ink = np.zeros_like(plate)
    cv2.circle(ink, (middle + 8, middle), 26, 255, 5, cv2.LINE_AA)
    cv2.ellipse(ink, (middle + 8, middle), (26, 26), 0, 0, 180, 255, -1, cv2.LINE_AA)
    cv2.putText(ink, _TEXT, (_DRAWN_PX, middle + 18), cv2.FONT_HERSHEY_DUPLEX, 1.6, 255, 3, cv2.LINE_AA)
    size = (round(width * height / _DRAWN_PX), height)
    shape, letters = (
        cv2.resize(layer, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
        for layer in (plate, ink)
    )
    colour = np.repeat((24 + (235 - 24) * letters)[..., None], 3, axis=2)
    alpha = shape * (0.7 + 0.3 * letters)
    return colour.astype(np.float32), alpha.astype(np.float32)
