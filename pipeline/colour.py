"""Bringing what was drawn to the colours around it, so that no seam shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.hole import Hole
    from pipeline.samples import Values

FIELD_SIZE = 64
"""Side of the correction: light and colour change slowly, so a quarter of the crop's resolution holds them."""

_STRANGE = 20.0
"""A rim pixel that is still this far off after levelling counts half: there something else was drawn, not another
light."""

_CONTRAST = 15.0
"""How much the rim's brightness must vary, as a standard deviation, for its contrast to be believed by half."""

_GAINS = (0.6, 1.6)


def shrunk(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A crop (S, S, 3) at the correction's resolution: (64, 64, 3) float32."""
    return cv2.resize(image, (FIELD_SIZE, FIELD_SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)


def correction(
    real: NDArray[np.float32], drawn: NDArray[np.float32], hole: Hole, *, limit: float
) -> NDArray[np.float32]:
    """What to add to `drawn` so that it meets `real`, all (64, 64, 3) float32 RGB.

    Both are compared on the feather, where the one fades into the other: a gain and an offset for each channel first,
    then what differs still from place to place, spread over the hole like a stretched skin. None is larger than
    `limit`. The network's own hole should reach as far as the feather: what it has merely copied says nothing about
    what it invents.
    """
    size = (FIELD_SIZE, FIELD_SIZE)
    soiled = cv2.resize(hole.grown, size, interpolation=cv2.INTER_AREA)
    reached = cv2.resize(hole.alpha, size, interpolation=cv2.INTER_AREA)
    rim = ((soiled == 0) & (reached > 0)).astype(np.float32)
    if not rim.any():
        return np.zeros_like(drawn)
    level, weight = _level(real, drawn, rim)
    field = level + _stretched(real - drawn - level, weight)
    return np.asarray(limit * np.tanh(field / limit), np.float32)


def _level(
    real: NDArray[np.float32], drawn: NDArray[np.float32], rim: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a gain and an offset for each channel add to `drawn`, (64, 64, 3), and how far the rim agrees, (64, 64)."""
    places = rim > 0
    wanted, given = real[places], drawn[places]  # (n, 3)
    level = np.median(wanted - given, axis=0) + np.zeros_like(drawn)
    weight = rim
    for _ in range(2):
        strangeness = np.abs(wanted - given - level[places]).max(axis=1) / _STRANGE
        share = 1 / (1 + strangeness * strangeness)
        share /= share.sum()
        wanted_mean, given_mean = share @ wanted, share @ given
        spread = share @ (given - given_mean) ** 2
        together = share @ ((given - given_mean) * (wanted - wanted_mean))
        gain = np.clip((together + _CONTRAST**2) / (spread + _CONTRAST**2), *_GAINS)
        level = ((gain - 1) * drawn + (wanted_mean - gain * given_mean)).astype(np.float32)
    strangeness = np.abs(real - drawn - level).max(axis=2) / _STRANGE
    weight = rim / (1 + strangeness * strangeness)
    return level, weight


def _stretched(values: Values, weight: Values) -> Values:
    """`values` where `weight` is high, and between them a smooth surface: push and pull over a pyramid.

    Gortler and others, The Lumigraph, 1996, section 4.
    """
    levels: list[tuple[Values, Values]] = [(values * weight[..., None], weight)]
    while levels[-1][1].shape[0] > 2:
        sums, total = levels[-1]
        levels.append((cv2.pyrDown(sums), cv2.pyrDown(total)))
    sums, total = levels[-1]
    surface: Values = sums / np.maximum(total, 1e-6)[..., None]
    for sums, total in reversed(levels[:-1]):
        known = np.minimum(2 * total, 1)[..., None]
        own = sums / np.maximum(total, 1e-6)[..., None]
        surface = cv2.pyrUp(surface)
        surface = surface + known * (own - surface)
    return cv2.GaussianBlur(surface, (5, 5), 1.0)
