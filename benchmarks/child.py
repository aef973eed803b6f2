"""One measured run in a process of its own, so that its peak memory is its own: `python -m benchmarks.child`.

Takes a JSON object on standard input (`mode`, `clip`, `warm_up`, `target`, `settings`) and answers with one on standard
output. Process start, imports and the compiling of networks are told apart (`start_seconds`); a short clip runs first
as warm-up, unmeasured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.metered import Meters
from pipeline.live.report import peak_mb, resident_mb
from pipeline.run import assemble, load
from pipeline.run.batch import Job
from pipeline.run.process import process
from pipeline.settings.config import Config, build
from pipeline.threads.runner import Pipeline

if TYPE_CHECKING:
    from benchmarks.record import Document
    from pipeline.frames import Frame
    from pipeline.run.interrupt import Stoppable

SAMPLE_EVERY = 250
"""Frames between two looks at the memory in use."""


def ceiling(job: Job, config: Config) -> Document:
    """Decode and encode alone, with the same source, sink, codec and preset as a whole run."""
    began = perf_counter()
    source, sink = assemble.ends(job, config)
    sink.check()
    with Pipeline.from_source("decode", source).then("encode", sink).run() as run:
        frames = sum(1 for _ in run)
    seconds = perf_counter() - began
    return {"frames": frames, "seconds": seconds, "fps": frames / seconds}


class Memory:
    """A watcher that looks at the memory in use from time to time."""

    def __init__(self) -> None:
        self.frames = 0
        self.samples: list[float] = []

    def began(self, job: Job, run: Stoppable, frames: int | None) -> None:
        """Nothing to prepare."""

    def wrote(self, _frame: Frame) -> None:
        """Count a frame, and look at the memory where it is time."""
        self.frames += 1
        if self.frames % SAMPLE_EVERY == 0:
            self.samples.append(round(resident_mb(), 1))

    def ended(self) -> None:
        """Nothing to end."""


def whole(job: Job, config: Config, networks: load.Networks) -> Document:
    """A run as `barefaced run` does it."""
    memory, meters = Memory(), Meters.on(networks)
    ended = process(job, config, meters.networks, watcher=memory)
    if ended.error is not None:
        raise ended.error
    report = ended.report
    return report.as_json() | {
        "frames": report.frames_out,
        "seconds": report.wall_seconds,
        "fps": report.fps,
        "network_seconds": meters.by_stage,
        "memory_mb": memory.samples,
    }


def main() -> None:
    """Do what standard input asks for."""
    began = perf_counter()
    asked = json.load(sys.stdin)
    config = build(asked["settings"], {"overwrite": True})
    job, warm_up = (Job(Path(asked[name]), Path(asked["target"])) for name in ("clip", "warm_up"))
    if asked["mode"] == "ceiling":
        ceiling(warm_up, config)
        start_seconds, measured = perf_counter() - began, ceiling(job, config)
    else:
        with load.networks(config) as networks:
            whole(warm_up, config, networks)
            start_seconds, measured = perf_counter() - began, whole(job, config, networks)
    json.dump(measured | {"peak_rss_mb": peak_mb(), "start_seconds": start_seconds}, sys.stdout)


if __name__ == "__main__":
    main()
