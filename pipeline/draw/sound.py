"""What a sound is like, 100 times a second, and where it is speech: for a file as a whole, and for sound as it comes.

Speech is told from music, drums and noise by known acoustics, of which nothing was learned: it is quiet between
syllables, part of it has a pitch, and that pitch glides where an instrument's stands still. After Saunders 1996 and
Scheirer and Slaney 1997, who tell broadcast speech from music by pauses and changes of the spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

RATE, HOP, WINDOW, SPECTRUM = 16_000, 160, 400, 512
"""Samples a second, between two windows (10 ms), in a window (25 ms), and in its spectrum."""

LONG, LONG_SPECTRUM = 800, 1024
"""Samples in a window in which a pitch is looked for (50 ms), with the same end, and in its spectrum."""

SPEECH_HZ = (300.0, 3400.0)
"""The band of a telephone, in which most of speech lies and little else."""
BANDS_HZ, BANDS = (100.0, 7000.0), 5
"""The range of the bands that are learned from, evenly spaced in mel, and their number."""
PITCH_HZ, TONE_HZ = (75.0, 400.0), (150.0, 1500.0)
"""The pitches of voices, and the band in which they are looked for: a voice has overtones, and a big drum has none."""

SILENCE = 1e-4
"""Root mean square of the speech band, of a full scale of 1, below which nobody speaks."""

ATTACK, RELEASE = 0.03, 0.12
"""Seconds in which loudness is followed upwards and downwards to 63 %: a mouth opens faster than it closes."""

BLOCK = 1000
"""Windows that are looked at together, so that an hour of sound takes little memory."""

LOUD, CENTRE, PITCH, FIRST_BAND = range(4)
"""The columns of what was measured in a window: root mean square of the speech band, spectral centre in Hz, pitch in
Hz or 0 where there is none, and the logarithm of the energy in each band."""


@dataclass(frozen=True)
class Sound:
    """What a sound is like, 100 times a second."""

    start: float
    """Seconds of the first window's middle."""
    speech: Numbers
    """(N,) root mean square in the speech band, 0 where it is no speech."""
    centre: Numbers
    """(N,) spectral centre in Hz."""
    bands: Numbers
    """(N, 2 * BANDS) logarithm of the energy in each band, and its slope."""

    @classmethod
    def of(cls, measured: Numbers, start: float, speaks: NDArray[np.bool_]) -> Sound:
        """The sound of windows (N, `FIRST_BAND` + BANDS), which are speech where `speaks` (N,) says so."""
        # Bands flutter from window to window, and no mouth does.
        rim, taper = 3, np.hanning(9)[1:-1] / 4
        padded = np.pad(measured[:, FIRST_BAND:], ((rim, rim), (0, 0)), mode="edge")
        smooth = np.apply_along_axis(np.convolve, 0, padded, taper, mode="valid")
        slopes = np.gradient(smooth, axis=0) * 5 if len(smooth) > 1 else np.zeros_like(smooth)
        bands = np.concatenate([smooth, slopes], axis=1)
        return cls(start, np.where(speaks, measured[:, LOUD], 0.0), measured[:, CENTRE], bands)

    @property
    def places(self) -> Numbers:
        """(N,) seconds of the windows' middles."""
        return self.start + np.arange(len(self.speech)) * HOP / RATE

    def at(self, values: Numbers, seconds: Numbers) -> Numbers:
        """(T, ...) one of these at any times, between windows by a line."""
        columns = values.reshape(len(values), -1).T
        found = np.stack([np.interp(seconds, self.places, column) for column in columns], axis=-1)
        return found.reshape(len(seconds), *values.shape[1:])


def heard(blocks: Iterable[NDArray[np.float32]], start: float = 0.0) -> Sound:
    """What a whole recording is like: samples at `RATE` in blocks (N,), the first sample at `start` seconds."""
    measure = Measure()
    measured = np.concatenate([*map(measure, blocks), measure.rest()])
    return Sound.of(measured, start, speech_in(measured))


class Measure:
    """Measures the windows around every `HOP`-th sample, as the samples come."""

    def __init__(self) -> None:
        self._held = np.zeros(LONG - WINDOW // 2)  # the first window is around the first sample
        hertz = np.asarray(np.fft.rfftfreq(SPECTRUM, 1 / RATE), np.float64)
        self._hertz, self._filters = hertz, _mel_filters(hertz).T
        self._inside = (hertz >= SPEECH_HZ[0]) & (hertz <= SPEECH_HZ[1])

    def __call__(self, block: NDArray[np.float32]) -> Numbers:
        """(N, `FIRST_BAND` + BANDS) of the windows that are whole by now."""
        self._held = np.concatenate([self._held, block])
        count = max(0, (len(self._held) - LONG) // HOP + 1)
        found = [self._of(windows) for windows in self._windows(count)]
        self._held = self._held[count * HOP :]
        return np.concatenate(found) if found else np.zeros((0, FIRST_BAND + BANDS))

    def rest(self) -> Numbers:
        """The windows that reach beyond the last sample."""
        return self(np.zeros(WINDOW // 2, np.float32))

    def _windows(self, count: int) -> Iterator[Numbers]:
        """(N, LONG) the first `count` windows of what is held, some at a time."""
        for first in range(0, count, BLOCK):
            samples = self._held[first * HOP : (min(first + BLOCK, count) - 1) * HOP + LONG]
            yield np.lib.stride_tricks.sliding_window_view(samples, LONG)[::HOP]

    def _of(self, windows: Numbers) -> Numbers:
        shape = np.hanning(WINDOW)
        scale = SPECTRUM * np.mean(shape**2) * WINDOW / 2  # the samples' own power is kept
        power = np.abs(np.fft.rfft(windows[:, -WINDOW:] * shape, SPECTRUM)) ** 2 / scale  # (N, SPECTRUM / 2 + 1)

        loud = np.sqrt(power[:, self._inside].sum(axis=1))
        centre = power @ self._hertz / (power.sum(axis=1) + 1e-12)
        bands = np.log10(power @ self._filters + 1e-9)  # (N, BANDS)
        return np.column_stack([loud, centre, _pitches(windows), bands])


def _mel_filters(hertz: Numbers) -> Numbers:
    """(BANDS, F) triangles over frequencies (F,), evenly spaced in mel."""
    low, high = (np.log1p(edge / 700) for edge in BANDS_HZ)
    edges = 700 * np.expm1(np.linspace(low, high, BANDS + 2))[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))


PERIODIC = 0.6
"""How alike a window must be to itself one period later to have a pitch; noise reaches 0.5."""
HIGHER = 0.02
"""By how much a period must beat one that is half as long: a sound that repeats does so after two periods as well."""


def _pitches(windows: Numbers) -> Numbers:
    """(N,) the pitch in Hz of windows (N, LONG), 0 where there is none: the autocorrelation's peak, as Boersma 1993."""
    shape = np.hanning(LONG)
    hertz = np.fft.rfftfreq(LONG_SPECTRUM, 1 / RATE)
    spectra = np.fft.rfft(windows * shape, LONG_SPECTRUM)
    spectra[:, (hertz < TONE_HZ[0]) | (hertz > TONE_HZ[1])] = 0

    shortest, longest = (int(RATE / edge) for edge in reversed(PITCH_HZ))
    own = np.fft.irfft(np.abs(np.fft.rfft(shape, LONG_SPECTRUM)) ** 2)[: longest + 2]
    alike = np.fft.irfft(np.abs(spectra) ** 2, axis=1)[:, : longest + 2]
    alike = alike / (alike[:, :1] + 1e-12) * (own[0] / own)  # (N, longest + 2)

    lags = np.arange(shortest, longest + 1)
    best = lags[np.argmax(alike[:, lags] - HIGHER * np.log2(lags), axis=1)]
    rows = np.arange(len(windows))
    before, peak, after = (alike[rows, best + step] for step in (-1, 0, 1))
    bend = np.minimum(before - 2 * peak + after, -1e-9)
    periods = best + np.clip((before - after) / (2 * bend), -0.5, 0.5)
    return np.where(peak >= PERIODIC, RATE / periods, 0.0)


STRETCH, LOOK = 200, 10
"""Windows in a stretch (2 s) of which it is told whether it is speech, and between two looks (0.1 s)."""
FEWEST = 12
"""Windows that must be loud in a stretch for it to tell anything."""
VOICED = 0.25
"""Share of the loud windows that have a pitch in speech; drums and noise have few."""
GLIDE, STEP = (0.004, 0.12), 3
"""By which share a voice's pitch changes within `STEP` windows; a note's stands still, and a melody leaps."""
GLIDING = 0.25
"""Share of the pitches that glide in speech."""
PAUSES = 0.1
"""Share of windows in speech that are quieter than half of the mean: voices pause between syllables."""


def is_speech(measured: Numbers) -> bool | None:
    """Whether a stretch of windows (N, ...) is speech; None where too little is heard to tell."""
    loudness, pitch = measured[:, LOUD], measured[:, PITCH]
    loud = loudness > max(SILENCE, 0.1 * float(loudness.max()))
    if np.count_nonzero(loud) < FEWEST:
        return None

    voiced = loud & (pitch > 0)
    both = voiced[:-STEP] & voiced[STEP:]
    glides = np.abs(np.log(pitch[STEP:][both] / pitch[:-STEP][both]))
    gliding = np.count_nonzero((glides > GLIDE[0]) & (glides < GLIDE[1]))
    pauses = np.mean(loudness < 0.5 * loudness.mean())
    return bool(
        np.count_nonzero(voiced) >= VOICED * np.count_nonzero(loud)
        and gliding >= max(1.0, GLIDING * int(both.sum()))
        and pauses >= PAUSES
    )


def speech_in(measured: Numbers) -> NDArray[np.bool_]:
    """(N,) where a whole recording (N, ...) is speech, each stretch by what lies on both sides of it."""
    looks = [
        is_speech(measured[max(0, place - STRETCH // 2) : place + STRETCH // 2])
        for place in range(LOOK // 2, len(measured) + LOOK // 2, LOOK)
    ]
    said = next((look for look in looks if look is not None), True)
    found = [said := said if look is None else look for look in looks]
    return np.repeat(np.array(found, bool), LOOK)[: len(measured)]


def followed(values: Numbers, attack: float = ATTACK, release: float = RELEASE) -> Numbers:
    """Values (N,), one for each hop, followed quickly upwards and slowly downwards."""
    found, level = np.empty_like(values), values[0]
    for place, value in enumerate(values):
        seconds = attack if value > level else release
        level += (1 - np.exp(-HOP / RATE / seconds)) * (value - level)
        found[place] = level
    return found
