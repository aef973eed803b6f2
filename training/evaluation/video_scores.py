"""How a clip whose drawn masks were taken off again looks beside the clip as it was. Protocol: docs/evaluation.md.

What moves is measured where it moves: how near the picture is and how late it comes, in the frame; how it flickers and
whether a seam shows, in a crop that lies still on the face.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from pipeline.errors import SourceError
from pipeline.picture.pixels import read_crop, read_luma
from training.data.samples import hole_psnr
from training.data.wear import SIDE
from training.evaluation import mouths, photos
from training.evaluation.measures import WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from pipeline.frames import Frame
    from pipeline.geometry import Affine
    from training.data.wear import Worn
    from training.evaluation.mouths import MouthScores

MEASURES = ("hole_psnr", "hole_ssim", "flicker", "lag_ms", "seam", *mouths.MEASURES)
"""Their names, in the order in which tables show them."""

MOMENTS = 10
"""How many moments of a clip a sheet shows."""

EARLIEST, LATEST = -2, 6
"""Between which delays, in frames, what is drawn is compared with what truly moved."""

LEAST_ALIKE = 0.15
"""Correlation of drawn and true movement from which a lag is read off: in a still face there is none to see."""

RIM = (3, 9)
"""How far the rim of a hole reaches into it and beyond it, in crop pixels: blending happens there."""


@dataclass
class VideoScores:
    """Sums over the frames of one clip. Changed in place."""

    frames: int = 0
    """How many frames show a worn mask."""
    standing: int = 0
    """How many of these came back as they went in."""
    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    movement: _Movement = field(default_factory=lambda: _Movement())
    change: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    """The change of the result and of the truth from frame to frame, on the still crop."""
    edges: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    """The edges of the result and of the truth, across the rim."""
    mouth: MouthScores | None = None
    """Judges the mouths; without it their measures are None."""
    faces: dict[int, _Still] = field(default_factory=dict)
    """Each face in the last frame."""

    def add(self, worn: Worn, result: Frame) -> None:
        """Take in the next frame: what was worn, and what came out."""
        truth, drawn = (read_luma(frame.planes, shrink=1).astype(np.float32) for frame in (worn.bare, result))
        self.seconds.append(float(worn.bare.time))
        hidden = worn.alpha > 0.5
        self.movement.add(drawn, truth, hidden)
        if self.mouth is not None:
            self.mouth.add(worn, result)

        if not hidden.any():
            self.faces = {}
            return
        self.frames += 1
        self.standing += result.planes is worn.masked.planes
        self._near(worn.bare.image, result.image, hidden)

        faces = {number: _Still.of(drawn, truth, worn.alpha, place) for number, place in worn.places.items()}
        for number, face in faces.items():
            self.edges += face.edges()
            if number in self.faces:
                self.change += face.change(self.faces[number])
        self.faces = faces

    def _near(self, truth: NDArray[np.uint8], result: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> None:
        self.psnr.append(hole_psnr(result, truth, hidden, span=255))
        rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
        part = np.s_[max(0, rows[0] - WINDOW) : rows[-1] + WINDOW, max(0, columns[0] - WINDOW) : columns[-1] + WINDOW]
        _, near = structural_similarity(
            truth[part], result[part], win_size=WINDOW, channel_axis=2, data_range=255, full=True
        )
        self.ssim.append(float(near[hidden[part]].mean()))

    def summary(self) -> dict[str, float | int | None]:
        """The measures by their names in the JSON; None where there was nothing to measure."""
        return {
            "frames": self.frames,
            "standing": self.standing,
            "hole_psnr": _rounded(np.mean(self.psnr)) if self.psnr else None,
            "hole_ssim": _rounded(np.mean(self.ssim)) if self.ssim else None,
            "flicker": _ratio(self.change),
            "lag_ms": self._lag_ms(),
            "seam": _ratio(self.edges),
            **(dict.fromkeys(mouths.MEASURES) if self.mouth is None else self.mouth.summary()),
        }

    def _lag_ms(self) -> float | None:
        """How much later what is drawn moves than the face; None where too little moves to tell."""
        frames = self.movement.lag_frames()
        return None if frames is None else _rounded(1000 * frames * float(np.median(np.diff(self.seconds))))


@dataclass
class _Movement:
    """Changes from frame to frame inside the hole, in the frame: those drawn against true ones, earlier and later."""

    last: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    drawn: deque[tuple[NDArray[np.float32], NDArray[np.bool_]]] = field(
        default_factory=lambda: deque(maxlen=1 - EARLIEST)
    )
    """The last drawn changes, each with where it counts, the newest first."""
    true: deque[NDArray[np.float32]] = field(default_factory=lambda: deque(maxlen=1 + LATEST - EARLIEST))
    """The last true changes, the newest first."""
    products: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1 + LATEST - EARLIEST, 3)))
    """Sums of drawn x true, drawn squared and true squared, for each delay."""

    def add(self, drawn: NDArray[np.float32], truth: NDArray[np.float32], hidden: NDArray[np.bool_]) -> None:
        """Take in a frame's luma, (height, width) each, and where the mask was."""
        now = tuple(np.asarray(cv2.GaussianBlur(layer, (0, 0), 2), np.float32) for layer in (drawn, truth))
        if self.last is not None:
            self.drawn.appendleft((now[0] - self.last[0], hidden))
            self.true.appendleft(now[1] - self.last[1])
        self.last = now[0], now[1]
        if len(self.true) == self.true.maxlen:
            ours, where = self.drawn[-1]
            ours = ours[where]
            for delay, change in enumerate(self.true):
                theirs = change[where]
                self.products[delay] += ours @ theirs, ours @ ours, theirs @ theirs

    def lag_frames(self) -> float | None:
        """The delay at which both are most alike; between frames by a parabola through the best and its neighbours."""
        both, ours, theirs = self.products.T
        alike = both / np.sqrt(np.maximum(ours * theirs, 1e-9))
        best = int(alike.argmax())
        if alike[best] < LEAST_ALIKE:
            return None
        offset = 0.0
        if 0 < best < len(alike) - 1:
            before, there, after = alike[best - 1 : best + 2]
            offset = 0.5 * (before - after) / (before - 2 * there + after)
        return EARLIEST + best + offset


@dataclass(frozen=True)
class _Still:
    """A face of one frame in the crop that lies still on it, (SIDE, SIDE) each."""

    result: NDArray[np.float32]
    """The picture's luma in [0, 255]."""
    truth: NDArray[np.float32]
    alpha: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        result: NDArray[np.float32],
        truth: NDArray[np.float32],
        alpha: NDArray[np.float32],
        wide_from_frame: Affine,
    ) -> _Still:
        size = (SIDE, SIDE)
        moved = [cv2.warpAffine(layer, wide_from_frame.matrix, size) for layer in (result, truth, alpha)]
        return cls(*(np.asarray(layer, np.float32) for layer in moved))

    def change(self, last: _Still) -> NDArray[np.float64]:
        """(2,) summed changes of result and truth since `last`, where both hide the face."""
        both = (self.alpha > 0.5) & (last.alpha > 0.5)
        pairs = ((self.result, last.result), (self.truth, last.truth))
        return np.array([np.abs(now - then)[both].sum(dtype=np.float64) for now, then in pairs])

    def edges(self) -> NDArray[np.float64]:
        """(2,) summed slopes of result and truth across the rim of the hole."""
        hole = (self.alpha > 0.5).astype(np.uint8)
        inside, beyond = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1)) for r in RIM)
        rim = cv2.dilate(hole, beyond) > cv2.erode(hole, inside)
        across = _slopes(np.asarray(cv2.GaussianBlur(hole.astype(np.float32), (0, 0), sum(RIM) / 2), np.float32))
        across /= np.linalg.norm(across, axis=0) + 1e-6
        return np.array(
            [
                np.abs((_slopes(layer) * across).sum(axis=0))[rim].sum(dtype=np.float64)
                for layer in (self.result, self.truth)
            ]
        )


def measure(
    pairs: Iterable[tuple[Worn, Frame]], *, title: str, mouth: MouthScores | None = None
) -> tuple[VideoScores, list[NDArray[np.uint8]]]:
    """The scores of a clip, frame by frame, and columns for a sheet: masked, result and truth once a second, ten times.

    The columns show the face with the smallest number, under `title` and the time. `mouth` judges the mouths,
    which needs the face mesh.
    """
    scores = VideoScores(mouth=mouth)
    columns: list[NDArray[np.uint8]] = []

    for worn, result in pairs:
        scores.add(worn, result)
        if worn.places and len(columns) < MOMENTS and worn.bare.time >= len(columns):
            place = worn.places[min(worn.places)]
            views = [read_crop(frame.planes, place, size=SIDE) for frame in (worn.masked, result, worn.bare)]
            columns.append(photos.sheet_column(f"{title} {float(worn.bare.time):.1f} s", views))
    return scores, columns


def joined(clips: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The summaries of clips by name, and the mean of each measure over the clips that have it.

    Raises `SourceError` when no face wore a mask in any of them.
    """
    if not any(clip["frames"] for clip in clips.values()):
        raise SourceError(f"no face to draw a mask on in {', '.join(clips)}")
    known = {name: [clip[name] for clip in clips.values() if clip[name] is not None] for name in MEASURES}
    return {
        "clips": dict(clips),
        "mean": {name: _rounded(np.mean(values)) if values else None for name, values in known.items()},
    }


def table(scores: Mapping[str, Any]) -> str:
    """What `joined` gave, for a person."""
    lines = [f"{'':<20}" + "".join(f"{name:>16}" for name in ("frames", "standing", *MEASURES))]
    for name, values in (*scores["clips"].items(), ("mean", scores["mean"])):
        counts = "".join(f"{values.get(count, ''):>16}" for count in ("frames", "standing"))
        cells = "".join(f"{'-' if values[m] is None else format(values[m], '.3f'):>16}" for m in MEASURES)
        lines.append(f"{name:<20}{counts}{cells}")
    return "\n".join(lines)


def _slopes(layer: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, h, w) across and down."""
    return np.stack([cv2.Sobel(layer, cv2.CV_32F, 1, 0), cv2.Sobel(layer, cv2.CV_32F, 0, 1)])


def _ratio(sums: NDArray[np.float64]) -> float | None:
    return _rounded(sums[0] / sums[1]) if sums[1] > 0 else None


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 4)
