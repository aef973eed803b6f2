"""Compiled engines on disk, keyed by everything that makes them stale.

An engine file is one file: a line that says what it is, a label (JSON) that says for what it was compiled, and the
compiled bytes with their length and hash in the label. A file comes under its name whole or not at all, so two
processes that compile the same engine at once leave one whole file. A file that is cut off, damaged or not ours is
removed and compiled anew; one that was compiled for something else is not looked at.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from pipeline.errors import CheckpointError
from pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "BAREFACED_CACHE"
"""The environment variable that names another directory than the user's usual one for caches."""
MAGIC = b"barefaced engine, version 1\n"
LABEL_SIZE_BYTES = 8
LARGEST_LABEL = 1 << 20
SUFFIX = ".engine"
KEPT = 16
"""Engines of one network, backend and precision that are kept; the least recently written go first."""

logger = logging.getLogger("barefaced")


@dataclass(frozen=True)
class Label:
    """For what an engine was compiled, or is wanted: another value in any field makes another engine."""

    network: str
    """Its name, such as `generator`."""
    sha256: str
    """Of the network's ONNX bytes, in hexadecimal."""
    backend: str
    version: str
    """Of the backend's runtime."""
    devices: tuple[str, ...]
    """Each one that it runs on: a compute capability such as `sm86`, a GPU's name, a processor and its features."""
    precision: str
    shapes: str
    """Sizes that it takes, in the backend's words."""
    settings: str = ""
    """What else was asked of the compiler, in the backend's words."""

    def serves(self, wanted: Label) -> bool:
        """Whether an engine with this label is what `wanted` asks for: it may run on further devices."""
        same = {**asdict(self), "devices": ()} == {**asdict(wanted), "devices": ()}
        return same and set(wanted.devices) <= set(self.devices)

    @property
    def file_name(self) -> str:
        """Readable, and another one for every other label."""
        told = json.dumps(asdict(self), sort_keys=True).encode()
        return f"{self.stem}{hashlib.sha256(told).hexdigest()[:16]}{SUFFIX}"

    @property
    def stem(self) -> str:
        """What the file names of one network, backend and precision begin with."""
        return f"{self.network}-{self.backend}-{self.precision}-"


def default_folder() -> Path:
    """Where engines are kept: `$BAREFACED_CACHE`, or `barefaced/engines` in the user's directory for caches."""
    asked = os.environ.get(VARIABLE)
    return Path(asked).expanduser() if asked else platformdirs.user_cache_path("barefaced") / "engines"


def write(path: Path, label: Label, compiled: bytes) -> None:
    """Write an engine file, whole or not at all. Raises `OSError` when that can't be done."""
    told = {"label": asdict(label), "bytes": len(compiled), "sha256": hashlib.sha256(compiled).hexdigest()}
    head = json.dumps(told, sort_keys=True).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, overwrite=True) as unfinished, unfinished.open("wb") as file:
        for part in (MAGIC, len(head).to_bytes(LABEL_SIZE_BYTES, "little"), head, compiled):
            file.write(part)


def read_label(path: Path) -> Label:
    """The label of an engine file, its compiled bytes unread. Raises `CheckpointError` when it is not one."""
    return _head(path)[0]


def read(path: Path) -> tuple[Label, bytes]:
    """Label and compiled bytes. Raises `CheckpointError` for a file that is cut off, damaged or not an engine file."""
    label, told, start = _head(path)
    try:
        compiled = path.read_bytes()[start:]
    except OSError as error:
        raise CheckpointError(f"the engine file {path} can't be read: {error.strerror or error}") from error
    if len(compiled) != told["bytes"]:
        raise CheckpointError(f"the engine file {path} holds {len(compiled)} of {told['bytes']} bytes: build it anew")
    if hashlib.sha256(compiled).hexdigest() != told["sha256"]:
        raise CheckpointError(f"the engine file {path} is damaged, its hash is another: build it anew")
    return label, compiled


def _head(path: Path) -> tuple[Label, dict[str, object], int]:
    """Label, what else its JSON tells, and where the compiled bytes begin."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise CheckpointError(f"{path} is not an engine file of this version of barefaced: build it anew")
            size = int.from_bytes(file.read(LABEL_SIZE_BYTES), "little")
            told = json.loads(file.read(min(size, LARGEST_LABEL)))
            fields = told["label"]
            label = Label(**{**fields, "devices": tuple(fields["devices"])})
            return label, {"bytes": told["bytes"], "sha256": told["sha256"]}, file.tell()
    except OSError as error:
        raise CheckpointError(f"the engine file {path} can't be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the engine file {path} has no whole label: build it anew") from error


@dataclass(frozen=True)
class Cache:
    """A directory of engine files."""

    folder: Path

    @classmethod
    def default(cls) -> Cache:
        """The user's."""
        return cls(default_folder())

    def find(self, wanted: Label) -> bytes | None:
        """The compiled bytes of an engine that serves `wanted`, None when there is none that is whole."""
        for path in self._files(wanted):
            try:
                if read_label(path).serves(wanted):
                    return read(path)[1]
            except CheckpointError as error:
                logger.info("%s; it is removed", error)
                with suppress(OSError):
                    path.unlink()
        return None

    def keep(self, label: Label, compiled: bytes) -> None:
        """Keep an engine for the next time. Where that can't be done it is said, and the engine works all the same."""
        try:
            write(self.folder / label.file_name, label, compiled)
            for old in sorted(self._files(label), key=lambda path: path.stat().st_mtime)[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the compiled engine can't be kept in %s: %s", self.folder, error.strerror or error)

    def log_file(self, label: Label) -> Path:
        """Where what is said while `label` is built is written."""
        return self.folder / "logs" / Path(label.file_name).with_suffix(".log").name

    def _files(self, label: Label) -> Iterator[Path]:
        with suppress(OSError):
            yield from sorted(self.folder.glob(f"{label.stem}*{SUFFIX}"))
