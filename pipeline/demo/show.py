"""The demonstration: draw the clip, run it, and leave films and a picture that show what became of it.

Before and after stand beside each other: in a film with the sound kept, and in a picture of three moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from pipeline.demo.clip import FACE_CENTRE, encodable, frame_from_portrait, portrait, video_stream, warped, write_clip
from pipeline.errors import SinkError, SourceError
from pipeline.run import load
from pipeline.run.batch import Job
from pipeline.run.process import process
from pipeline.run.report import INVENTED
from pipeline.settings.values import build
from pipeline.video.containers import SYNTHETIC
from pipeline.video.stills import synthetic_png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.run.process import Watcher
    from pipeline.run.report import Report


BEFORE, AFTER, TRUTH = "before", "after: the face is invented", "the real portrait"
MOMENTS = (Fraction(3, 10), Fraction(17, 10), Fraction(5))
"""Seconds of the clip that the picture shows."""


def write_side_by_side(before: Path, after: Path, target: Path) -> None:
    """Write a film twice as wide: `before` on the left, `after` on the right, labelled, with the sound of `before`.

    Raises `SourceError` when one has fewer frames than the other.
    """
    with av.open(str(before)) as left, av.open(str(after)) as right, av.open(str(target), "w") as output:
        output.metadata["comment"] = SYNTHETIC
        first = left.streams.video[0]
        stream = video_stream(output, width=2 * first.width, height=first.height, crf=20)
        sounds = {sound.index: output.add_stream_from_template(sound) for sound in left.streams.audio}

        others = right.decode(video=0)
        for packet in left.demux():
            if packet.stream_index in sounds and packet.dts is not None:
                packet.stream = sounds[packet.stream_index]
                output.mux(packet)
            elif packet.stream is first:
                for frame in first.decode(packet):
                    other = next(others, None)
                    if other is None:
                        raise SourceError(f"{after} has fewer frames than {before}: it is not the whole output")
                    output.mux(stream.encode(_pair(frame, other)))

        output.mux(stream.encode(None))


def _pair(before: av.VideoFrame, after: av.VideoFrame) -> av.VideoFrame:
    """Put two frames beside each other, labelled, at the time of the first."""
    both = encodable(np.concatenate([labelled(_rgb(before), BEFORE), labelled(_rgb(after), AFTER)], axis=1))
    both.pts, both.time_base = before.pts, before.time_base
    return both


def write_before_after(before: Path, after: Path, target: Path) -> None:
    """Write a PNG of `MOMENTS`, a column each: masked, unmasked, and the real portrait as it was under the mask."""
    from PIL import Image

    columns = []
    for masked, bare, time in zip(_moments(before), _moments(after), MOMENTS, strict=True):
        height, width = masked.shape[:2]
        place = frame_from_portrait(time, width=width, height=height)
        truth = warped(portrait(), place, width=width, height=height)
        middle = float(place.apply(FACE_CENTRE)[0])
        rows = ((masked, BEFORE), (bare, AFTER), (truth, TRUTH))
        columns.append(np.concatenate([_halved(labelled(_square(image, middle), text)) for image, text in rows]))
    Image.fromarray(np.concatenate(columns, axis=1)).save(target, optimize=True, pnginfo=synthetic_png())


def _square(image: NDArray[np.uint8], middle: float) -> NDArray[np.uint8]:
    """Cut a square out of `image`, about the column `middle` as far as the picture reaches."""
    height, width = image.shape[:2]
    left = min(max(0, round(middle - height / 2)), max(0, width - height))
    return image[:, left : left + height]


def _moments(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The pictures that are shown at `MOMENTS`, (height, width, 3) uint8 RGB."""
    wanted = list(MOMENTS)
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if wanted and frame.pts is not None and frame.time_base and frame.pts * frame.time_base >= wanted[0]:
                wanted.pop(0)
                yield _rgb(frame)
    if wanted:
        raise SourceError(f"{path} ends before {float(wanted[0])} s: it is not the whole clip")


def _rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def labelled(image: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Copy `image` and write `text` into its lower left corner, white on black."""
    size = image.shape[0] / 720
    drawn = image.copy()
    place = (round(16 * size), image.shape[0] - round(18 * size))
    for colour, thickness in (((0, 0, 0), 6), ((255, 255, 255), 2)):
        weight = max(1, round(thickness * size))
        cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_DUPLEX, 1.0 * size, colour, weight, cv2.LINE_AA)
    return drawn


def _halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return half.astype(np.uint8, copy=False)


WIDTH, HEIGHT = 1280, 720
"""The size of the demonstration's clip in pixels."""


@dataclass(frozen=True)
class Demonstration:
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


def show(
    folder: Path, *, settings: Mapping[str, object], watcher: Watcher, say: Callable[[str], None]
) -> Demonstration:
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
    return Demonstration(folder, ended.report)
