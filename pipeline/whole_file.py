"""A file that appears under its name only when it is whole: the one way in which the program saves what must not break.

It is written under another name in the same directory, put on the disk, and then renamed, since only within one file
system is a renaming all or nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_NAME = 255
"""Bytes, on the file systems of today."""

UNFINISHED = re.compile(r"\..*\.partial-[0-9a-f]{8}(\.\w*)?", re.DOTALL)
"""How a file is called that is not finished."""
LOCK = ".lock"
"""The file that is locked in a temporary directory as long as its process lives."""


@contextlib.contextmanager
def whole_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give the name of an unfinished file beside `path`, to write to; it becomes `path` at the end.

    It is removed after any error. Raises `SinkError` when `path` exists and `overwrite` is False, or when the directory
    can't be written.
    """
    check_target(path, overwrite=overwrite)
    unfinished = path.with_name(unfinished_name(path))
    try:
        unfinished.touch(exist_ok=False)
    except OSError as error:
        raise SinkError(f"{path.parent} can't be written: {error.strerror}; choose another directory") from error

    try:
        with locked(unfinished):
            yield unfinished
            publish(unfinished, path, overwrite=overwrite)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, *, surely: bool = False) -> Iterator[bool]:
    """Lock a file inside a `with` block, which is made where it is missing; False when another process has the lock.

    With `surely` it is False as well on a file system that has no locks.

    The system gives the lock back when the process ends, however it ends. On Windows it is not taken: a file that is
    open can't be removed there.
    """
    if sys.platform == "win32":
        yield True
        return
    import fcntl

    with path.open("ab") as file:
        free = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        except OSError:  # a file system without locks
            free = not surely
        yield free


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files in a directory that runs left behind which were killed."""
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            if is_unfinished(entry):
                with contextlib.suppress(OSError), locked(entry, surely=True) as free:
                    if free:
                        entry.unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """Whether a file is called like one that is not finished: it is no input, and goes when its run is gone."""
    return UNFINISHED.fullmatch(path.name) is not None


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A directory that is removed at the end; those of that name whose process was killed are removed before."""
    for other in Path(tempfile.gettempdir()).glob(f"{prefix}*/{LOCK}"):
        with contextlib.suppress(OSError), locked(other, surely=True) as free:
            if free and not other.parent.is_symlink():
                shutil.rmtree(other.parent)
    with tempfile.TemporaryDirectory(prefix=prefix) as name, locked(Path(name) / LOCK):
        yield Path(name)


def unfinished_name(path: Path) -> str:
    """A hidden name of its own that ends like that of `path`, and begins like it as far as names may be long."""
    mark = f".partial-{secrets.token_hex(4)}{path.suffix}"
    room = LONGEST_NAME - len(os.fsencode(mark)) - 1
    stem = os.fsencode(path.stem)[: max(room, 0)].decode("utf-8", "ignore")
    return f".{stem}{mark}"


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise `SinkError` when no file may be or can be written under this name."""
    if (length := len(os.fsencode(path.name))) > LONGEST_NAME:
        raise SinkError(f"the name {path.name} has {length} bytes and may have {LONGEST_NAME}; choose a shorter one")
    if path.is_dir():
        raise SinkError(f"{path} is a directory; name a file in it")
    if not path.parent.is_dir():
        raise SinkError(f"the directory {path.parent} does not exist; create it first")
    if path.is_symlink() and not path.exists():
        raise SinkError(f"{path} is a link to nothing; remove it or choose another name")
    if path.exists() and not overwrite:
        raise SinkError(f"{path} exists; --overwrite replaces it, another name keeps it")


def publish(unfinished: Path, path: Path, *, overwrite: bool) -> None:
    """Put the finished file on the disk, then under its name; never over a file that came up meanwhile."""
    try:
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        if overwrite:
            unfinished.replace(path)
        else:
            take_free_name(unfinished, path)
    except FileExistsError as error:
        raise SinkError(f"{path} appeared while it was being written; it was left alone, nothing was saved") from error
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror}") from error


def take_free_name(unfinished: Path, path: Path) -> None:
    """Give the file the name `path`. Raises `FileExistsError` when another file has it."""
    try:
        os.link(unfinished, path)  # fails where the name is taken, which a renaming does not
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system
        if path.exists():
            raise FileExistsError from None
        unfinished.rename(path)
