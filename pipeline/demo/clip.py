"""Writes the demonstration's clip: the masked portrait in motion, with grain and a soundtrack of beeps."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from pipeline.demo.portrait import CYCLE_SECONDS, frame_from_portrait, masked_portrait, warped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

FRAME_RATE = 30
"""Frames in a second."""

BT709 = 1
"""FFmpeg's number for the primaries and the transfer function of ITU-R BT.709."""

SAMPLE_RATE = 48_000
"""Samples of sound in a second."""

_GRAIN = 1.5
"""Standard deviation of the noise in every frame, in steps of 8 bits: about that of a webcam in daylight."""


def draw_frames(*, width: int, height: int, frames: int) -> Iterator[NDArray[np.uint8]]:
    """Draw `frames` pictures (height, width, 3) uint8 RGB, every time the same for the same size."""
    import cv2

    random = np.random.default_rng(1)
    grain = np.round(random.normal(0, _GRAIN, (height + 64, width + 64, 1))).astype(np.int16).repeat(3, axis=2)

    for index in range(frames):
        place = frame_from_portrait(Fraction(index, FRAME_RATE), width=width, height=height)
        moved = warped(masked_portrait(), place, width=width, height=height)
        top, left = random.integers(0, 64, 2)
        noisy = cv2.add(moved, grain[top : top + height, left : left + width], dtype=cv2.CV_8U)
        yield noisy.astype(np.uint8, copy=False)


def beeps(seconds: Fraction) -> NDArray[np.float32]:
    """Make sound, (samples,) float32 in [-1, 1]: at every second a tenth of a second of 1 kHz, faded in and out."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    within = times % 1.0
    loudness = np.clip(np.minimum(within, 0.1 - within) / 0.005, 0, 1)
    samples: NDArray[np.float32] = (0.25 * loudness * np.sin(2 * np.pi * 1000 * times)).astype(np.float32)
    return samples


def write_clip(path: Path, *, width: int, height: int, frames: int = FRAME_RATE * CYCLE_SECONDS) -> None:
    """Write the clip to `path`: H.264 of high quality and AAC, 30 frames a second, as long as `frames` takes.

    Sides must be even, as 4:2:0 asks for. The motion repeats after `motion.CYCLE_SECONDS`.
    """
    with av.open(str(path), "w") as container:
        video = video_stream(container, width=width, height=height, crf=16)
        sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for index, image in enumerate(draw_frames(width=width, height=height, frames=frames)):
            picture = encodable(image)
            picture.pts, picture.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))

        samples = av.AudioFrame.from_ndarray(beeps(Fraction(frames, FRAME_RATE))[None], format="fltp", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))


def video_stream(container: OutputContainer, *, width: int, height: int, crf: int) -> VideoStream:
    """Add an H.264 stream for the pictures that `encodable` gives."""
    stream = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": str(crf), "preset": "veryfast"})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
    context.color_primaries = context.color_trc = BT709
    return stream


def encodable(image: NDArray[np.uint8]) -> av.VideoFrame:
    """Convert (height, width, 3) uint8 RGB into 4:2:0 video in BT.709, limited range."""
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
