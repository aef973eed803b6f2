"""Made voices: noise in the speech band that swells and fades as the mouth opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `training`")

from pipeline.errors import SourceError
from training.evaluation.speech import (
    FASTEST,
    RATE,
    SILENCE,
    Sound,
    VoiceModel,
    by_rule,
    followed,
    heard,
    read_sound,
    scores,
    steady,
)

if TYPE_CHECKING:
    from pathlib import Path

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
    sound = heard(tone.astype(np.float32))
    assert sound.speech[20:-20] == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert sound.centre[20:-20] == pytest.approx(1000, rel=0.02)
    hum = heard(np.sin(2 * np.pi * 60 * np.arange(RATE) / RATE).astype(np.float32))
    assert hum.speech[20:-20].max() < 0.01


def test_the_rule_opens_the_mouth_where_it_is_loud() -> None:
    found = by_rule(heard(voice()), FRAMES)[:, 0]
    assert np.corrcoef(found, loudness(FRAMES))[0, 1] > 0.7


@pytest.mark.parametrize("late", [0.0, 0.16, 0.3])
def test_what_was_learned_from_one_half_holds_in_the_other_and_takes_in_the_delay(late: float) -> None:
    sound, numbers = heard(voice(late)), mouths(loudness(FRAMES))
    found = scores(sound, FRAMES, numbers)
    assert found["learned"]["opening"] > 0.85
    assert found["learned"]["width"] is None  # it never moved


def test_sound_that_begins_late_is_placed_in_time() -> None:
    sound = heard(voice(), start=1.0)
    found = by_rule(sound, FRAMES[FRAMES > 2])[:, 0]
    assert np.corrcoef(found, loudness(FRAMES[FRAMES > 2] - 1))[0, 1] > 0.7


def test_no_mouth_opens_in_silence() -> None:
    samples = voice()
    samples[5 * RATE :] = 0
    sound, late = heard(samples), FRAMES > 6
    model = VoiceModel.learned(sound, FRAMES[FRAMES < 5], mouths(loudness(FRAMES[FRAMES < 5])) + 1)
    for numbers in (by_rule(sound, FRAMES), model(sound, FRAMES)):
        assert (numbers[late, 0] <= -1).all()
    silent = heard(np.zeros(4 * RATE, np.float32))
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


def test_sound_of_a_file_is_mono_at_one_rate(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)).astype(np.int16)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
        frame.rate = 44_100
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    samples, start = read_sound(path)
    assert start == 0
    assert len(samples) == pytest.approx(RATE, abs=50)
    assert np.sqrt((samples**2).mean()) == pytest.approx(8000 / 32768 / np.sqrt(2), rel=0.02)
    assert heard(samples).speech.max() > SILENCE


def test_a_file_without_sound_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mute.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "gray"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16), np.uint8), format="gray")))
        file.mux(stream.encode(None))
    with pytest.raises(SourceError, match="has no sound"):
        read_sound(path)
    with pytest.raises(SourceError, match="can't be read"):
        read_sound(tmp_path / "none.mp4")
