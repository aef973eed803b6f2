"""One measured run in a process of its own, so that its peak memory is its own: `python -m benchmarks.child`.

`run_child` starts the process, gives it a JSON object (`mode`, `clip`, `warm_up`, `target`, `settings`) on standard
input and reads another one from its standard output. Process start, imports and the compiling of networks are told
apart (`start_seconds`); a short clip runs first as warm-up, unmeasured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.profile import Meters
from benchmarks.record import UnmeasurableError
from pipeline.live.report import peak_mb, resident_mb
from pipeline.run import assemble, load
from pipeline.run.batch import Job
from pipeline.run.process import process
from pipeline.settings.config import Config, build
from pipeline.threads.runner import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.record import Document
    from pipeline.frames import Frame
    from pipeline.run.interrupt import Stoppable

FRAMES_BETWEEN_LOOKS = 250
"""How often the memory in use is looked at."""


def run_child(mode: str, clip: Path, warm_up: Path, target: Path, settings: Mapping[str, object]) -> Document:
    """A measured run: `pipeline` as `barefaced run` does it, `ceiling` decodes and encodes alone.

    Raises `UnmeasurableError` with the last words of the process when it fails.
    """
    paths = {"clip": str(clip), "warm_up": str(warm_up), "target": str(target)}
    return asked_of("benchmarks.child", {"mode": mode, **paths, "settings": dict(settings)})


def asked_of(module: str, question: Document) -> Document:
    """What a module in a process of its own answers. Raises `UnmeasurableError` with its last words when it fails."""
    command = [sys.executable, "-m", module]
    done = subprocess.run(  # noqa: S603 - our own modules
        command, input=json.dumps(question), capture_output=True, text=True, check=False, env=child_environment()
    )
    if done.returncode:
        raise UnmeasurableError(f"{module} failed: {done.stderr.strip() or 'it said nothing'}")
    measured: Document = json.loads(done.stdout)
    return measured


def child_environment() -> dict[str, str]:
    """This process's environment, in which a child finds the same barefaced."""
    root = str(Path(__file__).resolve().parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}


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
    """A watcher of a run that looks at the memory in use from time to time."""

    def __init__(self) -> None:
        self.frames = 0
        self.samples: list[float] = []

    def began(self, job: Job, run: Stoppable, frames: int | None) -> None:
        """Prepare nothing."""

    def wrote(self, _frame: Frame) -> None:
        """Count a frame, and look at the memory where it is time."""
        self.frames += 1
        if self.frames % FRAMES_BETWEEN_LOOKS == 0:
            self.samples.append(round(resident_mb(), 1))

    def ended(self) -> None:
        """End nothing."""


def whole(job: Job, config: Config, networks: load.Networks) -> Document:
    """A run as `barefaced run` does it, with the time in its networks apart."""
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
        "network_calls": meters.calls,
        "memory_mb": memory.samples,
    }


def main() -> None:
    """Do what standard input asks for."""
    began = perf_counter()
    question = json.load(sys.stdin)
    config = build(question["settings"], {"overwrite": True})
    job, warm_up = (Job(Path(question[name]), Path(question["target"])) for name in ("clip", "warm_up"))

    if question["mode"] == "ceiling":
        ceiling(warm_up, config)
        start_seconds, measured = perf_counter() - began, ceiling(job, config)
    else:
        with load.networks(config) as networks:
            whole(warm_up, config, networks)
            start_seconds, measured = perf_counter() - began, whole(job, config, networks)
    json.dump(measured | {"peak_rss_mb": peak_mb(), "start_seconds": start_seconds}, sys.stdout)


if __name__ == "__main__":
    main()
