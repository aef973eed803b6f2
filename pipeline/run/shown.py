"""For whoever checks or edits a result: lines of JSON for each frame, what was found, before and after, a matte.

`--faces FILE.jsonl` writes what was found and done in each frame; its keys are in docs/report.md.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import cv2
import numpy as np

from pipeline.blend.paste import paste
from pipeline.errors import SinkError
from pipeline.frames import Skipped
from pipeline.settings.config import Compare
from pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from pipeline.frames import Frame, Inpainted, Track
    from pipeline.threads.worker import Stage


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


DRAWN, LEFT, BARE = (40, 220, 90), (255, 150, 0), (150, 150, 150)
"""The colours of boxes, RGB: a face that was drawn, one that was left for some reason, one without a mask."""


@dataclass(frozen=True)
class Compared:
    """Stage around blending: each frame as it was beside what it became."""

    blend: Stage[Inpainted, Frame]
    way: Compare

    def __call__(self, items: Iterator[Inpainted]) -> Iterator[Frame]:
        """Raises `SourceError` for a picture in a format that can't be painted on."""
        for item, frame in _both(self.blend, items):
            if self.way is Compare.SPLIT:
                middle = frame.width // 2
                picture = item.frame.image[:, :middle].copy()  # (height, width / 2, 3)
                # A white line between the two halves, wide enough to be seen at any size.
                picture[:, -max(1, frame.width // 400) :] = 255
            else:
                picture = side_by_side(item.frame.image, frame.image)
            yield _covered(frame, picture)


@dataclass(frozen=True)
class Paired:
    """Stage: each frame beside the one of `others` that was made of it; ends with the shorter of both."""

    others: Iterable[Frame]

    def __call__(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Raises `SourceError` for a picture in a format that can't be painted on."""
        for frame, other in zip(frames, self.others, strict=False):
            yield _covered(frame, side_by_side(frame.image, other.image))


def _covered(frame: Frame, picture: NDArray[np.uint8]) -> Frame:
    """`frame` with `picture` (h, w, 3) laid over it from its top left corner on."""
    alpha = np.ones(picture.shape[:2], np.float32)
    return replace(frame, planes=paste(frame.planes, left=0, top=0, colour=picture, alpha=alpha))


@dataclass(frozen=True)
class Overlaid:
    """Stage around blending: each frame with a box, landmarks and a label on every face."""

    blend: Stage[Inpainted, Frame]

    def __call__(self, items: Iterator[Inpainted]) -> Iterator[Frame]:
        """Raises `SourceError` for a picture in a format that can't be painted on."""
        for item, frame in _both(self.blend, items):
            canvas = np.zeros((frame.height, frame.width, 4), np.uint8)  # RGB and how much of it
            for track, reason in item.cropped.skipped:
                _draw(canvas, track, reason.value, BARE if reason is Skipped.BARE else LEFT)
            for crop in item.cropped.crops:
                _draw(canvas, crop.track, "held" if crop.held else "drawn", DRAWN)

            colour, alpha = canvas[..., :3].astype(np.float32), canvas[..., 3].astype(np.float32) / np.float32(255)
            yield replace(frame, planes=paste(frame.planes, left=0, top=0, colour=colour, alpha=alpha))


MATTE_CLOCK = 90_000
"""Ticks in a second by which a matte's times are counted before Matroska rounds them to milliseconds."""


@dataclass(frozen=True)
class Matte:
    """Stage around blending that writes where it changed anything: 255 there, 0 elsewhere, a picture for each frame.

    A video of grey in FFV1, whose times count from the first frame, or for one picture a PNG. It is whole or absent.
    """

    blend: Stage[Inpainted, Frame]
    path: Path
    overwrite: bool

    def __call__(self, items: Iterator[Inpainted]) -> Iterator[Frame]:
        """Raises `SinkError` when the file exists or can't be written."""
        with whole_file(self.path, overwrite=self.overwrite) as unfinished:
            kind, codec = ("image2", "png") if self.path.suffix == ".png" else ("matroska", "ffv1")
            options = {"update": "1"} if kind == "image2" else {}
            try:
                with av.open(str(unfinished), "w", format=kind, options=options) as container:
                    stream: VideoStream | None = None
                    first = Fraction(0)
                    for item, frame in _both(self.blend, items):
                        if stream is None:
                            first, stream = frame.time, cast("VideoStream", container.add_stream(codec))
                            stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "gray"
                            stream.codec_context.time_base = Fraction(1, MATTE_CLOCK)
                        matte = _matte(item.frame, frame)
                        matte.pts, matte.time_base = round((frame.time - first) * MATTE_CLOCK), Fraction(1, MATTE_CLOCK)
                        container.mux(stream.encode(matte))
                        yield frame
                    # Encoders hold frames back; without this the last ones would be missing.
                    if stream is not None:
                        container.mux(stream.encode(None))
            except av.error.FFmpegError as error:
                raise SinkError(f"{self.path} can't be written: {error.strerror or error}") from error


def _matte(before: Frame, after: Frame) -> av.VideoFrame:
    """Where two pictures differ, in grey."""
    changed = np.zeros((before.height, before.width), np.uint8)
    if after.planes is not before.planes:
        changed[(before.image != after.image).any(axis=2)] = 255
    return av.VideoFrame.from_ndarray(changed, format="gray")


def side_by_side(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two pictures (height, width, 3) in one of their size: each at half its size, black above and below."""
    height, width = before.shape[:2]
    half = (max(1, width // 2), max(1, height // 2))
    small = [cv2.resize(picture, half, interpolation=cv2.INTER_AREA) for picture in (before, after)]
    both = np.zeros_like(before)
    top = (height - half[1]) // 2
    both[top : top + half[1], : 2 * half[0]] = np.concatenate(small, axis=1)
    return both


def _both(blend: Stage[Inpainted, Frame], items: Iterator[Inpainted]) -> Iterator[tuple[Inpainted, Frame]]:
    """Each item with the frame that `blend` makes of it."""
    waiting: deque[Inpainted] = deque()

    def remembered() -> Iterator[Inpainted]:
        for item in items:
            waiting.append(item)
            yield item

    for frame in blend(remembered()):
        yield waiting.popleft(), frame


def _draw(canvas: NDArray[np.uint8], track: Track, done: str, colour: tuple[int, int, int]) -> None:
    box, opaque = track.detection.box, (*colour, 255)
    left, top, thick = round(box.left), round(box.top), max(1, round(min(canvas.shape[:2]) / 360))
    cv2.rectangle(canvas, (left, top), (round(box.right), round(box.bottom)), opaque, thick)
    for x, y in track.detection.landmarks.points:
        cv2.circle(canvas, (round(float(x)), round(float(y))), thick + 1, opaque, -1)

    at, size = (left, max(14 * thick, top - 4 * thick)), 0.4 * thick
    cv2.putText(canvas, f"{track.id} {done}", at, cv2.FONT_HERSHEY_SIMPLEX, size, opaque, thick, cv2.LINE_AA)
