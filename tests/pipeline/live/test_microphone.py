"""Microphones that are not there: FFmpeg's own sources and made sounds in their place, heard as they come."""

from __future__ import annotations

import contextlib
import errno
import sys
import threading
import time
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, cycle, islice
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from pipeline.draw.mouth import AT_REST, OPENING, Spoken, by_rule
from pipeline.draw.sound import RATE, heard
from pipeline.errors import ConfigError, SourceError
from pipeline.frames import Frame
from pipeline.live import microphone as module
from pipeline.live.microphone import GAP_SECONDS, Microphone, MicrophoneDevice, explained, microphone, microphones
from tests.pipeline.draw import made_sounds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("no_thread_left")]

BLOCK = RATE // 100
"""Samples that a made microphone gives at a time: 10 ms."""
BEGIN = -100.0
"""When made sounds begin: long ago, so that no picture waits for what comes."""
PICTURE = av.VideoFrame(16, 16, "yuv420p")


def frame_at(seconds: float) -> Frame:
    """A frame that the camera gave then."""
    return Frame(0, Fraction(0), seconds, PICTURE)


def blocks_of(samples: np.ndarray) -> Iterator[np.ndarray]:
    return (samples[first : first + BLOCK] for first in range(0, len(samples), BLOCK))


def ignored(_sentence: str) -> None:
    pass


def listening(samples: np.ndarray) -> Microphone:
    """A microphone that has heard samples as they came."""
    found = Microphone(Made([]), ignored)
    for number, block in enumerate(blocks_of(samples), start=1):
        found.hear(block, BEGIN + number / 100)
    return found


def mouths_at(seconds: np.ndarray, samples: np.ndarray, *, later: float) -> np.ndarray:
    """(T, 4) what the mouth does in pictures at rising times (T,), each asked when so much `later` was heard."""
    ear, blocks, found = Microphone(Made([]), ignored), enumerate(blocks_of(samples), start=1), []
    number = 0
    for second in seconds:
        while number < round(100 * (second - BEGIN + later)):
            number, block = next(blocks)
            ear.hear(block, BEGIN + number / 100)
        found.append(ear.at(frame_at(second)))
    return np.array(found)


@dataclass
class Made:
    """Each time it is opened it gives the next sound of its script, at the pace of a real one or at once."""

    parts: Sequence[np.ndarray | str]
    """Sounds, or why it can't be opened."""
    paced: bool = False
    name: str = "the made microphone"
    opened_times: int = 0
    open_now: bool = False
    script: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[np.ndarray]]:
        part = self.parts[min(self.opened_times, len(self.parts) - 1)]
        self.opened_times += 1
        if isinstance(part, str):
            raise SourceError(part)
        self.open_now = True
        try:
            yield self._blocks(part)
        finally:
            self.open_now = False

    def _blocks(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        due = time.perf_counter()
        for block in blocks_of(samples):
            due += len(block) / RATE
            if self.paced:
                time.sleep(max(0.0, due - time.perf_counter()))
            yield block
        raise SourceError(f"{self.name} is not there: plug it in")


# --- devices ----------------------------------------------------------------------------------------------------------


def test_a_source_of_ffmpeg_is_heard_as_a_microphone_is() -> None:
    device = MicrophoneDevice("a tone", "sine=frequency=440:sample_rate=44100", "lavfi")
    with device.opened() as blocks:
        samples = np.concatenate(list(islice(blocks, 50)))
    assert samples.dtype == np.float32
    crossings = np.count_nonzero(np.diff(np.signbit(samples))) / 2
    assert crossings / (len(samples) / RATE) == pytest.approx(440, rel=0.02)


def test_what_gives_pictures_alone_is_no_microphone() -> None:
    with (
        pytest.raises(SourceError, match="a film gives no sound: `barefaced cameras` lists microphones"),
        MicrophoneDevice("a film", "color=size=16x16", "lavfi").opened(),
    ):
        pass


@pytest.fixture
def alsa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of samples that ALSA plays as its device `made`, at whatever rate it is asked for."""
    try:
        av.enumerate_input_devices("alsa")
    except ValueError:
        pytest.skip("this build of PyAV has no ALSA")
    except av.error.FFmpegError:
        pass
    samples, settings = tmp_path / "voice.raw", tmp_path / "asound.conf"
    settings.write_text(
        f'pcm.made {{ type file slave.pcm {{ type null }} file /dev/null infile "{samples}" format raw }}\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(settings))
    return samples


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has ALSA")
def test_a_device_of_alsa_is_opened_as_it_is_named(alsa: Path) -> None:
    seconds = np.arange(48_000) / 48_000
    alsa.write_bytes((20_000 * np.sin(2 * np.pi * 300 * seconds)).astype("<i2").tobytes())
    with microphone("made", platform="linux").opened() as blocks:
        samples = next(block for block in blocks if np.abs(block).max() > 0.1)
    assert np.abs(samples).max() == pytest.approx(20_000 / 32_768, rel=0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has ALSA")
def test_a_device_that_alsa_does_not_know_says_where_to_look_and_alsa_says_nothing(
    alsa: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    del alsa
    with (
        pytest.raises(SourceError, match="the microphone nobody is not there: plug it in; `barefaced cameras` lists"),
        microphone("nobody", platform="linux").opened(),
    ):
        pass
    assert capfd.readouterr().err == ""
    assert "null" not in dict(microphones("linux"))


def test_alsa_is_pointed_to_the_system_unless_somebody_did(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "plugins" / "alsa-lib").mkdir(parents=True)
    pattern = str(tmp_path / "*" / "alsa-lib")
    monkeypatch.setattr(module, "ALSA", {"ALSA_PLUGIN_DIR": ("/no/such/folder", pattern), "ALSA_CONFIG_DIR": ("/no",)})
    monkeypatch.setenv("ALSA_CONFIG_DIR", "")
    monkeypatch.setenv("ALSA_PLUGIN_DIR", "/mine")
    module._find_system_alsa()
    assert module.os.environ["ALSA_PLUGIN_DIR"] == "/mine"
    monkeypatch.setenv("ALSA_PLUGIN_DIR", "")
    module._find_system_alsa()
    assert module.os.environ["ALSA_PLUGIN_DIR"] == str(tmp_path / "plugins" / "alsa-lib")
    assert module.os.environ["ALSA_CONFIG_DIR"] == ""


def test_each_system_is_asked_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "microphones", lambda _platform: (("Headset", "Headset"),))
    linux, mac, windows = (microphone("default", platform=name) for name in ("linux", "darwin", "win32"))
    assert (linux.format, linux.url) == ("alsa", "default")
    assert (mac.format, mac.url) == ("avfoundation", "none:default")
    assert (windows.format, windows.url) == ("dshow", "audio=Headset")
    assert microphone("Desk", platform="win32").url == "audio=Desk"
    monkeypatch.setattr(module, "microphones", lambda _platform: ())
    with pytest.raises(SourceError, match="there is no microphone: plug one in"):
        microphone("default", platform="win32")
    with pytest.raises(ConfigError, match="microphones are not known on plan9"):
        microphone("default", platform="plan9")
    with pytest.raises(SourceError, match="can't be listed"):
        microphones("plan9")


@pytest.mark.parametrize(
    ("number", "kind", "expected"),
    [
        (errno.EACCES, "alsa", "may not be opened by you: sudo usermod -aG audio"),
        (errno.EACCES, "avfoundation", "Privacy & Security, Microphone: allow the terminal"),
        (errno.EACCES, "dshow", "let desktop apps use it"),
        (errno.EBUSY, "alsa", "is in use: close the program that records from it"),
        (errno.ENODEV, "alsa", "is not there: plug it in"),
        (errno.EINVAL, "alsa", "can't be read"),
    ],
)
def test_every_error_has_its_cure(number: int, kind: str, expected: str) -> None:
    with pytest.raises(av.error.FFmpegError) as raised:
        av.error.err_check(-number)
    assert expected in explained(MicrophoneDevice("the microphone", "default", kind), raised.value)


# --- the mouth that it moves ------------------------------------------------------------------------------------------


def test_a_voice_moves_the_mouth_as_the_same_voice_in_a_file_does() -> None:
    samples = made_sounds.syllables(10, 4)
    seconds = np.arange(4, 9.5, 1 / 30)
    spoken = Spoken.told_by(by_rule, heard([samples]))
    in_a_file = [spoken.numbers[round(100 * second)][OPENING] for second in seconds]
    live = mouths_at(BEGIN + seconds, samples, later=0.1)[:, OPENING]
    assert np.corrcoef(live, in_a_file)[0, 1] > 0.97
    assert np.max(live) - np.min(live) > 2


def test_a_picture_needs_no_sound_that_is_more_than_80_ms_behind_it() -> None:
    samples = made_sounds.syllables(6, 4)
    seconds = np.arange(BEGIN + 4.1, BEGIN + 5.6, 0.07)
    early, late = (mouths_at(seconds, samples, later=later) for later in (0.08, 0.3))
    assert early == pytest.approx(late, abs=0.15)


def test_music_closes_the_mouth_that_it_opened() -> None:
    music = made_sounds.chords(6)
    assert listening(music).at(frame_at(BEGIN + 5.9))[OPENING] <= -1
    talk = np.concatenate([music, made_sounds.syllables(4, 4)])
    assert mouths_at(np.arange(BEGIN + 8, BEGIN + 10, 0.1), talk, later=0.1)[:, OPENING].max() > 0.5


def test_a_microphone_that_gives_nothing_leaves_the_mouth_at_rest() -> None:
    assert Microphone(Made([]), ignored).at(frame_at(1.0)) == pytest.approx(AT_REST)
    samples = made_sounds.syllables(3, 4)
    assert listening(samples).at(frame_at(BEGIN + 3 + GAP_SECONDS + 0.1)) == pytest.approx(AT_REST)


def test_blocks_that_come_late_do_not_move_the_sound() -> None:
    samples, rng = made_sounds.syllables(6, 4), np.random.default_rng(0)
    punctual, delayed = listening(samples), Microphone(Made([]), ignored)
    for number, block in enumerate(blocks_of(samples), start=1):
        delayed.hear(block, BEGIN + number / 100 + (0 if number % 3 else rng.uniform(0.1, 0.2)))
    found = [
        [ear.at(frame_at(second)) for second in np.arange(BEGIN + 5.2, BEGIN + 5.9, 0.05)]
        for ear in (punctual, delayed)
    ]
    assert np.array(found[0]) == pytest.approx(np.array(found[1]), abs=0.35)


def test_sound_that_was_lost_does_not_shift_what_follows() -> None:
    samples, found = made_sounds.syllables(8, 4), Microphone(Made([]), ignored)
    whole = listening(samples)
    for number, block in enumerate(blocks_of(samples), start=1):
        if not 300 < number <= 400:  # a second that the system threw away
            found.hear(block, BEGIN + number / 100)
    seconds = np.arange(BEGIN + 7, BEGIN + 7.8, 0.05)
    live, true = ([ear.at(frame_at(second))[OPENING] for second in seconds] for ear in (found, whole))
    assert np.corrcoef(live, true)[0, 1] > 0.95


def test_a_microphone_that_is_away_is_told_of_once_and_heard_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    away = "the made microphone is in use: close the program that records from it"
    device = Made([away, away, made_sounds.syllables(1, 4), away, made_sounds.noise(60)], paced=True)
    said: list[str] = []
    back = threading.Event()

    def say(sentence: str) -> None:
        said.append(sentence)
        if len(said) == 4:
            back.set()

    with Microphone(device, say) as found:
        assert found.at(frame_at(time.perf_counter())) == pytest.approx(AT_REST)
        assert back.wait(30)
    assert not device.open_now
    rest = "; until then the mouth is at rest"
    assert said == [
        away + rest,
        "the made microphone is back",
        "the made microphone is not there: plug it in" + rest,
        "the made microphone is back",
    ]


def test_a_microphone_that_is_watched_again_at_once_is_not_said_to_be_lost() -> None:
    """Somebody looks away for a moment: from the next question on it is wanted again."""
    device, said = Made([made_sounds.noise(60)], paced=True), list[str]()
    answers = chain([True, False], cycle([True]))

    def wanted() -> bool:
        return next(answers)

    with Microphone(device, said.append, wanted=wanted):
        while device.opened_times < 2:
            time.sleep(0.005)
    assert said == []


def test_a_microphone_is_closed_while_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.01)
    device, said, watched = Made([made_sounds.noise(60)], paced=True), list[str](), [True]

    def until(wanted: bool) -> None:
        while device.open_now is not wanted:
            time.sleep(0.005)

    with Microphone(device, said.append, wanted=lambda: watched[0]):
        until(wanted=True)
        watched[0] = False
        until(wanted=False)
        watched[0] = True
        until(wanted=True)
    assert (device.opened_times, said) == (2, [])
