"""What a run did, counted: the tally in the pipeline, and the report as JSON. Its schema is in docs/report.md."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import SinkError
from pipeline.frames import Inpainted, Skipped
from pipeline.run.stayed import StayedOn
from pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from fractions import Fraction

    from pipeline.frames import DrawnBy
    from pipeline.people.people import Person
    from pipeline.run.joints import Sighting
    from pipeline.threads.worker import StageStats

INVENTED = "Drawn face regions are invented by a neural network. They do not show what the mask hid."
"""The sentence that goes wherever a result is described."""

SHIPPED = "shipped"
"""What a report calls the shipped generator beside the enrolled faces, none of which may have this name."""


SHOWN = 3
"""How many stretches a summary names; the report has all."""


@dataclass
class Tally:
    """Counts the faces that pass, and changes nothing. Read it in any thread; it is final once the run has ended."""

    faces: int = 0
    """Summed over frames, tracked ones that no detector saw in that frame included."""
    masked_faces: int = 0
    """How many of the faces had their mask drawn over."""
    held_faces: int = 0
    """How many of the masked ones had hardly changed, and were shown as they were last drawn."""
    frames_with_mask: int = 0
    """Frames in which at least one mask was drawn over."""
    skipped: Counter[Skipped] = field(default_factory=Counter)
    """The other faces by why they were left as they are."""
    drawn_by: Counter[DrawnBy] = field(default_factory=Counter)
    """The masked faces by which network drew them and why; empty where no face is enrolled."""
    people: dict[int, Person] | None = None
    """The people who were told apart, by id; None when nobody asked."""
    stayed: StayedOn = field(default_factory=StayedOn)
    """Where masks stayed on."""
    counted: Callable[[Fraction], bool] | None = None
    """Says for the time of a frame whether its faces count; None counts all."""
    seen: list[Sighting] = field(default_factory=list)
    """Every face in every frame, where not all frames count."""

    def __call__(self, items: Iterator[Inpainted]) -> Iterator[Inpainted]:
        """Hand on every item as it is."""
        for item in items:
            cropped, counts = item.cropped, self.counted is None or self.counted(item.frame.time)
            self.stayed.see(item, counts=counts)
            if self.counted is not None:
                tracks, time = cropped.tracked.tracks, float(item.frame.time)
                self.seen += [(time, track.id, track.detection.box) for track in tracks]
            if not counts:
                yield item
                continue

            self.faces += len(cropped.tracked.tracks)
            self.masked_faces += len(item.patches)
            self.held_faces += sum(patch.crop.carried for patch in item.patches)
            self.frames_with_mask += bool(item.patches)
            self.drawn_by.update(patch.crop.drawn_by for patch in item.patches if patch.crop.drawn_by is not None)
            self.skipped.update(reason for _, reason in cropped.skipped)
            yield item

    def add(self, other: Tally, names: Mapping[int, int]) -> None:
        """Add what another tally has counted in later frames; `names` has the id here of each track there."""
        self.faces += other.faces
        self.masked_faces += other.masked_faces
        self.held_faces += other.held_faces
        self.frames_with_mask += other.frames_with_mask
        self.skipped.update(other.skipped)
        self.drawn_by.update(other.drawn_by)
        self.stayed.add(other.stayed, names)

    def faces_as_json(self) -> dict[str, object]:
        """The faces as the reports of files and of live runs hold them: counted, and by why they were left."""
        skipped = {reason.value: count for reason, count in sorted(self.skipped.items())}
        bare = skipped.pop(Skipped.BARE.value, 0)
        return {
            "faces": self.faces,
            "masked_faces": self.masked_faces,
            "held_faces": self.held_faces,
            "bare_faces": bare,
            "faces_left": skipped,
            "drawn_by": self.drawers_as_json(),
        }

    def drawers_as_json(self) -> dict[str, dict[str, int]]:
        """Network to reason to count; the shipped network is called `shipped`."""
        found: dict[str, dict[str, int]] = {}
        for drawn_by, count in sorted(self.drawn_by.items(), key=lambda item: (item[0].face or "", item[0].why)):
            name = SHIPPED if drawn_by.face is None else drawn_by.face
            found.setdefault(name, {})[drawn_by.why.value] = count
        return found


class FileState(StrEnum):
    """How an input ended."""

    DONE = "done"
    CUT_SHORT = "cut short"
    """Ctrl-C ended it: the output holds what was read until then, or there is none."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Its output was there already."""
    NOT_BEGUN = "not begun"
    """The batch ended before its turn."""


@dataclass(frozen=True)
class Report:
    """What became of one input."""

    input: str
    output: str | None
    """The output as it was named; None when none was left behind."""
    complete: bool
    """Whether all that the input holds, between start and end, is in the output."""
    frames_in: int = 0
    frames_out: int = 0
    bad_packets: int = 0
    wall_seconds: float = 0.0
    engine: str = ""
    """What ran the networks, such as `openvino 2026.4.1 cpu bf16`; several are joined by commas."""
    networks: Mapping[str, str] = field(default_factory=dict)
    """Network name to the SHA-256 of its file."""
    tally: Tally = field(default_factory=Tally)
    stages: Sequence[StageStats] = ()
    missing: Sequence[str] = ()
    """What of the input is not in the output or is damaged there, in sentences; none after an error."""
    warnings: Sequence[str] = ()
    """What was changed without loss, in sentences."""
    error: str | None = None
    """Why the run failed, if it did."""
    interrupted: bool = False
    """Whether Ctrl-C ended it."""
    cluster: Mapping[str, object] | None = None
    """How many chunks each node computed, and how many were computed again; None where there is no cluster."""
    picture: bool = False
    """Whether it is a picture rather than a video."""
    left_out: FileState | None = None
    """Why nothing was done with it: `SKIPPED` or `NOT_BEGUN`."""

    @property
    def state(self) -> FileState:
        """How it ended."""
        if self.left_out is not None:
            return self.left_out
        if self.interrupted:
            return FileState.CUT_SHORT
        return FileState.FAILED if self.error is not None else FileState.DONE

    @property
    def fps(self) -> float:
        """Frames written in a second of wall time, opening and closing included."""
        return self.frames_out / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def summary(self) -> str:
        """What was done in a sentence, for a person."""
        if self.left_out is not None:
            return f"{self.left_out.value}."
        short = "cut short; " if self.interrupted else ""
        amount = "1 picture" if self.picture else f"{counted(self.frames_out, 'frame')} at {self.fps:.1f} fps"
        return f"{short}{amount}; {self._drawn}."

    @property
    def _drawn(self) -> str:
        """What was done with the faces."""
        tally, bare = self.tally, self.tally.skipped[Skipped.BARE]
        left = sum(tally.skipped.values()) - bare
        if not tally.faces:
            return "nothing drawn: no face was found"
        if not tally.masked_faces:
            if left:
                return f"nothing drawn: {counted(left, 'face')} left as found"
            return f"nothing drawn: {counted(bare, 'face')} without a mask"
        if self.picture:
            return f"{counted(tally.masked_faces, 'mask')} drawn over{self._drawers}"
        return f"masks drawn over in {counted(tally.frames_with_mask, 'frame')}{self._drawers}"

    @property
    def _drawers(self) -> str:
        """Which network drew how many faces and why; empty where no face is enrolled."""
        told = [
            f"{count} by {drawn_by.face or 'the shipped network'} ({drawn_by.why.value})"
            for drawn_by, count in self.tally.drawn_by.most_common()
        ]
        return f": {', '.join(told)}" if told else ""

    @property
    def masks_left(self) -> str | None:
        """Where masks stayed on that nobody asked to leave, in a sentence for a person; None when none did."""
        stretches = self.tally.stayed.unasked
        if not stretches:
            return None
        if self.picture:
            reasons = Counter(stretch.reason for stretch in stretches)
            return "masks may be left on: " + ", ".join(f"{counted(n, 'face')} {why}" for why, n in reasons.items())
        shown = sorted(stretches[:SHOWN], key=lambda stretch: stretch.start)
        more = f", and {counted(len(stretches) - SHOWN, 'more stretch', 'more stretches')}"
        return "masks may be left on at " + ", ".join(map(str, shown)) + (more if len(stretches) > SHOWN else "")

    def as_json(self) -> dict[str, object]:
        """The report as JSON holds it."""
        return {
            "input": self.input,
            "output": self.output,
            "state": self.state.value,
            "complete": self.complete,
            "interrupted": self.interrupted,
            "error": self.error,
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            **self.tally.faces_as_json(),
            "frames_with_mask": self.tally.frames_with_mask,
            "masks_left": [stretch.as_json() for stretch in self.tally.stayed.stretches],
            "people": None if self.tally.people is None else len(self.tally.people),
            "bad_packets": self.bad_packets,
            "wall_seconds": round(self.wall_seconds, 3),
            "fps": round(self.fps, 2),
            "stages": stages_as_json(self.stages),
            "cluster": None if self.cluster is None else dict(self.cluster),
            "engine": self.engine,
            "networks": dict(self.networks),
            "missing": list(self.missing),
            "warnings": list(self.warnings),
        }


def counted(number: int, thing: str, things: str | None = None) -> str:
    """A number of things as people write it: `1 frame`, `2 frames`."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"


def stages_as_json(stages: Sequence[StageStats]) -> dict[str, dict[str, float]]:
    """What each stage did, by its name."""
    return {stage.name: _stage_as_json(stage) for stage in stages}


def _stage_as_json(stage: StageStats) -> dict[str, float]:
    return {
        "items": stage.items,
        "dropped": stage.dropped,
        "busy": round(stage.busy_seconds, 3),
        "starved": round(stage.starved_seconds, 3),
        "blocked": round(stage.blocked_seconds, 3),
        "cpu": round(stage.cpu_seconds, 3),
    }


def joined(reports: Sequence[Report], cluster: Mapping[str, object] | None = None) -> dict[str, object]:
    """The report of a run over these inputs, as JSON holds it: one shape, however many there are.

    `cluster` is what a cluster has done; None where there was none.
    """
    return {
        "complete": all(report.complete for report in reports),
        "interrupted": any(report.interrupted or report.left_out is FileState.NOT_BEGUN for report in reports),
        "files": [report.as_json() for report in reports],
        "cluster": cluster,
        "note": INVENTED,
    }


def write_json(value: object, path: str) -> None:
    """Write `value` as JSON to the file `path`, or to standard output for `-`.

    Raises `SinkError`, also instead of replacing a file that holds anything but JSON.
    """
    # A name that is not UTF-8 reaches Python with lone surrogates, which JSON can hold as escapes alone.
    text = (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace").decode("utf-8")
    check_json(path)
    try:
        if path == "-":
            sys.stdout.write(text)
            sys.stdout.flush()
            return

        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and not file.is_file():  # such as a pipe, which can't be replaced
            file.write_text(text, encoding="utf-8")
            return
        with whole_file(file, overwrite=True) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except BrokenPipeError as error:
        give_up_standard_output()
        raise SinkError("the report was not written: whoever read standard output has closed it") from error
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror or error}") from error


def give_up_standard_output() -> None:
    """Lead standard output nowhere, whose reader has ended, so that nothing fails when it is emptied at the exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_json(path: str, *, report: bool = False) -> None:
    """Raise `SinkError` unless JSON may be written to `path`: it is free, or holds JSON, with `report` a report."""
    if path == "-":
        if sys.stdout is None:
            raise SinkError("standard output is closed: give the name of a file instead of -")
        return
    file = Path(path)
    if not file.is_file():
        return
    what = "report" if report else "JSON"
    refused = SinkError(f"{path} exists and is no {what}; choose another name")
    try:
        found = json.loads(file.read_bytes() or b"{}")
    except OSError as error:
        raise SinkError(f"{path} can't be read: {error.strerror}; choose another name") from error
    except (ValueError, RecursionError):
        raise refused from None
    if report and found != {} and not (isinstance(found, dict) and {"files", "note"} & found.keys()):
        raise refused


def check_report(path: str | None, files: Iterable[Path] = ()) -> None:
    """Raise `SinkError` when a report to `path` would overwrite one of `files`, or a file that is no report."""
    if path is None:
        return
    file = Path(path)
    if file.is_file() and any(other.exists() and other.samefile(file) for other in files):
        raise SinkError(f"the report would overwrite {path}, which is an input or an output; give it another name")
    check_json(path, report=True)


def stage_table(stages: Sequence[StageStats]) -> str:
    """Where the time went, as lines for a person: the stage that is busy while others wait is the bottleneck."""
    lines = [f"{'stage':<10} {'items':>7} {'busy s':>8} {'starved s':>10} {'blocked s':>10} {'cpu s':>8}"]
    lines += [
        f"{stage.name:<10} {stage.items:>7} {stage.busy_seconds:>8.2f} {stage.starved_seconds:>10.2f} "
        f"{stage.blocked_seconds:>10.2f} {stage.cpu_seconds:>8.2f}"
        for stage in stages
    ]
    return "\n".join(lines)
