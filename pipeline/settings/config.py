"""What can be set: frozen dataclasses, with one meaning in a TOML file and as flags.

A field's key is its name with dashes: `detect_every` is the flag `--detect-every 3` and in TOML `detect-every = 3`. The
rule beside each field parses and checks it, and says what is allowed, whichever way the value came. Importing this
module loads nothing heavy, so that `barefaced --help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from engine.spec import Precision
from pipeline.errors import ConfigError
from pipeline.rules import (
    Files,
    Modules,
    Number,
    OneOf,
    Setting,
    Share,
    Size,
    Switch,
    Text,
    Time,
    Whole,
    setting,
    settings_in,
)
from pipeline.video.codecs import HARDWARE, OTHER_NAMES, PRESETS, Codec, OtherStreams, default_qualities

if TYPE_CHECKING:
    from collections.abc import Mapping

STAGES = ("detect", "track", "segment", "identify", "inpaint", "smooth", "blend", "mark")
"""The stages that have settings, in the order in which a frame passes them. Each is a table in TOML."""


class OnError(StrEnum):
    """What is shown instead of a frame in which a network failed."""

    PASS = "pass"  # noqa: S105 - a way, not a word
    """The frame as far as it got: as a rule the camera's own picture, with its mask."""
    FREEZE = "freeze"
    """The last frame that went well."""
    BLANK = "blank"
    """Black."""


class Expression(StrEnum):
    """Who says what a drawn mouth does."""

    AUTO = "auto"
    NEUTRAL = "neutral"
    SPEECH = "speech"


class Compare(StrEnum):
    """How before and after are shown in one picture."""

    SIDE = "side"
    SPLIT = "split"


class ProgressKind(StrEnum):
    """How progress is shown, on standard error."""

    AUTO = "auto"
    """A bar on a terminal, lines elsewhere."""
    BAR = "bar"
    LINES = "lines"
    """A line every ten seconds."""
    JSON = "json"
    """A line of JSON every second and whenever a file begins or ends, for other programs."""
    NONE = "none"


@dataclass(frozen=True)
class InputConfig:
    """What is read."""

    start: Fraction | None = setting(None, Time(), "begin here, in seconds or h:m:s; the output begins at 0")
    end: Fraction | None = setting(None, Time(), "end before this time; sound is cut with it")
    frames: int | None = setting(None, Whole(1, 1_000_000), "process only so many frames, for a quick look")
    largest_picture: int = setting(250, Whole(1, 100_000), "refuse larger pictures, in megapixels; 250 takes 2.3 GB")
    hardware_decoder: str | None = setting(
        None, Text(), "decode on this hardware, such as cuda or qsv; `barefaced doctor` lists them"
    )


@dataclass(frozen=True)
class OutputConfig:
    """What is written."""

    codec: str = setting(
        "auto",
        OneOf(tuple(Codec), OTHER_NAMES),
        "video codec; auto takes the container's usual one; ffv1, webp and apng lose nothing",
    )
    quality: int | None = setting(
        None,
        Whole(0, 63),
        f"quality of video, where lower is better and larger; left out: {default_qualities()}; the scale is "
        "the codec's own, up to 51 for h264 and hevc",
    )
    picture_quality: int | None = setting(
        None, Whole(1, 100), "quality of JPEG, WebP and AVIF pictures; left out: that of a JPEG input, else 95"
    )
    preset: str | None = setting(None, OneOf(PRESETS), "speed of encoding against size; left out: veryfast")
    hardware_encoder: str | None = setting(None, OneOf(HARDWARE), "encode on NVIDIA's, Intel's or AMD's hardware")
    other_streams: str = setting(
        "auto",
        OneOf(tuple(OtherStreams)),
        "sound, subtitles and the like that the output can't hold; auto refuses where another container holds them and "
        "leaves out what none holds; what is left out is listed as missing",
    )
    overwrite: bool = setting(default=False, rule=Switch(), meaning="replace an output that exists")
    skip_existing: bool = setting(
        default=False, rule=Switch(), meaning="leave out inputs whose output exists; for a batch that was ended"
    )
    compare: str | None = setting(
        None,
        OneOf(tuple(Compare)),
        "show before and after in the output; side puts both beside each other at half their size, split takes the "
        "left half of one and the right half of the other",
    )
    overlay: bool = setting(
        default=False,
        rule=Switch(),
        meaning="draw what was found on the output; boxes, landmarks, and what was done with each face",
    )
    matte: str | None = setting(
        None,
        Text(r".+\.(mkv|png)", "a name that ends in .mkv, or for a picture in .png", metavar="FILE.mkv"),
        "write where something was drawn, white on black, for an editor; several inputs need a run each",
    )
    mark: bool = setting(default=False, rule=Switch(), meaning="draw a small visible mark in a corner: SYNTHETIC")
    c2pa: bool = setting(
        default=False,
        rule=Switch(),
        meaning="sign the output by C2PA, which says what was drawn and into which input; needs c2pa-python",
    )
    certificate: str | None = setting(
        None,
        Text(metavar="FILE.pem"),
        "certificate that signs, and those that vouch for it; left out: one that is made for this machine",
    )
    certificate_key: str | None = setting(None, Text(metavar="FILE.pem"), "private key of the certificate")


@dataclass(frozen=True)
class FacesConfig:
    """How faces are found."""

    detector: str = setting("retinaface", Modules("pipeline/detectors"), "finds the faces")
    detect_every: int = setting(
        4,
        Whole(1, 120),
        "look for faces in every n-th frame, half as often while they hardly move, and follow them between; raise it "
        "and new faces are found later, 1 looks in every frame",
    )
    redraw_every: int = setting(
        8,
        Whole(1, 120),
        "draw a face anew in every n-th frame at least, and sooner when it changes; 1 draws it in every frame",
    )
    expression: str = setting(
        "auto",
        OneOf(tuple(Expression)),
        "what drawn mouths do; auto leaves it to the network, neutral closes the lips, speech moves the mouth of "
        "somebody who is alone in the picture with the file's sound, or live with --microphone; whatever they do is "
        "invented",
    )
    smile: float = setting(
        0.0, Number(-3, 3), "how much drawn mouths smile; 2 is a broad smile, -2 turns the corners down"
    )
    mouth_open: float = setting(
        0.0, Number(-3, 3), "how much wider than otherwise drawn mouths are open; 2 shows the teeth"
    )
    detect_size: int = setting(
        640,
        Whole(64, 4096),
        "longer side, in pixels, of the picture that the detector gets; raise it to find smaller faces, at a cost",
    )
    detect_threshold: Fraction = setting(
        Fraction(1, 2),
        Share(),
        "score from which a detection is a face; lower it and more faces are found, and more things that are none",
    )


@dataclass(frozen=True)
class IdentityConfig:
    """How people are told apart, and whose masks come off."""

    only: tuple[str, ...] = setting(
        (),
        Files(),
        "take off the mask of this person alone; a picture with one face in it; give it again for more people",
    )
    except_: tuple[str, ...] = setting((), Files(), "leave the mask of this person on; give it again for more people")
    face: tuple[str, ...] = setting(
        (),
        Files(metavar="FILE.face"),
        "model what is drawn on this person's own face; a file of `barefaced enroll`; give it again for more people",
    )
    only_enrolled: bool = setting(
        default=False, rule=Switch(), meaning="leave the masks of people on who are not enrolled"
    )
    identity: bool = setting(
        default=False,
        rule=Switch(),
        meaning="know people again after occlusions and cuts, and count them; --only and --except imply it",
    )
    recogniser: str = setting("barefaced", Modules("pipeline/recognisers"), "tells people apart")
    recogniser_file: str | None = setting(
        None, Text(metavar="FILE.onnx"), "network of a recogniser that neither ships nor comes with the extra identity"
    )

    @property
    def wanted(self) -> bool:
        """Whether people are to be told apart at all."""
        return self.identity or bool(self.only or self.except_)


@dataclass(frozen=True)
class EngineConfig:
    """What runs the networks."""

    engine: str = setting(
        "auto",
        Modules("engine/backends", "auto"),
        "what runs the networks; auto takes the first that works and says which",
    )
    device: str = setting(
        "cpu",
        Text(
            r"auto|cpu|gpu|npu|coreml|(cuda|rocm|directml|intel)(:\d+)?",
            "auto, cpu, gpu, cuda, rocm, directml, coreml, intel or npu, some with a number as in cuda:1",
            aliases={"nvidia": "cuda", "amd": "rocm", "dml": "directml", "apple": "coreml", "mps": "coreml"},
        ),
        "auto takes a CUDA GPU that works, else the cpu, and says so; gpu takes the first GPU of any kind; cuda, "
        "cuda:1, rocm, directml, coreml, intel (its GPUs) and npu are never replaced",
    )
    precision: str = setting(
        "auto",
        OneOf(tuple(Precision)),
        "number format of the networks; auto picks the fastest that costs no quality here",
    )
    threads: int = setting(0, Whole(0, 1024), "CPU threads for each network; 0 leaves the choice to the engine")


@dataclass(frozen=True)
class LiveConfig:
    """What `barefaced live` takes beside the settings of every run."""

    camera: str = setting(
        "0", Text(), "camera to open; a number, a path such as /dev/video2 or a name; `barefaced cameras` lists them"
    )
    camera_format: str | None = setting(
        None, Text(r"[a-z0-9]+", "a name such as mjpeg or yuyv422"), "format to ask the camera for, such as mjpeg"
    )
    input: str | None = setting(
        None, Text(metavar="URL|FILE"), "take a stream such as rtsp://… instead of a camera, or a file with --realtime"
    )
    realtime: bool = setting(default=False, rule=Switch(), meaning="play the file of --input as a camera would")
    microphone: str | None = setting(
        None, Text(), "move the drawn mouth with this microphone, such as default; implies --expression speech"
    )
    size: tuple[int, int] | None = setting(
        None, Size(), "size to ask the camera for and to give the virtual camera; left out: the camera's own choice"
    )
    fps: int = setting(30, Whole(1, 240), "frames a second to ask the camera for and to send; late ones are repeated")
    delay: int = setting(
        0,
        Whole(0, 5000),
        "show each frame so many milliseconds after it arrived, to delay a microphone alike; 0 shows it at once",
    )
    oldest_ms: int = setting(1000, Whole(50, 60_000), "never show an older frame, but the newest picture, undrawn")
    on_error: str = setting(
        "pass", OneOf(tuple(OnError)), "shown when a network fails or is late; the frame, the last good one, or black"
    )
    rest: bool = setting(
        default=False,
        rule=Switch(),
        meaning="close the camera while no program of yours watches the virtual one (Linux)",
    )
    in_flight: int = setting(
        2,
        Whole(1, 8),
        "frames worked on at a time; raise it on many cores for more frames a second, each one older",
    )


@dataclass(frozen=True)
class ServeConfig:
    """The page of `barefaced serve`."""

    host: str = setting(
        "127.0.0.1",
        Text(r"[A-Za-z0-9.:-]+", "an address or a name", metavar="ADDRESS"),
        "address of the page; any but 127.0.0.1 lets other machines in",
    )
    port: int = setting(8437, Whole(0, 65535), "port of the page; 0 takes a free one")
    token: bool = setting(
        default=True, rule=Switch(), meaning="let in only the browser that opens the link, which works once"
    )
    open: bool = setting(
        default=True, rule=Switch(), meaning="open the page in the browser, where this machine has a screen"
    )
    face_folder: str | None = setting(
        None, Text(metavar="DIR"), "where faces enrolled on the page are kept; your own data directory unless told"
    )
    upload_megabytes: int = setting(512, Whole(1, 1_000_000), "largest file that may be dropped on the page, in MB")
    upload_minutes: int = setting(30, Whole(1, 1440), "minutes that receiving a file may take, and then processing it")


@dataclass(frozen=True)
class ChunksConfig:
    """How a long recording is cut into chunks, and who computes them."""

    chunk_seconds: float | None = setting(
        None,
        Number(0, 3600),
        "cut a video at key frames into chunks of this length, so that a run that was killed goes on where it was; "
        "0 never cuts; left out: 90 for a video of more than three minutes",
    )
    fresh: bool = setting(
        default=False, rule=Switch(), meaning="begin anew, though finished chunks of the same run are there"
    )
    cluster: str | None = setting(
        None,
        Text(metavar="auto|ADDRESS"),
        "compute chunks on a Ray cluster: auto starts one on this machine; in chunks of 30 seconds unless told",
    )
    shared: bool = setting(
        default=False, rule=Switch(), meaning="all nodes of the cluster see the inputs under the same paths"
    )


@dataclass(frozen=True)
class ReportConfig:
    """What is said about a run."""

    stats: bool = setting(default=False, rule=Switch(), meaning="print where the time went, stage by stage")
    report: str | None = setting(None, Text(metavar="FILE"), "write a JSON report to this file; - is standard output")
    faces: str | None = setting(
        None,
        Text(metavar="FILE.jsonl"),
        "write what was found and done in each frame, a line of JSON for each; of several inputs, in a directory",
    )
    progress: str = setting(
        "auto",
        OneOf(tuple(ProgressKind)),
        "how progress is shown; auto draws a bar on a terminal and writes a line now and then elsewhere",
    )


@dataclass(frozen=True)
class Config:
    """All settings; each command takes those that mean something to it."""

    input: InputConfig = InputConfig()
    output: OutputConfig = OutputConfig()
    faces: FacesConfig = FacesConfig()
    identity: IdentityConfig = IdentityConfig()
    engine: EngineConfig = EngineConfig()
    live: LiveConfig = LiveConfig()
    serve: ServeConfig = ServeConfig()
    chunks: ChunksConfig = ChunksConfig()
    report: ReportConfig = ReportConfig()
    stages: Mapping[str, object] = field(default_factory=dict)
    """What was set of the stages, by full name, such as `blend.feather-px`; the rest is as the stages have it."""

    def __post_init__(self) -> None:
        start, end = self.input.start or Fraction(0), self.input.end
        if end is not None and end <= start:
            raise ConfigError(f"end {float(end):g} s is not after start {float(start):g} s: nothing would be left")
        if self.output.overwrite and self.output.skip_existing:
            raise ConfigError("overwrite and skip-existing contradict each other: leave one out")
        if self.faces.expression == Expression.SPEECH and self.chunks.cluster and not self.chunks.shared:
            raise ConfigError("expression can't be speech on a cluster that does not see the inputs: add --shared")
        if self.live.microphone and self.faces.expression == Expression.NEUTRAL:
            raise ConfigError("a microphone moves the mouth, and expression neutral keeps it still: leave one out")

    def of_stage(self, stage: str) -> dict[str, Any]:
        """The fields of a stage that were set, as keyword arguments for it."""
        known = stage_settings() if self.stages else {}
        return {known[name].field: value for name, value in self.stages.items() if known[name].group == stage}


@cache
def stage_settings() -> Mapping[str, Setting]:
    """Every setting of a stage by its full name, such as `blend.feather-px`.

    The stages are imported here, since they load OpenCV and FFmpeg, for which `--help` need not wait.
    """
    from pipeline.blend.blend import Blend
    from pipeline.blend.paste import Mark
    from pipeline.blend.smooth import Smooth
    from pipeline.draw.inpaint import Inpaint
    from pipeline.draw.segment import Segment
    from pipeline.find.detect import Detect
    from pipeline.find.track import TrackFaces
    from pipeline.people.identify import Identify

    classes = (Detect, TrackFaces, Segment, Identify, Inpaint, Smooth, Blend, Mark)
    stages = dict(zip(STAGES, classes, strict=True))
    return {f"{name}.{item.key}": item for name, stage in stages.items() for item in settings_in(stage, name)}
