"""What a run did, counted: the tally in the pipeline, and the report as JSON. Its schema is in docs/report.md."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import SinkError
from pipeline.frames import Inpainted, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.frames import DrawnBy
    from pipeline.threads.worker import StageStats

INVENTED = "Drawn face regions are invented by a neural network. They do not show what the mask hid."
"""The sentence that goes wherever a result is described."""

SHIPPED = "shipped"
"""What a report calls the shipped generator beside the enrolled faces, none of which may have this name."""


@dataclass
class Tally:
    """Counts the faces that pass, and changes nothing. Read it in any thread; it is final once the run has ended."""

    faces: int = 0
    """Summed over frames, tracked ones that no detector saw in that frame included."""
    masked_faces: int = 0
    """Those whose mask was drawn over."""
    held_faces: int = 0
    """Those of them that had not changed, and were shown as they were last drawn."""
    frames_with_mask: int = 0
    """Frames in which at least one mask was drawn over."""
    skipped: Counter[Skipped] = field(default_factory=Counter)
    """The other faces by why they were left as they are."""
    drawn_by: Counter[DrawnBy] = field(default_factory=Counter)
    """The masked faces by which network drew them and why; empty where no face is enrolled."""
    people: set[int] | None = None
    """The ids of the people who were told apart; None when nobody asked."""

    def __call__(self, items: Iterator[Inpainted]) -> Iterator[Inpainted]:
        """Hand on every item as it is."""
        for item in items:
            cropped = item.cropped
            self.faces += len(cropped.tracked.tracks)
            self.masked_faces += len(item.patches)
            self.held_faces += sum(patch.crop.held for patch in item.patches)
            self.frames_with_mask += bool(item.patches)
            self.drawn_by.update(patch.crop.drawn_by for patch in item.patches if patch.crop.drawn_by is not None)
            self.skipped.update(reason for _, reason in cropped.skipped)
            yield item

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
            "drawn_by": self._drawers_as_json(),
        }

    def _drawers_as_json(self) -> dict[str, dict[str, int]]:
        """Network to reason to count; the shipped network is called `shipped`."""
        found: dict[str, dict[str, int]] = {}
        for drawn_by, count in sorted(self.drawn_by.items(), key=lambda item: (item[0].face or "", item[0].why)):
            name = SHIPPED if drawn_by.face is None else drawn_by.face
            found.setdefault(name, {})[drawn_by.why.value] = count
        return found


@dataclass(frozen=True)
class Report:
    """What became of one input."""

    input: str
    output: str | None
    """None when no output was left behind."""
    complete: bool
    """Whether all that the input holds, between start and end, is in the output."""
    frames_in: int
    frames_out: int
    bad_packets: int
    wall_seconds: float
    engine: str
    """What ran the networks, such as `openvino 2026.4.1 cpu bf16`; several are joined by commas."""
    networks: Mapping[str, str]
    """Network name to the SHA-256 of its file."""
    tally: Tally
    stages: Sequence[StageStats] = ()
    missing: Sequence[str] = ()
    """What of the input is not in the output or is damaged there, in sentences; none after an error."""
    warnings: Sequence[str] = ()
    """What was changed without loss, in sentences."""
    error: str | None = None
    """Why the run failed, if it did."""
    interrupted: bool = False
    """Whether Ctrl-C ended it."""

    @property
    def fps(self) -> float:
        """Frames written in a second of wall time, opening and closing included."""
        return self.frames_out / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def summary(self) -> str:
        """The counts in a sentence, for a person."""
        bare = self.tally.skipped[Skipped.BARE]
        skipped = sum(self.tally.skipped.values()) - bare
        drawn = f"{self.tally.masked_faces} masked faces drawn in {self.tally.frames_with_mask} frames"
        if not self.tally.faces:
            drawn = "nothing drawn: no face was found"
        elif not self.tally.masked_faces:
            drawn = f"nothing drawn: {bare} faces without a mask" if bare else "nothing drawn"
        kept = f", {skipped} left masked or in doubt" if skipped else ""
        return f"{self.frames_out} frames at {self.fps:.1f} fps, {drawn}{kept}."

    def as_json(self) -> dict[str, object]:
        """The report as JSON holds it."""
        return {
            "input": self.input,
            "output": self.output,
            "complete": self.complete,
            "interrupted": self.interrupted,
            "error": self.error,
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            **self.tally.faces_as_json(),
            "frames_with_mask": self.tally.frames_with_mask,
            "people": None if self.tally.people is None else len(self.tally.people),
            "bad_packets": self.bad_packets,
            "wall_seconds": round(self.wall_seconds, 3),
            "fps": round(self.fps, 2),
            "stages": stages_as_json(self.stages),
            "engine": self.engine,
            "networks": dict(self.networks),
            "missing": list(self.missing),
            "warnings": list(self.warnings),
            "note": INVENTED,
        }


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


def joined(reports: Sequence[Report]) -> dict[str, object]:
    """The JSON for a run over these inputs: the one report, or for several their list and whether all are complete."""
    if len(reports) == 1:
        return reports[0].as_json()
    return {"complete": all(report.complete for report in reports), "files": [each.as_json() for each in reports]}


def write_json(value: object, path: str) -> None:
    """Write `value` as JSON to the file `path`, or to standard output for `-`. Raises `SinkError`."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    try:
        if path == "-":
            sys.stdout.write(text)
        else:
            Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(f"{path} can't be written: {error.strerror or error}") from error


def stage_table(stages: Sequence[StageStats]) -> str:
    """Where the time went, as lines for a person: the stage that is busy while others wait is the bottleneck."""
    lines = [f"{'stage':<10} {'items':>7} {'busy s':>8} {'starved s':>10} {'blocked s':>10} {'cpu s':>8}"]
    lines += [
        f"{stage.name:<10} {stage.items:>7} {stage.busy_seconds:>8.2f} {stage.starved_seconds:>10.2f} "
        f"{stage.blocked_seconds:>10.2f} {stage.cpu_seconds:>8.2f}"
        for stage in stages
    ]
    return "\n".join(lines)
