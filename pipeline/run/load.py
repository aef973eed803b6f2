"""Compiles the networks that settings ask for, and closes them at the end; and what they are told of mouths."""

from __future__ import annotations

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Self

from engine import models, select
from engine.spec import Device, Precision
from pipeline.detectors import detector_file
from pipeline.draw.mouth import AT_REST, Mouth, Spoken, by_rule, takes_expression
from pipeline.draw.sound import RATE, heard
from pipeline.errors import CheckpointError, ConfigError, SourceError
from pipeline.people.embed import Examiner, chosen_people, load_embedder, recogniser_missing
from pipeline.people.enrolled import read_faces
from pipeline.people.people import Wearers
from pipeline.settings.config import Expression
from pipeline.video.opening import read_sound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from engine.spec import Engine, Network
    from pipeline.detectors import Detector, DetectorFile
    from pipeline.draw.mouth import Voice, Voices
    from pipeline.people.embed import Embedder, Who
    from pipeline.people.enrolled import EnrolledFace
    from pipeline.settings.config import Config


OURS = ("segmenter", "generator", "figure")
"""The networks in `engine.models` that every run needs."""
OF_A_FACE = "face "
"""How the name of an enrolled face's network begins."""


_ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's malloc.h."""


@dataclass(frozen=True)
class Networks:
    """The compiled networks of a run. All its inputs share them and are processed one after the other."""

    detector: Detector
    segmenter: Engine
    generator: Engine
    figure: Engine
    files: Mapping[str, Network]
    """Each network's file by the network's name."""
    description: str
    """What runs them, such as `openvino 2026.4.1 cpu bf16`; several are joined by commas."""
    who: Who | None = None
    """Tells people apart; None when nobody asked for that."""
    own: Mapping[str, Engine] = field(default_factory=dict)
    """The generators of the enrolled faces, by the face's name."""
    wearers: Wearers | None = None
    """The enrolled faces; None where there are none."""
    voices: Voices | None = None
    """What was learned of the voice of the one enrolled face; None where there are several, or nothing was learned."""

    @property
    def takes_expression(self) -> bool:
        """Whether the generator asks what the mouths do."""
        return takes_expression(self.generator)

    def told_mouth(self, config: Config, path: Path | None) -> Mouth:
        """What the settings have the generator told of mouths; `path` is the file with the sound, None: there is none.

        Raises `SourceError` when the sound of a file is asked for that has none.
        """
        plain = Mouth(smile=config.faces.smile, opening=config.faces.mouth_open)
        expression = Expression(config.faces.expression)
        if expression is Expression.NEUTRAL:
            return replace(plain, rest=AT_REST)
        if expression is Expression.AUTO or path is None:
            return plain

        try:
            voice = None if self.voices is None else self.voices.recorded
            return replace(plain, spoken=_spoken(path, path.stat().st_mtime_ns, voice or by_rule))
        except (OSError, SourceError) as error:
            raise SourceError(f"no mouth can follow the sound: {error}; leave --expression speech out") from error

    @property
    def hashes(self) -> dict[str, str]:
        """Each network's name to the SHA-256 of its file."""
        return {name: network.sha256 for name, network in self.files.items()}


@lru_cache(maxsize=1)  # the chunks of a file share it
def _spoken(path: Path, _changed: int, voice: Voice) -> Spoken:
    """What `voice` makes of the sound of a file, last changed at that time. Raises `SourceError`."""
    start, blocks = read_sound(path, RATE)
    return Spoken.told_by(voice, heard(blocks, start))


def share_freed_memory() -> None:
    """Let all threads take memory from two pools, which glibc calls arenas.

    It gives each thread a pool of its own, and what a stage frees there no other stage uses again: 25 MB at 640x480.
    With another C library nothing happens.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if choose is not None:
        choose(_ARENA_MAX, 2)


def give_back_memory() -> None:
    """Hand freed memory back to the system, which glibc keeps for later: after compiling that is some 50 MB.

    With another C library nothing happens.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@contextmanager
def networks(config: Config, folder: Path | None = None) -> Iterator[Networks]:
    """The networks that `config` asks for; those of `OURS` come from `folder` where it holds them.

    Raises `ConfigError` for an unknown detector or engine, `CheckpointError` when a network's file is absent, is not
    what its manifest says, or `folder` holds none of ours, and `EngineError` when a network can't be compiled or
    this machine can't run what was asked for.
    """
    if config.identity.only_enrolled and not config.identity.face:
        raise ConfigError("only-enrolled can't be true without a face: give --face FILE.face, or leave it out")
    share_freed_memory()
    with _Compiler(config) as compiler:
        # They are looked for before anything is compiled, which takes seconds.
        ours = _shipped(Precision(config.engine.precision), folder)
        file = detector_file(config.faces.detector)
        found, segmenter, generator, figure = compiler.compile_together(
            (file.network(), compiler.precision_of_others), *ours
        )  # fmt: skip
        detector = compiler.detector_on(file, found)
        description = compiler.description

        with wearing(
            Networks(detector, segmenter, generator, figure, compiler.files, description), config
        ) as found_all:
            yield found_all


@contextmanager
def wearing(bare: Networks, config: Config) -> Iterator[Networks]:
    """`bare` with the enrolled faces of `config` in the place of its own, and with what tells people apart.

    Only these are compiled, and closed at the end. Raises as `networks` does.
    """
    with _Compiler(config) as compiler:
        faces, who = read_faces(config.identity.face), None
        if config.identity.wanted or _recognises(config, faces):
            examiner = Examiner(bare.detector, bare.segmenter, compiler.embedder())
            who = chosen_people(examiner, only=config.identity.only, spared=config.identity.except_)

        own = {face.name: compiler.compile_face(face) for face in faces}
        wearers = _wearers(config, faces, who) if faces else None
        voices = faces[0].voices if len(faces) == 1 else None
        files = {name: file for name, file in bare.files.items() if not name.startswith(OF_A_FACE)}
        give_back_memory()
        yield replace(bare, files=files | compiler.files, who=who, own=own, wearers=wearers, voices=voices)


@contextmanager
def detector(config: Config) -> Iterator[Detector]:
    """The detector alone, compiled and closed as `networks` does it. Raises as `networks` does."""
    with _Compiler(config) as compiler:
        yield compiler.detector()


@contextmanager
def examiner(config: Config) -> Iterator[Examiner]:
    """What embeds the face in a picture, compiled and closed as `networks` does it.

    Raises as `networks` does, and `CheckpointError` where the recogniser is not installed.
    """
    with _Compiler(config) as compiler:
        found = compiler.detector()
        segmenter = compiler.compile(models.shipped("segmenter"), compiler.precision_of_others)
        yield Examiner(found, segmenter, compiler.embedder())


def _recognises(config: Config, faces: Sequence[EnrolledFace]) -> bool:
    """Whether the recogniser is here and has something to compare people with."""
    known = any(face.recognition is not None for face in faces)
    return known and recogniser_missing(config.identity.recogniser) is None


def _wearers(config: Config, faces: Sequence[EnrolledFace], who: Who | None) -> Wearers:
    """The enrolled faces as the recogniser of this run knows them.

    Raises `ConfigError` where there are several and nothing tells them apart.
    """
    embedder = None if who is None else who.embedder.sha256
    looks = {
        face.name: face.recognition.look if face.recognition and face.recognition.recogniser == embedder else None
        for face in faces
    }

    if len(faces) > 1 and None in looks.values():
        unknown = next(name for name, look in looks.items() if look is None)
        raise ConfigError(
            f"face can't be several files here, since nothing tells {unknown} from the others: "
            "enroll anew, without --no-recognition and with this recogniser, or give one face"
        )
    return Wearers(looks, None if who is None else who.embedder.least, only=config.identity.only_enrolled)


def _shipped(asked: Precision, folder: Path | None) -> list[tuple[Network, Precision]]:
    """The networks of `OURS`, each with the precision to compile it in."""
    stored = set() if folder is None else set(models.names(folder))
    if folder is not None and not stored & set(OURS):
        raise CheckpointError(f"{folder} holds none of {', '.join(OURS)}: training.networks.export writes them")

    found = []
    for name in OURS:
        source = folder if folder is not None and name in stored else models.PACKAGE
        # Some may have no int8 version: they run in auto's precision beside those that have.
        others_have = any(models.has_int8(other) for other in OURS)
        lacks = asked is Precision.INT8 and not models.has_int8(name, source) and others_have
        precision = Precision.AUTO if lacks else asked
        found.append((models.shipped(name, source, precision=precision), precision))
    return found


@dataclass
class _Compiler:
    """Compiles networks for the engine that was asked for, remembers them, and closes all of them at the end."""

    config: Config
    files: dict[str, Network] = field(default_factory=dict)
    _engines: list[Engine] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def description(self) -> str:
        """What runs the networks that were compiled so far."""
        return ", ".join(dict.fromkeys(engine.description for engine in self._engines))

    @cached_property
    def device(self) -> Device:
        """Where all networks run."""
        return select.find_device(self.config.engine.device, self.config.engine.engine)

    @property
    def precision_of_others(self) -> Precision:
        """The precision of a network that has no int8 version."""
        asked = Precision(self.config.engine.precision)
        return Precision.AUTO if asked is Precision.INT8 else asked

    def compile(self, network: Network, precision: Precision) -> Engine:
        """The network on the engine, device and threads that were asked for. Raises `EngineError`."""
        (engine,) = self.compile_together((network, precision))
        return engine

    def compile_together(self, *wanted: tuple[Network, Precision]) -> list[Engine]:
        """Several networks as `compile` does it, side by side on the processor, on a GPU one after the other."""
        device = self.device
        with ThreadPoolExecutor(len(wanted) if device.kind == "cpu" else 1) as threads:
            engines = list(threads.map(self._load, *zip(*wanted, strict=True)))

        self._engines += engines
        self.files |= {network.name: network for network, _ in wanted}
        return engines

    def _load(self, network: Network, precision: Precision) -> Engine:
        settings = self.config.engine
        engine = select.load(
            network,
            backend=settings.engine,
            device=self.device,
            precision=precision,
            threads=settings.threads,
        )
        self._stack.callback(engine.close)  # also where another network can't be compiled
        return engine

    def compile_face(self, face: EnrolledFace) -> Engine:
        """An enrolled face's generator; reports name its file after the face. Raises `EngineError`."""
        engine = self.compile(face.generator, self.precision_of_others)
        self.files[f"{OF_A_FACE}{face.name}"] = self.files.pop(face.generator.name)
        return engine

    def detector(self) -> Detector:
        """The detector that was asked for. Raises as `networks` does."""
        file = detector_file(self.config.faces.detector)
        return self.detector_on(file, self.compile(file.network(), self.precision_of_others))

    def detector_on(self, file: DetectorFile, engine: Engine) -> Detector:
        """The detector of a file, on an engine that has its network."""
        faces = self.config.faces
        return file.detector(engine, size=faces.detect_size, threshold=float(faces.detect_threshold))

    def embedder(self) -> Embedder:
        """What embeds faces, in float32, in which its thresholds were measured. Raises as `load_embedder` does."""
        identity = self.config.identity
        embedder, _ = load_embedder(
            identity.recogniser, identity.recogniser_file, lambda network: self.compile(network, Precision.F32)
        )
        return embedder
