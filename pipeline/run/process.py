"""One input from beginning to end: check, run, watch, report; and Ctrl-C on the way.

The first Ctrl-C ends the source and the output is finalised, the second calls the run off.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, Self

from pipeline.errors import BarefacedError
from pipeline.run import assemble
from pipeline.run.report import FileState, Report
from pipeline.threads.channel import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import FrameType

    from pipeline.frames import Frame
    from pipeline.run.batch import Job
    from pipeline.run.load import Networks
    from pipeline.run.report import Tally
    from pipeline.run.work import Account, Controls, Film, Photo
    from pipeline.settings.config import Config
    from pipeline.threads.worker import StageStats


class Stoppable(Protocol):
    """A run that can be asked to end."""

    def stop(self) -> None:
        """End the source; what is in flight drains. May be called from a signal handler."""
        ...


class Interrupts:
    """While its `with` block lasts, the first SIGINT stops the watched run and the second raises `KeyboardInterrupt`.

    With no run to stop the first one raises as well. SIGTERM ends the program as the second one does, with exit code
    143. Enter it in the main thread, as Python asks of whoever handles signals.
    """

    def __init__(self) -> None:
        self.asked = False
        """Whether an interrupt has come."""
        self._run: Stoppable | None = None

    def watch(self, run: Stoppable | None) -> None:
        """The run that the first SIGINT stops from now on; None when there is none."""
        self._run = run

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._interrupt), signal.signal(signal.SIGTERM, self._terminate)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before[0])
        signal.signal(signal.SIGTERM, self._before[1])

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if again or self._run is None:
            raise KeyboardInterrupt
        self._run.stop()

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        raise SystemExit(128 + signal.SIGTERM)


class Watcher(Protocol):
    """Is told how a run gets on."""

    def began(self, job: Job, run: Stoppable, frames: int | None) -> None:
        """The run is about to start; `frames` is how many are expected, None when nobody knows."""
        ...

    def wrote(self, frame: Frame) -> None:
        """A frame went to the encoder."""
        ...

    def ended(self) -> None:
        """The run is over, well or not. Also called when it never began."""
        ...


@dataclass(frozen=True)
class Ended:
    """How an input ended: the report, and the error that ended it."""

    report: Report
    error: BaseException | None


def process(
    job: Job, config: Config, networks: Networks, *, watcher: Watcher, controls: Controls | None = None
) -> Ended:
    """Take the masks off in one video or picture. Raises nothing: what went wrong is in what it returns.

    With `controls` faces are drawn as they say.
    """
    try:
        assembled = assemble.still if job.still else assemble.video
        work: Film | Photo = assembled(job, config, networks, controls)
    except BarefacedError as error:
        return failed(job, error)
    return carry_out(job, work, watcher=watcher, engine=networks.description, hashes=networks.hashes)


def put_beside(job: Job, result: Path, config: Config, *, watcher: Watcher) -> Ended:
    """Write `job`'s input and its finished `result` side by side, to `job`'s target. Raises nothing, as `process`."""
    try:
        work = assemble.beside(job, result, config)
    except BarefacedError as error:
        return failed(job, error)
    return carry_out(job, work, watcher=watcher, engine="", hashes={})


def carry_out(job: Job, work: Film | Photo, *, watcher: Watcher, engine: str, hashes: Mapping[str, str]) -> Ended:
    """Run what was assembled for `job`. Raises nothing: what went wrong is in what it returns.

    `engine` and `hashes` say in the report what ran which networks.
    """
    run = work.pipeline.run()

    def write_all() -> None:
        work.sink.check()
        watcher.began(job, run, work.expected_frames())
        with run:
            for frame in run:
                watcher.wrote(frame)

    seconds, error = watched(write_all, watcher)
    return reported(
        job,
        work.account(),
        work.tally,
        run.stats(),
        engine=engine,
        hashes=hashes,
        wall_seconds=seconds,
        error=error,
        stopped=run.stopped,
    )


def watched(work: Callable[[], None], watcher: Watcher) -> tuple[float, BaseException | None]:
    """The seconds that work took, and the error that ended it. Raises nothing; tells the watcher that it is over."""
    began = perf_counter()
    error: BaseException | None = None
    try:
        work()
    except BaseException as raised:  # it ends in the report and is raised again by whoever reads that
        error = raised
    finally:
        watcher.ended()
    return perf_counter() - began, error


def reported(
    job: Job,
    account: Account,
    tally: Tally,
    stages: tuple[StageStats, ...],
    *,
    engine: str,
    hashes: Mapping[str, str],
    wall_seconds: float,
    error: BaseException | None,
    stopped: bool,
    cluster: Mapping[str, object] | None = None,
) -> Ended:
    """Report how a run ended, with `error` or without, and whether it was `stopped` before the end of its input."""
    report = Report(
        input=str(job.source),
        output=str(job.target) if error is None else None,
        complete=error is None and account.complete,
        frames_in=account.frames_in,
        frames_out=account.frames_out if error is None else 0,
        bad_packets=account.bad_packets,
        wall_seconds=wall_seconds,
        engine=engine,
        networks=hashes,
        tally=tally,
        stages=stages,
        missing=account.missing if error is None else (),  # the error says it
        warnings=account.warnings,
        error=described(error) if error else None,
        interrupted=stopped or isinstance(error, KeyboardInterrupt | Cancelled),
        picture=job.still,
        cluster=cluster,
    )
    return Ended(report, error)


def left_out(job: Job, state: FileState) -> Ended:
    """How an input ended with which nothing was done: its output was there, or the batch ended before."""
    output = str(job.target) if state is FileState.SKIPPED else None
    return Ended(Report(str(job.source), output, complete=state is FileState.SKIPPED, left_out=state), None)


def failed(job: Job, error: BaseException) -> Ended:
    """How an input ended that was never begun."""
    interrupted = isinstance(error, KeyboardInterrupt | Cancelled)
    report = Report(str(job.source), None, complete=False, error=described(error), interrupted=interrupted)
    return Ended(report, error)


def described(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, KeyboardInterrupt | Cancelled):
        return "interrupted; the output was not finished and is not there"
    if isinstance(error, SystemExit):
        return "the program was told to end; the output was not finished and is not there"
    return " ".join((str(error) or type(error).__name__).split())
