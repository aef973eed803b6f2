"""Microphones: which there are, why one can't be opened, and what the mouth of who speaks into one does meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import av
import numpy as np

from pipeline.draw.mouth import AT_REST, LEAD, UNHEARD, Usual, by_rule
from pipeline.draw.sound import BANDS, FIRST_BAND, HOP, LOOK, RATE, STRETCH, Measure, Sound, is_speech
from pipeline.errors import ConfigError, SourceError
from pipeline.live.camera import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, WATCH_SECONDS
from pipeline.live.devices import permission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from pipeline.draw.mouth import Voice
    from pipeline.draw.sound import Numbers
    from pipeline.frames import Frame

CURE = "`barefaced cameras` lists microphones, too"
"""The cure for a microphone that was named wrongly."""

FORMAT_OF_PLATFORM = {"linux": "alsa", "darwin": "avfoundation", "win32": "dshow"}
"""`sys.platform` to FFmpeg's name for its microphones."""

ALSA = {"ALSA_CONFIG_DIR": ("/usr/share/alsa",), "ALSA_PLUGIN_DIR": ("/usr/lib/*/alsa-lib", "/usr/lib64/alsa-lib")}
"""Where the system keeps what ALSA needs: the library that comes with PyAV looks where it was built."""


class Hears(Protocol):
    """What can be opened to give sound: a microphone, or a test's stand-in."""

    @property
    def name(self) -> str:
        """The name by which the user knows it."""
        ...

    def opened(self) -> AbstractContextManager[Iterator[NDArray[np.float32]]]:
        """Open it, in a `with` block, and give its sound as it comes: mono samples (N,) at `RATE`.

        Entering and iterating raise `SourceError` with the cure.
        """
        ...


@dataclass(frozen=True)
class MicrophoneDevice:
    """A microphone, ready to be opened."""

    name: str
    """The name by which the user knows it."""
    url: str
    """The address that FFmpeg opens."""
    format: str
    """FFmpeg's input device, such as `alsa`."""
    options: Mapping[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[NDArray[np.float32]]]:
        """Open it, as `Hears` has it."""
        if self.format == "alsa":
            _find_system_alsa()
        try:
            container = av.open(self.url, format=self.format, options=dict(self.options))
        except av.error.FFmpegError as error:
            raise SourceError(explained(self, error)) from error

        with container:
            if not container.streams.audio:
                raise SourceError(f"{self.name} gives no sound: {CURE}")
            yield self._blocks(container)

    def _blocks(self, container: av.container.InputContainer) -> Iterator[NDArray[np.float32]]:
        """Decode the sound. Raises `SourceError` when the microphone is gone."""
        resampler = av.AudioResampler("fltp", layout="mono", rate=RATE)
        try:
            for frame in container.decode(audio=0):
                for block in resampler.resample(frame):
                    yield np.asarray(block.to_ndarray()[0], np.float32)
        except av.error.FFmpegError as error:
            raise SourceError(explained(self, error)) from error


def microphone(which: str, *, platform: str = sys.platform) -> MicrophoneDevice:
    """The microphone of that name, or `default`, not opened yet.

    Raises `ConfigError` on a platform whose microphones are unknown, and `SourceError` where there is none.
    """
    kind = FORMAT_OF_PLATFORM.get(platform)
    if kind is None:
        raise ConfigError(f"microphones are not known on {platform}: leave --microphone out")
    name = "the microphone" if which == "default" else f"the microphone {which}"
    if kind == "alsa":
        return MicrophoneDevice(name, which, kind, {"channels": "1", "sample_rate": "48000"})
    if kind == "avfoundation":
        return MicrophoneDevice(name, f"none:{which}", kind)

    found = microphones(platform) if which == "default" else ((which, which),)
    if not found:
        raise SourceError("there is no microphone: plug one in, or leave --microphone out")
    # Windows hands over half a second at a time unless it is asked for less.
    return MicrophoneDevice(name, f"audio={found[0][0]}", kind, {"audio_buffer_size": "20"})


def microphones(platform: str = sys.platform) -> tuple[tuple[str, str], ...]:
    """List the microphones of this machine: what `--microphone` takes, and what the system calls it.

    Raises `SourceError` when the system does not list them.
    """
    kind = FORMAT_OF_PLATFORM.get(platform, "")
    if kind == "alsa":
        _find_system_alsa()
    try:
        found = av.enumerate_input_devices(kind)
    except (av.error.FFmpegError, ValueError) as error:
        raise SourceError(f"the microphones of {platform} can't be listed: {error}") from error

    audio = [device for device in found if "audio" in device.media_types or not device.media_types]
    sounds = [device for device in audio if (kind, device.name) != ("alsa", "null")]  # which gives zeros
    if kind == "dshow":
        return tuple((device.description, device.description) for device in sounds)
    named = ((str(number) if kind == "avfoundation" else device.name, device) for number, device in enumerate(sounds))
    return tuple((name, " ".join(device.description.split())) for name, device in named)


_SAYS_NOTHING = ctypes.CFUNCTYPE(None)(lambda: None)
"""What ALSA calls with its errors. It must outlive the library."""


def _find_system_alsa() -> None:
    """Point ALSA to the system's own devices and plug-ins, unless the user has pointed it elsewhere, and quiet it."""
    for name, patterns in ALSA.items():
        folders = [folder for pattern in patterns for folder in sorted(Path("/").glob(pattern[1:])) if folder.is_dir()]
        if folders and not os.environ.get(name):
            os.environ[name] = str(folders[0])

    # By itself it writes a dozen lines for each device that it can't open; one sentence of ours says as much.
    maps = Path("/proc/self/maps")
    lines = maps.read_text(encoding="utf-8").splitlines() if maps.exists() else []
    for library in {line.split()[-1] for line in lines if "/libasound" in line}:
        ctypes.CDLL(library).snd_lib_error_set_handler(_SAYS_NOTHING)


def explained(device: MicrophoneDevice, error: av.error.FFmpegError) -> str:
    """Say in a sentence what FFmpeg's error means, and what to do."""
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        return f"{device.name} is in use: close the program that records from it, or take another one"
    if isinstance(error, av.error.PermissionError):
        return f"{device.name} may not be opened by you: {permission(device.format, group='audio', pane='Microphone')}"
    if error.errno in (errno.ENODEV, errno.EIO, errno.ENXIO, errno.ENOENT):
        return f"{device.name} is not there: plug it in; {CURE}"
    return f"{device.name} can't be read ({error.strerror}): {CURE}"


KEPT, RECENT = 3000, 100
"""Windows that are remembered (30 s), to know how the voice usually sounds, and that a mouth depends on (1 s)."""

SETTLED = 40
"""Windows after which a mouth is where it would be, wherever it began (0.4 s)."""

GAP_SECONDS = 0.25
"""A block that is later than this means that sound was lost, not that the machine was busy."""

WAIT_SECONDS = 0.025
"""How long after it arrived a picture may wait for the sound that draws it: on two cores it is as old by then."""

DRIFT = 0.001
"""By which share a microphone's clock may differ from the machine's."""


@dataclass
class Microphone:
    """Listens in a thread of its own inside a `with` block, and knows what the mouth of who speaks does in a frame.

    One that can't be opened or is lost is told of and tried again; until it is there the mouth is at rest.
    """

    device: Hears
    say: Callable[[str], None]
    """Told in a sentence when the microphone is lost, and when it is back; in any thread."""
    voice: Voice = by_rule
    wanted: Callable[[], bool] = lambda: True
    """Whether anybody watches: the microphone is closed while nobody does."""

    def __post_init__(self) -> None:
        self._ending, self._lock = threading.Event(), threading.Condition()
        # Not a daemon: at exit the interpreter would stop it inside a driver.
        self._reader = threading.Thread(target=self._read, name="microphone reader", daemon=False)
        self._begin()

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._reader.join()

    def at(self, frame: Frame) -> NDArray[np.float32]:
        """(4,) in a frame, for whose sound it waits until `WAIT_SECONDS` after the frame arrived."""
        lost, enough = frame.arrived - GAP_SECONDS, frame.arrived + LEAD
        with self._lock:
            wait_seconds = frame.arrived + WAIT_SECONDS - time.perf_counter()
            self._lock.wait_for(lambda: not lost < self._end < enough, wait_seconds)
            measured, speaks, usual, end = self._measured[-RECENT:], self._speaks[-RECENT:], self._usual, self._end
        if end <= lost:
            return np.array(AT_REST, np.float32)

        sound = Sound.of(measured, end - (len(measured) - 1) * HOP / RATE, speaks)
        seconds = frame.arrived + np.arange(-SETTLED, 1) * HOP / RATE
        return np.asarray(self.voice(sound, seconds, usual)[-1], np.float32)

    @property
    def _end(self) -> float:
        """When the newest window was heard, in `time.perf_counter` seconds."""
        return self._zero + (self._windows - 1) * HOP / RATE if self._windows else -np.inf

    def _begin(self) -> None:
        """Know nothing of what was heard before."""
        with self._lock:
            self._measure, self._samples, self._windows, self._zero = Measure(), 0, 0, np.inf
            self._measured: Numbers = np.zeros((0, FIRST_BAND + BANDS))
            self._speaks, self._usual = np.zeros(0, bool), UNHEARD

    def hear(self, block: NDArray[np.float32], now: float) -> None:
        """Take in samples (N,), the last of which were heard at `now`, in `time.perf_counter` seconds."""
        new = self._measure(block)
        self._samples += len(block)
        first = now - self._samples / RATE
        measured = np.concatenate([self._measured, new])[-KEPT:]

        # Until it is known to be none, what is heard is speech: nobody's first words are lost.
        before, windows = self._windows, self._windows + len(new)
        said = bool(self._speaks[-1]) if len(self._speaks) else True
        if windows // LOOK > before // LOOK:
            said = is_speech(measured[-STRETCH:]) is not False
        speaks = np.concatenate([self._speaks, np.full(len(new), said)])[-KEPT:]
        usual = self._usual
        if windows // STRETCH > before // STRETCH:
            usual = Usual.of(Sound.of(measured, 0.0, speaks))

        with self._lock:
            # Blocks come late and never early: the earliest tells the time of the first sample.
            late = first - self._zero
            self._zero = first if not 0 <= late <= GAP_SECONDS else min(first, self._zero + DRIFT * len(block) / RATE)
            self._measured, self._speaks, self._usual, self._windows = measured, speaks, usual, windows
            self._lock.notify_all()

    def _read(self) -> None:
        """Listen until the end, opening the microphone again when it is lost. The reader's thread runs this."""
        wait_seconds, lost = FIRST_WAIT_SECONDS, False
        while not self._ending.is_set():
            if not self.wanted():
                self._ending.wait(WATCH_SECONDS)
                continue

            reason = None
            try:
                for _ in self._until_unwanted():
                    if lost:
                        self.say(f"{self.device.name} is back")
                    wait_seconds, lost = FIRST_WAIT_SECONDS, False
            except SourceError as error:
                reason = str(error)
            self._begin()
            # Without a reason it was closed because nobody watched, and somebody may watch again by now.
            if reason is None or self._ending.is_set() or not self.wanted():
                continue

            if not lost:
                self.say(f"{reason}; until then the mouth is at rest")
            lost = True
            self._ending.wait(wait_seconds)
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)

    def _until_unwanted(self) -> Iterator[None]:
        """Open the microphone and hear it, block by block, while it is wanted. Raises `SourceError` where it ends."""
        with self.device.opened() as blocks:
            for block in blocks:
                self.hear(block, time.perf_counter())
                if self._ending.is_set() or not self.wanted():
                    return
                yield
        raise SourceError(f"{self.device.name} sends no more")
