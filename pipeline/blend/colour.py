"""Bringing what was drawn to the colours around it, so that no seam shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.picture.fields import FIELD_SIZE, largest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.blend.hole import Hole
    from pipeline.picture.samples import Values

_STRANGE = 20.0
"""A rim pixel that is still this far off after levelling counts half: there something else was drawn, not another
light."""

_CONTRAST = 15.0
"""How much the rim's brightness must vary, as a standard deviation, for its contrast to be believed by half."""

_GAINS = (0.6, 1.6)


def correction(
    real: NDArray[np.float32], drawn: NDArray[np.float32], hole: Hole, *, limit: float
) -> NDArray[np.float32]:
    """What to add to `drawn` so that it meets `real`, all (64, 64, 3) float32 RGB.

    Both are compared on the feather, where the one fades into the other: a gain and an offset for each channel first,
    then what differs still from place to place, spread over the hole like a stretched skin. None is larger than
    `limit`. What lies beyond the network's own hole, which ends within the feather, it has merely copied: that says
    little about what it invents.
    """
    size = (FIELD_SIZE, FIELD_SIZE)
    soiled = cv2.resize(hole.grown, size, interpolation=cv2.INTER_AREA)
    reached = cv2.resize(hole.alpha, size, interpolation=cv2.INTER_AREA)
    rim = ((soiled == 0) & (reached > 0)).astype(np.float32)  # (64, 64)
    if not rim.any():
        return np.zeros_like(drawn)

    level, weight = _level(real, drawn, rim)
    field = level + _stretched(real - drawn - level, weight)
    return np.asarray(limit * np.tanh(field * (1 / limit)), np.float32)


def _level(
    real: NDArray[np.float32], drawn: NDArray[np.float32], rim: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a gain and an offset for each channel add to `drawn`, (64, 64, 3), and how far the rim agrees, (64, 64)."""
    places = np.flatnonzero(rim)
    wanted, given = real.reshape(-1, 3)[places], drawn.reshape(-1, 3)[places]  # (n, 3)
    gain, offset = np.ones(3, np.float32), np.sort(wanted - given, axis=0)[len(places) // 2]

    # Least squares, a second time with less weight for what was far off: hair or a collar across the rim.
    for _ in range(2):
        off = np.abs(wanted - gain * given - offset)
        strangeness = np.maximum(np.maximum(off[:, 0], off[:, 1]), off[:, 2]) / np.float32(_STRANGE)
        share = 1 / (1 + strangeness * strangeness)
        share /= share.sum()
        wanted_mean, given_mean = share @ wanted, share @ given
        from_mean = given - given_mean
        spread, together = share @ (from_mean * from_mean), share @ (from_mean * (wanted - wanted_mean))
        gain = np.clip((together + _CONTRAST**2) / (spread + _CONTRAST**2), *_GAINS).astype(np.float32)
        offset = wanted_mean - gain * given_mean

    level = drawn * (gain - 1) + offset.astype(np.float32)
    strangeness = largest(cv2.absdiff(real - drawn, level)) / np.float32(_STRANGE)
    return level, rim / (1 + strangeness * strangeness)


def _stretched(values: Values, weight: Values) -> Values:
    """`values` where `weight` is high, and between them a smooth surface: push and pull over a pyramid.

    Gortler and others, The Lumigraph, 1996, section 4.
    """
    # Push: each level sums what is known, the weights beside the values. Half the resolution holds a smooth surface.
    both = cv2.merge([*cv2.split(cv2.multiply(values, cv2.merge([weight] * 3))), weight])  # (64, 64, 4)
    levels = [cv2.pyrDown(both)]
    while levels[-1].shape[0] > 2:
        levels.append(cv2.pyrDown(levels[-1]))

    # Pull: from the coarsest level, where all is known, to the finest, where the rim is.
    surface: Values = np.zeros((1, 1, 3), np.float32)
    for level in reversed(levels):
        total = level[..., 3:]
        own = level[..., :3] / np.maximum(total, np.float32(1e-6))
        known = np.minimum(2 * total, 1)
        surface = own if level is levels[-1] else _between(cv2.pyrUp(surface), own, known)
    return cv2.pyrUp(surface)


def _between(first: Values, second: Values, share: Values) -> Values:
    return first + share * (second - first)
