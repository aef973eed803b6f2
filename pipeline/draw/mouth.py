"""What the mouth beneath a mask does, as the numbers that a generator may be given: set by somebody, or by the voice.

Whatever it does is invented. A voice says something of how far a mouth opens, and nothing of what a person feels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

NAMES = ("opening", "width", "corners", "pout")
"""The numbers of an expression: the gap between the lips; from corner to corner; how far the corners stand above the
upper lip's lower edge; how much of the lips is seen, from their upper to their lower rim without the gap. Each is in
standard deviations of photos from a typical photo."""

OPENING, WIDTH, CORNERS = (NAMES.index(name) for name in ("opening", "width", "corners"))
"""The places of three of them."""

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


BLOCK = 3000
"""Windows that are looked at together, so that an hour of sound takes little memory."""


def heard(blocks: Iterable[NDArray[np.float32]], start: float = 0.0) -> Sound:
    """The features of samples at `RATE` in blocks (N,), the first sample at `start` seconds."""
    hertz = np.asarray(np.fft.rfftfreq(SPECTRUM, 1 / RATE), np.float64)
    inside, filters = (hertz >= SPEECH_HZ[0]) & (hertz <= SPEECH_HZ[1]), _mel_filters(hertz).T
    speech, centre, logs = [], [], []
    for power in _powers(blocks):  # (windows, SPECTRUM / 2 + 1)
        speech.append(np.sqrt(power[:, inside].sum(axis=1)))
        centre.append(power @ hertz / (power.sum(axis=1) + 1e-12))
        logs.append(np.log10(power @ filters + 1e-9))  # (windows, BANDS)

    # Bands flutter from window to window, and no mouth does.
    smooth = np.apply_along_axis(np.convolve, 0, np.concatenate(logs), np.hanning(9)[1:-1] / 4, mode="same")
    bands = np.concatenate([smooth, np.gradient(smooth, axis=0) * 5], axis=1)
    return Sound(start, np.concatenate(speech), np.concatenate(centre), bands)


def _powers(blocks: Iterable[NDArray[np.float32]]) -> Iterator[Numbers]:
    """The spectra of windows around every `HOP`-th sample, some thousand at a time; the samples' own power is kept."""
    shape = np.hanning(WINDOW)
    scale = SPECTRUM * np.mean(shape**2) * WINDOW / 2
    held = np.zeros(WINDOW // 2)  # the first window is around the first sample

    def of_held(count: int) -> Numbers:
        windows = np.lib.stride_tricks.sliding_window_view(held, WINDOW)[: count * HOP : HOP] * shape
        return np.asarray(np.abs(np.fft.rfft(windows, SPECTRUM)) ** 2 / scale)

    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= BLOCK * HOP + WINDOW:
            yield of_held(BLOCK)
            held = held[BLOCK * HOP :]
    held = np.concatenate([held, np.zeros(WINDOW)])
    yield of_held((len(held) - WINDOW) // HOP + 1)


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
    numbers = np.zeros((len(seconds), len(NAMES)))
    numbers[:, 0] = sound.at((loud - quiet) / (shout - quiet), seconds) * 3 - 1

    spoken = sound.speech > SILENCE
    if spoken.any():
        # Voices differ in pitch: what counts is how much brighter than this one's usual sound it is.
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
    # Followed, so that the short gaps within words do not close the mouth.
    silent = sound.at(followed(sound.speech), seconds) < SILENCE
    wanted = numbers.copy()
    wanted[silent, 0] = np.minimum(wanted[silent, 0], -1)

    found = wanted.copy()
    for place in range(1, len(found)):
        most = FASTEST * (seconds[place] - seconds[place - 1])
        found[place] = found[place - 1] + np.clip(wanted[place] - found[place - 1], -most, most)
    return found


AT_REST = (-0.7, 0.0, 0.0, 0.0)
"""The numbers of a mouth with closed lips that does nothing."""

WIDER = 0.7
"""A smile widens the mouth by so much, in parts of how far it lifts the corners."""

REDRAWN_FROM = 0.35
"""A face is drawn anew once one of its numbers differs by so much from those of the last drawing."""


@dataclass(frozen=True)
class Spoken:
    """What a mouth does all through a recording, by its sound."""

    start: float
    """Seconds of the first number, in the file's clock."""
    numbers: NDArray[np.float32]
    """(N, 4), one for each `HOP`."""

    @classmethod
    def by_rule(cls, sound: Sound) -> Spoken:
        """What a sound says of the mouth, by a rule that learned nothing."""
        seconds = sound.start + np.arange(len(sound.speech)) * HOP / RATE
        return cls(sound.start, by_rule(sound, seconds).astype(np.float32))

    @classmethod
    def measured(cls, seconds: Numbers, numbers: NDArray[np.floating]) -> Spoken:
        """What a bare mouth was seen to do: numbers (T, 4) at rising times (T,)."""
        times = np.arange(seconds[0], seconds[-1] + HOP / RATE, HOP / RATE)
        columns = [np.interp(times, seconds, column) for column in np.asarray(numbers, np.float64).T]
        return cls(float(seconds[0]), np.stack(columns, axis=1).astype(np.float32))

    def at(self, seconds: float) -> NDArray[np.float32]:
        """(4,) at a time; before and after the sound the mouth is at rest."""
        place = round((seconds - self.start) * RATE / HOP)
        return self.numbers[place] if 0 <= place < len(self.numbers) else np.array(AT_REST, np.float32)


@dataclass(frozen=True)
class Mouth:
    """What a generator is told of the mouths in a frame."""

    rest: tuple[float, ...] | None = None
    """The numbers of a mouth that is at rest; None: nothing is known, and the network decides."""
    spoken: Spoken | None = None
    """What the voice says; it moves the mouth of somebody who is alone in the frame, else it may be another's."""
    smile: float = 0.0
    """Added to how far the corners stand up; the mouth widens with it."""
    opening: float = 0.0
    """Added to how far the lips are apart."""

    @property
    def told(self) -> bool:
        """Whether the generator is told anything at all."""
        return self.rest is not None or self.spoken is not None or bool(self.smile or self.opening)

    def numbers(self, seconds: float, faces: int) -> NDArray[np.float32]:
        """(5,) for each of the `faces` in a frame at a time: the numbers, and 1; zeros where nothing is known."""
        spoken = self.spoken if faces == 1 else None
        if spoken is None and self.rest is None and not (self.smile or self.opening):
            return np.zeros(len(NAMES) + 1, np.float32)

        base = spoken.at(seconds) if spoken is not None else np.array(self.rest or AT_REST, np.float32)
        found = np.append(base, np.float32(1))
        found[OPENING] += self.opening
        found[CORNERS] += self.smile
        found[WIDTH] += WIDER * self.smile
        return found


UNTOLD = Mouth()
"""Nothing is known: the network decides."""
