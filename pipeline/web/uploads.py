"""Receives files that are dropped on the page, processes them as `barefaced run` does, and keeps the results."""

from __future__ import annotations

import asyncio
import errno
import re
import secrets
import shutil
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import cv2

from pipeline.demo.clip import write_clip
from pipeline.errors import BarefacedError, ConfigError, SinkError, SourceError, TooLarge, TooSlow
from pipeline.frames import Skipped
from pipeline.run.batch import VIDEO_SUFFIXES, Job
from pipeline.run.process import failed, process, put_beside
from pipeline.run.work import Controls
from pipeline.video.containers import holds
from pipeline.video.opening import opened, video_stream
from pipeline.video.pictures import READ_SUFFIXES, is_still
from pipeline.web.guard import LOG
from pipeline.web.visit import faces_of, in_words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import av

    from pipeline.frames import Frame
    from pipeline.run.load import Networks
    from pipeline.run.process import Ended, Stoppable
    from pipeline.run.report import Report
    from pipeline.run.work import Wishes
    from pipeline.settings.config import Config
    from pipeline.web.visit import Turn

FIRST_SECONDS = 1.0
"""How long processing must have gone on before anybody says how long it will take."""

SAMPLE_SIZE, SAMPLE_FRAMES = (640, 480), 90
"""Size and length of the sample, a clip that is drawn for those who have none at hand."""

NEWEST_PX = 640
"""The greatest side of the small picture of the frame that was finished last."""

KEPT = 3
"""How many files are kept at a time; the oldest goes when another one comes."""

PATIENCE_SECONDS, SLOWEST_BYTES_A_SECOND = 30.0, 16_000
"""A file may take so long to come, and so much longer for what has come."""

THE_FILE = "the file"
"""What a visitor's file is called where our name of it would stand."""
OURS = "a file of the server"
"""The same for the files that we make of it."""

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
    newest: Frame | None = None
    """The frame that was finished last; None while nothing is processed."""
    controls: Controls = field(default_factory=Controls)
    """What was chosen for the result, and the faces that were met."""
    outcome: Ended | None = None
    """How the result came about; while there is none, how the first processing failed."""
    refusal: str | None = None
    """Why drawing it again failed, so that the former result is still the one; None where it did not fail."""
    at_work: bool = False
    """Whether it is being processed, so that its files are written to."""
    working: bool = True
    unwanted: bool = False
    """Whether somebody cancelled what goes on."""
    _since: float = field(default_factory=time.monotonic)

    @property
    def source(self) -> Path:
        """The path at which it is received."""
        return self.folder / f"input{self.suffix}"

    @property
    def result(self) -> Path | None:
        """The path of the result; None while there is none."""
        output = self.outcome.report.output if self.outcome is not None else None
        return Path(output) if output is not None else None

    @property
    def beside(self) -> Path | None:
        """The path of original and result side by side, there or not; None while there is no result."""
        return self.result and self.result.with_name(f"beside-{self.result.name}")

    def begin(self) -> None:
        """Note that processing is about to begin, for the first time or again."""
        self.working, self.unwanted, self.refusal = True, False, None
        self.frames, self.expected, self._since = 0, None, time.monotonic()

    def end(self, ended: Ended, controls: Controls) -> None:
        """Note how processing ended; a result that was there stays until there is another."""
        # Read before the outcome changes, from which the result's path is told.
        former = self.result
        self.working, self.newest = False, None
        if former is not None and ended.report.output is None:
            self.refusal = None if self.unwanted else self.reason(ended)
            return
        for path in (former, self.beside):
            if path is not None:
                path.unlink(missing_ok=True)
        self.outcome, self.controls = ended, controls

    def began(self, _job: Job, _run: Stoppable, frames: int | None) -> None:
        """Note that the first frame is about to come."""
        self.expected, self._since = frames, time.monotonic()

    def wrote(self, frame: Frame) -> None:
        """Count a frame. Raises `TooSlow` when it takes too long and `SourceError` when somebody cancelled it."""
        self.frames, self.newest = self.frames + 1, frame
        if self.unwanted:
            raise SourceError("it was cancelled")
        if time.monotonic() - self._since > self.longest_seconds:
            minutes = self.longest_seconds / 60
            raise TooSlow(f"processing took longer than {minutes:g} min; --upload-minutes allows for more")

    def ended(self) -> None:
        """Do nothing: `end` is called where processing is awaited."""

    def as_json(self) -> dict[str, object]:
        """The progress and the outcome, as the page gets them."""
        report = self.outcome.report if self.outcome and not self.working else None
        result, choice = self.result, self.controls.choice
        return {
            "frames": self.frames,
            "expected": self.expected,
            "seconds_left": self._seconds_left(),
            "done": report is not None,
            "error": self.reason(self.outcome) if report and self.outcome else None,
            "refusal": self.refusal,
            "counts": _counts(report) if report and not report.error else None,
            "notes": [self.public(note) for note in (*report.missing, *report.warnings)] if report else [],
            "drawn": report.tally.masked_faces > 0 if report else False,
            "faces": faces_of(self.controls) if report else [],
            "choice": choice.sliders | {"others": choice.others},
            "suffix": result.suffix if result else None,
            "version": result.stem if result else None,
            "still": is_still(self.source),
        }

    def _seconds_left(self) -> float | None:
        """How long processing will take from now on, if it goes on as it went; None when nobody can say."""
        passed = time.monotonic() - self._since
        if not self.working or not self.expected or not self.frames or passed < FIRST_SECONDS:
            return None
        return round(passed * max(0, self.expected - self.frames) / self.frames, 1)

    def public(self, text: str) -> str:
        """Hide our names of the file and its result, since they mean nothing to the visitor."""
        return without_paths(text.replace(str(self.source), THE_FILE).replace(self.source.name, THE_FILE), self.folder)

    def reason(self, ended: Ended) -> str | None:
        """Why processing failed, for the visitor; None where it did not."""
        return None if ended.error is None else self.public(in_words(ended.error))


@dataclass
class Uploads:
    """The files of all visitors. Only the event loop's thread uses it."""

    folder: Path
    """The directory that holds them; its maker removes it."""
    config: Config
    networks: Callable[[], Networks]
    """Gives those that are worn when a file comes."""
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

        async def fill(path: Path) -> None:
            try:
                async with asyncio.timeout(limits.upload_minutes * 60):
                    await write_chunks(path, chunks, limits.upload_megabytes, length)
            except TimeoutError as error:
                raise TooSlow(f"receiving the file took longer than {limits.upload_minutes} min") from error
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise SinkError("the disk of the machine that serves this page is full") from error
                raise

        return await self._take(suffix, fill, choice)

    async def draw_sample(self, choice: Wishes) -> Upload:
        """Draw a clip of a masked portrait that anybody may show, and begin to process it. Raises `Busy`."""
        (width, height), frames = SAMPLE_SIZE, SAMPLE_FRAMES

        async def fill(path: Path) -> None:
            await asyncio.to_thread(write_clip, path, width=width, height=height, frames=frames)

        return await self._take(".mp4", fill, choice)

    async def draw_again(self, upload: Upload, choice: Wishes) -> None:
        """Begin to process a file anew with other choices; its result stays until there is another. Raises `Busy`."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.turn.taken("a file"))
            upload.begin()
            self._begin(upload, choice, stack.pop_all())

    async def put_beside(self, upload: Upload) -> Path | None:
        """Give the path of original and result side by side, and make it where it is not there yet.

        None when there is no result. Raises `Busy`, and `ConfigError` with the reason why it can't be made.
        """
        result, target = upload.result, upload.beside
        if result is None or target is None or target.exists():
            return target

        async with self.turn.taken("a file"):
            watcher = Upload(upload.folder, upload.suffix, upload.longest_seconds)
            job = Job(upload.source, target)
            ended = await asyncio.to_thread(put_beside, job, result, self.config, watcher=watcher)
        if ended.error is not None:
            raise ConfigError(upload.reason(ended))
        return target

    def stop(self, upload: Upload) -> None:
        """Cancel its processing; what result there is stays, and without any the file is forgotten."""
        if upload.result is None:
            self.forget(upload)
        elif upload.working:
            upload.unwanted = True
            self.turn.end()

    def forget(self, upload: Upload) -> None:
        """Cancel its processing, and remove its files as soon as nobody writes them."""
        upload.unwanted = True
        self._known.pop(upload.id, None)
        if upload.at_work:
            self.turn.end()
        else:
            shutil.rmtree(upload.folder, ignore_errors=True)

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

    async def _take(self, suffix: str, fill: Callable[[Path], Awaitable[None]], choice: Wishes) -> Upload:
        """Have a new file filled, and begin to process it. Raises `Busy`, and what `fill` raises."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.turn.taken("a file"))
            upload = self._new(suffix)
            try:
                await fill(upload.source)
            except BaseException:
                self.forget(upload)
                raise
            self._begin(upload, choice, stack.pop_all())
        return upload

    def _begin(self, upload: Upload, choice: Wishes, turn: AsyncExitStack) -> None:
        """Process a file in a task of its own, which has the turn from now on and gives it back at its end."""
        upload.at_work = True
        task = asyncio.create_task(self._process(upload, Controls(choice, remembers=True), turn))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _process(self, upload: Upload, controls: Controls, turn: AsyncExitStack) -> None:
        """Process a file in a thread, and give the turn back."""
        async with turn:
            try:
                ended = await asyncio.to_thread(self._processed, upload, controls)
            except Exception as error:  # a fault of ours: without an end the visitor would wait for ever
                LOG.exception("a file could not be processed")
                ended = failed(Job(upload.source, upload.source), error)
            upload.end(ended, controls)
            upload.at_work = False
        # Forgotten while it was processed: only now does nobody write to its files.
        if self._known.get(upload.id) is not upload:
            shutil.rmtree(upload.folder, ignore_errors=True)

    def _processed(self, upload: Upload, controls: Controls) -> Ended:
        """Process a file, in the thread that calls this."""
        try:
            # Another name each time: browsers keep what they once got under an address.
            name = f"result-{secrets.token_hex(4)}{result_suffix(upload.source)}"
        except BarefacedError as error:
            return failed(Job(upload.source, upload.source), error)
        return process(
            Job(upload.source, upload.folder / name), self.config, self.networks(), watcher=upload, controls=controls
        )


def without_paths(text: str, folder: Path) -> str:
    """A text that names files in `folder`, whose names are ours, without those names."""
    return re.sub(rf"{re.escape(str(folder))}[\\/][\w.-]+", OURS, text)


def _counts(report: Report) -> dict[str, object]:
    """What was done in a finished file, for the page to put into words."""
    tally = report.tally
    drawers = Counter[str]()
    for drawn_by, count in tally.drawn_by.items():
        if drawn_by.face is not None:
            drawers[drawn_by.face] += count
    return {
        "pictures": report.frames_out,
        "changed": tally.frames_with_mask,
        "faces": tally.faces,
        "masks": tally.masked_faces,
        "left": sum(tally.skipped.values()) - tally.skipped[Skipped.BARE],
        "drawers": dict(drawers),
    }


def known_suffix(name: str) -> str:
    """Find the one of `SUFFIXES` with which `name` ends. Raises `ConfigError`."""
    given = PurePath(name).suffix.lower()
    for suffix in SUFFIXES:
        if given == suffix:
            return suffix  # ours, not the client's
    raise ConfigError(f"a file must be a video or a picture, with one of the suffixes {' '.join(SUFFIXES)}")


def small_jpeg(picture: av.VideoFrame) -> bytes:
    """Code a picture as JPEG, no side of it longer than `NEWEST_PX`."""
    scale = min(1.0, NEWEST_PX / max(picture.width, picture.height))
    width, height = (max(1, round(side * scale)) for side in (picture.width, picture.height))
    small = picture.reformat(width=width, height=height, format="bgr24").to_ndarray()
    _, coded = cv2.imencode(".jpg", small)
    return coded.tobytes()


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


async def write_chunks(path: Path, chunks: AsyncIterator[bytes], megabytes: int, length: int | None) -> None:
    """Write the bytes that come, `length` of them where that is known.

    Raises `TooLarge`, `TooSlow`, and `ConfigError` when nothing comes.
    """
    if length is not None and length > megabytes * 10**6:
        raise _too_large(megabytes)
    left, began, coming = megabytes * 10**6, time.monotonic(), aiter(chunks)
    with path.open("xb", buffering=0) as file:
        while True:
            # Who sends next to nothing would keep everybody else from their turn.
            patience = began + PATIENCE_SECONDS + file.tell() / SLOWEST_BYTES_A_SECOND - time.monotonic()
            try:
                chunk = await asyncio.wait_for(anext(coming, b""), patience)
            except TimeoutError as error:
                raise TooSlow("the file came too slowly; send it again over a better connection") from error
            if not chunk:
                break
            left -= len(chunk)
            if left < 0:
                raise _too_large(megabytes)
            await asyncio.to_thread(file.write, chunk)
        if not file.tell():
            raise ConfigError("the file is empty")


def _too_large(megabytes: int) -> TooLarge:
    return TooLarge(f"the file has more than {megabytes} MB; --upload-megabytes allows for more")
