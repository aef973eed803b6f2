"""Which views are learned from and which are held back, and how near the faces that a network draws come to those.

Both span pose, expression and light. The views held back wear drawn masks of every kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.draw.hole import hole_of
from training.data import masks
from training.data.mesh import FaceMesh
from training.evaluation import photos
from training.needs import MaskKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import Engine
    from training.enrol.gather import View

    Draw = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """A network: crops without their holes and the holes (N, 4, S, S), to faces (N, 3, S, S) in [-1, 1]."""


MOST_LEARNED, MOST_HELD_BACK = 160, 30
"""How many views are learned from and judged by at most."""
HELD_BACK = 0.2
"""The last part of a video that is held back."""
APART_SECONDS = 0.5
"""What lies between the two parts and is used for neither until it was judged: neighbouring frames are alike."""
LEAST_VIDEO = 16
"""Views of a video from which a part of it is held back."""
LEAST_PHOTOS = 5
"""Photos from which one in `LEAST_PHOTOS` is held back."""


@dataclass(frozen=True)
class Choice:
    """The views of one person, divided."""

    learned: tuple[View, ...]
    held_back: tuple[View, ...]
    everything: tuple[View, ...]
    """Both, and what lies between them in time."""


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

    return Choice(
        spanning(learned + photos, MOST_LEARNED),
        spanning(held_back, MOST_HELD_BACK),
        spanning(views, MOST_LEARNED + MOST_HELD_BACK),
    )


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


@cache
def _head() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mesh (468, 3) and the five landmarks (5, 3) of an upright frontal head, in pixels of the canonical crop."""
    with resources.files(__package__).joinpath("head.npz").open("rb") as file:
        stored = np.load(file)
        return stored["mesh"].astype(np.float64), stored["landmarks"].astype(np.float64)


def mesh_of_landmarks(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """The face mesh (468, 2) of a head whose five landmarks are `points` (5, 2), in the same pixels.

    Least squares give the affine map from the head's landmarks; the nearest map that turns, scales and shifts is used.
    """
    mesh, landmarks = _head()
    solution = np.linalg.lstsq(np.column_stack([landmarks, np.ones(5)]), np.asarray(points, np.float64), rcond=None)[0]
    left, scales, right = np.linalg.svd(solution[:3].T, full_matrices=False)  # (2, 2), (2,), (2, 3)
    turn = scales.mean() * left @ right
    shift = np.mean(points, axis=0) - turn @ landmarks.mean(axis=0)
    return np.asarray(mesh @ turn.T + shift, np.float32)


AT_ONCE = 6
"""Views that a network is given at a time."""


@dataclass(frozen=True)
class Exam:
    """Views in drawn masks, and the truth."""

    truths: NDArray[np.uint8]
    """(N, S, S, 3) RGB."""
    masked: NDArray[np.uint8]
    """(N, S, S, 3) the same with masks."""
    alphas: NDArray[np.float32]
    """(N, S, S) how much of each pixel is mask."""

    @classmethod
    def of(cls, views: Sequence[View], *, seed: int = 0) -> Exam:
        """Each view in one mask, the five kinds in turn; the same masks for the same views."""
        kinds, drawn = list(MaskKind), []
        for place, view in enumerate(views):
            rng = np.random.default_rng([seed, place])
            mesh = FaceMesh(mesh_of_landmarks(view.landmarks))
            drawn.append(masks.draw(view.canonical, mesh, rng, kind=kinds[place % len(kinds)]))
        return cls(
            np.stack([view.canonical for view in views]),
            np.stack([picture for picture, _ in drawn]),
            np.stack([alpha for _, alpha in drawn]).astype(np.float32),
        )

    def feed(self) -> NDArray[np.float32]:
        """(N, 4, S, S) as a generator takes them."""
        pictures = self.masked.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
        holes = np.stack([hole_of(alpha) for alpha in self.alphas])
        return np.concatenate([pictures, holes[:, None]], axis=1)

    def drawn(self, draw: Draw) -> NDArray[np.uint8]:
        """(N, S, S, 3) the truths with what a network draws where the masks are."""
        feed = self.feed()
        faces = np.concatenate([draw(feed[place : place + AT_ONCE]) for place in range(0, len(feed), AT_ONCE)])
        pictures = (faces.transpose(0, 2, 3, 1) + 1) * 127.5  # (N, S, S, 3)
        hidden = (self.alphas > 0.5)[..., None]
        return np.where(hidden, np.clip(np.rint(pictures), 0, 255), self.truths).astype(np.uint8)

    def psnr(self, pictures: NDArray[np.uint8]) -> float:
        """The mean PSNR in the hole, in dB."""
        hidden = self.alphas > 0.5
        wrong = ((pictures.astype(np.float64) - self.truths) ** 2).mean(axis=3)
        means = (wrong * hidden).sum((1, 2)) / np.maximum(hidden.sum((1, 2)), 1)
        return float((10 * np.log10(255**2 / np.maximum(means, 1e-9))).mean())

    def sheet(self, path: Path, shipped: NDArray[np.uint8], own: NDArray[np.uint8], *, count: int = 8) -> None:
        """Masked, drawn by the shipped network, drawn by the person's own, and true, below each other.

        Raises `SinkError` when the picture can't be written.
        """
        places = np.unique(np.linspace(0, len(self.truths) - 1, count).astype(int))
        rows, title = (self.masked, shipped, own, self.truths), "masked, shipped, own, true"
        columns = [photos.sheet_column(f"{title} ({place + 1})", [row[place] for row in rows]) for place in places]
        photos.write_sheet(path, [columns])


def by_engine(engine: Engine) -> Draw:
    """The network of a compiled generator."""
    return lambda feed: np.asarray(engine.run({"crop_and_mask": feed})["face"], np.float32)
