"""`barefaced enroll` and `barefaced faces`, and the faces that `barefaced run --learn` finds in the clip itself."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from commands.parsing import add
from pipeline.errors import ConfigError, SourceError
from pipeline.settings import flags, manual, values
from pipeline.settings.config import ProgressKind
from pipeline.whole_file import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tqdm import tqdm

    from barefaced.enrolment import Enrolment
    from commands.parsing import Commands
    from pipeline.frames import Frame
    from pipeline.people.embed import Embedder
    from pipeline.run.load import Networks
    from pipeline.settings.config import Config
    from training.enrol.enrol import Enrolled
    from training.enrol.gather import View
    from training.enrol.tune import TuningProgress


def add_enroll(commands: Commands) -> None:
    """Add `enroll`."""
    parser = add(
        commands,
        "enroll",
        _enroll,
        summary="learn one person's own face from a recording or photos",
        description=manual.ENROLL,
        epilog=manual.ENROLL_EXAMPLES,
    )
    parser.usage = "barefaced enroll SOURCE [SOURCE ...] -o ME.face --agreed [SETTING ...]"

    # From what.
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="videos, photos, directories of photos")
    parser.add_argument("--camera", metavar="NAME", help="record from this camera: a number, a path, a name")
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=40.0,
        metavar="N",
        help="how long to record from it, in seconds (default: 40)",
    )

    parser.add_argument(
        "--preview",
        action="store_true",
        help="show the camera's picture in a window, with what to do and what is lacking",
    )

    # What becomes of it.
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="ME.face", help="the file to write")
    parser.add_argument("--agreed", action="store_true", help="the person whose face it is agreed to it")
    parser.add_argument(
        "--minutes", type=_minutes, default=10.0, metavar="N", help="longest time to learn, in minutes (default: 10)"
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE.png", help="masked, shipped, own and true faces, to look at"
    )
    parser.add_argument(
        "--no-recognition",
        action="store_true",
        help="keep no embedding: the face is then drawn on whoever is alone in the picture",
    )

    parser.add_argument(
        "--only", dest="person", metavar="PERSON.jpg", help="who is meant, where a recording shows several people"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    flags.add_flags(parser, flags.of_groups("input", "engine"))


def add_faces(commands: Commands) -> None:
    """Add `faces`."""
    parser = add(commands, "faces", _faces, summary="describe and forget learned faces", description=manual.FACES)
    parser.add_argument(
        "faces",
        nargs="*",
        type=Path,
        metavar="ME.face",
        help="files, or directories of them (default: the current directory)",
    )
    parser.add_argument("--forget", action="store_true", help="delete them, and engines that were compiled of them")


def _minutes(text: str) -> float:
    """A number of minutes above 0, for argparse."""
    return _above_zero(text, "minutes", most=24 * 60)


def _seconds(text: str) -> float:
    """A number of seconds above 0, for argparse."""
    return _above_zero(text, "seconds", most=600)


def _above_zero(text: str, unit: str, *, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of {unit} above 0 and up to {most}")
    return value


def _enroll(options: argparse.Namespace) -> int:
    from barefaced.enrolment import check_enrolment, keep

    check_enrolment(options.output, agreed=options.agreed, overwrite=options.overwrite)
    if not options.sources and options.camera is None:
        raise ConfigError("enroll needs a video or photos to learn from, or --camera")
    if options.preview and options.camera is None:
        raise ConfigError("--preview shows the camera's picture: give --camera, or leave it out")

    keep(_learned(options), options.output, sheet=options.sheet, overwrite=options.overwrite)
    if not options.quiet:
        print(_described(options.output), file=sys.stderr)
    return 0


def _learned(options: argparse.Namespace) -> Enrolled:
    """The face of the person in the sources. Raises `SourceError` where there is none that is of use."""
    from barefaced.enrolment import Learning
    from pipeline.live.camera import Sitting
    from pipeline.live.devices import camera

    def note(said: str) -> None:
        if not options.quiet:
            print(f"barefaced: note: {said}", file=sys.stderr)

    window = _Window() if options.preview else None
    frames = None
    if options.camera is not None:
        device = camera(options.camera, size=None, fps=30)

        def instruct(said: str) -> None:
            print(f"barefaced: {said}", file=sys.stderr)
            if window is not None:
                window.instruction = said

        frames = Sitting(device, options.seconds, instruct).frames()
    with ExitStack() as stack:
        tell = stack.enter_context(_telling(quiet=options.quiet > 0))
        if window is not None and frames is not None:
            stack.callback(window.close)
            frames, tell = window.showing(frames), window.heeding(tell)
        person = Path(options.person) if options.person else None
        learning = Learning(options.minutes, person, not options.no_recognition, tell, note)
        return learning([Path(path) for path in options.sources], values.build(flags.given(options)), camera=frames)


class _Window:
    """The camera's picture while it is recorded, as in a mirror; below it what to do, and what is lacking yet.

    Raises `SinkError` where there is no display.
    """

    def __init__(self) -> None:
        from pipeline.live.sinks import Preview

        self.instruction = ""
        self._preview = Preview("q ends the recording and learns nothing", "without --preview no display is needed")

    def showing(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames, each shown, and the window closed after the last. q raises `KeyboardInterrupt`."""
        from pipeline.live.sinks import Key

        for frame in frames:
            self._preview.show(frame.planes, mirrored=True)
            if Key.QUIT in self._preview.pressed():
                raise KeyboardInterrupt
            yield frame
        self.close()

    def heeding(self, tell: Callable[[Enrolment], None]) -> Callable[[Enrolment], None]:
        """Tell as before, and say below the picture what to do and how far it is."""

        def both(far: Enrolment) -> None:
            lacking = f"; so far {', '.join(far.lacks)}" if far.lacks else ""
            self._preview.caption(f"{self.instruction}\n{far.views} pictures to learn from{lacking}")
            tell(far)

        return both

    def close(self) -> None:
        """Close it, where it is open."""
        self._preview.__exit__()


@contextmanager
def _telling(*, quiet: bool) -> Iterator[Callable[[Enrolment], None]]:
    """What shows how far an enrolment is: a bar in a terminal, else lines now and then."""
    from tqdm import tqdm

    with tqdm(unit="frame", disable=quiet or not sys.stderr.isatty(), leave=False) as bar:
        lines = _Lines(quiet=quiet)
        yield lambda far: lines.show(far) if bar.disable else _show(far, bar)


def _show(far: Enrolment, bar: tqdm[None]) -> None:
    """Show how far an enrolment is: frames at first, then steps."""
    if far.steps and bar.unit != "step":
        bar.unit = "step"
        bar.reset(total=far.steps)
    if far.gain is not None:
        bar.set_postfix_str(f"{far.gain:+.2f} dB", refresh=False)
    bar.update((far.step or far.pictures) - bar.n)


class _Lines:
    """Says on standard error now and then how far an enrolment is, where no bar can be drawn."""

    def __init__(self, *, quiet: bool, now: Callable[[], float] = monotonic) -> None:
        from pipeline.run.progress import SECONDS

        self._quiet, self._now, self._every = quiet, now, SECONDS[ProgressKind.LINES]
        self._next = now() + self._every

    def show(self, far: Enrolment) -> None:
        """Say it when it is time."""
        if self._quiet or self._now() < self._next:
            return
        self._next = self._now() + self._every
        looked = f"{far.pictures} pictures looked at, {far.views} to learn from"
        done = f"step {far.step} of {far.steps}" if far.steps else looked
        gain = "" if far.gain is None else f", {far.gain:+.2f} dB"
        print(f"barefaced: {done}{gain}", file=sys.stderr)


def _faces(options: argparse.Namespace) -> int:
    from engine.cache import Cache
    from pipeline.people.enrolled import SUFFIX, read_face

    if options.forget and not options.faces:
        raise ConfigError("--forget deletes files: name them, such as `barefaced faces me.face --forget`")
    named = options.faces or [Path()]
    paths = [file for path in named for file in (sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path])]
    if not paths:
        print(f"no {SUFFIX} file here; `barefaced enroll` makes one")

    for path in paths:
        if not options.forget:
            print(_described(path))
            continue
        engines = Cache.default().forget(read_face(path).generator.sha256)
        path.unlink()
        print(f"{path}: forgotten; compiled engines of it that were deleted: {engines}")
    return 0


def _described(path: Path) -> str:
    """A face in a few lines, for a person."""
    from pipeline.people.enrolled import read_face
    from pipeline.run.report import counted

    face = read_face(path)
    manifest = face.manifest
    gain = "not judged, since no picture was held back"
    if manifest.gain is not None:
        judged = f"judged on {manifest.held_back} of them before it learned from them"
        gain = f"{manifest.gain:+.2f} dB beside the shipped network, {judged}"
    known = "recognised" if face.recognition else "not recognised: drawn on whoever is alone in the picture"
    voice = ""
    if face.voices is not None:
        better = f"{face.voices.alike:.2f} beside the true mouth, where the rule has {face.voices.alike_by_rule:.2f}"
        voice = f"  it holds how the mouth goes with the voice ({better}), which is biometric data, too\n"
    return (
        f"{path}: made {manifest.made} from {counted(manifest.frames, 'picture')} of "
        f"{counted(manifest.sources, 'source')}, {counted(manifest.steps, 'step')}; {gain}\n"
        f"  the wearer is {known}; {path.stat().st_size / 1e6:.1f} MB, biometric data, no picture in it\n"
        f"{voice}"
        f"  {manifest.agreed}\n"
        f"  {manifest.terms}"
    )


MOST_MINUTES = 10.0
"""How long the people of a clip are learned at most, all together."""


@contextmanager
def learned_faces(
    source: Path, settings: Config, networks: Networks, keep: Path | None, say: Callable[[str], None], *, quiet: bool
) -> Iterator[tuple[str, ...]]:
    """The `.face` files of those who are bare for a while in the video `source`.

    They are written to the directory `keep`, or are gone at the end. `say` is told what was learned of whom, and why of
    others nothing was. Unless `quiet`, it shows how far it is. Raises `SourceError`, `EngineError` and `SinkError`.
    """
    from pipeline.people.enrolled import SUFFIX, write_face
    from training.enrol.enrol import Enrolling

    with ExitStack() as stack:
        embedder = _embedder(settings, stack)
        with _telling(quiet=quiet) as tell:
            people = _people(source, settings, networks, embedder, tell)
        folder = keep or stack.enter_context(temporary_folder("barefaced-enroll-"))
        folder.mkdir(parents=True, exist_ok=True)
        if not people:
            say("nobody is bare for long enough to learn from: faces are drawn as without --learn")

        faces = []
        for number, views in enumerate(people, start=1):
            path, seconds = folder / f"{source.stem}-{number}{SUFFIX}", 60 * MOST_MINUTES / len(people)
            try:
                with _telling(quiet=quiet) as tell:
                    enrolling = Enrolling(seconds, _steps(tell), embedder, engine=settings.engine.engine)
                    face = enrolling(views)
            except SourceError as error:
                say(f"person {number}: {error}")
                continue
            write_face(path, face.manifest, face.weights, face.recognition, overwrite=settings.output.overwrite)
            say(f"person {number}: learned from {face.manifest.frames} pictures, {face.manifest.gain or 0:+.2f} dB")
            faces.append(str(path))
        yield tuple(faces)


def _steps(tell: Callable[[Enrolment], None]) -> Callable[[TuningProgress], None]:
    """Tells the steps of a tuning."""
    from barefaced.enrolment import Enrolment

    return lambda made: tell(Enrolment(0, made.step, made.steps, made.gain))


def _embedder(settings: Config, stack: ExitStack) -> Embedder | None:
    """What tells the people of a clip apart; None where the recogniser is not installed."""
    from pipeline.people.embed import recogniser_missing
    from pipeline.run import load

    if recogniser_missing(settings.identity.recogniser) is not None:
        return None
    return stack.enter_context(load.examiner(settings)).embedder


def _people(
    source: Path, settings: Config, networks: Networks, embedder: Embedder | None, tell: Callable[[Enrolment], None]
) -> list[list[View]]:
    """The bare moments of each person in a video; `tell` is told how many frames were looked at."""
    from barefaced.enrolment import Enrolment
    from pipeline.video.decode import FileSource
    from training.enrol.gather import Gather, Gathered, people_in

    gathered = Gathered()
    video = FileSource(source, start=settings.input.start, end=settings.input.end)
    seen = Gather(networks.detector, networks.segmenter).video(video, str(source), gathered)
    for pictures, _ in enumerate(seen, start=1):
        tell(Enrolment(pictures))
    return people_in(gathered, embedder)
