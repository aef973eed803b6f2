"""Config to pipeline: the one place where parts are chosen and joined."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import cv2

from engine import models, select
from engine.spec import Device, Precision
from pipeline.blend.blend import Blend
from pipeline.blend.paste import Mark
from pipeline.blend.smooth import Smooth
from pipeline.detectors import detector_file
from pipeline.draw.inpaint import Inpaint
from pipeline.draw.segment import Segment
from pipeline.find.detect import Detect
from pipeline.find.track import TrackFaces
from pipeline.frames import Track, Tracked
from pipeline.people.embed import Examiner, chosen_people, load_embedder
from pipeline.people.identify import Identify, without_chosen, without_names
from pipeline.run.ledger import (
    Forgiving,
    Ledger,
    OnError,
    without_crops,
    without_faces,
    without_look,
    without_masks,
    without_patches,
)
from pipeline.run.report import Tally
from pipeline.threads.runner import Pipeline
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
from pipeline.video.encoders import Codec
from pipeline.video.stills import StillSink, StillSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from engine.spec import Engine, Network
    from pipeline.detectors import Detector, DetectorFile
    from pipeline.draw.inpaint import Drawing
    from pipeline.draw.segment import Looking
    from pipeline.frames import Cropped, Detected, Frame, Inpainted
    from pipeline.people.embed import Who
    from pipeline.people.identify import Asking
    from pipeline.run.batch import Job
    from pipeline.run.controls import Controls
    from pipeline.run.ledger import Shown
    from pipeline.settings.config import Config, EngineConfig
    from pipeline.threads.worker import Stage

First = TypeVar("First")
Middle = TypeVar("Middle")
Last = TypeVar("Last")


VIDEO_ONLY = ("start", "end", "codec", "quality", "preset", "hardware-decoder", "hardware-encoder")
"""Settings that mean nothing for a picture."""


USUAL_FPS = 30
"""Of a camera: what `detect-every` means in seconds where frames are left out."""

MOST_HELD_BACK = 16
"""Frames that the tracker may hold back."""


@dataclass(frozen=True)
class Networks:
    """The networks of a run, compiled; shared by all its inputs, which are processed one after the other."""

    detector: Detector
    segmenter: Engine
    generator: Engine
    hashes: Mapping[str, str]
    """Network name to the SHA-256 of its file."""
    description: str
    """What runs them, such as `openvino 2026.4.1 cpu bf16`; several are joined by commas."""
    who: Who | None = None
    """Tells people apart; None: nobody asked."""


@dataclass(frozen=True)
class Account:
    """What was read and written."""

    frames_in: int
    frames_out: int
    bad_packets: int
    complete: bool
    """Whether all that the input holds, between start and end, was read without damage and written."""
    missing: tuple[str, ...]
    """What of the input is not in the output or is damaged there, in sentences."""
    warnings: tuple[str, ...]
    """What was changed without loss, in sentences."""


@dataclass(frozen=True)
class Film:
    """A video to be processed: the parts that are asked afterwards, and the pipeline that joins them."""

    source: FileSource
    sink: FileSink
    tally: Tally
    pipeline: Pipeline[Frame]

    def expected_frames(self) -> int | None:
        """How many frames will come, as far as the file says. Raises `SourceError` when it can't be opened."""
        info, source = self.source.info, self.source
        if source.start is None and source.end is None and info.frames:
            return info.frames
        ends = [time for time in (info.duration, source.end) if time is not None]
        return max(0, round((min(ends) - (source.start or 0)) / info.frame_seconds)) if ends else None

    def account(self) -> Account:
        """What was read and written so far."""
        came, went = self.source.outcome, self.sink.outcome
        return Account(
            frames_in=came.frames,
            frames_out=went.frames,
            bad_packets=came.bad_packets,
            complete=came.complete and not went.problems,
            missing=(*came.problems, *went.problems),
            warnings=(*came.warnings, *went.warnings),
        )


@dataclass(frozen=True)
class Photo:
    """A picture to be processed: as `Film`, with the one frame that a picture is."""

    sink: StillSink
    tally: Tally
    pipeline: Pipeline[Frame]
    idle: tuple[str, ...]
    """Settings that were given and mean nothing for a picture."""

    def expected_frames(self) -> int:
        """One."""
        return 1

    def account(self) -> Account:
        """What was read and written so far."""
        went = self.sink.outcome
        idle = (f"{', '.join(self.idle)}: without effect on a picture",) if self.idle else ()
        return Account(
            frames_in=went.frames,
            frames_out=went.frames,
            bad_packets=0,
            complete=went.frames == 1,
            missing=(),
            warnings=(*went.warnings, *idle),
        )


@dataclass(frozen=True)
class Stream:
    """A live source to be processed, joined but not running."""

    ledger: Ledger
    tally: Tally
    pipeline: Pipeline[Shown]


@contextmanager
def networks(config: Config) -> Iterator[Networks]:
    """The networks that `config` asks for, compiled, and closed at the end.

    Raises `ConfigError` for an unknown detector or engine, `CheckpointError` when a network's file is not here or is
    not the one known, and `EngineError` when it can't be compiled or what was asked for can't run here.
    """
    file = detector_file(config.faces.detector)
    precision = Precision(config.engine.precision)
    names = ("segmenter", "generator")
    kinds = [_of_detector(precision), *(_of_ours(name, precision, names) for name in names)]
    ours = [models.shipped(name, precision=kind) for name, kind in zip(names, kinds[1:], strict=True)]
    files = (file.network(), *ours)
    with ExitStack() as stack:
        engines = [_compiled(network, config.engine, kind, stack) for network, kind in zip(files, kinds, strict=True)]
        found, segmenter, generator = engines
        detector = _detector(file, found, config)
        who: Who | None = None
        more: tuple[Network, ...] = ()
        if config.identity.wanted:
            identity = config.identity
            embedder, more = load_embedder(
                identity.recogniser, identity.recogniser_file, lambda file: _of_faces(file, config, stack)
            )
            examiner = Examiner(detector, segmenter, embedder)
            who = chosen_people(examiner, only=identity.only, spared=identity.except_)
        yield Networks(
            detector=detector,
            segmenter=segmenter,
            generator=generator,
            hashes={network.name: network.sha256 for network in (*files, *more)},
            description=", ".join(dict.fromkeys(engine.description for engine in engines)),
            who=who,
        )


@contextmanager
def finder(config: Config) -> Iterator[Detector]:
    """The detector alone, compiled as `networks` compiles it, and closed at the end. Raises as `networks` does."""
    with ExitStack() as stack:
        file = detector_file(config.faces.detector)
        precision = _of_detector(Precision(config.engine.precision))
        yield _detector(file, _compiled(file.network(), config.engine, precision, stack), config)


@contextmanager
def examiner(config: Config) -> Iterator[Examiner]:
    """What it takes to embed the face in a picture, compiled as `networks` compiles it, and closed at the end.

    Raises as `networks` does, and `CheckpointError` where the recogniser is not installed.
    """
    with ExitStack() as stack:
        file = detector_file(config.faces.detector)
        precision = _of_detector(Precision(config.engine.precision))
        detector = _detector(file, _compiled(file.network(), config.engine, precision, stack), config)
        segmenter = _compiled(models.shipped("segmenter"), config.engine, precision, stack)
        identity = config.identity
        embedder, _ = load_embedder(
            identity.recogniser, identity.recogniser_file, lambda file: _of_faces(file, config, stack)
        )
        yield Examiner(detector, segmenter, embedder)


def _of_faces(file: Network, config: Config, stack: ExitStack) -> Engine:
    """A network that embeds faces: in float32, in which its thresholds were measured."""
    return _compiled(file, config.engine, Precision.F32, stack)


def _of_detector(precision: Precision) -> Precision:
    """The detector is not ours and has no version in int8."""
    return Precision.AUTO if precision is Precision.INT8 else precision


def _detector(file: DetectorFile, engine: Engine, config: Config) -> Detector:
    return file.detector(engine, size=config.faces.detect_size, threshold=float(config.faces.detect_threshold))


def _of_ours(name: str, asked: Precision, names: tuple[str, ...]) -> Precision:
    """What a network of ours is loaded in: int8 where it has such a version, and auto where only others have one."""
    if asked is not Precision.INT8 or models.has_int8(name) or not any(map(models.has_int8, names)):
        return asked
    return Precision.AUTO


def _compiled(network: Network, config: EngineConfig, precision: Precision, stack: ExitStack) -> Engine:
    engine = select.load(
        network,
        engine=config.engine,
        device=Device.named(config.device),
        precision=precision,
        threads=config.threads,
    )
    stack.callback(engine.close)
    return engine


def ends(job: Job, config: Config) -> tuple[FileSource, FileSink]:
    """What reads and what writes a video, as every run of it does, and a benchmark's that does nothing between."""
    source = FileSource(
        job.source, start=config.input.start, end=config.input.end, hardware=config.input.hardware_decoder
    )
    sink = FileSink(
        source,
        job.target,
        codec=Codec(config.output.codec),
        quality=config.output.quality,
        preset=config.output.preset,
        hardware=config.output.hardware_encoder,
        overwrite=config.output.overwrite,
    )
    return source, sink


def video(job: Job, config: Config, parts: Networks, controls: Controls | None = None) -> Film:
    """The pipeline from one video file to another. Nothing is opened yet."""
    source, sink = ends(job, config)
    tally = Tally()
    bare = faces(
        Pipeline.from_source("decode", source), config, parts, tally, follow=_follow(config), controls=controls
    )
    return Film(source, sink, tally, bare.then("encode", sink))


def still(job: Job, config: Config, parts: Networks, controls: Controls | None = None) -> Photo:
    """The pipeline from one picture file to another. Nothing is opened yet."""
    source = StillSource(job.source)
    sink = StillSink(source, job.target, quality=config.output.picture_quality, overwrite=config.output.overwrite)
    tally = Tally()
    bare = faces(Pipeline.from_source("decode", source), config, parts, tally, follow=each_its_own, controls=controls)
    values = {**vars(config.input), **vars(config.output)}
    idle = tuple(key for key in VIDEO_ONLY if values[key.replace("-", "_")] not in (None, "auto"))
    return Photo(sink, tally, bare.then("encode", sink), idle)


def live(source: Iterable[Frame], config: Config, parts: Networks, controls: Controls | None = None) -> Stream:
    """The pipeline from a live source to what is shown, one item for each frame. Nothing is opened yet."""
    ledger, tally = Ledger(OnError(config.live.on_error)), Tally()
    entered = Pipeline.from_source("camera", source).then("enter", ledger.enter)
    bare = faces(entered, config, parts, tally, follow=TrackFaces(), ledger=ledger, controls=controls)
    return Stream(ledger, tally, bare.then("settle", ledger.settle))


def worn(job: Job, config: Config, detector: Detector, wear: Stage[Tracked, Frame]) -> Film | Photo:
    """The pipeline from one file to another of its kind with `wear` between tracking and writing.

    Nothing is opened yet.
    """
    look = Detect(detector, every=config.faces.detect_every)
    tally = Tally()
    if job.still:
        source = StillSource(job.source)
        sink = StillSink(source, job.target, quality=config.output.picture_quality, overwrite=config.output.overwrite)
        seen = Pipeline.from_source("decode", source).then("detect", look).then("track", each_its_own)
        return Photo(sink, tally, seen.then("wear", wear).then("encode", sink), idle=())
    film_source, film_sink = ends(job, config)
    followed = Pipeline.from_source("decode", film_source).then("detect", look).then("track", _follow(config))
    return Film(film_source, film_sink, tally, followed.then("wear", wear).then("encode", film_sink))


def there_and_back(
    source: FileSource, config: Config, detector: Detector, wear: Stage[Tracked, Frame], parts: Networks
) -> Pipeline[Frame]:
    """The frames of a clip of bare faces with masks drawn on by `wear` and taken off again.

    `detector` finds the bare faces; it must not be the one of `parts`, which works at the same time.
    """
    look = Detect(detector, every=config.faces.detect_every)
    masked = (
        Pipeline.from_source("decode", source).then("find", look).then("follow", _follow(config)).then("wear", wear)
    )
    return faces(masked, config, parts, Tally(), follow=_follow(config))


def _follow(config: Config) -> TrackFaces:
    # As long as a doubtful face takes to be believed; each frame that is held back is held in memory.
    return TrackFaces(lookback=min(2 * config.faces.detect_every, MOST_HELD_BACK))


def faces(
    frames: Pipeline[Frame],
    config: Config,
    parts: Networks,
    tally: Tally,
    *,
    follow: Stage[Detected, Tracked],
    ledger: Ledger | None = None,
    controls: Controls | None = None,
) -> Pipeline[Frame]:
    """`frames` with their masks taken off: the same frames, at the same times, in the same order.

    A live run has a `ledger`: a network that fails is noted there and outlived, and faces are looked for by time as
    well. Without one a failure ends the run. With `controls` somebody may change how faces are drawn meanwhile.
    """
    # Each stage has a thread; OpenCV's own pool only spins beside them: up to half of a stage's CPU time.
    cv2.setNumThreads(1)
    every = config.faces.detect_every
    longest_seconds = None if ledger is None else every / USUAL_FPS
    segment, inpaint = Segment(parts.segmenter, every=config.faces.redraw_every), Inpaint(parts.generator)
    detect: Stage[Frame, Detected] = Detect(parts.detector, every=every, longest_seconds=longest_seconds)
    cut: Stage[Tracked, Looking] = segment.ask
    find: Stage[Looking, Cropped] = segment.answer
    name: tuple[Stage[Cropped, Asking], Stage[Asking, Cropped]] | None = None
    if parts.who is not None:
        tally.people = set()
        identify = Identify(parts.who.embedder, parts.who.choice, people=tally.people)
        name = identify.ask, identify.answer
    start: Stage[Cropped, Drawing] = inpaint.ask
    draw: Stage[Drawing, Inpainted] = inpaint.answer
    if ledger is not None:
        detect = Forgiving(detect, ledger, frame_of=lambda frame: frame, instead=without_look)
        cut = Forgiving(cut, ledger, frame_of=lambda tracked: tracked.frame, instead=without_masks)
        find = Forgiving(find, ledger, frame_of=lambda looking: looking.frame, instead=without_crops)
        start = Forgiving(start, ledger, frame_of=lambda cropped: cropped.frame, instead=without_faces)
        draw = Forgiving(draw, ledger, frame_of=lambda drawing: drawing.frame, instead=without_patches)
        if name is not None:
            asked = Forgiving(name[0], ledger, frame_of=lambda cropped: cropped.frame, instead=without_names)
            told = Forgiving(name[1], ledger, frame_of=lambda asking: asking.frame, instead=without_chosen)
            name = asked, told
    smooth: Stage[Inpainted, Inpainted] = Smooth()
    blend: Stage[Inpainted, Frame] = Blend()
    if controls is not None:
        smooth, blend = controls.smooth(), controls.blend()
        if name is None:
            find = _joined(find, controls.choose)
        else:
            name = name[0], _joined(name[1], controls.choose)
    aligned = frames.then("detect", detect).then("track", follow).then("align", cut)
    if name is None:
        started = aligned.then("segment", _joined(find, start))
    else:  # the recogniser works while the next frame's masks are found
        started = aligned.then("segment", _joined(find, name[0])).then("identify", _joined(name[1], start))
    blended = started.then("inpaint", _joined(draw, tally)).then("smooth", smooth).then("blend", blend)
    return blended.then("mark", Mark()) if config.output.mark else blended


def each_its_own(items: Iterator[Detected]) -> Iterator[Tracked]:
    """Stage for pictures: every detection is a track, since no later frame can confirm it."""
    for item in items:
        found = enumerate(item.detections or (), start=1)
        yield Tracked(item, tuple(Track(number, face, age=0, unseen=0) for number, face in found))


def _joined(first: Stage[First, Middle], second: Stage[Middle, Last]) -> Stage[First, Last]:
    """Two stages as one, in one thread."""
    return lambda items: second(first(items))
