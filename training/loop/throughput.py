"""Whether drawing keeps up with learning: `python -m training.loop.throughput NETWORK --crops DIR --seconds 20 ...`.

Takes the flags of `training.loop.train` and measures three things, one after the other: how many pictures a second the
workers draw while nothing learns, each counted once whatever `--reuse` says; how many the network takes of one batch
again and again; and both together as a run does it, with the share of its time that a step waits for data. Nothing is
kept.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from training.loop.stream import joined
from training.loop.train import begun, drawn_batches
from training.needs import errors_in_one_line
from training.settings import add_flags, given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from training.loop.stream import Batch
    from training.settings import TrainConfig

ENOUGH = 0.05
"""Share of a step that may be spent waiting before more workers pay."""


@dataclass(frozen=True)
class Throughput:
    """Pictures a second, and what they cost each other."""

    drawn: float
    learned: float
    together: float
    waiting: float
    """Share of the time of both together that the step waited for data, in [0, 1]."""

    def summary(self, config: TrainConfig) -> str:
        """The figures and what they mean, as lines for a person."""
        verdict = "data keeps up" if self.waiting <= ENOUGH else "data is the bottleneck: give more --workers"
        return (
            f"{config.network} {config.size}x{config.size}, batch {config.batch}, "
            f"{config.threads} threads, {config.workers} workers\n"
            f"drawn alone     {self.drawn:8.1f} pictures/s\n"
            f"learned alone   {self.learned:8.1f} pictures/s\n"
            f"both together   {self.together:8.1f} pictures/s, {self.waiting:.1%} of the time waiting: {verdict}"
        )


def rate_of(work: Callable[[], object], seconds: float) -> float:
    """How often `work` is done a second; once before the clock starts, then for `seconds` at least."""
    work()
    began, done = time.monotonic(), 0
    while (taken := time.monotonic() - began) < seconds:
        work()
        done += 1
    return done / taken


def measure(config: TrainConfig, seconds: float) -> Throughput:
    """Each of the three for `seconds`. Losses that join late are counted in.

    Raises as `training.loop.train.train` does.
    """
    with joined(config.device) as world, tempfile.TemporaryDirectory() as aside:
        joining = 0.0 if config.sharpen_from <= 1 else config.sharpen_from
        config = replace(config, run=Path(aside), sharpen_from=joining)
        run = begun(config, world)

        def learn(batch: Batch) -> None:
            run.advance(batch)
            if world.device.type == "cuda":
                torch.cuda.synchronize(world.device)  # a step is over when the card has done it

        def drawing() -> Iterator[Batch]:
            return drawn_batches(replace(config, reuse=1), world, 0)

        batch = next(drawing())  # with a stream go its workers, and what they have drawn ahead
        learned = rate_of(lambda: learn(batch), seconds)
        drawn = rate_of(partial(next, drawing()), seconds)
        stream = drawn_batches(config, world, 0)
        next(stream)  # its workers are there
        waited = 0.0

        def step() -> None:
            nonlocal waited
            asked = time.monotonic()
            batch = next(stream)
            waited += time.monotonic() - asked
            learn(batch)

        began = time.monotonic()
        together = rate_of(step, seconds)
        waiting = waited / (time.monotonic() - began)
    return Throughput(drawn * config.batch, learned * config.batch, together * config.batch, waiting)


def main() -> None:
    """Read the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="that each of the three takes (default: %(default)s)"
    )
    add_flags(parser, leave_out=("run",))
    parser.set_defaults(run=Path())  # nothing is kept
    options = parser.parse_args()
    seconds = vars(options).pop("seconds")
    with errors_in_one_line(parser):
        config = given(options)
        print(measure(config, seconds).summary(config))  # noqa: T201 (the command's answer)


if __name__ == "__main__":
    main()
