"""Which inputs become which outputs: files, globs and directories in, a file or a directory out."""

from __future__ import annotations

import glob
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, SinkError, SourceError
from pipeline.video.containers import CONTAINERS
from pipeline.video.stills import FORMATS, is_still

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_VIDEO = ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .ogv .ts .vob .webm .wmv"

VIDEO_SUFFIXES = frozenset(_VIDEO.split())
"""What is taken for a video when a directory is searched."""


@dataclass(frozen=True)
class Job:
    """One input and where its output goes."""

    source: Path
    target: Path

    @property
    def still(self) -> bool:
        """Whether it is a picture rather than a video."""
        return is_still(self.source)


def jobs(inputs: Sequence[str], output: str) -> tuple[Job, ...]:
    """A job for every input, in the order given, directories and globs in alphabetical order.

    One file goes to `output` as a file, unless that is a directory or ends like one; whatever else goes into `output`
    as a directory, which is made, under the input's own name. Raises `SourceError` when an input matches nothing or is
    a network address, `SinkError` when `output` is a file, or named like one, where a directory is needed, and
    `ConfigError` when two outputs, or an output and its input, would be the same file.
    """
    sources = [source for given in inputs for source in _expanded(given)]
    target = Path(output)
    single = len(sources) == 1 and len(inputs) == 1 and not Path(inputs[0]).is_dir()
    if single and not target.is_dir() and not output.endswith(("/", "\\")):
        found: tuple[Job, ...] = (Job(sources[0], target),)
    else:
        found = tuple(Job(source, target / _named_like(source)) for source in sources)
        _make_directory(target, len(sources))
    _check_distinct(found)
    return found


def _expanded(given: str) -> Iterator[Path]:
    path = Path(given)
    if "://" in given:
        raise SourceError(f"{given} is a network address: download the file first, or watch it with live --input")
    if path.is_dir():
        media = VIDEO_SUFFIXES | set(FORMATS)
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in media and file.is_file())
        if not files:
            raise SourceError(f"{given} holds no video and no picture (looked for {', '.join(sorted(media))})")
        yield from files
    elif glob.has_magic(given) and not path.exists():
        found = glob.glob(given, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        matches = sorted(Path(match) for match in found if Path(match).is_file())
        if not matches:
            raise SourceError(f"no file matches {given}")
        yield from matches
    else:
        yield path


def named_beside(source: Path) -> Path:
    """Where an output goes that nobody named: beside its input, as `talk-barefaced.mp4` for `talk.mp4`."""
    name = Path(_named_like(source))
    return source.with_name(f"{name.stem}-barefaced{name.suffix}")


def _named_like(source: Path) -> str:
    """The input's name, as Matroska where we can't write the input's own container."""
    kept = is_still(source) or source.suffix.lower() in CONTAINERS
    return source.name if kept else f"{source.stem}.mkv"


def _make_directory(target: Path, files: int) -> None:
    if target.suffix.lower() in set(CONTAINERS) | set(FORMATS) and not target.is_dir():
        raise SinkError(f"{files} inputs need a directory to go to, and {target} is named like a file: give -o DIR")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise SinkError(f"{files} inputs need a directory to go to, and {target} is a file: give -o DIR") from error
    except OSError as error:
        raise SinkError(f"the directory {target} can't be made: {error.strerror or error}") from error


def _check_distinct(found: Sequence[Job]) -> None:
    for job in found:
        if job.target.resolve() == job.source.resolve():
            raise ConfigError(f"the output would replace its own input {job.source}: give another -o")
    target, count = Counter(job.target.resolve() for job in found).most_common(1)[0]
    if count > 1:
        sources = ", ".join(str(job.source) for job in found if job.target.resolve() == target)
        raise ConfigError(f"{sources} would all be written to {target}: run them one by one, each with its own -o")
