"""Keeps compiled engines on disk, under names made of everything that makes them stale.

An engine file holds a line that says what it is, a label (JSON) that says what it was compiled for, with the length
and the hash of the compiled bytes, and these bytes. A file appears under its name whole or not at all, so two processes
that compile the same engine at once leave one whole file. A file that is cut off, damaged or not ours is removed and
compiled anew; one that was compiled for something else is left alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
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
"""How many engines of one network, backend and precision are kept; the least recently written go first."""

logger = logging.getLogger("barefaced")


@dataclass(frozen=True)
class Label:
    """What an engine was compiled for, or is wanted for: another value in any field makes another engine."""

    network: str
    """The name of the network, such as `generator`."""
    sha256: str
    """The hash of the network's ONNX bytes, in hexadecimal."""
    backend: str
    version: str
    """The version of the backend's runtime."""
    devices: tuple[str, ...]
    """Every device that it runs on: a compute capability such as `sm86`, a GPU's name, a processor and its features."""
    precision: str
    shapes: str
    """The sizes of its inputs, in the backend's words."""
    settings: str = ""
    """Further settings of the compiler, in the backend's words."""

    def serves(self, wanted: Label) -> bool:
        """Whether an engine with this label is what `wanted` asks for: it may run on further devices."""
        same = {**asdict(self), "devices": ()} == {**asdict(wanted), "devices": ()}
        return same and set(wanted.devices) <= set(self.devices)

    @property
    def file_name(self) -> str:
        """A readable file name, which differs for every label."""
        fields = json.dumps(asdict(self), sort_keys=True).encode()
        return f"{self.stem}{hashlib.sha256(fields).hexdigest()[:16]}{SUFFIX}"

    @property
    def stem(self) -> str:
        """The beginning of the file names of one network, backend and precision."""
        return f"{self.network}-{self.backend}-{self.precision}-"


def default_folder() -> Path:
    """The directory of engines: `$BAREFACED_CACHE`, or `barefaced/engines` in the user's directory for caches."""
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
    """Read the label of an engine file alone. Raises `CheckpointError` when it is no engine file."""
    return _head(path)[0]


def read(path: Path) -> tuple[Label, memoryview]:
    """Read the label, and the compiled bytes where they lie in the file, which is mapped for as long as they are used.

    What is written to them stays in this process. Raises `CheckpointError` for a file that is cut off, damaged or no
    engine file.
    """
    label, content, start = _head(path)
    try:
        with path.open("rb") as file:
            compiled = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))[start:]
    except OSError as error:
        raise CheckpointError(f"the engine file {path} can't be read: {error.strerror or error}") from error

    if len(compiled) != content["bytes"]:
        raise CheckpointError(
            f"the engine file {path} holds {len(compiled)} of {content['bytes']} bytes: build it anew"
        )
    if hashlib.sha256(compiled).hexdigest() != content["sha256"]:
        raise CheckpointError(f"the engine file {path} is damaged, its hash is another: build it anew")
    return label, compiled


def _head(path: Path) -> tuple[Label, dict[str, object], int]:
    """Read the label, length and hash of the compiled bytes, and where they begin. Raises `CheckpointError`."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise CheckpointError(f"{path} is not an engine file of this version of barefaced: build it anew")
            size = int.from_bytes(file.read(LABEL_SIZE_BYTES), "little")

            head = json.loads(file.read(min(size, LARGEST_LABEL)))
            fields = head["label"]
            label = Label(**{**fields, "devices": tuple(fields["devices"])})
            return label, {"bytes": head["bytes"], "sha256": head["sha256"]}, file.tell()
    except OSError as error:
        raise CheckpointError(f"the engine file {path} can't be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the engine file {path} has no whole label: build it anew") from error


@dataclass(frozen=True)
class Cache:
    """A directory in which engines are looked up and kept."""

    folder: Path

    @classmethod
    def default(cls) -> Cache:
        """The cache of this user."""
        return cls(default_folder())

    def find(self, wanted: Label) -> memoryview | None:
        """Find an engine that serves `wanted`, and give its bytes as `read` does; None when no whole file is there."""
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
        """Keep an engine for the next time. A disk that refuses causes only a warning: the engine works without it."""
        try:
            write(self.folder / label.file_name, label, compiled)
            # Every version of a network or a driver leaves files that nothing asks for any more.
            for old in sorted(self._files(label), key=lambda path: path.stat().st_mtime)[:-KEPT]:
                with suppress(PermissionError):  # on Windows, of a file that somebody uses
                    old.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the compiled engine can't be kept in %s: %s", self.folder, error.strerror or error)

    def forget(self, sha256: str) -> int:
        """Delete every engine that was compiled of the network with this hash; gives how many there were."""
        forgotten = 0
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            with suppress(CheckpointError, OSError):
                if read_label(path).sha256 == sha256:
                    path.unlink()
                    forgotten += 1
        return forgotten

    def log_file(self, label: Label) -> Path:
        """The path of the log of compiling `label`."""
        return self.folder / "logs" / Path(label.file_name).with_suffix(".log").name

    def _files(self, label: Label) -> Iterator[Path]:
        """The engine files of the same network, backend and precision."""
        with suppress(OSError):
            yield from sorted(self.folder.glob(f"{label.stem}*{SUFFIX}"))
