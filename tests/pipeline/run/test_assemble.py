"""What the settings have a generator told of mouths, and who is refused."""

from __future__ import annotations

import os
import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.draw.mouth import AT_REST, CORNERS, OPENING
from pipeline.errors import ConfigError, SourceError
from pipeline.run.assemble import live, told_mouth, video
from pipeline.run.batch import Job
from pipeline.settings import values
from tests.pipeline.clips import Clip
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from pathlib import Path


def write_voice(path: Path, *, loud_second: int) -> None:
    """Three seconds of noise, of which one is loud."""
    rate = 16_000
    noise = np.random.default_rng(0).normal(0, 0.002, 3 * rate)
    noise[loud_second * rate : (loud_second + 1) * rate] *= 100
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((noise.clip(-1, 1) * 32767).astype("<i2").tobytes())


def openings(path: Path) -> list[float]:
    mouth = told_mouth(values.build({"expression": "speech"}), path)
    return [float(mouth.numbers(second + 0.5, faces=1)[OPENING]) for second in range(3)]


def test_speech_opens_the_mouth_where_the_file_is_loud(tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    write_voice(path, loud_second=1)
    quiet, loud, also_quiet = openings(path)
    assert loud > max(quiet, also_quiet) + 1


def test_a_file_that_was_written_anew_is_heard_anew(tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    write_voice(path, loud_second=0)
    assert int(np.argmax(openings(path))) == 0
    write_voice(path, loud_second=2)
    os.utime(path, ns=(1, 1))
    assert int(np.argmax(openings(path))) == 2


def test_neutral_is_at_rest_and_smiles_on_top() -> None:
    mouth = told_mouth(values.build({"expression": "neutral", "smile": 1.0}), None)
    numbers = mouth.numbers(0.0, faces=2)
    assert numbers[OPENING] == pytest.approx(AT_REST[OPENING])
    assert numbers[CORNERS] == pytest.approx(1)
    assert not told_mouth(values.build({}), None).told


def test_speech_without_sound_is_refused_with_a_cure(tmp_path: Path) -> None:
    path = Clip(frames=3, width=64, height=64).write(tmp_path / "mute.mp4")
    with pytest.raises(SourceError, match="has no sound; leave --expression speech out"):
        told_mouth(values.build({"expression": "speech"}), path)
    with pytest.raises(ConfigError, match="hears nothing"):
        live([], values.build({"expression": "speech"}), stand_in_networks())


def test_a_generator_that_takes_no_expression_is_told_of_none(tmp_path: Path) -> None:
    path = Clip(frames=3, width=64, height=64).write(tmp_path / "in.mp4")
    with pytest.raises(ConfigError, match="takes an expression"):
        video(Job(path, tmp_path / "out.mp4"), values.build({"smile": 1.0}), stand_in_networks())
