"""What the mouth beneath a mask does, as the numbers that a generator may be given: set by somebody, or by the voice.

Whatever it does is invented. A voice says something of how far a mouth opens, and nothing of what a person feels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipeline.draw.sound import ATTACK, BANDS, HOP, RATE, SILENCE, followed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.spec import Engine
    from pipeline.draw.sound import Numbers, Sound
    from pipeline.frames import Frame

NAMES = ("opening", "width", "corners", "pout")
"""The numbers of an expression: the gap between the lips; from corner to corner; how far the corners stand above the
upper lip's lower edge; how much of the lips is seen, from their upper to their lower rim without the gap. Each is in
standard deviations of photos from a typical photo."""

OPENING, WIDTH, CORNERS = (NAMES.index(name) for name in ("opening", "width", "corners"))
"""The places of three of them."""

LEAD = 0.05
"""Seconds by which the rule listens ahead of a frame: a mouth takes as long to open, and begins before it is heard."""

AHEAD, BEHIND, STEP = 0.45, 0.1, 0.05
"""Seconds around a frame whose sound is learned from. Lips part before they are heard, and cameras' sound is late."""

LIVE_AHEAD = 0.0
"""The same of `AHEAD` for sound as it comes: bands are smoothed over 40 ms to each side, and half of a window is 12."""

WIDEST = 1.15
"""How much wider than usually in a shout the rule opens the mouth, of the way from silence to there, at most."""

RIDGE = 3000.0
"""Weight of the squared coefficients, beside squared errors of inputs and outputs of unit deviation."""

FASTEST = 40.0
"""Standard deviations that a number may change by in a second: an open mouth closes in a tenth of one."""


@dataclass(frozen=True)
class Usual:
    """How somebody usually sounds: voices differ in loudness and pitch."""

    shout: float
    """Logarithm of the loudness that opens the mouth widest."""
    centre: float
    """Spectral centre in Hz."""

    @classmethod
    def of(cls, sound: Sound) -> Usual:
        """What is usual in a sound; in one with little speech what is usual in most voices."""
        loud, spoken = followed(np.log10(np.maximum(sound.speech, SILENCE))), sound.speech > SILENCE
        if np.count_nonzero(spoken) < ENOUGH:
            return UNHEARD
        shout = max(float(np.percentile(loud[spoken], 93)), np.log10(SILENCE) + 1)
        return cls(shout, float(np.median(sound.centre[spoken])))


ENOUGH, UNHEARD = 100, Usual(-1.2, 1200.0)
"""Windows of speech from which on it is known how somebody usually sounds (1 s), and what is taken until then."""


def by_rule(sound: Sound, seconds: Numbers, usual: Usual | None = None) -> Numbers:
    """(T, 4) numbers of an expression by acoustics alone: opening from loudness, width from the spectral centre.

    `usual` is what the voice is compared with; None: what is usual in `sound`.
    """
    usual = usual or Usual.of(sound)
    loud, quiet = followed(np.log10(np.maximum(sound.speech, SILENCE))), np.log10(SILENCE)
    numbers = np.zeros((len(seconds), len(NAMES)))
    wide = np.minimum((loud - quiet) / (usual.shout - quiet), WIDEST)
    numbers[:, OPENING] = sound.at(wide, seconds + LEAD) * 3 - 1

    # What counts is how much brighter than usual it is.
    spoken = sound.speech > SILENCE
    higher = np.where(spoken, np.log2(np.maximum(sound.centre, 1) / usual.centre), 0)
    numbers[:, WIDTH] = np.clip(sound.at(followed(higher, ATTACK, ATTACK), seconds + LEAD), -1, 1)
    return steady(numbers, sound, seconds)


@dataclass(frozen=True, eq=False)
class VoiceModel:
    """One person's voice to their mouth: a ridge regression."""

    mean: Numbers
    """(F,) of the inputs"""
    spread: Numbers
    """(F,)"""
    weights: Numbers
    """(F, 4)"""
    rest: Numbers
    """(4,) the mean expression."""
    ahead: float = AHEAD
    """Seconds behind a frame whose sound is gone by, too."""

    def __post_init__(self) -> None:
        """Raises `ValueError` for numbers that are none of a model."""
        inputs = 2 * BANDS * len(_offsets(self.ahead)) if 0 <= self.ahead <= AHEAD else 0
        shapes = tuple(values.shape for values in (self.mean, self.spread, self.weights, self.rest))
        if shapes != ((inputs,), (inputs,), (inputs, len(NAMES)), (len(NAMES),)) or not (self.spread > 0).all():
            raise ValueError(f"no voice has numbers of the shapes {shapes} at {self.ahead} s ahead")

    @classmethod
    def learned(
        cls, sound: Sound, seconds: Numbers, numbers: NDArray[np.floating], *, ahead: float = AHEAD
    ) -> VoiceModel:
        """Learn from true numbers (T, 4) at times (T,)."""
        inputs = _inputs(sound, seconds, ahead)
        mean, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
        scaled, rest = (inputs - mean) / spread, numbers.mean(axis=0)
        weights = np.linalg.solve(scaled.T @ scaled + RIDGE * np.eye(scaled.shape[1]), scaled.T @ (numbers - rest))
        return cls(mean, spread, weights, rest, ahead)

    def __call__(self, sound: Sound, seconds: Numbers, _usual: Usual | None = None) -> Numbers:
        """(T, 4) the numbers at times (T,)."""
        numbers = (_inputs(sound, seconds, self.ahead) - self.mean) / self.spread @ self.weights + self.rest
        return steady(numbers, sound, seconds)


@dataclass(frozen=True, eq=False)
class Voices:
    """What was learned of one person's voice, as far as it told more of a part held back than the rule did."""

    recorded: VoiceModel | None
    """For recordings, whose sound is known as a whole; None: the rule is better."""
    live: VoiceModel | None
    """For sound as it comes, of which little is known ahead."""
    alike: float
    """Correlation of the opening with the true one on the part held back, of the better of both."""
    alike_by_rule: float
    """The same of the rule."""


class Voice(Protocol):
    """What tells the numbers of a mouth by its sound, such as `by_rule`."""

    def __call__(self, sound: Sound, seconds: Numbers, usual: Usual | None = None, /) -> Numbers:
        """(T, 4) the numbers at times (T,); `usual` is what the voice is compared with, None: the sound itself."""
        ...


def _offsets(ahead: float) -> Numbers:
    return np.arange(-BEHIND, ahead + STEP / 2, STEP)


def _inputs(sound: Sound, seconds: Numbers, ahead: float) -> Numbers:
    """(T, F) the bands around each time."""
    return np.concatenate([sound.at(sound.bands, seconds + offset) for offset in _offsets(ahead)], axis=1)


def steady(numbers: Numbers, sound: Sound, seconds: Numbers) -> Numbers:
    """The numbers (T, 4) at rising times (T,), closed where nobody speaks, and no faster than a mouth is.

    A number changes by no more than `FASTEST` allows; where nobody speaks the opening goes to that of closed lips.
    """
    # Followed, so that the short gaps within words do not close the mouth.
    silent = sound.at(followed(sound.speech), seconds + LEAD) < SILENCE
    wanted = numbers.copy()
    wanted[silent, OPENING] = np.minimum(wanted[silent, OPENING], -1)

    found = wanted.copy()
    for place in range(1, len(found)):
        most = FASTEST * (seconds[place] - seconds[place - 1])
        found[place] = found[place - 1] + np.clip(wanted[place] - found[place - 1], -most, most)
    return found


AT_REST = (-0.7, 0.0, 0.0, 0.0)
"""The numbers of a mouth with closed lips that does nothing."""

WIDER = 0.7
"""A smile widens the mouth by so much, in parts of how far it lifts the corners."""

REDRAWN_FROM = 0.35
"""A face is drawn anew once one of its numbers differs by so much from those of the last drawing."""


class Speaking(Protocol):
    """What knows what the mouth that speaks does: by the sound of a whole recording, or as it comes."""

    def at(self, frame: Frame) -> NDArray[np.float32]:
        """(4,) in a frame."""
        ...


@dataclass(frozen=True)
class Spoken:
    """What a mouth does all through a recording, by its sound."""

    start: float
    """Seconds of the first number, in the file's clock."""
    numbers: NDArray[np.float32]
    """(N, 4), one for each `HOP`."""

    @classmethod
    def told_by(cls, voice: Voice, sound: Sound) -> Spoken:
        """What a sound says of the mouth."""
        return cls(sound.start, voice(sound, sound.places, None).astype(np.float32))

    @classmethod
    def measured(cls, seconds: Numbers, numbers: NDArray[np.floating]) -> Spoken:
        """What a bare mouth was seen to do: numbers (T, 4) at rising times (T,)."""
        times = np.arange(seconds[0], seconds[-1] + HOP / RATE, HOP / RATE)
        columns = [np.interp(times, seconds, column) for column in np.asarray(numbers, np.float64).T]
        return cls(float(seconds[0]), np.stack(columns, axis=1).astype(np.float32))

    def at(self, frame: Frame) -> NDArray[np.float32]:
        """(4,) at a frame's time; before and after the sound the mouth is at rest."""
        place = round((float(frame.time) - self.start) * RATE / HOP)
        return self.numbers[place] if 0 <= place < len(self.numbers) else np.array(AT_REST, np.float32)


@dataclass(frozen=True)
class Mouth:
    """What a generator is told of the mouths in a frame."""

    rest: tuple[float, ...] | None = None
    """The numbers of a mouth that is at rest; None: nothing is known, and the network decides."""
    spoken: Speaking | None = None
    """What the voice says; it moves the mouth of somebody who is alone in the frame, else it may be another's."""
    smile: float = 0.0
    """Added to how far the corners stand up; the mouth widens with it."""
    opening: float = 0.0
    """Added to how far the lips are apart."""

    @property
    def told(self) -> bool:
        """Whether the generator is told anything at all."""
        return self.rest is not None or self.spoken is not None or bool(self.smile or self.opening)

    def numbers(self, frame: Frame, faces: int) -> NDArray[np.float32]:
        """(5,) for each of the `faces` in a frame: the numbers, and 1; zeros where nothing is known."""
        spoken = self.spoken if faces == 1 else None
        if spoken is None and self.rest is None and not (self.smile or self.opening):
            return np.zeros(len(NAMES) + 1, np.float32)

        base = spoken.at(frame) if spoken is not None else np.array(self.rest or AT_REST, np.float32)
        found = np.append(base, np.float32(1))
        found[OPENING] += self.opening
        found[CORNERS] += self.smile
        found[WIDTH] += WIDER * self.smile
        return found


def takes_expression(engine: Engine) -> bool:
    """Whether a generator asks what the mouth beneath the mask does."""
    return any(spec.name == "expression" for spec in engine.inputs)


class Telling(Protocol):
    """What tells a generator of the mouths in a frame: a `Mouth`, or one that somebody may change meanwhile."""

    def numbers(self, frame: Frame, faces: int) -> NDArray[np.float32]:
        """(5,) as `Mouth.numbers` gives them."""
        ...


UNTOLD = Mouth()
"""Nothing is known: the network decides."""
