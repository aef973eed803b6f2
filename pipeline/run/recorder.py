"""What was found and done in each frame, as lines of JSON: `--faces FILE.jsonl`. Its keys are in docs/report.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import SinkError
from pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.frames import Inpainted, Track


@dataclass(frozen=True)
class Recorder:
    """Stage that writes a line for every frame and hands it on as it is. The file is whole or absent."""

    path: Path
    overwrite: bool

    def __call__(self, items: Iterator[Inpainted]) -> Iterator[Inpainted]:
        """Raises `SinkError` when the file exists or can't be written."""
        with whole_file(self.path, overwrite=self.overwrite) as unfinished, unfinished.open("w") as file:
            for item in items:
                try:
                    file.write(json.dumps(line(item)) + "\n")
                except OSError as error:
                    raise SinkError(f"{self.path} can't be written: {error.strerror or error}") from error
                yield item


def line(item: Inpainted) -> dict[str, object]:
    """One frame and its faces as JSON holds them."""
    cropped, frame = item.cropped, item.frame
    done = {track.id: (track, reason.value) for track, reason in cropped.skipped}
    done |= {crop.track.id: (crop.track, "held" if crop.held else "drawn") for crop in cropped.crops}
    return {
        "frame": frame.index,
        "time": round(float(frame.time), 6),
        "cut": cropped.tracked.detected.cut,
        "faces": [_face(*done[number]) for number in sorted(done)],
    }


def _face(track: Track, done: str) -> dict[str, object]:
    box, points = track.detection.box, track.detection.landmarks.points
    return {
        "track": track.id,
        "done": done,
        "box": [round(float(edge), 2) for edge in (box.left, box.top, box.right, box.bottom)],
        "landmarks": [[round(float(value), 2) for value in point] for point in points],
        "score": round(float(track.detection.score), 4),
        "unseen": track.unseen,
    }
