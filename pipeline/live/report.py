"""What a live run did, as JSON. Its schema is in docs/live.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.frames import Skipped
from pipeline.run.report import INVENTED, stages_as_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.live.pace import Counts
    from pipeline.run.report import Tally
    from pipeline.threads.worker import StageStats


@dataclass(frozen=True)
class LiveReport:
    """What became of a live run."""

    input: str
    error: str | None
    """Why it ended, where that was no wish."""
    interrupted: bool
    """Whether Ctrl-C ended it."""
    wall_seconds: float
    pictures: int
    """That the camera gave."""
    dropped: int
    """Of these, those that were never processed, since a newer one was there."""
    reopened: int
    """Times that the camera was lost and came back."""
    counts: Counts
    failures: int
    """Frames in which a network failed."""
    last_failure: str | None
    delay_ms: int
    engine: str
    networks: Mapping[str, str]
    tally: Tally
    stages: Sequence[StageStats]
    said: Sequence[str]
    """What happened meanwhile, in sentences."""

    @property
    def fps(self) -> float:
        """New frames shown in a second of wall time, opening included."""
        return self.counts.ages.count / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def summary(self) -> str:
        """The counts in a sentence, for a person."""
        return (
            f"{self.counts.ages.count} frames at {self.fps:.1f} fps, age {self.counts.ages.overall()} "
            f"(p50 / p95 / p99), {self.dropped} dropped, {self.counts.repeated} repeated, {self.failures} failed."
        )

    def as_json(self) -> dict[str, object]:
        """The report as JSON holds it."""
        counts, ages = self.counts, self.counts.ages.overall()
        skipped = Counter({reason.value: count for reason, count in sorted(self.tally.skipped.items())})
        bare = skipped.pop(Skipped.BARE.value, 0)
        return {
            "input": self.input,
            "error": self.error,
            "interrupted": self.interrupted,
            "wall_seconds": round(self.wall_seconds, 3),
            "pictures": self.pictures,
            "dropped": self.dropped,
            "shown": counts.ages.count,
            "sent": counts.sent,
            "repeated": counts.repeated,
            "overtaken": counts.overtaken,
            "late": counts.late,
            "out_of_order": counts.out_of_order,
            "fps": round(self.fps, 2),
            "age_ms": ages.as_json() if ages else None,
            "age_ms_by_minute": [each.as_json() for each in counts.ages.by_minute()],
            "memory_mb_by_minute": counts.memory_mb,
            "delay_ms": self.delay_ms,
            "reopened": self.reopened,
            "failed": self.failures,
            "last_failure": self.last_failure,
            "faces": self.tally.faces,
            "masked_faces": self.tally.masked_faces,
            "held_faces": self.tally.held_faces,
            "bare_faces": bare,
            "faces_left": dict(skipped),
            "stages": stages_as_json(self.stages),
            "engine": self.engine,
            "networks": dict(self.networks),
            "events": list(self.said),
            "note": INVENTED,
        }
