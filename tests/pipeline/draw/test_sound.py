"""Tones whose loudness and pitch are known, and made sounds that are speech or are not."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.draw import sound
from pipeline.draw.mouth import OPENING, by_rule
from pipeline.draw.sound import HOP, RATE, WINDOW, Measure, followed, heard, is_speech, speech_in
from tests.pipeline.draw import made_sounds

SECONDS = 8


def openings(samples: np.ndarray) -> np.ndarray:
    found = heard([samples])
    return by_rule(found, found.places)[:, OPENING]


def test_a_tone_is_as_loud_as_it_is_and_its_centre_is_its_pitch() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    measured = Measure()(tone.astype(np.float32))
    assert measured[20:-20, sound.LOUD] == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert measured[20:-20, sound.CENTRE] == pytest.approx(1000, rel=0.02)
    hum = Measure()(np.sin(2 * np.pi * 60 * np.arange(RATE) / RATE).astype(np.float32))
    assert hum[20:-20, sound.LOUD].max() < 0.01


@pytest.mark.parametrize("hertz", [85.0, 140.0, 233.3, 390.0])
def test_the_pitch_of_a_voice_is_found(hertz: float) -> None:
    tone = 0.5 * made_sounds.tones(np.full(RATE, hertz), made_sounds.VOWELS[0])
    assert Measure()(tone.astype(np.float32))[20:-20, sound.PITCH] == pytest.approx(hertz, rel=0.01)
    assert np.mean(Measure()(made_sounds.noise(2))[:, sound.PITCH] > 0) < 0.05


@pytest.mark.parametrize("hertz", [110.0, 220.0])
@pytest.mark.parametrize("a_second", [3.0, 4.5, 6.0])
def test_syllables_are_speech_and_open_the_mouth(a_second: float, hertz: float) -> None:
    samples = made_sounds.syllables(SECONDS, a_second, hertz=hertz)
    assert speech_in(Measure()(samples)).all()
    assert np.mean(openings(samples) > 0) > 0.2


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(made_sounds.chords(SECONDS), id="chords"),
        pytest.param(made_sounds.arpeggio(SECONDS, 4), id="arpeggio"),
        pytest.param(made_sounds.arpeggio(SECONDS, 8), id="fast arpeggio"),
        pytest.param(made_sounds.arpeggio(SECONDS, 4, fading=5), id="notes with pauses"),
        pytest.param(made_sounds.drums(SECONDS), id="drums"),
        pytest.param(made_sounds.drums(SECONDS, 95), id="slow drums"),
        pytest.param(made_sounds.arpeggio(SECONDS, 4) + made_sounds.drums(SECONDS), id="a band"),
        pytest.param(made_sounds.chords(SECONDS) + made_sounds.drums(SECONDS), id="chords and drums"),
        pytest.param(made_sounds.noise(SECONDS), id="noise"),
        pytest.param(made_sounds.held_note(SECONDS), id="a held note"),
        pytest.param(np.zeros(SECONDS * RATE, np.float32), id="silence"),
    ],
)
def test_what_is_no_speech_opens_no_mouth(samples: np.ndarray) -> None:
    assert openings(samples).max() <= -1


def test_music_between_speech_closes_the_mouth_and_speech_goes_on() -> None:
    talk = made_sounds.syllables(6, 4.5)
    speaks = speech_in(Measure()(np.concatenate([talk, made_sounds.chords(6), talk])))
    assert speaks[:500].mean() > 0.9
    assert speaks[720:1080].mean() < 0.1
    assert speaks[1300:1750].mean() > 0.9


def test_too_little_to_tell_is_not_judged() -> None:
    silent = Measure()(np.zeros(2 * RATE, np.float32))
    assert is_speech(silent) is None
    word = np.concatenate([np.zeros(2 * RATE, np.float32), made_sounds.syllables(0.5, 3)[:3000]])
    assert (heard([word]).speech > 0.01).any()


def test_loudness_is_followed_faster_upwards() -> None:
    step = np.concatenate([np.zeros(50), np.ones(100), np.zeros(100)])
    found = followed(step)
    up, down = found[50:150], found[150:]
    assert np.argmax(up > 0.63) < 5
    assert 9 < np.argmax(down < 0.37) < 14


def test_sound_in_blocks_of_any_size_is_heard_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.tile(made_sounds.syllables(5, 4), 3)[: RATE * 15 + 37]
    assert len(samples) > sound.BLOCK * HOP
    parted = heard(np.split(samples, [1, 500, 70_001, 200_000]))
    monkeypatch.setattr(sound, "BLOCK", len(samples))
    whole = heard([samples])
    for name in ("speech", "centre", "bands"):
        assert getattr(parted, name) == pytest.approx(getattr(whole, name), abs=1e-9)
    assert 0 <= len(whole.speech) - len(samples) / HOP < WINDOW / HOP
