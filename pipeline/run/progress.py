"""How a run gets on, as one line of a terminal: part done, frames a second, time left."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from pipeline.frames import Frame
    from pipeline.run.batch import Job
    from pipeline.run.interrupt import Interrupts, Stoppable

LINE = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} frames, {fps}, {remaining} left"
LINE_WITHOUT_END = "{desc} {n_fmt} frames, {fps}, {elapsed} so far"


class _Bar(tqdm):  # type: ignore[misc]  # it comes without types
    monitor_interval = 0  # no thread that watches over bars
    desc: str

    @property
    def format_dict(self) -> dict[str, Any]:
        known: dict[str, Any] = super().format_dict
        rate = known["rate"] or (known["n"] / known["elapsed"] if known["elapsed"] else 0.0)
        return known | {"fps": f"{rate:.1f} fps"}


class Progress:
    """A watcher that draws the line on standard error, only on a terminal, and tells `interrupts` what runs."""

    def __init__(self, interrupts: Interrupts, *, quiet: bool) -> None:
        self._interrupts = interrupts
        self._quiet = quiet or not sys.stderr.isatty()
        self._bar: _Bar | None = None

    def began(self, job: Job, run: Stoppable, frames: int | None) -> None:
        """Draw the line; `frames` is how many are expected."""
        self._interrupts.watch(run)
        self._bar = _Bar(
            desc=job.source.name,
            total=frames,
            bar_format=LINE if frames else LINE_WITHOUT_END,
            disable=self._quiet,
            file=sys.stderr,
            dynamic_ncols=True,
            leave=False,
        )

    def wrote(self, _frame: Frame) -> None:
        """Count a frame."""
        if self._bar is not None:
            self._bar.update()

    def ended(self) -> None:
        """Remove the line."""
        self._interrupts.watch(None)
        if self._bar is not None:
            self._bar.close()
            self._bar = None
