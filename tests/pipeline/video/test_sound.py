from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import SourceError
from pipeline.video.sound import read_sound

RATE = 16_000


def test_sound_of_a_file_is_mono_at_one_rate(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)).astype(np.int16)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
        frame.rate = 44_100
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    start, blocks = read_sound(path, RATE)
    samples = np.concatenate(list(blocks))
    assert start == 0
    assert len(samples) == pytest.approx(RATE, abs=50)
    assert np.sqrt((samples**2).mean()) == pytest.approx(8000 / 32768 / np.sqrt(2), rel=0.02)


def test_a_file_without_sound_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mute.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "gray"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16), np.uint8), format="gray")))
        file.mux(stream.encode(None))
    with pytest.raises(SourceError, match="has no sound"):
        read_sound(path, RATE)
    with pytest.raises(SourceError, match="can't be read"):
        read_sound(tmp_path / "none.mp4", RATE)


def test_a_hole_in_the_sound_leaves_what_follows_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "hole.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for second in (0, 3):
            tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
            frame.rate, frame.pts = RATE, second * RATE
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    start, blocks = read_sound(path, RATE)
    samples = np.concatenate(list(blocks))
    assert start == 0
    loud = np.abs(samples.reshape(-1, RATE // 10)).max(axis=1) > 0.1
    assert loud.tolist() == [True] * 10 + [False] * 20 + [True] * 10
