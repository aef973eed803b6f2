"""The demonstration: draw the clip, run it, and leave films and a picture that show what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.demo.clip import write_clip
from pipeline.demo.compare import write_before_after, write_side_by_side
from pipeline.errors import SinkError
from pipeline.run import load
from pipeline.run.batch import Job
from pipeline.run.process import process
from pipeline.run.report import INVENTED
from pipeline.settings.config import build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.run.process import Watcher
    from pipeline.run.report import Report

WIDTH, HEIGHT = 1280, 720
"""The size of the demonstration's clip in pixels."""


@dataclass(frozen=True)
class Shown:
    """The files and the report of a demonstration."""

    folder: Path
    report: Report

    @property
    def text(self) -> str:
        """Say where the files are and what to look at."""
        return f"""\
{self.report.summary}

{self.folder}/input.mp4          the portrait of an astronaut (NASA, public domain), wearing a drawn mask
{self.folder}/output.mp4         the same clip without the mask: watch the rim, the steadiness, the sound in step
{self.folder}/side-by-side.mp4   both at once
{self.folder}/before-after.png   three moments; the third row is the real portrait, never shown to the networks

The face in the output is invented. Compare it with the real one: it is somebody else's mouth and chin.
{INVENTED}"""


def show(folder: Path, *, settings: Mapping[str, object], watcher: Watcher, say: Callable[[str], None]) -> Shown:
    """Write input.mp4, output.mp4, side-by-side.mp4 and before-after.png into `folder`, which is made if it is missing.

    Files of an earlier demonstration are replaced. `settings` are those that differ from the defaults, by key. `say`
    gets a phrase for each step. Raises `SinkError`, and whatever the run raises.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"the directory {folder} can't be made: {error.strerror or error}") from error

    job = Job(folder / "input.mp4", folder / "output.mp4")
    config = build(settings, {"overwrite": True})
    say("loading the networks")
    with load.networks(config) as networks:
        say(f"drawing the clip, {WIDTH}x{HEIGHT}")
        write_clip(job.source, width=WIDTH, height=HEIGHT)
        say("taking the mask off")
        ended = process(job, config, networks, watcher=watcher)

    if ended.error is not None:
        raise ended.error
    if not ended.report.interrupted:
        say("putting both beside each other")
        write_side_by_side(job.source, job.target, folder / "side-by-side.mp4")
        write_before_after(job.source, job.target, folder / "before-after.png")
    return Shown(folder, ended.report)
