"""What mouths do: how a drawn one moves and how sharp it is beside the true one, and how well a voice tells it.

The truth is what the face mesh sees on the bare face; what a mouth does beneath a mask stays a guess.
`python -m training.evaluation.mouths CLIP [CLIP ...]` compares two guesses by voice with it, over the last part of each
clip: a rule that learned nothing (loud speech opens the mouth, a high spectral centre widens it), and a ridge
regression that learned from the first part, as enrolling a person would. The numbers are those of
`pipeline.draw.mouth`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from pipeline.draw.mouth import NAMES, OPENING, VoiceModel, by_rule
from pipeline.draw.sound import RATE, heard
from pipeline.errors import SourceError
from pipeline.picture.pixels import read_crop
from pipeline.video.opening import read_sound
from training.data.crops import central_face, stored_from_canonical
from training.data.mesh import FaceMesh, Point, expression_of, mesh_of
from training.data.wear import SIDE
from training.needs import errors_in_one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.draw.sound import Numbers, Sound
    from pipeline.frames import Frame
    from pipeline.geometry import Affine
    from training.data.wear import Mesh, Worn

MEASURES = ("mouth", "mouth_lag_ms", "mouth_sharpness")
"""Their names, in the order in which tables show them."""

EARLIEST, LATEST = -6, 6
"""Between which delays, in frames, the drawn opening is compared with the true one."""

FEWEST = 25
"""Frames of a face from which its mouth's movement is judged."""

LEAST_MOVING = 0.2
"""Standard deviation of the true opening, in those of photos, below which a mouth counts as still."""

LEAST_ALIKE = 0.15
"""Correlation from which a lag is read off."""

RIM = 0.2
"""How far the lips' box reaches beyond the lips to each side, in parts of its width and height."""


@dataclass
class MouthScores:
    """Sums over the frames of one clip. Changed in place."""

    mesh: Mesh = mesh_of
    """Finds the mesh in a crop; see `mesh.mesh_of`."""
    least_sure: float = 0.5
    """How sure the mesh network must be of either face for its mouth to count."""
    openings: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    """The drawn opening and the true one, for each face and frame; NaN where a face is not seen."""
    seconds: list[float] = field(default_factory=list)
    energy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    """The energy of the slopes in the lips' box, drawn and true."""

    def add(self, worn: Worn, result: Frame) -> None:
        """Take in the next frame: what was worn, and what came out."""
        self.seconds.append(float(worn.bare.time))
        for number, wide_from_frame in worn.places.items():
            series = self.openings.setdefault(number, [])
            series += [(np.nan, np.nan)] * (len(self.seconds) - 1 - len(series))  # it was not there
            series.append(self._openings(worn.bare, result, wide_from_frame))

    def _openings(self, bare: Frame, result: Frame, wide_from_frame: Affine) -> tuple[float, float]:
        """The drawn and the true opening of one face; the slopes of its lips are added up."""
        drawn, true = (read_crop(frame.planes, wide_from_frame, size=SIDE) for frame in (result, bare))
        canonical_from_wide = stored_from_canonical(SIDE).inverse()
        (mesh, sure), (true_mesh, true_sure) = (self.mesh(crop, canonical_from_wide) for crop in (drawn, true))
        if min(sure, true_sure) < self.least_sure:
            return np.nan, np.nan

        rows, columns = lips_box(true_mesh)
        self.energy += [slope_energy(crop[rows, columns]) for crop in (drawn, true)]
        return float(expression_of(mesh)[OPENING]), float(expression_of(true_mesh)[OPENING])

    def summary(self) -> dict[str, float | None]:
        """The measures by their names in the JSON; None where there was nothing to measure."""
        alike = {delay: self._alike(delay) for delay in range(EARLIEST, LATEST + 1)}
        known = {delay: value for delay, value in alike.items() if value is not None}
        best = max(known, key=lambda delay: known[delay], default=None)
        lag = None
        if best is not None and known[best] >= LEAST_ALIKE:
            lag = round(1000 * best * float(np.median(np.diff(self.seconds))), 1)

        sharpness = round(float(self.energy[0] / self.energy[1]), 4) if self.energy[1] > 0 else None
        at_once = alike[0]
        return {
            "mouth": None if at_once is None else round(at_once, 4),
            "mouth_lag_ms": lag,
            "mouth_sharpness": sharpness,
        }

    def _alike(self, delay: int) -> float | None:
        """The correlation of the drawn opening, `delay` frames later, with the true one; each face about its mean."""
        pairs = []
        for series in self.openings.values():
            drawn, true = np.array(series).T
            drawn, true = (drawn[delay:], true[: len(true) - delay]) if delay >= 0 else (drawn[:delay], true[-delay:])
            both = np.column_stack([drawn, true])[np.isfinite(drawn) & np.isfinite(true)]
            if len(both) >= FEWEST and both[:, 1].std() >= LEAST_MOVING:
                pairs.append(both - both.mean(axis=0))
        if not pairs:
            return None

        drawn, true = np.concatenate(pairs).T
        spread = float(np.sqrt((drawn @ drawn) * (true @ true)))
        return float(drawn @ true) / spread if spread > 0 else 0.0


def lips_box(mesh: NDArray[np.floating]) -> tuple[slice, slice]:
    """Rows and columns of the wide crop that hold the lips of a mesh (468, 3) in the canonical crop."""
    face = FaceMesh(np.asarray(mesh[:, :2], np.float32))
    lips = (Point.RIGHT_CORNER, Point.LEFT_CORNER, Point.ABOVE_LIPS, Point.BELOW_LIPS)
    points = stored_from_canonical(SIDE).apply([face[point] for point in lips])

    low, high = points.min(axis=0), points.max(axis=0)
    rim = RIM * (high - low)
    left, top = np.clip(np.floor(low - rim), 0, SIDE - 2).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high + rim), 2, SIDE).astype(int).tolist()
    return slice(top, bottom), slice(left, right)


def slope_energy(picture: NDArray[np.uint8]) -> float:
    """The sum of the squared slopes of the luma of a picture (height, width, 3) RGB."""
    luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
    across, down = cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)
    return float((across.astype(np.float64) ** 2 + down.astype(np.float64) ** 2).sum())


LEARNED = 0.6
"""The part of a clip that is learned from."""


def seen(path: Path) -> tuple[Numbers, NDArray[np.float32]]:
    """Times (T,) in seconds and numbers (T, 4) of the bare face in each frame that shows one.

    Raises `SourceError` for a file that can't be read or shows no face, `CheckpointError` without the mesh network.
    """
    seconds, numbers = [], []
    try:
        with av.open(str(path)) as file:
            for frame in file.decode(video=0) if file.streams.video else ():
                face = central_face(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
                if face is not None:
                    seconds.append(float(frame.time or 0))
                    numbers.append(expression_of(face[1]))
    except av.error.FFmpegError as error:
        raise SourceError(f"{path} can't be read: {error.strerror or error}") from error

    if not numbers:
        raise SourceError(f"{path} shows no face")
    return np.array(seconds), np.stack(numbers)


def scores(sound: Sound, seconds: Numbers, numbers: NDArray[np.float32]) -> dict[str, dict[str, float | None]]:
    """The correlation of each number with the true one over the last part of a clip, by guess and by number.

    None where the sound or the mouth does not move.
    """
    first = round(LEARNED * len(seconds))
    last = seconds[first:]

    guesses = {
        "rule": by_rule(sound, last),
        "learned": VoiceModel.learned(sound, seconds[:first], numbers[:first])(sound, last),
    }
    return {
        guess: {name: alike(found[:, place], numbers[first:, place]) for place, name in enumerate(NAMES)}
        for guess, found in guesses.items()
    }


def alike(one: NDArray[np.floating], other: NDArray[np.floating]) -> float | None:
    """The correlation of two series (N,); None where one does not move."""
    if min(np.std(one), np.std(other)) < 1e-6:
        return None
    return round(float(np.corrcoef(one, other)[0, 1]), 3)


def heard_in(clip: Path) -> Sound:
    """The sound of a file. Raises `SourceError` for one that has none."""
    start, blocks = read_sound(clip, RATE)
    return heard(blocks, start)


def main() -> None:
    """Read the flags and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="videos of bare faces that speak")
    flags = parser.parse_args()

    lines = [f"{'':<20}{'guess':<10}" + "".join(f"{name:>10}" for name in NAMES)]
    with errors_in_one_line(parser):
        for clip in flags.clips:
            for guess, found in scores(heard_in(clip), *seen(clip)).items():
                cells = "".join(f"{'-' if value is None else value:>10}" for value in found.values())
                lines.append(f"{clip.stem:<20}{guess:<10}{cells}")
        print("\n".join(lines))  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
