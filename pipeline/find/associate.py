"""Which detection is which known face."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.find.follow import eye_distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.find.follow import FollowedFace
    from pipeline.frames import Detection

LARGEST_CHANGE = 1.8
"""A face is at most this many times larger or smaller than expected."""


def associate(
    faces: Sequence[FollowedFace], detections: Sequence[Detection], *, limits: Sequence[float]
) -> dict[int, int]:
    """Detection from face, both as positions in what was given: the nearest pair first, each used once.

    `limits` are, for each face, how far a detection of it may be away, in distances between the eyes. Landmarks lie
    closer together than boxes do, so that two faces cheek by cheek are still told apart.
    """
    pairs = sorted(
        (face.distance(detection), row, column)
        for row, face in enumerate(faces)
        for column, detection in enumerate(detections)
        if _similar_size(face, detection)
    )
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    for distance, row, column in pairs:
        if distance <= limits[row] and row not in chosen and column not in taken:
            chosen[row] = column
            taken.add(column)
    return chosen


def _similar_size(face: FollowedFace, detection: Detection) -> bool:
    ratio = eye_distance(detection.landmarks.points.astype(np.float64)) / face.eye_distance
    return abs(math.log(ratio)) < math.log(LARGEST_CHANGE)
