"""Made voices: vowels of a gliding pitch that swell and fade as the mouth opens."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from pipeline.draw.mouth import (
    AT_REST,
    CORNERS,
    FASTEST,
    OPENING,
    UNTOLD,
    WIDTH,
    Mouth,
    Spoken,
    VoiceModel,
    by_rule,
    steady,
)
from pipeline.draw.sound import RATE, Sound, heard
from pipeline.frames import Frame
from tests.pipeline.draw.made_sounds import VOWELS, clock, tones

SECONDS = 12.0
FRAMES = np.arange(0, SECONDS - 1, 0.04)


def loudness(seconds: np.ndarray) -> np.ndarray:
    """Syllables, four or so a second, between 0 and 1, never twice the same."""
    return np.clip(0.5 + 0.4 * np.sin(seconds * 21) + 0.3 * np.sin(seconds * 8.3 + 1), 0, 1)


def voice(late: float = 0.0) -> np.ndarray:
    """Samples of a vowel whose pitch goes up and down, `late` seconds behind `loudness`."""
    seconds = clock(SECONDS)
    vowel = tones(130 * (1 + 0.2 * np.sin(seconds * 9)), VOWELS[0])
    return (0.6 * vowel * loudness(seconds - late) ** 2).astype(np.float32)


def frame_at(seconds: float) -> Frame:
    """A frame of a file; its picture is never looked at."""
    return Frame(0, Fraction(round(seconds * 1000), 1000), 0.0, av.VideoFrame(16, 16, "yuv420p"))


def mouths(openings: np.ndarray) -> np.ndarray:
    numbers = np.zeros((len(openings), 4), np.float32)
    numbers[:, 0] = 3 * openings - 1
    return numbers


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


def test_a_mouth_of_which_nothing_is_known_is_all_zeros() -> None:
    assert not UNTOLD.told
    assert UNTOLD.numbers(frame_at(1), 1) == pytest.approx(np.zeros(5))


def test_a_mouth_at_rest_smiles_and_opens_as_it_is_told() -> None:
    numbers = Mouth(AT_REST, smile=1.5, opening=2.0).numbers(frame_at(0), 3)
    assert numbers[4] == 1
    assert numbers[CORNERS] == pytest.approx(1.5)
    assert 0 < numbers[WIDTH] < 1.5
    assert numbers[OPENING] == pytest.approx(AT_REST[OPENING] + 2)


def test_the_voice_moves_the_mouth_of_somebody_alone_and_nobody_elses() -> None:
    spoken = Spoken.measured(np.array([2.0, 3.0]), np.array([[0.0, 1, 0, 0], [2.0, 1, 0, 0]]))
    speaking = Mouth(spoken=spoken)
    assert speaking.numbers(frame_at(2.5), 1) == pytest.approx([1, 1, 0, 0, 1], abs=0.02)
    assert not speaking.numbers(frame_at(2.5), 2).any()
    assert speaking.numbers(frame_at(9), 1)[:4] == pytest.approx(AT_REST)  # behind the end of the sound


def test_what_is_spoken_lies_at_the_time_of_the_sound() -> None:
    spoken = Spoken.told_by(by_rule, heard([voice()], start=5.0))
    found = [spoken.at(frame_at(5 + seconds))[OPENING] for seconds in FRAMES]
    assert np.corrcoef(found, loudness(FRAMES))[0, 1] > 0.7
