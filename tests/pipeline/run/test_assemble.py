"""What the settings have a generator told of mouths, and who is refused."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.draw.mouth import AT_REST, CORNERS, OPENING
from pipeline.draw.sound import RATE
from pipeline.errors import ConfigError, SourceError
from pipeline.run.assemble import live, video
from pipeline.run.batch import Job
from pipeline.settings import values
from tests.pipeline.clips import Clip
from tests.pipeline.draw.made_sounds import syllables, write_sound
from tests.pipeline.faces import frame_of
from tests.stand_ins import stand_in_networks

if TYPE_CHECKING:
    from pathlib import Path


def write_voice(path: Path, *, loud_second: int) -> None:
    """Three seconds of speech, of which one is loud."""
    voice = 0.02 * syllables(3, 4.5)
    voice[loud_second * RATE : (loud_second + 1) * RATE] *= 50
    write_sound(path, voice)


def openings(path: Path) -> list[float]:
    mouth = stand_in_networks().told_mouth(values.build({"expression": "speech"}), path)
    image = np.zeros((16, 16, 3), np.uint8)
    found = [mouth.numbers(frame_of(image, index), faces=1)[OPENING] for index in range(90)]
    return [float(np.mean(found[30 * second : 30 * second + 30])) for second in range(3)]


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
    mouth = stand_in_networks().told_mouth(values.build({"expression": "neutral", "smile": 1.0}), None)
    numbers = mouth.numbers(frame_of(np.zeros((16, 16, 3), np.uint8)), faces=2)
    assert numbers[OPENING] == pytest.approx(AT_REST[OPENING])
    assert numbers[CORNERS] == pytest.approx(1)
    assert not stand_in_networks().told_mouth(values.build({}), None).told


def test_speech_without_sound_is_refused_with_a_cure(tmp_path: Path) -> None:
    path = Clip(frames=3, width=64, height=64).write(tmp_path / "mute.mp4")
    with pytest.raises(SourceError, match="has no sound; leave --expression speech out"):
        stand_in_networks().told_mouth(values.build({"expression": "speech"}), path)
    with pytest.raises(ConfigError, match="hears nothing"):
        live([], values.build({"expression": "speech"}), stand_in_networks())


def test_a_generator_that_takes_no_expression_is_told_of_none(tmp_path: Path) -> None:
    path = Clip(frames=3, width=64, height=64).write(tmp_path / "in.mp4")
    with pytest.raises(ConfigError, match="takes an expression"):
        video(Job(path, tmp_path / "out.mp4"), values.build({"smile": 1.0}), stand_in_networks())
