"""Sounds whose kind is known: a voice that glides through syllables, and what may be taken for one."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.draw.sound import RATE

if TYPE_CHECKING:
    from pathlib import Path

Samples = NDArray[np.float32]

VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""The first three formants in Hz of five vowels of a man (Peterson and Barney 1952)."""


def clock(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * RATE)) / RATE


def tones(pitch: NDArray[np.float64], formants: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """Harmonics of a pitch in Hz, one for each sample, as loud as formants make them, or ever weaker."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    found = np.zeros(len(pitch))
    for number in range(1, int(4000 / pitch.min())):
        hertz = number * pitch
        loud = 1 / number
        if formants is not None:
            loud = sum(1 / (1 + ((hertz - formant) / 120) ** 2) for formant in formants) / number**0.5
        found += np.where(hertz < 4000, loud, 0) * np.sin(number * phase)
    return found / np.abs(found).max()


def syllables(seconds: float, a_second: float, *, hertz: float = 120.0, seed: int = 0) -> Samples:
    """Vowels whose pitch rises and falls, each behind a hiss, so many a second, and now and then a pause."""
    rng = np.random.default_rng(seed)
    found = np.zeros(round(seconds * RATE))
    begin = 0.05
    while begin + 1 / a_second < seconds:
        length = rng.uniform(0.55, 0.8) / a_second
        time = clock(length)
        turn = rng.choice([-1, 1]) * rng.uniform(0.1, 0.25)
        pitch = hertz * rng.uniform(0.85, 1.2) * (1 + turn * (time / length - 0.5))
        vowel = tones(pitch, VOWELS[rng.integers(len(VOWELS))]) * np.sin(np.pi * time / length) ** 0.7
        first = round(begin * RATE)
        found[first : first + len(time)] += 0.4 * rng.uniform(0.6, 1) * vowel
        hiss = rng.normal(0, 0.04, round(0.03 * RATE)) * np.hanning(round(0.03 * RATE))
        found[first : first + len(hiss)] += hiss
        begin += rng.uniform(0.85, 1.15) / a_second + (0.4 if rng.random() < 0.1 else 0)
    return found.astype(np.float32)


def chords(seconds: float) -> Samples:
    """Steady triads, a new one every second."""
    found = np.zeros(round(seconds * RATE))
    for number in range(int(seconds)):
        root = 220.0 * 2 ** ((0, 5, 7, 3)[number % 4] / 12)
        part = slice(number * RATE, (number + 1) * RATE)
        found[part] = sum(tones(np.full(RATE, root * step)) for step in (1, 1.25, 1.5)) / 10
    return found.astype(np.float32)


def arpeggio(seconds: float, a_second: float, *, fading: float = 1.2) -> Samples:
    """Plucked notes of a chord, one after the other; those that fade fast leave pauses between them."""
    found = np.zeros(round(seconds * RATE) + RATE)
    for number in range(int(seconds * a_second)):
        note = 130.81 * 2 ** ((0, 4, 7, 12, 7, 4)[number % 6] / 12)
        time = clock(min(0.9, 1.6 / a_second))
        first = round(number / a_second * RATE)
        found[first : first + len(time)] += 0.3 * tones(np.full(len(time), note)) * np.exp(-time * a_second * fading)
    return found[: round(seconds * RATE)].astype(np.float32)


def drums(seconds: float, a_minute: float = 120.0) -> Samples:
    """A kick on each beat, a snare on every other, and a hi-hat between."""
    rng = np.random.default_rng(1)
    found = np.zeros(round(seconds * RATE) + RATE)
    for number in range(int(seconds * a_minute / 30)):
        first = round(number * 30 / a_minute * RATE)
        time = clock(0.25)
        found[first : first + len(time)] += 0.1 * rng.normal(0, 1, len(time)) * np.exp(-time * 60)
        if number % 2 == 0:
            found[first : first + len(time)] += 0.8 * np.sin(2 * np.pi * (50 * time - 4 * np.exp(-time * 30) / 3))
        if number % 4 == 2:
            found[first : first + len(time)] += 0.4 * rng.normal(0, 1, len(time)) * np.exp(-time * 25)
    return found[: round(seconds * RATE)].clip(-1, 1).astype(np.float32)


def noise(seconds: float) -> Samples:
    return np.random.default_rng(2).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def held_note(seconds: float) -> Samples:
    """A long note with vibrato, as a singer or a violin holds it."""
    return 0.3 * tones(220 * (1 + 0.01 * np.sin(2 * np.pi * 5 * clock(seconds))), VOWELS[0]).astype(np.float32)


def write_sound(path: Path, samples: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
