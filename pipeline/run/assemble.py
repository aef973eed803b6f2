"""Settings and networks to a pipeline: the one place where stages are made and joined."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

import cv2

from pipeline.blend.blend import Blend
from pipeline.blend.paste import Mark
from pipeline.blend.smooth import Smooth
from pipeline.draw.inpaint import Inpaint
from pipeline.draw.mouth import UNTOLD, Mouth
from pipeline.draw.segment import Segment
from pipeline.errors import ConfigError
from pipeline.find.detect import Detect, DetectInPicture
from pipeline.find.track import TrackFaces, track_each_detection
from pipeline.people.identify import Identify
from pipeline.run.ledger import Ledger, Surviving, survive
from pipeline.run.report import Tally
from pipeline.run.shown import Compared, Matte, Overlaid, Paired, Recorder
from pipeline.run.work import Film, Photo, Stream, Stretch
from pipeline.settings.config import Compare, Expression, OnError
from pipeline.threads.runner import Pipeline
from pipeline.video.animation import FRAME_SHARE
from pipeline.video.codecs import Codec, OtherStreams
from pipeline.video.decode import FileSource
from pipeline.video.encode import FileSink
from pipeline.video.labels import Seal
from pipeline.video.pieces import ENCODER_THREADS, PieceSink
from pipeline.video.stills import StillSink, StillSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.detectors import Detector
    from pipeline.draw.inpaint import Drawing
    from pipeline.draw.mouth import Speaking, Telling
    from pipeline.draw.segment import Looking
    from pipeline.frames import Cropped, Detected, Frame, Inpainted, Tracked
    from pipeline.people.identify import Asking
    from pipeline.run.batch import Job
    from pipeline.run.ledger import NetworkStages
    from pipeline.run.load import Networks
    from pipeline.run.work import Controls
    from pipeline.settings.config import Config
    from pipeline.threads.worker import Stage

First = TypeVar("First")
Middle = TypeVar("Middle")
Last = TypeVar("Last")
Item = TypeVar("Item")

VIDEO_ONLY = ("start", "end", "codec", "quality", "preset", "hardware-decoder", "hardware-encoder")
"""Settings that mean nothing for a picture."""


USUAL_FPS = 30
"""Frames a second of a usual camera: what `detect-every` means in seconds where frames are left out."""

LIVE_MOUTH_EVERY = 3
"""In a live run a mouth moves in every third frame: ten times a second at 30, and a syllable takes a quarter of one."""

MOST_HELD_BACK = 16
"""Frames that the tracker may hold back."""


def ends(job: Job, config: Config, *, encoder_threads: int | None = None) -> tuple[FileSource, FileSink]:
    """What reads and what writes a video, as every run of it does, and a benchmark's that does nothing between."""
    source = _source(job, config)
    return source, _video_sink(source, job.target, config, encoder_threads)


def _video_sink(source: FileSource, target: Path, config: Config, encoder_threads: int | None) -> FileSink:
    """What writes a video as the settings say."""
    return FileSink(
        source,
        target,
        codec=Codec(config.output.codec),
        quality=config.output.quality,
        preset=config.output.preset,
        hardware=config.output.hardware_encoder,
        other_streams=OtherStreams(config.output.other_streams),
        overwrite=config.output.overwrite,
        encoder_threads=encoder_threads,
        seal=_seal(config),
    )


def _still_sink(source: StillSource, target: Path, config: Config) -> StillSink:
    """What writes a picture as the settings say."""
    output = config.output
    return StillSink(source, target, quality=output.picture_quality, overwrite=output.overwrite, seal=_seal(config))


def _seal(config: Config) -> Seal | None:
    """What signs outputs, where that was asked for. Raises `ConfigError` for a certificate that nobody would use."""
    output = config.output
    if not output.c2pa:
        if output.certificate or output.certificate_key:
            raise ConfigError("--certificate and --certificate-key sign by C2PA: give --c2pa, too")
        return None
    named = [None if given is None else Path(given) for given in (output.certificate, output.certificate_key)]
    return Seal(*named)


def _source(job: Job, config: Config) -> FileSource:
    """What reads a video. Raises `SourceError` when only some frames are asked for and it can't be opened."""
    source = FileSource(
        job.source,
        start=config.input.start,
        end=config.input.end,
        hardware=config.input.hardware_decoder,
        largest_megapixels=config.input.largest_picture * FRAME_SHARE,
    )
    if config.input.frames is None:
        return source

    # So many frames are so much time, by which sound and subtitles are cut as well; half a frame more or less is none.
    last = (source.start or Fraction(0)) + (config.input.frames - Fraction(1, 2)) * source.info.frame_seconds
    return replace(source, end=last if source.end is None else min(source.end, last))


def video(job: Job, config: Config, networks: Networks, controls: Controls | None = None) -> Film:
    """The pipeline from one video file to another. Nothing is opened yet, but the sound that mouths are to follow.

    Raises `SourceError` where there is none.
    """
    source, sink = ends(job, config)
    tally = Tally()
    _check_matte(config, ".mkv")
    frames = Pipeline.from_source("decode", source)
    look: dict[str, Any] = {"controls": controls, "mouth": networks.told_mouth(config, job.source)}
    bare = faces(frames, config, networks, tally, follow=file_tracker(config), **look)
    return Film(source, sink, tally, bare.then("encode", sink), config.faces.detect_size)


def _check_matte(config: Config, suffix: str) -> None:
    """Raise `ConfigError` for a matte of another kind than the input's."""
    if config.output.matte is not None and Path(config.output.matte).suffix != suffix:
        raise ConfigError(f"the matte of this input must end in {suffix}, not as {config.output.matte}")


def stretch(source: FileSource, config: Config, networks: Networks, tally: Tally) -> Pipeline[Frame]:
    """The frames of a stretch of a video file with their masks taken off. Nothing is opened yet."""
    follow = joined(file_tracker(config), _until(source))
    frames, mouth = Pipeline.from_source("decode", source), networks.told_mouth(config, source.path)
    return faces(frames, config, networks, tally, follow=follow, mouth=mouth)


def piece(source: FileSource, target: Path, config: Config, networks: Networks, ending: Stage[Frame, Frame]) -> Stretch:
    """The pipeline from a stretch of a video file to the packets of an output like `target`. Nothing is opened yet.

    `ending` changes what is encoded.
    """
    sink = PieceSink(_video_sink(source, target, config, ENCODER_THREADS))
    tally = Tally(counted=source.counts)
    bare = stretch(source, config, networks, tally)
    return Stretch(sink, tally, bare.then("encode", joined(ending, sink)))


def _until(source: FileSource) -> Stage[Tracked, Tracked]:
    """Stage that drops the frames behind the end of `source`, where the tracker was all that had to see them."""

    def before_the_end(items: Iterator[Tracked]) -> Iterator[Tracked]:
        return (item for item in items if source.end is None or item.frame.time - source.info.origin < source.end)

    return before_the_end


def still(job: Job, config: Config, networks: Networks, controls: Controls | None = None) -> Photo:
    """The pipeline from one picture file to another. Nothing is opened yet."""
    source = StillSource(job.source, largest_megapixels=config.input.largest_picture)
    sink = _still_sink(source, job.target, config)
    tally = Tally()
    _check_matte(config, ".png")
    frames = Pipeline.from_source("decode", source)
    look: dict[str, Any] = {"controls": controls, "mouth": networks.told_mouth(config, None), "picture": True}
    bare = faces(frames, config, networks, tally, follow=track_each_detection, **look)

    values = {**vars(config.input), **vars(config.output)}
    idle = tuple(key for key in VIDEO_ONLY if values[key.replace("-", "_")] not in (None, "auto"))
    idle += ("expression",) if config.faces.expression == Expression.SPEECH else ()
    return Photo(sink, tally, bare.then("encode", sink), idle)


def beside(job: Job, result: Path, config: Config) -> Film | Photo:
    """The pipeline from `job`'s input and its finished `result` to both side by side. Nothing is opened yet."""
    if job.still:
        source = StillSource(job.source, largest_megapixels=config.input.largest_picture)
        others = StillSource(result, largest_megapixels=config.input.largest_picture)
        sink = _still_sink(source, job.target, config)
        pair = Pipeline.from_source("decode", source).then("pair", Paired(others))
        return Photo(sink, Tally(), pair.then("encode", sink), idle=())
    film_source, film_sink = ends(job, config)
    paired = Pipeline.from_source("decode", film_source).then("pair", Paired(FileSource(result)))
    return Film(film_source, film_sink, Tally(), paired.then("encode", film_sink))


def live(
    source: Iterable[Frame],
    config: Config,
    networks: Networks,
    controls: Controls | None = None,
    speaking: Speaking | None = None,
) -> Stream:
    """The pipeline from a live source to what is shown, one item for each frame. Nothing is opened yet.

    Mouths do what `speaking` hears, where there is one. Raises `ConfigError` for mouths that are to follow a sound
    where there is none.
    """
    if config.faces.expression == Expression.SPEECH and speaking is None:
        raise ConfigError("expression can't be speech in a live run that hears nothing: give --microphone default")
    ledger, tally = Ledger(OnError(config.live.on_error)), Tally()
    entered = Pipeline.from_source("camera", source).then("enter", ledger.enter)
    follow = TrackFaces(**config.of_stage("track"))
    mouth = replace(networks.told_mouth(config, None), spoken=speaking)
    bare = faces(entered, config, networks, tally, follow=follow, ledger=ledger, controls=controls, mouth=mouth)
    return Stream(ledger, tally, bare.then("settle", ledger.settle))


def worn(job: Job, config: Config, detector: Detector, wear: Stage[Tracked, Frame]) -> Film | Photo:
    """The pipeline from one file to another of its kind with `wear` between tracking and writing.

    Nothing is opened yet.
    """
    look = Detect(detector, every=config.faces.detect_every, **config.of_stage("detect"))
    tally = Tally()
    if job.still:
        source = StillSource(job.source, largest_megapixels=config.input.largest_picture)
        sink = _still_sink(source, job.target, config)
        seen = Pipeline.from_source("decode", source).then("detect", look).then("track", track_each_detection)
        return Photo(sink, tally, seen.then("wear", wear).then("encode", sink), idle=())
    film_source, film_sink = ends(job, config)
    followed = Pipeline.from_source("decode", film_source).then("detect", look).then("track", file_tracker(config))
    return Film(film_source, film_sink, tally, followed.then("wear", wear).then("encode", film_sink))


def there_and_back(
    source: FileSource,
    config: Config,
    detector: Detector,
    wear: Stage[Tracked, Frame],
    networks: Networks,
    *,
    mouth: Mouth | None = None,
) -> Pipeline[Frame]:
    """The frames of a clip of bare faces with masks drawn on by `wear` and taken off again.

    `detector` finds the bare faces; it must not be the one of `networks`, which works at the same time. `mouth` is what
    the generator is told instead of what the settings say.
    """
    look = Detect(detector, every=config.faces.detect_every, **config.of_stage("detect"))
    masked = (
        Pipeline.from_source("decode", source)
        .then("find", look)
        .then("follow", file_tracker(config))
        .then("wear", wear)
    )
    mouth = networks.told_mouth(config, source.path) if mouth is None else mouth
    return faces(masked, config, networks, Tally(), follow=file_tracker(config), mouth=mouth)


def file_tracker(config: Config) -> TrackFaces:
    """The tracker of a video file, which may hold frames back."""
    # As long as a doubtful face takes to be believed; each frame that is held back is held in memory.
    lookback_frames = min(2 * config.faces.detect_every, MOST_HELD_BACK)
    return TrackFaces(lookback_frames=lookback_frames, **config.of_stage("track"))


def faces(
    frames: Pipeline[Frame],
    config: Config,
    networks: Networks,
    tally: Tally,
    *,
    follow: Stage[Detected, Tracked],
    ledger: Ledger | None = None,
    controls: Controls | None = None,
    mouth: Mouth = UNTOLD,
    picture: bool = False,
) -> Pipeline[Frame]:
    """`frames` with their masks taken off: the same frames, at the same times, in the same order.

    A live run has a `ledger`: a network that fails is noted there and outlived, and faces are looked for by time as
    well. Without one a failure ends the run. With `controls` somebody may change how faces are drawn meanwhile.
    A `picture` is searched more thoroughly than the frames of a video.

    Raises `ConfigError` when the generator is to be told of a `mouth` and takes no expression.
    """
    # Each stage has a thread; OpenCV's own pool only spins beside them: up to half of a stage's CPU time.
    cv2.setNumThreads(1)
    if mouth.told and not networks.takes_expression:
        raise ConfigError(
            "expression, smile and mouth-open need a generator that takes an expression; this one doesn't"
        )
    told = mouth if controls is None else controls.mouth(mouth)
    detect, segment, identify, inpaint = _network_stages(config, networks, tally, ledger, told, thorough=picture)
    if picture:
        detect = DetectInPicture(networks.detector, config.faces.detect_size)
    choose, smooth, blend = _watched(config, controls)

    # A network works on one frame while the threads on both sides of it work on others.
    seen = frames.then("detect", detect).then("track", follow).then("align", segment.ask)
    if identify is None:
        assign = unchanged if networks.wearers is None else networks.wearers.assign
        begun = seen.then("segment", joined(segment.answer, assign, choose, inpaint.ask))
    else:
        named = seen.then("segment", joined(segment.answer, identify.ask))
        begun = named.then("identify", joined(identify.answer, choose, inpaint.ask))
    drawn = (
        begun.then("inpaint", joined(inpaint.answer, tally, _recorder(config)))
        .then("smooth", smooth)
        .then("blend", blend)
    )
    return drawn.then("mark", Mark(**config.of_stage("mark"))) if config.output.mark else drawn


def _network_stages(
    config: Config, networks: Networks, tally: Tally, ledger: Ledger | None, mouth: Telling, *, thorough: bool
) -> _NetworkStages:
    """The stages around each network. With a `ledger` they outlive the failures of their networks."""
    every = config.faces.detect_every
    longest_seconds = None if ledger is None else every / USUAL_FPS
    detect = Detect(networks.detector, every=every, longest_seconds=longest_seconds, **config.of_stage("detect"))
    segment = Segment(
        networks.segmenter, every=config.faces.redraw_every, thorough=thorough, **config.of_stage("segment")
    )
    often = {"every": config.faces.redraw_every, "mouth_every": 1 if ledger is None else LIVE_MOUTH_EVERY}
    inpaint = Inpaint(networks.generator, networks.own, mouth, networks.figure, **often, **config.of_stage("inpaint"))
    identify: Identify | None = None
    if networks.who is not None:
        tally.people = {}
        settings = config.of_stage("identify")
        identify = Identify(
            networks.who.embedder, networks.who.choice, networks.wearers, people=tally.people, **settings
        )

    if ledger is None:
        return _NetworkStages(detect, segment, identify, inpaint)
    return _NetworkStages(
        survive(detect, detect.unanswered, ledger),
        Surviving(segment, ledger),
        None if identify is None else Surviving(identify, ledger),
        Surviving(inpaint, ledger),
    )


def _recorder(config: Config) -> Stage[Inpainted, Inpainted]:
    """The stage that writes what was found and done in each frame, where that was asked for."""
    path = config.report.faces
    return unchanged if path is None else Recorder(Path(path), overwrite=config.output.overwrite)


class _NetworkStages(NamedTuple):
    detect: Stage[Frame, Detected]
    segment: NetworkStages[Tracked, Looking, Cropped]
    identify: NetworkStages[Cropped, Asking, Cropped] | None
    inpaint: NetworkStages[Cropped, Drawing, Inpainted]


def _watched(
    config: Config, controls: Controls | None
) -> tuple[Stage[Cropped, Cropped], Stage[Inpainted, Inpainted], Stage[Inpainted, Frame]]:
    """The stages that whoever watches may change: which faces are drawn, how they are smoothed and blended."""
    smooth, blend = Smooth(**config.of_stage("smooth")), Blend(**config.of_stage("blend"))
    if controls is None:
        return unchanged, smooth, _shown(blend, config)
    return controls.choose, controls.smooth(smooth), _shown(controls.blend(blend), config)


def _shown(blend: Stage[Inpainted, Frame], config: Config) -> Stage[Inpainted, Frame]:
    """Blending, with a matte, with what was found or with the picture before it, where that was asked for."""
    if config.output.matte is not None:
        blend = Matte(blend, Path(config.output.matte), overwrite=config.output.overwrite)
    compared = blend if config.output.compare is None else Compared(blend, Compare(config.output.compare))
    return Overlaid(compared) if config.output.overlay else compared


def unchanged(items: Iterator[Item]) -> Iterator[Item]:
    """Stage that changes nothing."""
    return items


@overload
def joined(first: Stage[First, Middle], second: Stage[Middle, Last], /) -> Stage[First, Last]: ...
@overload
def joined(
    first: Stage[First, Middle], second: Stage[Middle, Item], third: Stage[Item, Last], /
) -> Stage[First, Last]: ...
@overload
def joined(
    first: Stage[First, Middle], second: Stage[Middle, Item], third: Stage[Item, Item], fourth: Stage[Item, Last], /
) -> Stage[First, Last]: ...
def joined(*stages: Stage[Any, Any]) -> Stage[Any, Any]:
    """Several stages as one, in one thread."""
    return lambda items: reduce(lambda stream, stage: stage(stream), stages, items)
