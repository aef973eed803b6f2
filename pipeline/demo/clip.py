"""The demonstration's clip: a portrait that may be shown to anyone, in a drawn mask, in motion, with grain and beeps.

The portrait is NASA's official picture of the astronaut Eileen Collins (NASA Great Images database), a work of the US
government and so in the public domain; this copy is the 512-pixel version that scikit-image has as `data.astronaut()`.
The mask is drawn here, in the portrait's own pixels.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from pipeline.geometry import Affine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray


PORTRAIT_SIZE = 512
"""Side of the portrait in pixels."""

LANDMARKS = np.array([[203.0, 100.7], [246.8, 103.3], [224.5, 125.0], [206.0, 140.8], [243.0, 141.8]])
"""(5, 2) portrait pixels: eyes, nose tip and mouth corners of the portrait, the person's right first."""

FACE_CENTRE = (224.0, 132.0)
"""Portrait pixels (x, y), at the nose."""

_SUPERSAMPLING = 4
_TOP_EDGE = np.array([[182.5, 121.5], [195.0, 119.5], [210.0, 114.5], [223.5, 108.5], [237.0, 115.0], [254.0, 122.0]])
_RIGHT_EDGE = np.array([[270.5, 124.5], [269.0, 138.0], [264.0, 152.0], [256.0, 166.0]])
_BOTTOM_EDGE = np.array(
    [[242.0, 177.5], [224.0, 182.5], [206.0, 178.0], [194.0, 166.0], [187.0, 152.0], [184.0, 138.0]]
)
_EAR_LOOPS = (
    np.array([[183.0, 122.5], [178.5, 119.0], [174.5, 117.5]]),
    np.array([[193.0, 164.0], [184.0, 148.0], [177.5, 131.0]]),
    np.array([[270.0, 125.5], [274.5, 124.5], [278.5, 126.0]]),
    np.array([[257.0, 164.0], [267.0, 149.0], [273.5, 136.5]]),
)
_CLOTH = np.array([148.0, 184.0, 203.0])
_LOOP = np.array([226.0, 230.0, 232.0])


@cache
def portrait() -> NDArray[np.uint8]:
    """(512, 512, 3) uint8 RGB, read-only: the bare portrait."""
    from PIL import Image

    with resources.files(__package__).joinpath("astronaut.webp").open("rb") as file, Image.open(file) as picture:
        image = np.asarray(picture.convert("RGB"))
    image.flags.writeable = False
    return image


@cache
def mask_alpha() -> NDArray[np.float32]:
    """(512, 512) float32 in [0, 1], read-only: how much the mask hides of each pixel, ear loops left out."""
    alpha = _shrunk(_filled(_smooth_outline()))
    alpha.flags.writeable = False
    return alpha


@cache
def masked_portrait() -> NDArray[np.uint8]:
    """(512, 512, 3) uint8 RGB, read-only: the portrait wearing a surgical mask with pleats and ear loops."""
    skin = portrait().astype(np.float32)
    alpha = mask_alpha()[..., None]
    shadow = cv2.GaussianBlur(np.roll(mask_alpha(), (3, 0), axis=(0, 1)), (0, 0), 3.0)[..., None]
    loops = _shrunk(_loops())[..., None]
    image = skin * (1 - 0.35 * shadow)
    image = image * (1 - loops) + _LOOP * _light(skin) * loops
    image = image * (1 - alpha) + _CLOTH * _light(skin) * _folds()[..., None] * alpha
    drawn = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    drawn.flags.writeable = False
    return drawn


def _smooth_outline() -> NDArray[np.float64]:
    """(n, 2) portrait pixels: the mask's outline, its corners kept, its edges rounded by cutting corners (Chaikin)."""
    outline = np.concatenate([_TOP_EDGE, _RIGHT_EDGE, _BOTTOM_EDGE])
    for _ in range(3):
        following = np.roll(outline, -1, axis=0)
        outline = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], axis=1).reshape(
            -1, 2
        )
    return outline


def _filled(outline: NDArray[np.float64]) -> NDArray[np.float32]:
    """Draw the inside of an outline on the larger canvas, in [0, 1]."""
    canvas = np.zeros((PORTRAIT_SIZE * _SUPERSAMPLING,) * 2, np.uint8)
    return cv2.fillPoly(canvas, [_to_canvas(outline)], 255).astype(np.float32) / np.float32(255)


def _loops() -> NDArray[np.float32]:
    """Draw the ear loops on the larger canvas, in [0, 1]."""
    canvas = np.zeros((PORTRAIT_SIZE * _SUPERSAMPLING,) * 2, np.uint8)
    for loop in _EAR_LOOPS:
        cv2.polylines(canvas, [_to_canvas(loop)], False, 255, thickness=6, lineType=cv2.LINE_AA)  # noqa: FBT003 - cv2 takes it by position
    return canvas.astype(np.float32) / np.float32(255)


def _to_canvas(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Map portrait pixels to pixels of the larger canvas; (0, 0) is the centre of the top-left pixel in both."""
    return np.round((points + 0.5) * _SUPERSAMPLING - 0.5).astype(np.int32)


def _shrunk(canvas: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shrink the canvas to the portrait's size, with edges as soft as the portrait's own."""
    small = cv2.resize(canvas, (PORTRAIT_SIZE, PORTRAIT_SIZE), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), 0.6).astype(np.float32)


def _light(skin: NDArray[np.float32]) -> NDArray[np.float32]:
    """Estimate how the light falls on the face, (512, 512, 1) about 1: the skin with its features blurred away."""
    grey = skin @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    inside = mask_alpha()
    blurred = cv2.GaussianBlur(grey * inside, (0, 0), 9.0) / np.maximum(cv2.GaussianBlur(inside, (0, 0), 9.0), 0.05)
    mean = float((blurred * inside).sum() / inside.sum())
    light: NDArray[np.float32] = np.clip(blurred / mean, 0.75, 1.2).astype(np.float32)[..., None]
    return light


def _folds() -> NDArray[np.float32]:
    """Shade the mask, (512, 512) about 1: roundness from cheek to cheek, three pleats, hem, nose wire and weave."""
    rows, columns = np.mgrid[:PORTRAIT_SIZE, :PORTRAIT_SIZE].astype(np.float64)
    across = np.clip((columns - 226.5) / 44.0, -1, 1)
    top, bottom = _edge(_TOP_EDGE, _RIGHT_EDGE[:1]), _edge(_BOTTOM_EDGE, _RIGHT_EDGE[-1:])
    down = (rows - top) / np.maximum(bottom - top, 1.0)

    # Round from cheek to cheek, with a ridge along the nose.
    shade = 1.07 - 0.28 * across**2 + 0.05 * np.exp(-((across / 0.18) ** 2)) * (down < 0.55)

    # Pleats are sewn together at their ends, so they flatten there; then the nose wire and the hem.
    sewn = 1 - across**4
    for pleat in (0.34, 0.53, 0.72):
        below = (down - pleat) / 0.035
        shade -= sewn * (0.17 * np.exp(-(below**2)) - 0.07 * np.exp(-((below + 2.2) ** 2)))
    shade += 0.08 * np.exp(-(((down - 0.07) / 0.03) ** 2)) - 0.07 * np.exp(-(((down - 0.13) / 0.02) ** 2))
    shade -= 0.07 * np.exp(-(((down - 0.92) / 0.02) ** 2))

    weave = np.random.default_rng(7).normal(0, 0.012, rows.shape)
    folds: NDArray[np.float32] = (shade + weave).astype(np.float32)
    return folds


def _edge(*parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The row of an edge of the mask at every column, (512,), straight beyond its ends."""
    points = np.concatenate(parts)
    points = points[np.argsort(points[:, 0])]
    return np.interp(np.arange(PORTRAIT_SIZE), points[:, 0], points[:, 1])


CYCLE_SECONDS = 6
"""The length of the motion, which ends where it began, so that the clip can be looped without a jump."""

_VISIBLE_ROWS = 235.0
"""How many rows of the portrait fill the frame's height on average."""


def frame_from_portrait(time: Fraction, *, width: int, height: int) -> Affine:
    """Map the portrait into the frame at `time` seconds: moved, turned by up to 9 degrees and zoomed."""
    phase = 2 * math.pi * float(time) / CYCLE_SECONDS
    zoom = height / _VISIBLE_ROWS * (1 + 0.13 * math.sin(phase))
    turn = math.radians(9.0) * math.sin(2 * phase)
    linear = zoom * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    swing = height * np.array([0.10 * math.sin(phase + 0.6), 0.035 * math.cos(3 * phase)])
    return Affine(np.column_stack([linear, middle + swing - linear @ np.array(FACE_CENTRE)]))


def warped(picture: NDArray[np.uint8], frame_from_picture: Affine, *, width: int, height: int) -> NDArray[np.uint8]:
    """Warp a picture into the frame, (height, width[, channels]) uint8, mirrored beyond its edges."""
    import cv2

    moved = cv2.warpAffine(
        picture,
        frame_from_picture.matrix,
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return moved.astype(np.uint8, copy=False)


FRAME_RATE = 30
"""Frames in a second of the clip."""

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
