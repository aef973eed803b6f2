"""Which inputs become which outputs: files, patterns, directories and standard input to files, directories and pipes.

What comes in by standard input, or goes out by standard output, goes through a temporary directory, since a video's
streams are read in several passes: the input is taken in whole before work begins, and the output follows when it is
finished, as Matroska. So other programs can stand before and behind.
"""

from __future__ import annotations

import glob
import shutil
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, SinkError, SourceError
from pipeline.video.containers import CONTAINERS
from pipeline.video.pictures import FORMATS, READ_SUFFIXES, is_still, still_name
from pipeline.whole_file import is_unfinished, remove_leftovers, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_VIDEO = ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .ogv .ts .vob .webm .wmv"

VIDEO_SUFFIXES = frozenset(_VIDEO.split())
"""What is taken for a video when a directory is searched."""

MOVING_PICTURES = (".gif", ".avif")
"""Animations that are read alone; they become another kind of animation."""

_UNREAD = ".jp2 .jxl .svg .psd .raw .dng .cr2 .cr3 .nef .arw"

UNREAD = frozenset(_UNREAD.split()) - READ_SUFFIXES
"""Pictures of kinds that are not read, for which there is advice."""

MOST_NAMED = 5
"""How many of the files that a directory's search leaves out are named."""

ENDING = "-barefaced"
"""What the name of an output has more than its input's where they lie side by side."""


@dataclass(frozen=True)
class Job:
    """One input and where its output goes."""

    source: Path
    target: Path

    @property
    def still(self) -> bool:
        """Whether it is a picture rather than a video."""
        return is_still(self.source)

    @property
    def piped(self) -> bool:
        """Whether its input or its output stands for a pipe."""
        return any(path.parent.name.startswith(PREFIX) for path in (self.source, self.target))


@dataclass(frozen=True)
class Batch:
    """The jobs of a command."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...] = ()
    """What of the inputs was left out, in sentences."""


@dataclass(frozen=True)
class _Found:
    """A file among the inputs."""

    path: Path
    folder: Path | None = None
    """The directory that it was found in when that was searched; None for a file that was named or matched."""


def plan(inputs: Sequence[str], output: str | None, *, recursive: bool = False) -> Batch:
    """A job for every input, in the order given, directories and patterns in alphabetical order.

    With `output` a single input goes to it as a file when its name ends like a video or a picture, and everything else
    into it as a directory, under the inputs' own names. Without it an output lies beside its input as
    `talk-barefaced.mp4`, and those of a directory in a directory beside it. Directories are made when they are missing.

    Raises `SourceError` when an input matches nothing or is a network address, `SinkError` when `output` is a file, or
    named like one, where a directory is needed, and `ConfigError` when two outputs, or an output and its input, would
    be the same file.
    """
    notes: list[str] = []
    found = [file for given in inputs for file in _expanded(given, recursive=recursive, notes=notes)]
    if output is None:
        jobs = tuple(Job(file.path, _beside(file)) for file in found)
    elif len(found) == 1 and found[0].folder is None and _names_a_file(output):
        jobs = (Job(found[0].path, Path(output)),)
    else:
        _check_directory(Path(output), len(found))
        jobs = tuple(Job(file.path, Path(output) / _place(file)) for file in found)

    _check_distinct(jobs)
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        make_directory(folder)
        remove_leftovers(folder)
    return Batch(jobs, tuple(notes))


def sources(inputs: Sequence[str]) -> tuple[Path, ...]:
    """The files that inputs name, in the order of `plan`. Raises `SourceError` as `plan` does."""
    return tuple(file.path for given in inputs for file in _expanded(given, recursive=False, notes=[]))


def named_beside(source: Path) -> Path:
    """Where an output goes that nobody named: beside its input, as `talk-barefaced.mp4` for `talk.mp4`."""
    name = Path(_named_like(source))
    return source.with_name(f"{name.stem}{ENDING}{name.suffix}")


def _expanded(given: str, *, recursive: bool, notes: list[str]) -> Iterator[_Found]:
    path = Path(given)
    if is_unfinished(path):
        raise SourceError(f"{given} is the unfinished output of a run that was killed or still goes on")
    if "://" in given:
        raise SourceError(f"{given} is a network address: download the file first, or watch it with live --input")

    if path.is_dir():
        yield from _searched(path, recursive=recursive, notes=notes)
    elif glob.has_magic(given) and not path.exists():
        found = map(Path, sorted(glob.glob(given, recursive=True)))  # noqa: PTH207 - Path.glob takes no absolute pattern
        matches = [path for path in found if path.is_file() and not _is_output(path) and not is_unfinished(path)]
        if not matches:
            raise SourceError(f"no file matches {given}")
        yield from (_Found(match) for match in matches)
    else:
        yield _Found(path)


def _searched(folder: Path, *, recursive: bool, notes: list[str]) -> Iterator[_Found]:
    """The videos and pictures in a directory; what is left out of it goes into `notes`."""
    media = VIDEO_SUFFIXES | READ_SUFFIXES
    found = sorted(folder.rglob("*") if recursive else folder.iterdir())
    entries = [entry for entry in found if not entry.name.startswith(".")]
    files = [entry for entry in entries if entry.is_file() and not _is_output(entry) and _is_media(entry)]

    unread = Counter(entry.suffix.lower() for entry in entries if entry.suffix.lower() in UNREAD)
    if unread:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(unread.items()))
        notes.append(f"{folder}: {kinds} left out, since such pictures are not read: convert them to PNG or JPEG")
    others = [entry.name for entry in entries if entry.is_file() and entry not in files and not _is_output(entry)]
    others = [name for name in others if Path(name).suffix.lower() not in UNREAD]
    if others:
        more = f" and {len(others) - MOST_NAMED} others" if len(others) > MOST_NAMED else ""
        notes.append(f"{folder}: {', '.join(others[:MOST_NAMED])}{more} left out: neither videos nor pictures")
    folders = 0 if recursive else sum(entry.is_dir() for entry in entries)
    if folders:
        subfolders = "1 subfolder" if folders == 1 else f"{folders} subfolders"
        notes.append(f"{folder}: {subfolders} left out, --recursive takes them")

    if not files:
        more = "; --recursive searches its subfolders too" if folders else ""
        raise SourceError(f"{folder} holds no video and no picture (looked for {', '.join(sorted(media))}){more}")
    yield from (_Found(file, folder) for file in files)


def _is_media(path: Path) -> bool:
    """Whether a file is a video or a picture: by its suffix, or as a picture by what is in it."""
    return path.suffix.lower() in VIDEO_SUFFIXES | READ_SUFFIXES or is_still(path)


def _is_output(path: Path) -> bool:
    """Whether a file is the output of an earlier run that lies beside its input."""
    return path.stem.endswith(ENDING)


def _names_a_file(output: str) -> bool:
    """Whether an output for one input is a file: it ends like one, or like nothing that a directory is called."""
    path = Path(output)
    return not path.is_dir() and not output.endswith(("/", "\\")) and bool(path.suffix)


def _place(file: _Found) -> Path:
    """The output's path inside the directory of all outputs: as the input lay in the directory that was searched."""
    inner = Path() if file.folder is None else file.path.parent.relative_to(file.folder)
    return inner / _named_like(file.path)


def _beside(file: _Found) -> Path:
    """Where the output of a file goes that nobody named."""
    if file.folder is None:
        return named_beside(file.path)
    folder = file.folder.resolve() if file.folder.name in ("", "..") else file.folder
    return folder.with_name(folder.name + ENDING) / _place(file)


def _named_like(source: Path) -> str:
    """The input's name, as Matroska, or WebP for an animation, where we can't write the input's own container."""
    if is_still(source):
        return still_name(source)
    if source.suffix.lower() in CONTAINERS:
        return source.name
    return f"{source.stem}{'.webp' if source.suffix.lower() in MOVING_PICTURES else '.mkv'}"


def _check_directory(target: Path, files: int) -> None:
    inputs = "1 input needs" if files == 1 else f"{files} inputs need"
    if target.suffix.lower() in set(CONTAINERS) | set(FORMATS) and not target.is_dir():
        raise SinkError(f"{inputs} a directory to go to, and {target} is named like a file: give -o DIR")
    if target.exists() and not target.is_dir():
        raise SinkError(f"{inputs} a directory to go to, and {target} is a file: give -o DIR")


def make_directory(folder: Path) -> None:
    """Make a directory with those around it, where they are not there. Raises `SinkError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"the directory {folder} can't be made: {error.strerror or error}") from error


def _check_distinct(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.target.resolve() == job.source.resolve():
            raise ConfigError(f"the output would replace its own input {job.source}: give another -o")
    target, count = Counter(job.target.resolve() for job in jobs).most_common(1)[0]
    if count > 1:
        sources = ", ".join(str(job.source) for job in jobs if job.target.resolve() == target)
        raise ConfigError(f"{sources} would all be written to {target}: run them one by one, each with its own -o")


PIPE = "-"
"""What stands for standard input or standard output."""


@dataclass(frozen=True)
class Ends:
    """The inputs and the output of a command with files in the place of pipes."""

    inputs: Sequence[str]
    output: str | None

    def shown(self, path: str | None) -> str | None:
        """A path as the user knows it: `-` for a file that stands for a pipe."""
        return PIPE if path is not None and Path(path).parent.name.startswith(PREFIX) else path


PREFIX = "barefaced-pipe-"


@contextmanager
def piped(inputs: Sequence[str], output: str | None, *, report: str | None) -> Iterator[Ends]:
    """Take in standard input where `-` is an input, and write the result to standard output where `-` is the output.

    An input from a pipe goes to a pipe unless `output` says otherwise. Raises `ConfigError` for a terminal in the place
    of a pipe and where two things would go through one pipe.
    """
    output = PIPE if output is None and PIPE in inputs else output
    if PIPE not in inputs and output != PIPE:
        yield Ends(inputs, output)
        return

    _check(inputs, output, report)
    with temporary_folder(PREFIX) as folder:
        taken, given = folder / "input", folder / "output.mkv"
        if PIPE in inputs:
            with taken.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        yield Ends([str(taken) if name == PIPE else name for name in inputs], str(given) if output == PIPE else output)
        if given.exists():
            with given.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _check(inputs: Sequence[str], output: str | None, report: str | None) -> None:
    if (sys.stdin is None and PIPE in inputs) or (sys.stdout is None and output == PIPE):
        raise ConfigError("- is a pipe, and it is closed: give the name of a file")
    if inputs.count(PIPE) > 1:
        raise ConfigError("standard input can be read once: give - once")
    if PIPE in inputs and sys.stdin.isatty():
        raise ConfigError("- reads a video from a pipe, and standard input is the terminal: ffmpeg … | barefaced run -")
    if output == PIPE and len(inputs) > 1:
        raise ConfigError("only one input can go to standard output: give -o DIR")
    if output == PIPE and report == PIPE:
        raise ConfigError("video and report can't both go to standard output: give --report FILE")
    if output == PIPE and sys.stdout.isatty():
        raise ConfigError("the result would fill the terminal with bytes: give -o FILE, or lead it into a pipe")
