"""How well a voice tells what the mouth does: `python -m training.evaluation.speech CLIP [CLIP ...]`.

The truth is what the face mesh sees on bare faces. Two guesses are compared with it over the last part of each clip: a
rule that learned nothing (loud speech opens the mouth, a high spectral centre widens it), and a ridge regression that
learned from the first part, as enrolling a person would. What a mouth does beneath a mask stays a guess. The numbers
are those of `training.data.mesh`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from pipeline.errors import SourceError
from training.data.crops import central_face
from training.data.mesh import EXPRESSION_NAMES, expression_of
from training.needs import errors_in_one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


RATE, HOP, WINDOW, SPECTRUM = 16_000, 160, 400, 512
"""Samples a second, between two windows (10 ms), in a window (25 ms), and in its spectrum."""

SPEECH_HZ = (300.0, 3400.0)
"""The band of a telephone, in which most of speech lies and little else."""
BANDS_HZ, BANDS = (100.0, 7000.0), 5
"""The range of the bands that are learned from, evenly spaced in mel, and their number."""

ATTACK, RELEASE = 0.03, 0.12
"""Seconds in which loudness is followed upwards and downwards to 63 %: a mouth opens faster than it closes."""

SILENCE = 1e-4
"""Root mean square of the speech band, of a full scale of 1, below which nobody speaks."""

AHEAD, BEHIND, STEP = 0.45, 0.1, 0.05
"""Seconds around a frame whose sound is learned from. Lips part before they are heard, and cameras' sound is late."""

RIDGE = 3000.0
"""Weight of the squared coefficients, beside squared errors of inputs and outputs of unit deviation."""

FASTEST = 25.0
"""Standard deviations that a number may change by in a second: an open mouth closes in a sixth of one."""


@dataclass(frozen=True)
class Sound:
    """What a voice sounds like, 100 times a second."""

    start: float
    """Seconds of the first window's middle."""
    speech: Numbers
    """(N,) root mean square in the speech band."""
    centre: Numbers
    """(N,) spectral centre in Hz."""
    bands: Numbers
    """(N, 2 * BANDS) logarithm of the energy in each band, and its slope."""

    def at(self, values: Numbers, seconds: Numbers) -> Numbers:
        """(T, ...) one of these at any times, between windows by a line."""
        places = self.start + np.arange(len(values)) * HOP / RATE
        columns = values.reshape(len(values), -1).T
        found = np.stack([np.interp(seconds, places, column) for column in columns], axis=-1)
        return found.reshape(len(seconds), *values.shape[1:])


def read_sound(path: Path) -> tuple[NDArray[np.float32], float]:
    """The sound of a file, mono at `RATE`, and when it begins, in seconds. Raises `SourceError` for a file without."""
    blocks: list[NDArray[np.float32]] = []
    start = 0.0

    try:
        with av.open(str(path)) as file:
            resampler = av.AudioResampler("fltp", rate=RATE)
            for frame in file.decode(audio=0) if file.streams.audio else ():
                start = start if blocks else float(frame.time or 0)
                blocks += [
                    np.asarray(block.to_ndarray().mean(axis=0), np.float32) for block in resampler.resample(frame)
                ]
            for block in resampler.resample(None) if blocks else ():
                blocks.append(np.asarray(block.to_ndarray().mean(axis=0), np.float32))
    except av.error.FFmpegError as error:
        raise SourceError(f"{path} can't be read: {error.strerror or error}") from error

    if not blocks:
        raise SourceError(f"{path} has no sound")
    return np.concatenate(blocks), start


def heard(samples: NDArray[np.float32], start: float = 0.0) -> Sound:
    """The features of samples (N,) at `RATE`, the first of them at `start` seconds."""
    padded = np.pad(samples.astype(np.float64), (WINDOW // 2, WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(windows, SPECTRUM)) ** 2 / (SPECTRUM * np.mean(np.hanning(WINDOW) ** 2) * WINDOW / 2)
    hertz = np.asarray(np.fft.rfftfreq(SPECTRUM, 1 / RATE), np.float64)

    inside = (hertz >= SPEECH_HZ[0]) & (hertz <= SPEECH_HZ[1])
    centre = power @ hertz / (power.sum(axis=1) + 1e-12)
    logs = np.log10(power @ _mel_filters(hertz).T + 1e-9)  # (N, BANDS)
    smooth = np.apply_along_axis(np.convolve, 0, logs, np.hanning(9)[1:-1] / 4, mode="same")
    slopes = np.gradient(smooth, axis=0) * 5
    return Sound(start, np.sqrt(power[:, inside].sum(axis=1)), centre, np.concatenate([smooth, slopes], axis=1))


def _mel_filters(hertz: Numbers) -> Numbers:
    """(BANDS, F) triangles over frequencies (F,), evenly spaced in mel."""
    low, high = (np.log1p(edge / 700) for edge in BANDS_HZ)
    edges = 700 * np.expm1(np.linspace(low, high, BANDS + 2))[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))


def followed(values: Numbers, attack: float = ATTACK, release: float = RELEASE) -> Numbers:
    """Values (N,), one for each hop, followed quickly upwards and slowly downwards."""
    found, level = np.empty_like(values), values[0]
    for place, value in enumerate(values):
        seconds = attack if value > level else release
        level += (1 - np.exp(-HOP / RATE / seconds)) * (value - level)
        found[place] = level
    return found


def by_rule(sound: Sound, seconds: Numbers) -> Numbers:
    """(T, 4) numbers of an expression by acoustics alone: opening from loudness, width from the spectral centre."""
    loud = followed(np.log10(np.maximum(sound.speech, SILENCE)))
    quiet, shout = np.log10(SILENCE), max(float(np.percentile(loud, 95)), np.log10(SILENCE) + 1)
    numbers = np.zeros((len(seconds), len(EXPRESSION_NAMES)))
    numbers[:, 0] = sound.at((loud - quiet) / (shout - quiet), seconds) * 3 - 1

    spoken = sound.speech > SILENCE
    if spoken.any():
        middle = float(np.median(sound.centre[spoken]))
        higher = np.where(spoken, np.log2(np.maximum(sound.centre, 1) / middle), 0)
        numbers[:, 1] = np.clip(sound.at(followed(higher, ATTACK, ATTACK), seconds), -1, 1)
    return steady(numbers, sound, seconds)


@dataclass(frozen=True)
class VoiceModel:
    """One person's voice to their mouth: a ridge regression."""

    mean: Numbers
    """(F,) of the inputs"""
    spread: Numbers
    """(F,)"""
    weights: Numbers
    """(F, 4)"""
    rest: Numbers
    """(4,) the mean expression."""

    @classmethod
    def learned(cls, sound: Sound, seconds: Numbers, numbers: NDArray[np.floating]) -> VoiceModel:
        """Learn from true numbers (T, 4) at times (T,)."""
        inputs = _inputs(sound, seconds)
        mean, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
        scaled, rest = (inputs - mean) / spread, numbers.mean(axis=0)
        weights = np.linalg.solve(scaled.T @ scaled + RIDGE * np.eye(scaled.shape[1]), scaled.T @ (numbers - rest))
        return cls(mean, spread, weights, rest)

    def __call__(self, sound: Sound, seconds: Numbers) -> Numbers:
        """(T, 4) the numbers at times (T,)."""
        numbers = (_inputs(sound, seconds) - self.mean) / self.spread @ self.weights + self.rest
        return steady(numbers, sound, seconds)


def _inputs(sound: Sound, seconds: Numbers) -> Numbers:
    """(T, F) the bands around each time."""
    offsets = np.arange(-BEHIND, AHEAD + STEP / 2, STEP)
    return np.concatenate([sound.at(sound.bands, seconds + offset) for offset in offsets], axis=1)


def steady(numbers: Numbers, sound: Sound, seconds: Numbers) -> Numbers:
    """The numbers (T, 4) at rising times (T,), closed where nobody speaks, and no faster than a mouth is.

    A number changes by no more than `FASTEST` allows; in silence the opening goes to that of closed lips.
    """
    silent = sound.at(followed(sound.speech), seconds) < SILENCE
    wanted = numbers.copy()
    wanted[silent, 0] = np.minimum(wanted[silent, 0], -1)

    found = wanted.copy()
    for place in range(1, len(found)):
        most = FASTEST * (seconds[place] - seconds[place - 1])
        found[place] = found[place - 1] + np.clip(wanted[place] - found[place - 1], -most, most)
    return found


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
        guess: {name: _alike(found[:, place], numbers[first:, place]) for place, name in enumerate(EXPRESSION_NAMES)}
        for guess, found in guesses.items()
    }


def _alike(one: NDArray[np.floating], other: NDArray[np.floating]) -> float | None:
    if min(np.std(one), np.std(other)) < 1e-6:
        return None
    return round(float(np.corrcoef(one, other)[0, 1]), 3)


def main() -> None:
    """Read the flags and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="videos of bare faces that speak")
    flags = parser.parse_args()

    lines = [f"{'':<20}{'guess':<10}" + "".join(f"{name:>10}" for name in EXPRESSION_NAMES)]
    with errors_in_one_line(parser):
        for clip in flags.clips:
            for guess, found in scores(heard(*read_sound(clip)), *seen(clip)).items():
                cells = "".join(f"{'-' if value is None else value:>10}" for value in found.values())
                lines.append(f"{clip.stem:<20}{guess:<10}{cells}")
        print("\n".join(lines))  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
