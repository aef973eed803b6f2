"""`barefaced evaluate leftovers`: in how many results something of a mask is left, as another network sees it.

Around each face a view twice as wide as its crop is looked at, before and after. What was mask before and looks like
mask still is left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from pipeline.draw.beyond import view_of
from pipeline.geometry import CROP_SIZE, VIEW_TIMES, face_crop
from pipeline.picture.pixels import in_frame, read_crop
from training.evaluation.photos import sheet_column, write_sheet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.frames import Frame, Tracked

    Judge = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

FACE_SHARE = 0.29
"""A face's part of its crop: an ellipse half as wide as the crop and two thirds as high."""

MOST_LEFT = 0.001
"""How much may be left, since nobody sees it, as a part of a face's area."""

_SURE = 0.6
"""How likely a pixel must be mask, before and after."""

_LEAST_WORN = 0.05
"""How much must be mask for a face to count as masked, as a part of its area."""

_MIDDLE = np.s_[120:165, 96:160]
"""The part of a view from a nose to a chin."""

_SPECK = np.ones((2, 2), np.uint8)
"""What is thinner than two pixels of a view is an edge, not a piece of a mask."""


@dataclass(frozen=True)
class JudgedFace:
    """One masked face, before and after."""

    title: str
    share: float
    """What is left of the mask, in parts of the face's area; a mask that stays on is more than 1."""
    before: NDArray[np.uint8]
    """(S, S, 3) its view as it was."""
    after: NDArray[np.uint8]
    marked: NDArray[np.uint8]
    """`after` with what is left in red."""


@dataclass(frozen=True)
class Seen:
    """A photo, or a frame of a clip."""

    title: str
    faces: tuple[JudgedFace, ...]
    """The masked ones."""

    @property
    def share(self) -> float:
        """The most that is left on a face."""
        return max((face.share for face in self.faces), default=0.0)


def look(title: str, tracked: Tracked, after: Frame, judge: Judge) -> Seen:
    """What is left in the frame `after` of the masks on the faces of `tracked`."""
    faces = []
    for track in tracked.tracks:
        crop_from_frame = face_crop(track.detection.landmarks, pixel_aspect=tracked.frame.pixel_aspect)
        view = view_of(crop_from_frame)
        before, now = (read_crop(frame.planes, view, size=CROP_SIZE) for frame in (tracked.frame, after))
        area = FACE_SHARE * (CROP_SIZE / VIEW_TIMES) ** 2

        worn = _worn(judge(before), in_frame(view, tracked.frame.width, tracked.frame.height))
        if worn.sum() < _LEAST_WORN * area:
            continue
        left = worn & (judge(now) > _SURE)
        left = cv2.morphologyEx(left.astype(np.uint8), cv2.MORPH_OPEN, _SPECK) > 0
        marked = now.copy()
        marked[left] = (255, 0, 0)
        faces.append(
            JudgedFace(f"{title} {100 * left.sum() / area:.2f} %", float(left.sum() / area), before, now, marked)
        )
    return Seen(title, tuple(faces))


def _worn(likely: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(S, S) the mask of the face in the middle of a view: what hangs together with mask at its nose and mouth."""
    _, parts = cv2.connectedComponents(((likely > _SURE) & inside).astype(np.uint8))
    own = np.unique(parts[_MIDDLE])
    return np.isin(parts, own[own > 0])


def summary(seen: Sequence[Seen], faceless: Iterable[str]) -> dict[str, Any]:
    """The scores as JSON holds them."""
    masked = [one for one in seen if one.faces]
    left = [one for one in masked if one.share > MOST_LEFT]
    return {
        "pictures": len(seen),
        "without_a_face": sorted(faceless),
        "masked": len(masked),
        "left_over": len(left),
        "left_over_share": round(len(left) / max(1, len(masked)), 4),
        "mean_left": round(float(np.mean([one.share for one in masked])), 5) if masked else None,
        "worst": {one.title: round(one.share, 5) for one in ordered(masked)[:20]},
    }


def ordered(seen: Sequence[Seen]) -> list[Seen]:
    """The faces, the worst first."""
    return sorted(seen, key=lambda one: -one.share)


def sheet(path: Path, seen: Sequence[Seen], *, count: int = 20) -> None:
    """The `count` worst faces as a PNG, ten a row; from the top: before, after, and what is left in red."""
    worst = sorted((face for one in seen for face in one.faces), key=lambda face: -face.share)[:count]
    columns = [sheet_column(face.title, [face.before, face.after, face.marked]) for face in worst]
    if columns:
        write_sheet(path, [columns[start : start + 10] for start in range(0, len(columns), 10)])


def table(scores: dict[str, Any]) -> str:
    """The summary for a person."""
    return (
        f"{scores['left_over']} of {scores['masked']} pictures with a masked face have more than "
        f"{100 * MOST_LEFT:.1f} % of its area left over ({100 * scores['left_over_share']:.1f} %); "
        f"{scores['pictures']} looked at, {len(scores['without_a_face'])} without a face"
    )
