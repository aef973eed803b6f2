"""Receives files that are dropped on the page, processes them as `barefaced run` does, and keeps the results."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from pipeline.errors import BarefacedError, ConfigError, SourceError, TooLarge, TooSlow
from pipeline.run.batch import VIDEO_SUFFIXES, Job
from pipeline.run.process import failed, process
from pipeline.run.work import Controls
from pipeline.video.containers import holds
from pipeline.video.opening import opened, video_stream
from pipeline.video.pictures import READ_SUFFIXES, is_still

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pipeline.frames import Frame
    from pipeline.run.load import Networks
    from pipeline.run.process import Ended, Stoppable
    from pipeline.run.work import Wishes
    from pipeline.settings.config import Config
    from pipeline.web.visit import Turn

KEPT = 3
"""How many files are kept at a time; the oldest goes when another one comes."""

SUFFIXES = tuple(sorted(VIDEO_SUFFIXES | READ_SUFFIXES))
"""The suffixes of files that may be dropped on the page."""

SHOWN_BY_BROWSERS = (".png", ".jpg", ".jpeg", ".webp", ".avif")
"""The suffixes of pictures that browsers show; other pictures become PNG."""


@dataclass
class Upload:
    """A file that was dropped, and the progress of its processing. One thread at a time writes this; any reads it."""

    folder: Path
    suffix: str
    longest_seconds: float
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    frames: int = 0
    """How many frames are processed."""
    expected: int | None = None
    """How many frames the file has, where that is known."""
    outcome: Ended | None = None
    unwanted: bool = False
    """Whether somebody cancelled it."""
    _since: float = field(default_factory=time.monotonic)

    @property
    def source(self) -> Path:
        """The path at which it is received."""
        return self.folder / f"input{self.suffix}"

    @property
    def result(self) -> Path | None:
        """The path of the result; None while there is none."""
        there = self.outcome is not None and self.outcome.report.output is not None
        return next(self.folder.glob("result.*"), None) if there else None

    def began(self, _job: Job, _run: Stoppable, frames: int | None) -> None:
        """Note that processing begins."""
        self.expected, self._since = frames, time.monotonic()

    def wrote(self, _frame: Frame) -> None:
        """Count a frame. Raises `TooSlow` when it takes too long and `SourceError` when somebody cancelled it."""
        self.frames += 1
        if self.unwanted:
            raise SourceError("it was cancelled")
        if time.monotonic() - self._since > self.longest_seconds:
            minutes = self.longest_seconds / 60
            raise TooSlow(f"processing took longer than {minutes:g} min; --upload-minutes allows for more")

    def ended(self) -> None:
        """Do nothing: `outcome` is set where processing is awaited."""

    def as_json(self) -> dict[str, object]:
        """The progress and the outcome, as the page gets them."""
        report = self.outcome.report if self.outcome else None
        result = self.result
        return {
            "frames": self.frames,
            "expected": self.expected,
            "done": report is not None,
            "error": self._public(report.error) if report else None,
            "summary": report.summary if report and not report.error else None,
            "notes": [*report.missing, *report.warnings] if report else [],
            "suffix": result.suffix if result else None,
            "still": is_still(self.source),
        }

    def _public(self, error: str | None) -> str | None:
        """Hide our path of the file in an error, since it means nothing to the visitor."""
        return error.replace(str(self.source), "the file") if error else None


@dataclass
class Uploads:
    """The files of all visitors. Only the event loop's thread uses it."""

    folder: Path
    """The directory that holds them; its maker removes it."""
    config: Config
    networks: Networks
    turn: Turn
    _known: dict[str, Upload] = field(default_factory=dict)
    _at_work: set[asyncio.Task[None]] = field(default_factory=set)

    def find(self, number: str) -> Upload | None:
        """Find a file by its id; None when it is not here."""
        return self._known.get(number)

    async def receive(self, name: str, length: int | None, chunks: AsyncIterator[bytes], choice: Wishes) -> Upload:
        """Receive a file and begin to process it.

        Only the suffix of `name` counts, and it must be one of `SUFFIXES`: no text of a client gets into a path. Raises
        `Busy`, `TooLarge`, `TooSlow`, and `ConfigError` for another suffix.
        """
        suffix = known_suffix(name)
        limits = self.config.serve
        if length is not None and length > limits.upload_megabytes * 10**6:
            raise _too_large(limits.upload_megabytes)

        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.turn.taken("a file"))
            upload = self._new(suffix)
            try:
                async with asyncio.timeout(limits.upload_minutes * 60):
                    await _write(upload.source, chunks, limits.upload_megabytes)
            except BaseException as error:
                self.forget(upload)
                if isinstance(error, TimeoutError):
                    raise TooSlow(f"receiving the file took longer than {limits.upload_minutes} min") from error
                raise
            # The turn goes on to the task, which gives it back when processing is over.
            task = asyncio.create_task(self._process(upload, choice, stack.pop_all()))

        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        return upload

    def forget(self, upload: Upload) -> None:
        """Cancel its processing, and remove its files as soon as nobody writes them."""
        upload.unwanted = True
        self._known.pop(upload.id, None)
        if upload.outcome is not None or not self._at_work:
            shutil.rmtree(upload.folder)
        else:
            self.turn.end()

    async def end(self) -> None:
        """Cancel all processing, and wait for its end."""
        for upload in self._known.values():
            upload.unwanted = True
        await asyncio.gather(*self._at_work)

    def _new(self, suffix: str) -> Upload:
        """Make room for a file and a directory for it."""
        while len(self._known) >= KEPT:
            self.forget(next(iter(self._known.values())))
        upload = Upload(self.folder, suffix, self.config.serve.upload_minutes * 60)
        upload.folder = self.folder / upload.id
        upload.folder.mkdir()
        self._known[upload.id] = upload
        return upload

    async def _process(self, upload: Upload, choice: Wishes, turn: AsyncExitStack) -> None:
        """Process a file in a thread, and give the turn back."""
        async with turn:
            upload.outcome = await asyncio.to_thread(self._processed, upload, choice)
        if upload.unwanted:
            shutil.rmtree(upload.folder)

    def _processed(self, upload: Upload, choice: Wishes) -> Ended:
        """Process a file, in the thread that calls this."""
        try:
            job = Job(upload.source, upload.folder / f"result{result_suffix(upload.source)}")
        except BarefacedError as error:
            return failed(Job(upload.source, upload.source), error)
        return process(job, self.config, self.networks, watcher=upload, controls=Controls(choice))


def known_suffix(name: str) -> str:
    """Find the one of `SUFFIXES` with which `name` ends. Raises `ConfigError`."""
    given = PurePath(name).suffix.lower()
    for suffix in SUFFIXES:
        if given == suffix:
            return suffix  # ours, not the client's
    raise ConfigError(f"a file must be a video or a picture, with one of the suffixes {' '.join(SUFFIXES)}")


def result_suffix(source: Path) -> str:
    """Choose the suffix of the result: one that browsers play, or Matroska where MP4 can't hold the other streams.

    Raises `SourceError` when the file can't be opened.
    """
    suffix = source.suffix
    if is_still(source):
        return suffix if suffix in SHOWN_BY_BROWSERS else ".png"
    with opened(source) as container:
        picture = video_stream(container, source)
        return ".mp4" if all(holds(".mp4", stream) for stream in container.streams if stream is not picture) else ".mkv"


async def _write(path: Path, chunks: AsyncIterator[bytes], megabytes: int) -> None:
    """Write the bytes that come. Raises `TooLarge`, and `ConfigError` when nothing comes."""
    left = megabytes * 10**6
    with path.open("xb") as file:
        async for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise _too_large(megabytes)
            await asyncio.to_thread(file.write, chunk)
        if not file.tell():
            raise ConfigError("the file is empty")


def _too_large(megabytes: int) -> TooLarge:
    return TooLarge(f"the file has more than {megabytes} MB; --upload-megabytes allows for more")
