"""How a run gets on, on standard error: a bar on a terminal, a line now and then elsewhere, or JSON for programs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pipeline.settings.config import ProgressKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.frames import Frame
    from pipeline.run.batch import Job
    from pipeline.run.process import Interrupts, Stoppable
    from pipeline.run.report import Report

BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} frames, {fps}, {remaining} left{more}"
BAR_WITHOUT_END = "{desc} {n_fmt} frames, {fps}, {elapsed} so far{more}"
FINISHING = "barefaced: finishing the file; Ctrl-C again stops now and leaves no file"
SECONDS = {ProgressKind.LINES: 10.0, ProgressKind.JSON: 1.0}
"""How often each kind that writes lines does so."""


class BatchProgress:
    """A watcher of the files of a batch, which also tells `interrupts` what runs."""

    def __init__(
        self,
        interrupts: Interrupts,
        *,
        quiet: bool,
        kind: ProgressKind = ProgressKind.AUTO,
        jobs: Sequence[Job] = (),
        now: Callable[[], float] = monotonic,
    ) -> None:
        """`jobs` are those of the batch; without them a file stands for itself. `now` is the clock, in seconds."""
        if kind is ProgressKind.AUTO:
            kind = ProgressKind.BAR if sys.stderr.isatty() else ProgressKind.LINES

        self._interrupts = interrupts
        self._kind = ProgressKind.NONE if quiet else kind
        self._batch = _Batch([_size(job) for job in jobs], now)
        self._now = now
        self._shown = now()
        self._bar: _Bar | None = None
        self._file = _File("", None, 0.0)
        self._opened = _Opened(self._batch)

    @property
    def place(self) -> str:
        """Which file of the batch is on, such as `3 of 12`; empty where there is only one."""
        return f"{self._batch.begun} of {self._batch.count}" if self._batch.count > 1 else ""

    def began(self, job: Job, run: Stoppable, frames: int | None) -> None:
        """A file begins; `frames` is how many are expected."""
        self._interrupts.watch(run)
        self._batch.begin()
        self._file = _File(str(job.source), frames, self._now())
        self._begin(f"{self.place}: {job.source.name}" if self.place else job.source.name, frames)

    def spread(self, run: Stoppable) -> None:
        """All files of the batch are computed at the same time: one bar, in frames a second of them all."""
        self._interrupts.watch(run)
        self._file = _File(f"{self._batch.count} files" if self._batch.count > 1 else "1 file", None, self._now())
        self._begin(self._file.name, None)

    def expect(self, job: Job, frames: int) -> None:
        """A file was opened, so many frames of which are to be computed."""
        self._opened.add(_size(job), frames)
        self._file.expected = self._opened.expected
        if self._bar is not None:
            self._bar.total, self._bar.bar_format = self._opened.expected, BAR
            self._bar.refresh()

    def came(self, frames: int) -> None:
        """So many frames came back from a cluster."""
        self._file.frames += frames
        if self._bar is not None:
            self._bar.update(frames)
        elif self._now() - self._shown >= SECONDS.get(self._kind, float("inf")):
            self._say("frames")

    def wrote(self, _frame: Frame) -> None:
        """A frame went to the encoder."""
        self._file.frames += 1
        if self._interrupts.asked and not self._file.finishing:  # said here, since a signal handler may not print
            self._file.finishing = True
            if self._kind is not ProgressKind.NONE:
                tqdm.write(FINISHING, file=sys.stderr)
        if self._bar is not None:
            self._bar.more = self._left_for_all()
            self._bar.update()
        elif self._now() - self._shown >= SECONDS.get(self._kind, float("inf")):
            self._say("frames")

    def ended(self) -> None:
        """The file is over, well or not."""
        self._interrupts.watch(None)
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def told(self, report: Report) -> None:
        """A file is over and this is what became of it; for files that never began, too."""
        if self._kind is ProgressKind.JSON:
            self._write({"event": "ended", "file": report.input, "output": report.output, "state": report.state.value})

    def skip(self) -> None:
        """The next file of the batch is passed over."""
        self._batch.begin()

    def _begin(self, name: str, frames: int | None) -> None:
        """A bar of that name, where the kind is one, and a line, where it is one that writes lines."""
        if self._kind is ProgressKind.BAR:
            form = BAR if frames else BAR_WITHOUT_END
            self._bar = _Bar(desc=name, total=frames, bar_format=form, file=sys.stderr, dynamic_ncols=True, leave=False)
        self._say("began")

    def _left_for_all(self) -> str:
        seconds = self._batch.seconds_left(self._file.part)
        return "" if seconds is None else f", {tqdm.format_interval(seconds)} for all"

    def _say(self, event: str) -> None:
        """A line, where the kind is one that writes lines."""
        self._shown, file = self._now(), self._file
        fps = file.frames / (self._shown - file.began) if self._shown > file.began else 0.0

        if self._kind is ProgressKind.JSON:
            left = self._batch.seconds_left(file.part)
            told = {"event": event, "file": file.name, "number": self._batch.begun, "of": max(1, self._batch.count)}
            told |= {"frames": file.frames, "expected": file.expected, "fps": round(fps, 2)}
            self._write(told | {"seconds_left": None if left is None else round(left, 1)})
        elif self._kind is ProgressKind.LINES and event == "frames":
            of = f" of {file.expected}" if file.expected else ""
            place = f"{self.place}: " if self.place else ""
            line = f"{place}{file.name}: {file.frames}{of} frames, {fps:.1f} fps{self._left_for_all()}"
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - what this module is for

    def _write(self, told: dict[str, object]) -> None:
        print(json.dumps(told, ensure_ascii=False), file=sys.stderr, flush=True)  # noqa: T201 - likewise


@dataclass
class _File:
    """The file that is on."""

    name: str
    expected: int | None
    began: float
    frames: int = 0
    finishing: bool = False
    """Whether it was said that Ctrl-C ends it."""

    @property
    def part(self) -> float:
        """How much of it is done, from 0 to 1; a file of unknown length counts as half done."""
        return min(1.0, self.frames / self.expected) if self.expected else 0.5


class _Batch:
    """What is done of a batch, by the sizes of its files, since nobody knows their frames before they are opened."""

    def __init__(self, sizes: list[int], now: Callable[[], float]) -> None:
        self._sizes, self._now, self._began = sizes, now, now()
        self.count, self.begun, self.bytes = len(sizes), 0, sum(sizes)

    def begin(self) -> None:
        self.begun += 1

    def seconds_left(self, part: float) -> float | None:
        """Seconds for the rest of all files, when `part` of the one that is on is done; None where nobody can say."""
        if self.count < 2 or not 1 <= self.begun <= self.count:
            return None
        done = sum(self._sizes[: self.begun - 1]) + part * self._sizes[self.begun - 1]
        return (self._now() - self._began) * (sum(self._sizes) - done) / done if done > 0 else None


@dataclass
class _Opened:
    """What is known of a batch by the files of it that were opened."""

    batch: _Batch
    bytes: int = 0
    frames: int = 0

    def add(self, size: int, frames: int) -> None:
        self.bytes += size
        self.frames += frames

    @property
    def expected(self) -> int:
        """Frames of the whole batch, if the other files have as many for their bytes."""
        return round(self.frames * self.batch.bytes / self.bytes) if self.bytes else self.frames


class _Bar(tqdm):  # type: ignore[misc]  # it comes without types
    monitor_interval = 0  # no thread that watches over bars
    desc: str
    more = ""

    @property
    def format_dict(self) -> dict[str, Any]:
        known: dict[str, Any] = super().format_dict
        rate = known["rate"] or (known["n"] / known["elapsed"] if known["elapsed"] else 0.0)
        return known | {"fps": f"{rate:.1f} fps", "more": self.more}


def _size(job: Job) -> int:
    """Bytes of a job's input; 0 where it can't be read, which will be said when its turn comes."""
    try:
        return job.source.stat().st_size
    except OSError:
        return 0
