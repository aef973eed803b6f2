"""What is measured: clips for runs, faces for networks, and the proof that a run really took the masks off.

The demonstration's clip has one masked face. A crowd has as many as are asked for, all else the same: the demo's
portrait in a grid, each one moving. Networks are fed the same portrait, a photo, in its drawn mask, as runs see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Protocol

import av
import cv2
import numpy as np

from benchmarks.record import BenchmarkError
from pipeline.demo.clip import (
    CYCLE_SECONDS,
    FRAME_RATE,
    LANDMARKS,
    draw_frames,
    encodable,
    frame_from_portrait,
    mask_alpha,
    masked_portrait,
    portrait,
    video_stream,
    warped,
    write_clip,
)
from pipeline.draw.hole import hole_of
from pipeline.geometry import CROP_SIZE, Landmarks, face_crop
from pipeline.picture.pixels import write_colours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import Array
    from pipeline.geometry import Affine


SIZES = ("640x480", "854x480", "1280x720")
CYCLE_FRAMES = FRAME_RATE * CYCLE_SECONDS

CROWD_SIZE = "1280x720"
COLUMNS, ROWS = 4, 2
TAKEN = (1, 6, 3, 4, 0, 7, 2, 5)
"""Places of the grid in the order in which faces take them."""

CHANGED_LEVELS = 12.0
"""A mask counts as gone from a frame when what was mask differs by more than this on average, in steps of 8 bits."""

GONE_SHARE = 0.98
"""Part of the looked-at frames in which the mask must be gone."""

KEPT_LEVELS = 3.0
"""The rest of the picture may differ by this much on average: what encoding twice does."""


def parsed(size: str) -> tuple[int, int]:
    """Width and height of a size such as `640x480`."""
    width, height = size.split("x")
    return int(width), int(height)


def make_clip(folder: Path, size: str, frames: int) -> Path:
    """The demonstration's clip of `frames` frames; beyond one cycle its packets are repeated, without sound."""
    width, height = parsed(size)
    path = folder / f"{size}-{frames}.mp4"
    if frames <= CYCLE_FRAMES:
        write_clip(path, width=width, height=height, frames=frames)
    else:
        cycle = folder / f"{size}-cycle.mp4"
        write_clip(cycle, width=width, height=height)
        _repeat(cycle, path, frames)
    return path


def _repeat(cycle: Path, target: Path, frames: int) -> None:
    with av.open(str(cycle)) as source, av.open(str(target), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.dts is not None]
        if stream.time_base is None:
            raise BenchmarkError(f"{cycle} has no time base")

        turn = round(CYCLE_SECONDS / stream.time_base)
        for index in range(-(-frames // CYCLE_FRAMES) * CYCLE_FRAMES):
            original = packets[index % CYCLE_FRAMES]
            packet = av.Packet(bytes(original))
            shift = index // CYCLE_FRAMES * turn
            packet.pts, packet.dts = (original.pts or 0) + shift, (original.dts or 0) + shift
            packet.time_base, packet.is_keyframe, packet.stream = stream.time_base, original.is_keyframe, copy
            output.mux(packet)


class MasksOf(Protocol):
    """Where the masks of a frame are."""

    def __call__(self, index: int, *, width: int, height: int) -> list[NDArray[np.uint8]]:
        """The masks of a frame, (height, width) each; 255 is all mask."""
        ...


def demo_masks(index: int, *, width: int, height: int) -> list[NDArray[np.uint8]]:
    """Where the demonstration's clip has its mask in a frame: (height, width), 255 is all mask."""
    place = frame_from_portrait(Fraction(index, FRAME_RATE), width=width, height=height)
    return [warped((mask_alpha() * 255).astype(np.uint8), place, width=width, height=height)]


def make_crowd(folder: Path, faces: int, frames: int) -> Path:
    """A clip of `CROWD_SIZE` with so many masked faces, without sound."""
    width, height = parsed(CROWD_SIZE)
    path = folder / f"crowd-{faces}-{frames}.mp4"
    with av.open(str(path), "w") as container:
        video = video_stream(container, width=width, height=height, crf=16)
        for index, image in enumerate(_crowd_frames(faces, frames, width, height)):
            picture = encodable(image)
            picture.pts, picture.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    return path


def crowd_masks(faces: int) -> MasksOf:
    """Where the masks of a crowd of so many faces are."""
    return partial(_crowd_masks, faces)


def _crowd_masks(faces: int, index: int, *, width: int, height: int) -> list[NDArray[np.uint8]]:
    alpha = (mask_alpha() * 255).astype(np.uint8)
    masks = []
    for tile in TAKEN[:faces]:
        mask = np.zeros((height, width), np.uint8)
        _tile(mask, tile)[:] = warped(alpha, _place(tile, index, width, height), **_tile_size(width, height))
        masks.append(mask)
    return masks


def _crowd_frames(faces: int, frames: int, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """(height, width, 3) RGB of each frame."""
    random = np.random.default_rng(2)
    lower = portrait()[256:]
    faceless = np.ascontiguousarray(np.concatenate([lower[::-1], lower]))  # suit and helmet: texture, but nobody

    for index in range(frames):
        image = np.empty((height, width, 3), np.uint8)
        for order, tile in enumerate(TAKEN):
            picture = masked_portrait() if order < faces else faceless
            _tile(image, tile)[:] = warped(picture, _place(tile, index, width, height), **_tile_size(width, height))
        grain = random.normal(0, 1.5, (height, width, 1)).astype(np.float32)
        yield np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def ahead(tile: int) -> Fraction:
    """How many seconds a place of the grid is ahead in its motion, so that not all faces move alike."""
    return Fraction(tile, len(TAKEN))


def _place(tile: int, index: int, width: int, height: int) -> Affine:
    """The affine map from the portrait to its place of the grid."""
    return frame_from_portrait(Fraction(index, FRAME_RATE) + ahead(tile), **_tile_size(width, height))


def _tile_size(width: int, height: int) -> dict[str, int]:
    return {"width": width // COLUMNS, "height": height // ROWS}


def _tile(image: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    height, width = image.shape[0] // ROWS, image.shape[1] // COLUMNS
    top, left = tile // COLUMNS * height, tile % COLUMNS * width
    return image[top : top + height, left : left + width]


@dataclass(frozen=True)
class Verified:
    """What was seen in a run's output."""

    frames: int
    gone_share: float
    """Part of the looked-at masks that are gone; 1 where there are none."""
    kept_levels: float
    """Mean difference outside the mask, in steps of 8 bits."""


def verify(before: Path, after: Path, size: str, *, every: int = 10, masks_of: MasksOf = demo_masks) -> Verified:
    """Look at every so many frames of both. Raises `BenchmarkError` unless frames, times, masks and rest are right."""
    width, height = parsed(size)
    gone, kept, frames = [], [], 0
    for old, new in _pairs(before, after):
        if frames % every == 0:
            masks = masks_of(frames, width=width, height=height)
            difference = np.abs(_rgb(old) - _rgb(new)).mean(axis=2)
            gone += [_changed(difference, mask) for mask in masks]
            hidden = np.max([np.zeros((height, width), np.uint8), *masks], axis=0)
            near = cv2.dilate(hidden, np.ones((3, 3), np.uint8), iterations=height // 12)
            kept.append(float(difference[near == 0].mean()))
        frames += 1

    seen = Verified(frames, float(np.mean(gone)) if gone else 1.0, float(np.mean(kept)))
    if seen.gone_share < GONE_SHARE:
        raise BenchmarkError(f"{after}: the mask is gone from {seen.gone_share:.0%} of the frames only")
    if seen.kept_levels > KEPT_LEVELS:
        raise BenchmarkError(f"{after}: outside the mask the picture differs by {seen.kept_levels:.1f} levels")
    return seen


def _changed(difference: NDArray[np.float32], mask: NDArray[np.uint8]) -> bool:
    inside = cv2.erode(mask, np.ones((5, 5), np.uint8)) > 250
    return float(difference[inside].mean()) > CHANGED_LEVELS


def _pairs(before: Path, after: Path) -> Iterator[tuple[av.VideoFrame, av.VideoFrame]]:
    """The frames of both films side by side. Raises `BenchmarkError` when their number or a time differs."""
    with av.open(str(before)) as old, av.open(str(after)) as new:
        others = new.decode(video=0)
        for frame in old.decode(video=0):
            other = next(others, None)
            if other is None or other.time != frame.time:
                seen = "missing" if other is None else f"shown at {other.time} s"
                raise BenchmarkError(f"{after}: the frame of {frame.time} s is {seen}")
            yield frame, other

        if next(others, None) is not None:
            raise BenchmarkError(f"{after} has more frames than {before}")


def _rgb(frame: av.VideoFrame) -> NDArray[np.float32]:
    return frame.to_ndarray(format="rgb24").astype(np.float32)


WIDTH, HEIGHT = 640, 384
"""The size of the frames in pixels: what the detector looks at in a wide picture, in multiples of 32."""
APART = 20
"""Frames of the demo's clip between two that are used."""


@dataclass(frozen=True)
class Faces:
    """Moments of the demo's clip, as the networks take them."""

    frames: NDArray[np.float32]
    """(N, 3, HEIGHT, WIDTH) in [-128, 128], as the detector takes them."""
    crops: NDArray[np.float32]
    """(N, 4, CROP_SIZE, CROP_SIZE): RGB in [-1, 1] and the hole in [0, 1], as the generator takes them; segmenter
    and figure take the first three."""

    @property
    def holes(self) -> NDArray[np.bool_]:
        """(N, CROP_SIZE, CROP_SIZE): what the generator fills."""
        return self.crops[:, 3] > 0.5

    def feed(self, network: str, count: int) -> Array:
        """The first `count` for a network of ours."""
        if network in ("segmenter", "figure"):
            return np.ascontiguousarray(self.crops[:count, :3])
        return (self.crops if network == "generator" else self.frames)[:count]


def moments(count: int) -> Faces:
    """`count` moments of the clip, each with the mask somewhere else."""
    frames, crops = [], []
    drawn = list(draw_frames(width=WIDTH, height=HEIGHT, frames=(count - 1) * APART + 1))
    for index in range(0, len(drawn), APART):
        place = frame_from_portrait(Fraction(index, FRAME_RATE), width=WIDTH, height=HEIGHT)
        alpha = warped((mask_alpha() * 255).astype(np.uint8), place, width=WIDTH, height=HEIGHT)

        # What the pipeline cuts out, by the true landmarks and with the true mask.
        crop_from_frame = face_crop(Landmarks(place.apply(LANDMARKS).astype(np.float32))).matrix
        size = (CROP_SIZE, CROP_SIZE)
        crop = cv2.warpAffine(drawn[index], crop_from_frame, size, borderMode=cv2.BORDER_REFLECT_101)
        mask = cv2.warpAffine(alpha, crop_from_frame, size).astype(np.float32) / np.float32(255)

        frames.append(drawn[index].transpose(2, 0, 1)[::-1].astype(np.float32) - 120)
        crops.append(np.concatenate([_colours(crop), hole_of(mask)[None]]))
    return Faces(np.stack(frames), np.stack(crops))


def _colours(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """(3, S, S) in [-1, 1] from (S, S, 3)."""
    planes = np.empty((3, *image.shape[:2]), np.float32)
    write_colours(np.asarray(image, np.uint8), planes)
    return planes
