"""Made voices: noise in the speech band that swells and fades as the mouth opens."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.draw import mouth
from pipeline.draw.mouth import (
    AT_REST,
    CORNERS,
    FASTEST,
    HOP,
    OPENING,
    RATE,
    UNTOLD,
    WIDTH,
    WINDOW,
    Mouth,
    Sound,
    Spoken,
    VoiceModel,
    by_rule,
    followed,
    heard,
    steady,
)

SECONDS = 12.0
FRAMES = np.arange(0, SECONDS - 1, 0.04)


def loudness(seconds: np.ndarray) -> np.ndarray:
    """Syllables, four or so a second, between 0 and 1, never twice the same."""
    return np.clip(0.5 + 0.4 * np.sin(seconds * 21) + 0.3 * np.sin(seconds * 8.3 + 1), 0, 1)


def voice(late: float = 0.0) -> np.ndarray:
    """Samples of noise between 500 and 2500 Hz, `late` seconds behind `loudness`."""
    seconds = np.arange(int(SECONDS * RATE)) / RATE
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(0, 1, len(seconds)))
    hertz = np.fft.rfftfreq(len(seconds), 1 / RATE)
    spectrum[(hertz < 500) | (hertz > 2500)] = 0
    return (0.3 * np.fft.irfft(spectrum) * loudness(seconds - late) ** 2).astype(np.float32)


def mouths(openings: np.ndarray) -> np.ndarray:
    numbers = np.zeros((len(openings), 4), np.float32)
    numbers[:, 0] = 3 * openings - 1
    return numbers


def test_a_tone_is_as_loud_as_it_is_and_its_centre_is_its_pitch() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    sound = heard([tone.astype(np.float32)])
    assert sound.speech[20:-20] == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert sound.centre[20:-20] == pytest.approx(1000, rel=0.02)
    hum = heard([np.sin(2 * np.pi * 60 * np.arange(RATE) / RATE).astype(np.float32)])
    assert hum.speech[20:-20].max() < 0.01


def test_the_rule_opens_the_mouth_where_it_is_loud() -> None:
    found = by_rule(heard([voice()]), FRAMES)[:, 0]
    assert np.corrcoef(found, loudness(FRAMES))[0, 1] > 0.7


@pytest.mark.parametrize("late", [0.0, 0.16, 0.3])
def test_what_was_learned_from_one_half_holds_in_the_other_and_takes_in_the_delay(late: float) -> None:
    sound, numbers = heard([voice(late)]), mouths(loudness(FRAMES))
    first = FRAMES < 6
    found = VoiceModel.learned(sound, FRAMES[first], numbers[first])(sound, FRAMES[~first])
    assert np.corrcoef(found[:, 0], numbers[~first, 0])[0, 1] > 0.85
    assert found[:, 1] == pytest.approx(0, abs=1e-6)  # it never moved


def test_sound_that_begins_late_is_placed_in_time() -> None:
    sound = heard([voice()], start=1.0)
    found = by_rule(sound, FRAMES[FRAMES > 2])[:, 0]
    assert np.corrcoef(found, loudness(FRAMES[FRAMES > 2] - 1))[0, 1] > 0.7


def test_no_mouth_opens_in_silence() -> None:
    samples = voice()
    samples[5 * RATE :] = 0
    sound, late = heard([samples]), FRAMES > 6
    model = VoiceModel.learned(sound, FRAMES[FRAMES < 5], mouths(loudness(FRAMES[FRAMES < 5])) + 1)
    for numbers in (by_rule(sound, FRAMES), model(sound, FRAMES)):
        assert (numbers[late, 0] <= -1).all()
    silent = heard([np.zeros(4 * RATE, np.float32)])
    assert (by_rule(silent, FRAMES[FRAMES < 3])[:, 0] <= -1).all()


def test_numbers_change_no_faster_than_a_mouth() -> None:
    seconds = np.arange(0, 2, 0.02)
    loud = Sound(0.0, np.full(220, 1.0), np.full(220, 1000.0), np.zeros((220, 10)))
    jumps = np.where(np.arange(100)[:, None] % 20 < 10, 3.0, -1.0) * np.ones((1, 4))
    found = steady(jumps, loud, seconds)
    assert np.abs(np.diff(found, axis=0)).max() == pytest.approx(FASTEST * 0.02)
    assert found.max() == pytest.approx(3)
    slow = np.linspace(-1, 1, 100)[:, None] * np.ones((1, 4))
    assert steady(slow, loud, seconds) == pytest.approx(slow)


def test_loudness_is_followed_faster_upwards() -> None:
    step = np.concatenate([np.zeros(50), np.ones(100), np.zeros(100)])
    found = followed(step)
    up, down = found[50:150], found[150:]
    assert np.argmax(up > 0.63) < 5
    assert 9 < np.argmax(down < 0.37) < 14


def test_sound_in_blocks_of_any_size_is_heard_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.tile(voice(), 5)[: RATE * 50 + 37]
    assert len(samples) > mouth.BLOCK * HOP
    parted = heard(np.split(samples, [1, 500, 70_001, 500_000]))
    monkeypatch.setattr(mouth, "BLOCK", len(samples))
    whole = heard([samples])
    for name in ("speech", "centre", "bands"):
        assert getattr(parted, name) == pytest.approx(getattr(whole, name), abs=1e-9)
    assert 0 <= len(whole.speech) - len(samples) / HOP < WINDOW / HOP


def test_a_mouth_of_which_nothing_is_known_is_all_zeros() -> None:
    assert not UNTOLD.told
    assert UNTOLD.numbers(1.0, 1) == pytest.approx(np.zeros(5))


def test_a_mouth_at_rest_smiles_and_opens_as_it_is_told() -> None:
    numbers = Mouth(AT_REST, smile=1.5, opening=2.0).numbers(0.0, 3)
    assert numbers[4] == 1
    assert numbers[CORNERS] == pytest.approx(1.5)
    assert 0 < numbers[WIDTH] < 1.5
    assert numbers[OPENING] == pytest.approx(AT_REST[OPENING] + 2)


def test_the_voice_moves_the_mouth_of_somebody_alone_and_nobody_elses() -> None:
    spoken = Spoken.measured(np.array([2.0, 3.0]), np.array([[0.0, 1, 0, 0], [2.0, 1, 0, 0]]))
    speaking = Mouth(spoken=spoken)
    assert speaking.numbers(2.5, 1) == pytest.approx([1, 1, 0, 0, 1], abs=0.02)
    assert not speaking.numbers(2.5, 2).any()
    assert speaking.numbers(9.0, 1)[:4] == pytest.approx(AT_REST)  # behind the end of the sound


def test_what_is_spoken_lies_at_the_time_of_the_sound() -> None:
    spoken = Spoken.by_rule(heard([voice()], start=5.0))
    found = [spoken.at(5 + seconds)[OPENING] for seconds in FRAMES]
    assert np.corrcoef(found, loudness(FRAMES))[0, 1] > 0.7
