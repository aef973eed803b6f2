"""Which views are learned from, and which are held back to judge by: both span pose, expression and light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.enrol.gather import View

MOST_LEARNED, MOST_HELD_BACK = 160, 30
"""How many views are learned from and judged by at most."""
HELD_BACK = 0.2
"""The last part of a video that is held back."""
APART_SECONDS = 0.5
"""What lies between the two parts and is used for neither: neighbouring frames are alike."""
LEAST_VIDEO = 16
"""Views of a video from which a part of it is held back."""
LEAST_PHOTOS = 5
"""Photos from which one in `LEAST_PHOTOS` is held back."""


@dataclass(frozen=True)
class Choice:
    """The views of one person, divided."""

    learned: tuple[View, ...]
    held_back: tuple[View, ...]


def choose(views: Sequence[View]) -> Choice:
    """Divide the views: the end of each video, and every fifth photo, are held back."""
    learned, held_back = [], []
    for source in dict.fromkeys(view.source for view in views):
        theirs = [view for view in views if view.source == source and not view.still]
        if len(theirs) < LEAST_VIDEO:
            learned += theirs
            continue
        first = theirs[round((1 - HELD_BACK) * len(theirs))].time
        held_back += [view for view in theirs if view.time >= first]
        learned += [view for view in theirs if view.time < first - APART_SECONDS]
    photos = [view for view in views if view.still]
    if len(photos) >= LEAST_PHOTOS:
        held_back += photos[LEAST_PHOTOS - 1 :: LEAST_PHOTOS]
        photos = [view for place, view in enumerate(photos) if place % LEAST_PHOTOS != LEAST_PHOTOS - 1]
    return Choice(spanning(learned + photos, MOST_LEARNED), spanning(held_back, MOST_HELD_BACK))


def spanning(views: Sequence[View], count: int) -> tuple[View, ...]:
    """At most `count` of the views, as unlike each other as can be, in their order.

    The farthest view from those already chosen comes next (Gonzalez 1985).
    """
    if len(views) <= count:
        return tuple(views)
    places = np.stack([appearance(view) for view in views])
    chosen = [0]
    away = np.linalg.norm(places - places[0], axis=1)
    while len(chosen) < count:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return tuple(views[place] for place in sorted(chosen))


def appearance(view: View) -> NDArray[np.float32]:
    """What tells views apart: a thumbnail of the face, in which pose, expression and light show."""
    small = cv2.resize(view.canonical, (16, 16), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()


def variety(views: Sequence[View]) -> dict[str, float]:
    """How far the head turns from side to side and up and down, and how much the lower face changes, from 0 on."""
    points = np.stack([view.landmarks for view in views])  # (N, 5, 2)
    eyes, nose, mouth = points[:, :2].mean(1), points[:, 2], points[:, 3:].mean(1)
    middle, height = (eyes + mouth) / 2, np.linalg.norm(mouth - eyes, axis=1)
    sideways, upward = ((nose - middle) / height[:, None]).T
    lower = np.stack([appearance(view).reshape(16, 16)[9:13, 5:11].ravel() for view in views])
    return {
        "sideways": float(np.ptp(sideways)),
        "upward": float(np.ptp(upward)),
        "mouth": float(lower.std(axis=0).mean()),
    }


LITTLE_SIDEWAYS, LITTLE_UPWARD, LITTLE_MOUTH = 0.12, 0.06, 4.0
"""What `variety` gives where a head keeps still, and a mouth."""


def missing(views: Sequence[View]) -> tuple[str, ...]:
    """What the views do not show of the person, in a few words each."""
    seen = variety(views)
    wanted = (
        ("sideways", LITTLE_SIDEWAYS, "the head hardly turns to the side"),
        ("upward", LITTLE_UPWARD, "the head hardly turns up or down"),
        ("mouth", LITTLE_MOUTH, "the mouth hardly moves"),
    )
    return tuple(said for name, little, said in wanted if seen[name] < little)
