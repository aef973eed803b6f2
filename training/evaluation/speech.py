"""How well a voice tells what the mouth does: `python -m training.evaluation.speech CLIP [CLIP ...]`.

The truth is what the face mesh sees on bare faces. Two guesses are compared with it over the last part of each clip: a
rule that learned nothing (loud speech opens the mouth, a high spectral centre widens it), and a ridge regression that
learned from the first part, as enrolling a person would. What a mouth does beneath a mask stays a guess. The numbers
are those of `pipeline.draw.mouth`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from pipeline.draw.mouth import NAMES, RATE, VoiceModel, by_rule, heard
from pipeline.errors import SourceError
from pipeline.video.opening import read_sound
from training.data.crops import central_face
from training.data.mesh import expression_of
from training.needs import errors_in_one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.draw.mouth import Numbers, Sound

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
        guess: {name: _alike(found[:, place], numbers[first:, place]) for place, name in enumerate(NAMES)}
        for guess, found in guesses.items()
    }


def _alike(one: NDArray[np.floating], other: NDArray[np.floating]) -> float | None:
    if min(np.std(one), np.std(other)) < 1e-6:
        return None
    return round(float(np.corrcoef(one, other)[0, 1]), 3)


def _heard(clip: Path) -> Sound:
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
            for guess, found in scores(_heard(clip), *seen(clip)).items():
                cells = "".join(f"{'-' if value is None else value:>10}" for value in found.values())
                lines.append(f"{clip.stem:<20}{guess:<10}{cells}")
        print("\n".join(lines))  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
